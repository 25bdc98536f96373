// SPDX-License-Identifier: MIT
// The timeline: a row for each core, for each core's hypervisor, for each task. Chart.js draws the
// axes; the rows are pixels made here. A pixel shows what share of its time was covered, so that a
// million runs look right at every distance; drawing takes one pass over what is visible.
"use strict";

const ROW_PX = 22;
const GAP_PX = 4;
const TASKS_SHOWN = 24;
const LABELS_UP_TO = 400;

class Timeline {
  /** @param columns Intervals, as report_data.py describes them. */
  constructor(box, columns) {
    this.box = box;
    this.columns = columns;
    this.showsAll = false;
    this.lanes = makeLanes(columns);
    this.chart = this.makeChart();
    charts.push(this.chart);
    this.layOut();
    this.listen();
  }

  get rows() {
    return this.showsAll ? this.lanes : this.lanes.filter((lane) => !lane.isMinor);
  }

  layOut() {
    const rows = this.rows;
    this.box.style.height = `${rows.length * ROW_PX + 44}px`;
    this.chart.options.scales.y.max = rows.length;
    this.chart.resize();
    this.chart.update("none");
    const minor = this.lanes.filter((lane) => lane.isMinor).length;
    const more = document.getElementById("more");
    more.hidden = minor === 0;
    more.textContent = this.showsAll ? "fewer tasks" : `${minor} more tasks`;
  }

  makeChart() {
    const timeline = this;
    const bold = (context) => ({ weight: timeline.rows[context.index]?.isTask ? "normal" : "600" });
    return new Chart(this.box.querySelector("canvas"), {
      type: "scatter",
      data: { datasets: [] },
      options: {
        animation: false,
        maintainAspectRatio: false,
        events: [],
        plugins: { legend: { display: false }, tooltip: { enabled: false } },
        scales: {
          x: {
            min: data.begin_ns,
            max: Math.max(data.end_ns, data.begin_ns + 1),
            grid: { color: color("line"), drawOnChartArea: true },
            ticks: {
              color: color("quiet"),
              maxRotation: 0,
              autoSkipPadding: 24,
              includeBounds: false,
              callback: (value, _at, ticks) =>
                instant(value, ticks.length > 1 ? ticks[1].value - ticks[0].value : 1e9),
            },
          },
          y: {
            min: 0,
            max: 1,
            reverse: true,
            grid: { display: false },
            afterBuildTicks: (axis) => {
              axis.ticks = timeline.rows.map((_row, at) => ({ value: at + 0.5 }));
            },
            afterFit: (axis) => {
              axis.width = 190;
            },
            ticks: {
              autoSkip: false,
              crossAlign: "far",
              font: bold,
              color: color("text"),
              callback: (value) => shortened(timeline.rows[Math.floor(value)]?.label ?? ""),
            },
          },
        },
      },
      plugins: [{ id: "rows", beforeDatasetsDraw: (chart) => timeline.draw(chart) }],
    });
  }

  draw(chart) {
    const { left, top, width, height } = chart.chartArea;
    const { min, max } = chart.scales.x;
    const ratio = chart.currentDevicePixelRatio;
    const pixels = Math.max(1, Math.round(width * ratio));
    const context = chart.ctx;
    const rows = this.rows;
    const rowHeight = height / rows.length;
    const strip = new OffscreenCanvas(pixels, 1);
    const stripContext = strip.getContext("2d");
    context.save();
    context.imageSmoothingEnabled = false;
    rows.forEach((row, at) => {
      const y = top + at * rowHeight + GAP_PX / 2;
      context.fillStyle = color("stripe");
      context.fillRect(left, y, width, rowHeight - GAP_PX);
      const { image, few } = pictureOf(row, min, max, pixels);
      stripContext.putImageData(image, 0, 0);
      context.drawImage(strip, 0, 0, pixels, 1, left, y, width, rowHeight - GAP_PX);
      if (few) this.writeNames(context, row, few, { left, y, width, min, max });
      if (at && row.group !== rows[at - 1].group) {
        context.fillStyle = color("quiet");
        context.fillRect(0, y - GAP_PX / 2 - 0.5, left + width, 1);
      }
    });
    this.drawSelection(context, chart.chartArea);
    context.restore();
    document.getElementById("visible").textContent = duration(max - min);
  }

