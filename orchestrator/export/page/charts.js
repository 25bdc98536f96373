// SPDX-License-Identifier: MIT
// The page's smaller charts: how cores spent their time, guests over time, distributions.
"use strict";

const GUEST_COLORS = ["#3b82c4", "#d9822b", "#4c9f70", "#b65fb0", "#c9a227", "#5f8f9c", "#c4524f", "#7a6fc0"];
const OUTSIDE_COLOR = "#c4524f";
const SLEEP_COLOR = "#b8c2d0";
const PART_COLORS = { "hypervisor": OUTSIDE_COLOR, "asleep": SLEEP_COLOR, "guest, idle": "#8d99ae", "idle": "#8d99ae", "tasks not traced": "#8d99ae33" };

function draw(id, config) {
  const defaults = {
    animation: false,
    maintainAspectRatio: false,
    interaction: { mode: "nearest", intersect: false, axis: "x" },
  };
  config.options = { ...defaults, ...config.options };
  charts.push(new Chart(document.getElementById(id), config));
}

function axis(title, more = {}) {
  return {
    grid: { color: color("line") },
    title: { display: Boolean(title), text: title, color: color("quiet") },
    ...more,
    ticks: { color: color("quiet"), maxRotation: 0, ...more.ticks },
  };
}

function legend() {
  return { position: "bottom", labels: { boxWidth: 10, boxHeight: 10, color: color("text") } };
}

function guestColor(name) {
  return GUEST_COLORS[data.sources.findIndex((source) => source.name === name) % GUEST_COLORS.length];
}

function drawCores() {
  const whole = Math.max(1, data.end_ns - data.begin_ns);
  const parts = [...new Set(data.core_use.flatMap((core) => Object.keys(core.parts_ns)))];
  const order = (part) => Object.keys(PART_COLORS).indexOf(part);
  parts.sort((a, b) => order(a) - order(b) || a.localeCompare(b));
  draw("cores", {
    type: "bar",
    data: {
      labels: data.core_use.map((core) => `CPU${core.cpu}`),
      datasets: parts.map((part) => ({
        label: part,
        data: data.core_use.map((core) => (100 * (core.parts_ns[part] ?? 0)) / whole),
        backgroundColor: PART_COLORS[part] ?? guestColor(part.split(":")[0]),
        barPercentage: 0.7,
      })),
    },
    options: {
      indexAxis: "y",
      interaction: { mode: "nearest", intersect: true },
      scales: {
        x: axis("% of the run", { stacked: true, max: 100 }),
        y: axis("", { stacked: true, grid: { display: false }, ticks: { color: color("text") } }),
      },
      plugins: {
        legend: legend(),
        tooltip: {
          callbacks: { label: (item) => `${item.dataset.label}: ${item.parsed.x.toFixed(2)} %` },
        },
      },
    },
  });
}

function drawShares() {
  draw("shares", {
    type: "line",
    data: {
      datasets: data.shares.guests.map(({ name, percent }) => ({
        label: name,
        data: percent.map((value, at) => ({ x: data.shares.at_ns[at], y: value })),
        borderColor: guestColor(name),
        backgroundColor: guestColor(name),
        borderWidth: 1.5,
        pointRadius: 0,
        stepped: "before",
      })),
    },
    options: {
      scales: {
        x: axis("", {
          type: "linear",
          min: data.begin_ns,
          max: Math.max(data.end_ns, data.begin_ns + 1),
          ticks: {
            autoSkipPadding: 20,
            includeBounds: false,
            callback: (value, _at, ticks) =>
              instant(value, ticks.length > 1 ? ticks[1].value - ticks[0].value : 1e9),
          },
        }),
        y: axis("%", { min: 0, suggestedMax: 100 }),
      },
      plugins: {
        legend: legend(),
        tooltip: {
          callbacks: {
            title: (items) => instant(items[0].parsed.x, (data.end_ns - data.begin_ns) / 1000),
            label: (item) => `${item.dataset.label}: ${item.parsed.y.toFixed(1)} %`,
          },
        },
      },
    },
  });
}

/** Share of cases up to each duration; a logarithmic axis, for the tail is of interest. */
function drawDistribution(id, curves) {
  if (!curves.length) {
    document.getElementById(id).parentElement.remove();
    return;
  }
  const palette = [...GUEST_COLORS];
  draw(id, {
    type: "line",
    data: {
      datasets: curves.map(({ name, values, shares }, at) => {
        const known = data.sources.some((source) => source.name === name);
        const shade = known ? guestColor(name) : palette[at % palette.length];
        return {
          label: name,
          data: values.map((value, i) => ({ x: Math.max(1, value), y: shares[i] })),
          borderColor: shade,
          backgroundColor: shade,
          borderWidth: 2,
          pointRadius: 0,
          stepped: "after",
        };
      }),
    },
    options: {
      scales: {
        x: axis("", {
          type: "logarithmic",
          ticks: {
            autoSkipPadding: 16,
            callback(value) {
              const digit = Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9));
              const shown = this.max / this.min > 100 ? [1] : [1, 2, 5];
              return shown.includes(digit) ? duration(value) : "";
            },
          },
        }),
        y: axis("% are this fast or faster", { min: 0, max: 100 }),
      },
      plugins: {
        legend: legend(),
        tooltip: {
          callbacks: {
            title: () => "",
            label: (item) =>
              `${item.dataset.label}: ${item.parsed.y.toFixed(2)} % within ${duration(item.parsed.x)}`,
          },
        },
      },
    },
  });
}

function drawCharts() {
  drawCores();
  drawShares();
  drawDistribution("wakeups", data.wakeups);
  drawDistribution("preemptions", data.preemptions);
  drawDistribution("exits", data.exits);
}
