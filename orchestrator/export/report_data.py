# SPDX-License-Identifier: MIT
"""The numbers of `report.html`: rows and intervals of its timeline, CPU use, delays, probe costs.

Small results are a JSON document; the intervals are columns in binary form, starts as differences,
so that a million events stay small. It knows nothing of HTML.
"""

import colorsys
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.export import analysis
from orchestrator.export.marks import ROWS, Marks, make_marks
from orchestrator.trace.timeline import Timeline

WINDOWS: Final = 80
"""Most points of the curves of CPU use over time."""
_GOLDEN_ANGLE: Final = 0.381966
_QUANTILES: Final = np.unique(
    np.concatenate([np.linspace(0, 0.99, 100), 1 - np.logspace(-2, -5, 25), [1.0]])
)
"""Where the curves of distributions have their points: dense at the tail, which is of interest."""


@dataclass(frozen=True, kw_only=True)
class TaskUse:
    """What a task took of its cores.

    Attributes:
        source: Position in `Timeline.sources`.
        pid: Its number.
        process: Of a thread of Linux the number of its process, if that is known; else its own.
        name: Its name.
        busy_ns: Time that it ran.
        runs: How often.
        color: "#rrggbb", the same in all charts.
    """

    source: int
    pid: int
    process: int
    name: str
    busy_ns: int
    runs: int
    color: str

    @property
    def number(self) -> str:
        """As perf writes it: "77", or "77/79" of another thread than the first one of process 77."""
        return f"{self.pid}" if self.pid == self.process else f"{self.process}/{self.pid}"


