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
  specification.width = place.clientWidth;
  // Not by an expression of the width: Vega counts the rows of a legend before it fits the width.
  specification.params.find((one) => one.name === "columns").value = Math.max(1, Math.floor(place.clientWidth / 190));
  try {
    drawn.get(place)?.finalize();
    drawn.set(place, await vegaEmbed(place, specification, options));
  } catch (error) {
    place.textContent = `This figure cannot be drawn here (${error.message}); the table has its numbers.`;
    console.error(error);
  }
}

async function drawAll() {
  width = document.body.clientWidth;
  for (const place of document.querySelectorAll("[data-figure]")) await draw(place);
  if (select) pick(select.value);
  document.documentElement.dataset.drawn = "yes";
}

function redraw() {
  clearTimeout(waiting);
  // Print does not wait for a new drawing: there the style sheet scales the one that is there.
  if (document.body.clientWidth !== width && !matchMedia("print").matches) waiting = setTimeout(drawAll, 200);
}

if (select) select.addEventListener("change", () => pick(select.value));
addEventListener("resize", redraw);
drawAll();