  writeNames(context, row, [first, last], { left, y, width, min, max }) {
    context.font = `11px ${Chart.defaults.font.family}`;
    context.textBaseline = "middle";
    const scale = width / (max - min);
    for (let i = first; i < last; i++) {
      const from = Math.max(left, left + (row.start(i) - min) * scale);
      const to = Math.min(left + width, left + (row.end(i) - min) * scale);
      const room = to - from - 8;
      if (room < 24) continue;
      const text = row.nameOf(i);
      context.fillStyle = row.inkOf(i);
      if (context.measureText(text).width <= room) context.fillText(text, from + 4, y + 9.5);
    }
  }

  drawSelection(context, area) {
    if (!this.selection) return;
    const [from, to] = this.selection;
    context.fillStyle = color("accent") + "33";
    context.fillRect(Math.min(from, to), area.top, Math.abs(to - from), area.height);
  }

  show(min, max) {
    const whole = Math.max(1, data.end_ns - data.begin_ns);
    const span = Math.min(whole, Math.max(100, max - min));
    const start = Math.min(Math.max(min, data.begin_ns), data.begin_ns + whole - span);
    this.chart.options.scales.x.min = start;
    this.chart.options.scales.x.max = start + span;
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.chart.update("none");
    });
  }

  zoom(factor, center) {
    const { min, max } = this.chart.options.scales.x;
    const middle = center ?? (min + max) / 2;
    this.show(middle - (middle - min) * factor, middle + (max - middle) * factor);
  }

  move(what) {
    const { min, max } = this.chart.options.scales.x;
    const step = (max - min) / 4;
    if (what === "zoom-in") this.zoom(0.5);
    else if (what === "zoom-out") this.zoom(2);
    else if (what === "left") this.show(min - step, max - step);
    else if (what === "right") this.show(min + step, max + step);
    else this.show(data.begin_ns, data.end_ns);
  }

  listen() {
    const canvas = this.box.querySelector("canvas");
    const timeAt = (x) => this.chart.scales.x.getValueForPixel(x);
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 400), timeAt(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.move("all"));
    canvas.addEventListener("pointerdown", (down) => {
      canvas.setPointerCapture(down.pointerId);
      const { min, max } = this.chart.options.scales.x;
      const pans = down.shiftKey;
      const follow = (event) => {
        if (pans) {
          const shift = (timeAt(down.offsetX) - timeAt(event.offsetX));
          this.show(min + shift, max + shift);
        } else {
          this.selection = [down.offsetX, event.offsetX];
          this.chart.draw();
        }
      };
      const end = (event) => {
        canvas.removeEventListener("pointermove", follow);
        const selected = this.selection;
        this.selection = null;
        if (selected && Math.abs(selected[1] - selected[0]) > 4) {
          const times = selected.map(timeAt).sort((a, b) => a - b);
          this.show(times[0], times[1]);
        } else {
          this.chart.draw();
        }
        event.stopPropagation();
      };
      canvas.addEventListener("pointermove", follow);
      canvas.addEventListener("pointerup", end, { once: true });
    });
    canvas.addEventListener("pointermove", (event) => this.tell(event));
    canvas.addEventListener("pointerleave", () => { document.getElementById("tip").hidden = true; });
    document.querySelectorAll("[data-move]").forEach((button) => {
      button.addEventListener("click", () => this.move(button.dataset.move));
    });
    document.addEventListener("keydown", (event) => {
      const moves = { w: "zoom-in", s: "zoom-out", a: "left", d: "right" };
      if (moves[event.key] && !event.ctrlKey && !event.metaKey) this.move(moves[event.key]);
    });
    document.getElementById("more").addEventListener("click", () => {
      this.showsAll = !this.showsAll;
      this.layOut();
    });
  }

  tell(event) {
    const tip = document.getElementById("tip");
    const { left, right, top, height } = this.chart.chartArea;
    const row = this.rows[Math.floor(((event.offsetY - top) / height) * this.rows.length)];
    const inside = event.offsetX >= left && event.offsetX <= right && row;
    const time = this.chart.scales.x.getValueForPixel(event.offsetX);
    const found = inside ? row.find(time) : -1;
    tip.hidden = found < 0;
    if (found < 0) return;
    const { min, max } = this.chart.scales.x;
    tip.replaceChildren();
    const name = document.createElement("b");
    name.textContent = row.nameOf(found);
    const span = row.end(found) - row.start(found);
    const lines = [`${row.kindOf(found).whose}, core ${row.cpuOf(found)}`,
      `for ${duration(span)}`, `from ${instant(row.start(found), (max - min) / 1e4)}`];
    tip.append(name, ...lines.flatMap((line) => [document.createElement("br"), line]));
    const flip = event.offsetX + tip.offsetWidth + 24 > this.box.clientWidth;
    tip.style.left = `${event.offsetX + (flip ? -tip.offsetWidth - 12 : 14)}px`;
    tip.style.top = `${event.offsetY + 14}px`;
  }
}

