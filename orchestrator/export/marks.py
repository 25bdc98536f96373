# SPDX-License-Identifier: MIT
"""What the report shows between the cores and the tasks: interrupts, softirqs, who waits to run.

Each is a bar: of an interrupt from its handler's entry to its exit, of a wake-up from when the task was
woken until it runs. A bar ends where the next one of its row begins, so that none hides another.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.export import analysis
from orchestrator.export.columns import column
from orchestrator.trace.timeline import Timeline

ROWS: Final = ("interrupts", "softirqs", "wake-ups")
_PAIRS: Final = (
    ("irq_handler_entry", "irq_handler_exit", ("irq", "name")),
    ("softirq_entry", "softirq_exit", ("vec",)),
)
SOFTIRQS: Final = (
    *("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"),
)
"""Names of enum in include/linux/interrupt.h."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """Bars, in order of start.

    Attributes:
        start_ns: uint64[n].
        length_ns: uint64[n].
        cpu: uint16[n].
        kind: Position in `kinds`; uint16[n].
        kinds: Row (position in `ROWS`) and name, each once, in order.
    """

    start_ns: NDArray[np.uint64]
    length_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    kind: NDArray[np.uint16]
    kinds: tuple[tuple[int, str], ...]


def make_marks(timeline: Timeline) -> Marks:
    """Works them out."""
    parts = [_handled(timeline, row) for row in range(len(_PAIRS))]
    parts.append(_woken(timeline))
    names = [[(row, name) for name in part[3]] for row, part in enumerate(parts)]
    kinds = sorted({each for some in names for each in some})
    where = {each: at for at, each in enumerate(kinds)}
    start, end, cpu = (np.concatenate([part[at] for part in parts]) for at in range(3))
    kind = np.array([where[each] for some in names for each in some], np.uint16)
    order = np.lexsort((kind, cpu, start))
    return Marks(
        start_ns=start[order].astype(np.uint64),
        length_ns=(end - start)[order].astype(np.uint64),
        cpu=cpu[order].astype(np.uint16),
        kind=kind[order],
        kinds=tuple(kinds),
    )


_Part = tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[str]]


def _handled(timeline: Timeline, row: int) -> _Part:
    """From entries to exits, of each guest on each core."""
    entered, left, fields = _PAIRS[row]
    entries, exits = timeline.rows(entered), timeline.rows(left)
    end = np.zeros(len(entries), np.uint64)
    for rows, ends in _lanes(timeline, entries, exits):
        times = timeline.time_ns[entries[rows]]
        end[rows] = _cut(times, _next(timeline.time_ns[ends], times))
    known = np.flatnonzero(end)
    names: list[str] = []
    if len(known):
        form = timeline.formats[int(timeline.event[entries[0]])]
        columns = [column(timeline, entries[known], form.field(each)) for each in fields]
        names = [_name(*each) for each in zip(*columns, strict=True)]
    return timeline.time_ns[entries[known]], end[known], timeline.cpu[entries[known]], names


def _lanes(
    timeline: Timeline, entries: NDArray[np.intp], exits: NDArray[np.intp]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """For each guest on each core: positions in `entries`, and its exits."""
    keys = [timeline.source[each].astype(np.int64) << 16 | timeline.cpu[each] for each in
            (entries, exits)]  # fmt: skip
    return [(np.flatnonzero(keys[0] == key), exits[keys[1] == key]) for key in np.unique(keys[0])]


def _next(times: NDArray[np.uint64], since: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The first of some times at or after each instant; 0: there is none."""
    return np.append(times, np.uint64(0))[np.searchsorted(times, since, side="left")]


def _cut(start: NDArray[np.uint64], end: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Ends bars, whose starts are in order, where the next one begins."""
    following = np.append(start[1:], np.iinfo(np.uint64).max)
    cut: NDArray[np.uint64] = np.minimum(end, following)
    return cut


def _name(number: int, text: str = "") -> str:
    if text:
        return f"{text} ({number})"
    return SOFTIRQS[number] if number < len(SOFTIRQS) else f"softirq {number}"


def _woken(timeline: Timeline) -> _Part:
    delays = analysis.wakeup_delays(timeline)
    start = delays.end_ns - delays.delay_ns
    order = np.lexsort((start, delays.cpu))
    start, end, cpu = start[order], delays.end_ns[order], delays.cpu[order]
    for core in np.unique(cpu).tolist():
        mine = cpu == core
        end[mine] = _cut(start[mine], end[mine])
    tasks = timeline.tasks
    names = [
        tasks[pid].comm if pid in tasks else f"pid {pid}" for pid in delays.pid[order].tolist()
    ]
    return start, end, cpu, names
