// Loads the page anew when results have come, and puts the reader back where they were.
"use strict";
const version = document.documentElement.dataset.version;
history.scrollRestoration = "manual"; // the browser would do it too, before figures are drawn
const kept = JSON.parse(sessionStorage.getItem("distmerge") ?? "null");

function keep() {
  const open = [...document.querySelectorAll("details[open] > summary")].map((one) => one.textContent);
  const sliders = [...document.querySelectorAll("[data-slides]")].map((one) => [one.dataset.slides, one.value - one.max]);
  const chosen = document.getElementById("chosen")?.value ?? "";
  sessionStorage.setItem("distmerge", JSON.stringify({ place: scrollY, open, chosen, sliders }));
}

function restore({ place, open, chosen, sliders }) {
  for (const summary of document.querySelectorAll("details > summary")) summary.parentElement.open = open.includes(summary.textContent);
  for (const [slug, fromEnd] of sliders) {
    const slider = document.querySelector(`[data-slides="${slug}"]`);
    if (slider) { slider.value = Number(slider.max) + fromEnd; slider.dispatchEvent(new Event("input")); }
  }
  const select = document.getElementById("chosen");
  if (select && [...select.options].some((one) => one.value === chosen || one.text === chosen)) {
    select.value = chosen;
    select.dispatchEvent(new Event("change"));
  }
  scrollTo({ top: place, behavior: "instant" });
}

async function look() {
  const state = document.getElementById("live");
  try {
    const found = await (await fetch("/version", { cache: "no-store" })).text();
    state.textContent = "follows the sweep";
    if (found !== version) { keep(); location.reload(); }
  } catch {
    state.textContent = "the server has ended; this is the last state";
  }
}

async function back() {
  // Figures take their height only when they are drawn.
  for (let i = 0; i < 100 && document.getElementById("specifications") && document.documentElement.dataset.drawn !== "yes"; i += 1) {
    await new Promise((done) => setTimeout(done, 50));
  }
  if (kept) restore(kept);
  sessionStorage.removeItem("distmerge");
}

back();
setInterval(look, 2000);