/** A row: some of the intervals of the columns, in order of time. */
class Lane {
  constructor(label, indices, { start, length, what, cpu, kinds }, more) {
    Object.assign(this, { label, indices, starts: start, lengths: length, what, cpus: cpu, kinds }, more);
    this.count = indices.length;
  }
  start(i) { return this.starts[this.indices[i]]; }
  end(i) { return this.start(i) + this.lengths[this.indices[i]]; }
  kindOf(i) { return this.kinds[this.what[this.indices[i]]]; }
  nameOf(i) { return this.kindOf(i).name; }
  inkOf(i) { return this.kindOf(i).ink; }
  cpuOf(i) { return this.cpus[this.indices[i]]; }

  /** The first interval that ends after a time. */
  after(time) {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end(middle) > time) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  find(time) {
    const i = this.after(time);
    return i < this.count && this.start(i) <= time ? i : -1;
  }
}

function makeLanes(columns) {
  const runs = {
    start: columns.run_start, length: columns.run_ns, what: columns.run_task, cpu: columns.run_cpu,
    kinds: data.tasks.map((task) => kind(task.name, task.color, data.sources[task.source].name)),
  };
  const guests = data.sources.map((source) => source.name);
  const stays = {
    start: columns.stay_start, length: columns.stay_ns, what: columns.stay_name,
    cpu: columns.stay_cpu,
    kinds: data.stays.map(({ name, in_guest }) => {
      const guest = guests.indexOf(name.split("/")[0]);
      const shade = in_guest ? GUEST_COLORS[guest % GUEST_COLORS.length] : OUTSIDE_COLOR;
      return kind(name, name === "WFx" ? SLEEP_COLOR : shade, in_guest ? "guest" : "hypervisor");
    }),
  };
  const lanes = [];
  const runsOfCore = grouped(runs.cpu, data.cores);
  const staysOfCore = grouped(stays.cpu, data.cores);
  for (let cpu = 0; cpu < data.cores; cpu++) {
    lanes.push(new Lane(`CPU${cpu}`, runsOfCore[cpu], runs, { group: "cores" }));
  }
  for (let cpu = 0; cpu < data.cores; cpu++) {
    if (staysOfCore[cpu].length) {
      const label = `hypervisor, CPU${cpu}`;
      lanes.push(new Lane(label, staysOfCore[cpu], stays, { group: "hypervisor" }));
    }
  }
  lanes.push(...markLanes(columns));
  const runsOfTask = grouped(runs.what, data.tasks.length);
  const shown = data.sources.map(() => 0);
  data.tasks.forEach((task, at) => {
    const isMinor = shown[task.source]++ >= TASKS_SHOWN;
    const label = `${task.name} (${task.number})`;
    const more = { isMinor, isTask: true, group: task.source };
    lanes.push(new Lane(label, runsOfTask[at], runs, more));
  });
  return lanes;
}

