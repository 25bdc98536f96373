# SPDX-License-Identifier: MIT
"""The figures of benchmark results and of timelines, by name, for comparisons.

Names: ``bench/BENCHMARK/VARIANT/…`` and ``trace/GUEST/…``. A task is named after itself: numbers of
tasks differ between runs of different systems, names do not. Several tasks of one name in a guest
count as one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from orchestrator.bench.compare import Figure
from orchestrator.bench.model import BenchResult
from orchestrator.export.analysis import (
    IDLE,
    Runs,
    hypervisor_stays,
    span_ns,
    task_runs,
    wakeup_delays,
)
from orchestrator.trace.timeline import Timeline

_PERCENTILE = 99
_RUNNABLE = (0, 0x100)
"""`prev_state` of a task that was preempted: TASK_RUNNING, or Linux's mark for it."""


def of_results(results: Iterable[BenchResult]) -> Iterator[Figure]:
    """What an operation costs, and what else a benchmark tells."""
    for result in results:
        place = f"bench/{result.bench}/{result.variant}"
        cost = result.instructions_per_operation
        if cost is not None:
            yield Figure(name=f"{place}/instructions", value=cost, unit="instructions")
        yield Figure(name=f"{place}/time", value=result.ns_per_operation, unit="ns")
        for name, value in result.figures.items():
            base, _, unit = name.rpartition("_")
            yield Figure(name=f"{place}/{base}", value=value, unit=unit)


def of_timeline(timeline: Timeline) -> Iterator[Figure]:
    """Switches, CPU shares, wake-up latencies, response times, and time in the hypervisor."""
    if not len(timeline):
        return
    runs = task_runs(timeline)
    yield from _switches(timeline)
    yield from _shares(timeline, runs)
    yield from _wakeups(timeline)
    yield from _responses(timeline)
    yield from _vm_switches(timeline)


def _name(timeline: Timeline, source: int, pid: int) -> str:
    task = timeline.tasks.get(pid)
    guest = timeline.sources[source].name
    return f"trace/{guest}/{task.comm if task else pid}"


def _switches(timeline: Timeline) -> Iterator[Figure]:
    rows = timeline.guest_rows("sched_switch")
    counts = np.bincount(timeline.source[rows], minlength=len(timeline.sources))
    for source, count in zip(timeline.sources, counts.tolist(), strict=True):
        if count:
            yield Figure(name=f"trace/{source.name}/switches", value=count, less_is_better=False)


def _shares(timeline: Timeline, runs: Runs) -> Iterator[Figure]:
    """How much of the traced time each task had a core, in percent of one core."""
    first, last = span_ns(timeline)
    busy: dict[str, int] = defaultdict(int)
    for source, pid, duration in zip(
        runs.source.tolist(), runs.pid.tolist(), runs.duration_ns.tolist(), strict=True
    ):
        if pid != IDLE:
            busy[_name(timeline, source, pid)] += duration
    for name, total_ns in sorted(busy.items()):
        yield Figure(
            name=f"{name}/share",
            value=100 * total_ns / max(last - first, 1),
            unit="%",
            less_is_better=False,
        )


def _wakeups(timeline: Timeline) -> Iterator[Figure]:
    """From a task's wake-up to its run."""
    delays = wakeup_delays(timeline)
    yield from _spread(timeline, delays.source, delays.pid, delays.delay_ns, "wakeup")


def _responses(timeline: Timeline) -> Iterator[Figure]:
    """How long an RTOS's task took from its wake-up until it slept again.

    Preemptions count: that is what its user waits for. Where wake-ups are not traced, from its
    first run.
    """
    began: dict[tuple[int, int], int] = {}
    found: list[tuple[int, int, int]] = []
    for time_ns, source, pid, wakes in _sleeps_and_wakes(timeline):
        if wakes:
            began.setdefault((source, pid), time_ns)
        elif (source, pid) in began:
            found.append((source, pid, time_ns - began.pop((source, pid))))
    columns = np.array(found, np.int64).reshape(-1, 3)
    yield from _spread(timeline, columns[:, 0], columns[:, 1], columns[:, 2], "response")


def _sleeps_and_wakes(timeline: Timeline) -> list[tuple[int, int, int, bool]]:
    """Time, source, pid, and whether it wakes or runs, else sleeps; of RTOS tasks, in order."""
    is_rtos = np.array([source.kind == "rtos" for source in timeline.sources])
    out: list[tuple[int, int, int, bool]] = []
    for event, field, wakes in (
        ("sched_wakeup", "pid", True),
        ("sched_switch", "prev_pid", False),
        ("sched_switch", "next_pid", True),
    ):
        rows = timeline.rows(event)
        rows = rows[is_rtos[timeline.source[rows]]]
        if not len(rows):
            continue
        if not wakes:
            rows = rows[~np.isin(timeline.values(rows, "prev_state"), _RUNNABLE)]
        if not len(rows):
            continue
        pids = timeline.values(rows, field).tolist()
        times, sources = timeline.time_ns[rows].tolist(), timeline.source[rows].tolist()
        out += [
            (time_ns, source, pid, wakes)
            for time_ns, source, pid in zip(times, sources, pids, strict=True)
            if pid != IDLE
        ]
    return sorted(out)


def _vm_switches(timeline: Timeline) -> Iterator[Figure]:
    """How long a guest was away, from VM exit to the next VM entry on its core."""
    stays = hypervisor_stays(timeline)
    away_ns = (stays.end_ns - stays.start_ns)[~stays.in_guest]
    if len(away_ns):
        yield from _statistics("trace/hypervisor/away", away_ns)


def _spread(
    timeline: Timeline,
    source: NDArray[np.integer],
    pid: NDArray[np.integer],
    values_ns: NDArray[np.integer],
    what: str,
) -> Iterator[Figure]:
    by_name: dict[str, list[int]] = defaultdict(list)
    for one_source, one_pid, value in zip(
        source.tolist(), pid.tolist(), values_ns.tolist(), strict=True
    ):
        by_name[_name(timeline, one_source, one_pid)].append(value)
    for name, values in sorted(by_name.items()):
        yield from _statistics(f"{name}/{what}", np.array(values))


def _statistics(name: str, values_ns: NDArray[np.integer]) -> Iterator[Figure]:
    yield Figure(name=f"{name}_mean", value=float(np.mean(values_ns)), unit="ns")
    yield Figure(
        name=f"{name}_p{_PERCENTILE}", value=float(np.percentile(values_ns, _PERCENTILE)), unit="ns"
    )
    yield Figure(name=f"{name}_max", value=float(np.max(values_ns)), unit="ns")
