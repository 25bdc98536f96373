// SPDX-License-Identifier: MIT
// Starts the page: the theme, the timeline, then the rest.
"use strict";

(async () => {
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = 12;
  // report.html#theme=dark&from=2000000000&to=2010000000 shows just that, in ns.
  const wanted = new URLSearchParams(location.hash.slice(1));
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  applyTheme(wanted.get("theme") ?? system);
  document.getElementById("theme").addEventListener("click", () => {
    applyTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  });
  const timeline = new Timeline(document.getElementById("timeline"), await loadColumns());
  if (wanted.has("from")) timeline.show(Number(wanted.get("from")), Number(wanted.get("to")));
  drawCharts();
  // For tests, and for who wants to know: the rows, and when all was drawn, in ms since opening.
  document.body.dataset.rows = timeline.rows.map((row) => row.label).join("|");
  document.body.dataset.ready = performance.now().toFixed();
})();