/** Interrupts, softirqs and wake-ups of each core that has some. */
function markLanes(columns) {
  const marks = {
    start: columns.mark_start, length: columns.mark_ns, what: columns.mark_kind,
    cpu: columns.mark_cpu,
    kinds: data.marks.map(({ name, row, color }) => kind(name, color, row)),
  };
  const names = [...new Set(data.marks.map(({ row }) => row))];
  const rowOfKind = data.marks.map(({ row }) => names.indexOf(row));
  const keys = Uint16Array.from(marks.what, (what, i) => rowOfKind[what] * data.cores + marks.cpu[i]);
  return grouped(keys, names.length * data.cores).flatMap((indices, key) => {
    const label = `${names[Math.floor(key / data.cores)]}, CPU${key % data.cores}`;
    return indices.length ? [new Lane(label, indices, marks, { group: "marks", isTask: true })] : [];
  });
}

/** What an interval is: its name, whose, its colour as numbers, the ink that is readable on it. */
function kind(name, hex, whose) {
  const rgb = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const light = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
  return { name, whose, rgb, ink: light > 140 ? "#10151d" : "#ffffff" };
}

/** The positions of each value of a column, in order. */
function grouped(values, groups) {
  const sizes = new Uint32Array(groups);
  for (let i = 0; i < values.length; i++) sizes[values[i]]++;
  const members = Array.from(sizes, (size) => new Uint32Array(size));
  sizes.fill(0);
  for (let i = 0; i < values.length; i++) members[values[i]][sizes[values[i]]++] = i;
  return members;
}

/** One line of pixels: the mean colour of what covers each, as opaque as it is covered. */
function pictureOf(row, min, max, pixels) {
  const covered = new Float32Array(pixels);
  const red = new Float32Array(pixels);
  const green = new Float32Array(pixels);
  const blue = new Float32Array(pixels);
  const scale = pixels / (max - min);
  const add = (pixel, share, rgb) => {
    covered[pixel] += share;
    red[pixel] += share * rgb[0];
    green[pixel] += share * rgb[1];
    blue[pixel] += share * rgb[2];
  };
  const first = row.after(min);
  let i = first;
  for (; i < row.count; i++) {
    const start = row.start(i);
    if (start >= max) break;
    const from = Math.max(0, (start - min) * scale);
    const to = Math.min(pixels, (row.end(i) - min) * scale);
    const rgb = row.kindOf(i).rgb;
    const begin = Math.floor(from);
    const end = Math.min(pixels - 1, Math.floor(to));
    if (begin === end) {
      add(begin, to - from, rgb);
      continue;
    }
    add(begin, begin + 1 - from, rgb);
    for (let pixel = begin + 1; pixel < end; pixel++) add(pixel, 1, rgb);
    add(end, to - end, rgb);
  }
  const image = new ImageData(pixels, 1);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const share = covered[pixel];
    if (share <= 0) continue;
    const at = 4 * pixel;
    image.data[at] = red[pixel] / share;
    image.data[at + 1] = green[pixel] / share;
    image.data[at + 2] = blue[pixel] / share;
    // The shortest run must be seen from afar, too.
    image.data[at + 3] = 255 * Math.min(1, 0.25 + 0.75 * share);
  }
  return { image, few: i - first <= LABELS_UP_TO ? [first, i] : null };
}

function shortened(label) {
  return label.length > 26 ? `${label.slice(0, 25)}…` : label;
}
