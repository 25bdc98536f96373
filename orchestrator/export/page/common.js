// SPDX-License-Identifier: MIT
// What all scripts of the page use: its data, its colours, how times are written.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

/** All columns by name, as typed arrays; "…_start" columns are turned from differences to times. */
async function loadColumns() {
  const packed = document.getElementById("columns");
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  packed.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const kinds = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f8: Float64Array };
  const columns = {};
  let at = 0;
  for (const { name, type, length } of data.columns) {
    const kind = kinds[type];
    // A copy: a typed array's beginning must be aligned in its buffer.
    const column = new kind(buffer.slice(at, at + length * kind.BYTES_PER_ELEMENT));
    at += length * kind.BYTES_PER_ELEMENT;
    columns[name] = name.endsWith("_start") ? summed(column) : column;
  }
  return columns;
}

function summed(differences) {
  const times = new Float64Array(differences.length);
  let time = 0;
  for (let i = 0; i < times.length; i++) times[i] = time += differences[i];
  return times;
}

/** A time span with its unit, such as "1.25 ms". */
function duration(ns) {
  for (const [step, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) {
    if (Math.abs(ns) >= step) return `${Number((ns / step).toPrecision(4))} ${unit}`;
  }
  return `${Math.round(ns)} ns`;
}

/** An instant; as many digits as steps of `stepNs` need. */
function instant(ns, stepNs) {
  const [unit, size] = stepNs >= 1e8 ? ["s", 1e9] : ["ms", 1e6];
  const digits = Math.max(0, Math.min(9, Math.ceil(-Math.log10(stepNs / size) - 1e-9)));
  return `${(ns / size).toFixed(digits)} ${unit}`;
}

const charts = [];

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Sets what Chart.js draws in the page's colours. */
function applyTheme(theme) {
  document.documentElement.dataset.theme = theme;
  Chart.defaults.color = color("quiet");
  Chart.defaults.borderColor = color("line");
  for (const chart of charts) {
    for (const scale of Object.values(chart.options.scales)) {
      scale.grid.color = color("line");
      scale.ticks.color = color("quiet");
      if (scale.title) scale.title.color = color("quiet");
    }
    if (chart.options.plugins.legend) chart.options.plugins.legend.labels.color = color("text");
    chart.update("none");
  }
}