@dataclass(frozen=True, kw_only=True)
class CoreUse:
    """How a core spent its time.

    Attributes:
        cpu: The core.
        parts_ns: Time by what it did, such as "linux: tasks"; they add up to the run's time.
    """

    cpu: int
    parts_ns: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Distribution:
    """How long something took.

    Attributes:
        name: Of whom: a VM, the reason of an exit.
        values: Unit is that of its group.
    """

    name: str
    values: NDArray[np.uint64]

    def quantiles(self, shares: Sequence[float] | NDArray[np.float64]) -> NDArray[np.uint64]:
        """The least values that such shares of all do not exceed: each is one that occurred."""
        return np.asarray(np.quantile(self.values, shares, method="inverted_cdf"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """All that the page shows of a timeline.

    Attributes:
        document: For the page's scripts, in JSON's types.
        columns: The timeline's intervals, by name.
        tasks: Every task that ran, idle tasks excepted.
        cores: One a core.
        wakeups: In ns, one a guest.
        preemptions: In ns, one a guest.
        exits: In ns from VM exit to entry, one a reason.
        probes: In instructions, one a probe.
    """

    document: Mapping[str, Any]
    columns: Mapping[str, NDArray[Any]]
    tasks: tuple[TaskUse, ...]
    cores: tuple[CoreUse, ...]
    wakeups: tuple[Distribution, ...]
    preemptions: tuple[Distribution, ...]
    exits: tuple[Distribution, ...]
    probes: tuple[Distribution, ...]


def make_report(timeline: Timeline) -> Report:
    """Works all of it out."""
    runs, stays = analysis.task_runs(timeline), analysis.hypervisor_stays(timeline)
    tasks = tuple(_tasks(timeline, runs))
    cores = tuple(_core_use(timeline, runs, stays, cpu) for cpu in range(timeline.cores))
    wakeups = _by_source(timeline, analysis.wakeup_delays(timeline))
    preemptions = _by_source(timeline, analysis.preemption_delays(timeline))
    exits = _exits(stays)
    names = sorted(set(stays.name.tolist()))
    marks = make_marks(timeline)
    columns = _columns(runs, stays, tasks, names) | {
        "mark_start": _small(_differences(marks.start_ns)),
        "mark_ns": _small(marks.length_ns),
        "mark_kind": marks.kind,
        "mark_cpu": marks.cpu.astype(np.uint8),
    }
    begin, end = analysis.span_ns(timeline)
    document = {
        "begin_ns": begin,
        "end_ns": end,
        "cores": timeline.cores,
        "sources": [{"name": each.name, "kind": each.kind} for each in timeline.sources],
        "tasks": [
            {
                "source": t.source,
                "pid": t.pid,
                "number": t.number,
                "name": t.name,
                "busy_ns": t.busy_ns,
                "color": t.color,
            }
            for t in tasks
        ],
        "stays": _stay_names(stays, names),
        "marks": _mark_kinds(marks, tasks),
        "columns": _described(columns),
        "core_use": [{"cpu": each.cpu, "parts_ns": each.parts_ns} for each in cores],
        "shares": _shares(timeline, runs),
        "wakeups": _curves(wakeups),
        "preemptions": _curves(preemptions),
        "exits": _curves(exits),
    }
    return Report(
        document=document,
        columns=columns,
        tasks=tasks,
        cores=cores,
        wakeups=wakeups,
        preemptions=preemptions,
        exits=exits,
        probes=tuple(
            Distribution(name=name, values=cost.astype(np.uint64))
            for name, cost in sorted(timeline.probe_costs.items())
        ),
    )


def _tasks(timeline: Timeline, runs: analysis.Runs) -> Iterator[TaskUse]:
    """RTOS tasks by priority, processes by their time and so their threads, guests in order."""
    ran = runs.pid != analysis.IDLE
    at = 0
    for source, guest in enumerate(timeline.sources):
        own = ran & (runs.source == source)
        pids, where = np.unique(runs.pid[own], return_inverse=True)
        busy = np.bincount(where, runs.duration_ns[own].astype(np.float64), minlength=len(pids))
        counts = np.bincount(where, minlength=len(pids))
        tasks = [timeline.tasks.get(pid) for pid in pids.tolist()]
        process = pids.astype(np.int64)
        for row, task in enumerate(tasks):
            if guest.kind == "linux" and task is not None and task.tgid is not None:
                process[row] = task.tgid
        _, of = np.unique(process, return_inverse=True)
        together = np.bincount(of, busy)[of] if len(pids) else busy
        prio = np.array([task.prio or 0 if task else 0 for task in tasks], np.int64)
        # The last key is the first that counts.
        keys = (pids, prio) if guest.kind == "rtos" else (pids, -busy, process, -together)
        for row in np.lexsort(keys).tolist():
            pid, task = int(pids[row]), tasks[row]
            yield TaskUse(
                source=source,
                pid=pid,
                process=int(process[row]),
                name=task.comm if task else f"pid {pid}",
                busy_ns=round(busy[row]),
                runs=int(counts[row]),
                color=_color(at),
            )
            at += 1


def _color(number: int) -> str:
    """Colors far from each other for numbers near each other; readable on light and dark."""
    hue = (0.58 + number * _GOLDEN_ANGLE) % 1
    rgb = colorsys.hls_to_rgb(hue, (0.56, 0.46, 0.64)[number % 3], 0.62)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def _core_use(timeline: Timeline, runs: analysis.Runs, stays: analysis.Stays, cpu: int) -> CoreUse:
    begin, end = analysis.span_ns(timeline)
    on_core = stays.cpu == cpu
    outside = on_core & ~stays.in_guest
    out_start, out_end = stays.start_ns[outside], stays.end_ns[outside]
    parts: dict[str, int] = {}
    traced = []
    for source, guest in enumerate(timeline.sources):
        own = (runs.source == source) & (runs.cpu == cpu) & (runs.pid != analysis.IDLE)
        if own.any():
            traced.append(analysis.traced_ns(timeline, source, cpu))
            # What a guest cannot see is not its tasks' time: the hypervisor interrupts them.
            hidden = analysis.time_covered(out_start, out_end, runs.end_ns[own])
            hidden -= analysis.time_covered(out_start, out_end, runs.start_ns[own])
            busy = float(runs.duration_ns[own].sum()) - float(hidden.sum())
            parts[f"{guest.name}: tasks"] = round(busy)
    if on_core.any():
        spent = (out_end - out_start).astype(np.int64)
        asleep = stays.name[outside] == analysis.IDLING
        parts["hypervisor"] = int(spent[~asleep].sum())
        parts["asleep"] = int(spent[asleep].sum())
    if traced:
        # Before its guests' first event and after their last one.
        bounds = np.array([begin, min(traced)[0], max(last for _, last in traced), end], np.uint64)
        spans = np.diff(bounds.astype(np.float64))
        spans -= np.diff(analysis.time_covered(out_start, out_end, bounds))
        parts["tasks not traced"] = round(float(spans[0] + spans[2]))
    rest = max(0, end - begin - sum(parts.values()))
    if traced:
        parts["guest, idle" if on_core.any() else "idle"] = rest
    else:
        parts["tasks not traced"] = rest
    return CoreUse(cpu=cpu, parts_ns=parts)


def _by_source(timeline: Timeline, delays: analysis.Delays) -> tuple[Distribution, ...]:
    return tuple(
        Distribution(name=source.name, values=delays.delay_ns[delays.source == number])
        for number, source in enumerate(timeline.sources)
        if (delays.source == number).any()
    )


def _exits(stays: analysis.Stays) -> tuple[Distribution, ...]:
    """Sleeping is no work: it is left out."""
    out = ~stays.in_guest & (stays.name != analysis.IDLING)
    duration = stays.end_ns - stays.start_ns
    return tuple(
        Distribution(name=name, values=duration[out & (stays.name == name)])
        for name in sorted(set(stays.name[out].tolist()))
    )


def _curves(distributions: tuple[Distribution, ...]) -> list[dict[str, Any]]:
    """The share of values up to each value, at most 130 points a curve."""
    return [
        {
            "name": each.name,
            "values": each.quantiles(_QUANTILES).tolist(),
            "shares": (100 * _QUANTILES).round(4).tolist(),
        }
        for each in distributions
    ]


def _shares(timeline: Timeline, runs: analysis.Runs) -> dict[str, Any]:
    begin, end = analysis.span_ns(timeline)
    if end == begin:
        return {"at_ns": [], "guests": []}
    window = _round_up((end - begin) / WINDOWS)
    edges = np.append(np.arange(begin, end, window, dtype=np.uint64), np.uint64(end))
    guests = []
    for number, source in enumerate(timeline.sources):
        own = (runs.source == number) & (runs.pid != analysis.IDLE)
        if own.any():
            share = np.zeros(len(edges) - 1)
            for cpu in np.unique(runs.cpu[own]):
                lane = own & (runs.cpu == cpu)
                share += analysis.share_of_time(runs.start_ns[lane], runs.end_ns[lane], edges)
            guests.append({"name": source.name, "percent": (100 * share).round(2).tolist()})
    return {"at_ns": edges[:-1].tolist(), "guests": guests}


def _round_up(ns: float) -> int:
    """The next of 1, 2, 5, 10, 20, ... ns."""
    power = int(10 ** max(0, math.floor(math.log10(max(1, ns)))))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= ns)


def _mark_kinds(marks: Marks, tasks: tuple[TaskUse, ...]) -> list[dict[str, str]]:
    """Each kind of bar; a task has its own colour."""
    colors = {task.name: task.color for task in tasks}
    return [
        {"row": ROWS[row], "name": name, "color": colors.get(name, _color(at))}
        for at, (row, name) in enumerate(marks.kinds)
    ]


def _stay_names(stays: analysis.Stays, names: list[str]) -> list[dict[str, Any]]:
    in_guest = set(stays.name[stays.in_guest].tolist())
    return [{"name": name, "in_guest": name in in_guest} for name in names]


def _columns(
    runs: analysis.Runs, stays: analysis.Stays, tasks: tuple[TaskUse, ...], names: list[str]
) -> dict[str, NDArray[Any]]:
    """Intervals of all tasks but the idle ones, and those of the hypervisor."""
    keys = np.array([task.source << 32 | task.pid for task in tasks], np.int64)
    order = np.argsort(keys)
    kept = runs.pid != analysis.IDLE
    key = runs.source[kept].astype(np.int64) << 32 | runs.pid[kept]
    task = order[np.searchsorted(keys[order], key)] if len(keys) else np.empty(0, np.intp)
    return {
        "run_start": _small(_differences(runs.start_ns[kept])),
        "run_ns": _small(runs.duration_ns[kept]),
        "run_task": task.astype(np.uint16),
        "run_cpu": runs.cpu[kept].astype(np.uint8),
        "stay_start": _small(_differences(stays.start_ns)),
        "stay_ns": _small(stays.end_ns - stays.start_ns),
        "stay_name": np.searchsorted(names, stays.name.tolist()).astype(np.uint8)
        if names
        else np.empty(0, np.uint8),
        "stay_cpu": stays.cpu.astype(np.uint8),
    }


def _differences(times: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each time less the one before it, the first as it is."""
    return np.diff(times, prepend=np.uint64(0))


def _small(values: NDArray[np.uint64]) -> NDArray[Any]:
    """In 32 bits where they all fit, else in what JavaScript's numbers hold exactly."""
    fits = not len(values) or int(values.max()) < 1 << 32
    return values.astype("<u4" if fits else "<f8")


def _described(columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "type": values.dtype.str.lstrip("<|"), "length": len(values)}
        for name, values in columns.items()
    ]
