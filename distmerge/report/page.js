// Draws every figure in the width that there is, and picks out one method everywhere.
"use strict";
const specifications = JSON.parse(document.getElementById("specifications").textContent);
const drawn = new Map();
const select = document.getElementById("chosen");
let width = 0;
let waiting = 0;

function pick(series) {
  for (const { view } of drawn.values()) view.signal("chosen", series).runAsync();
  for (const row of document.querySelectorAll("tr[data-series]")) {
    row.classList.toggle("picked", series !== "" && row.dataset.series === series);
  }
}

async function draw(place) {
  const options = { actions: false, renderer: "svg", ast: true, tooltip: { theme: "page" } };
  const specification = structuredClone(specifications[place.dataset.figure]);
  if (specification.facet) {
    specification.columns = Math.max(2, Math.min(4, Math.floor(place.clientWidth / 200)));
    specification.spec.width = Math.floor(place.clientWidth / specification.columns) - 24;
  } else specification.width = place.clientWidth;
  // Not by an expression of the width: Vega counts the rows of a legend before it fits the width.
  specification.params.find((one) => one.name === "columns").value = Math.max(1, Math.floor(place.clientWidth / 190));
  try {
    drawn.get(place)?.finalize();
    drawn.set(place, await vegaEmbed(place, specification, options));
    const slider = document.querySelector(`[data-slides="${place.dataset.figure}"]`);
    if (slider) await slide(slider);
  } catch (error) {
    place.textContent = `This figure cannot be drawn here (${error.message}); the table has its numbers.`;
    console.error(error);
  }
}

async function slide(slider) {
  const frame = Number(slider.dataset.frames.split(" ")[slider.value]);
  slider.nextElementSibling.textContent = frame;
  slider.setAttribute("aria-valuetext", `step ${frame}`);
  await drawn.get(document.getElementById(`figure-${slider.dataset.slides}`))?.view.signal("frame", frame).runAsync();
}

async function drawAll() {
  width = document.body.clientWidth;
  for (const place of document.querySelectorAll("[data-figure]")) await draw(place);
  if (select) pick(select.value);
  document.documentElement.dataset.drawn = "yes";
  performance.mark("drawn");
}

function redraw() {
  clearTimeout(waiting);
  // Print does not wait for a new drawing: there the style sheet scales the one that is there.
  if (document.body.clientWidth !== width && !matchMedia("print").matches) waiting = setTimeout(drawAll, 200);
}

if (select) select.addEventListener("change", () => pick(select.value));
for (const slider of document.querySelectorAll("[data-slides]")) slider.addEventListener("input", () => slide(slider));
addEventListener("resize", redraw);
drawAll();
