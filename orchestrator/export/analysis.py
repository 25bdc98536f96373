# SPDX-License-Identifier: MIT
"""What a timeline's events say together: who ran when, and how long something took to happen.

Shared by the formats that show more than events. A result is columns, as the timeline is. A task
runs from the switch to it until the next switch of its guest on that core; a guest runs from VM
entry to VM exit, and the hypervisor between exit and entry.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.export.columns import column
from orchestrator.trace.hypervisor import EXIT_REASONS
from orchestrator.trace.timeline import Timeline

IDLE: Final = 0
"""pid of the idle task of every core."""
_TIME_BITS: Final = np.uint64(48)
"""Room for a time in a sort key behind a task's number: 78 hours in ns."""
_RUNNABLE: Final = frozenset({0, 0x100})
"""`prev_state` of a task that was preempted: TASK_RUNNING, or Linux's mark for it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """When tasks ran, in order of start.

    Attributes:
        start_ns: uint64[n].
        end_ns: uint64[n].
        cpu: uint16[n].
        source: Position in `Timeline.sources`; uint8[n].
        pid: int32[n].
    """

    start_ns: NDArray[np.uint64]
    end_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    source: NDArray[np.uint8]
    pid: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def duration_ns(self) -> NDArray[np.uint64]:
        """uint64[n]."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, kw_only=True, eq=False)
class Stays:
    """What the cores did as the hypervisor tells it, in order of start.

    Attributes:
        start_ns: uint64[n].
        end_ns: uint64[n].
        cpu: uint16[n].
        name: "linux/0" (VM and vCPU) in the guest, or the reason of the exit; object[n] of str.
        in_guest: Whether a guest ran, else the hypervisor; bool[n].
    """

    start_ns: NDArray[np.uint64]
    end_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    name: NDArray[np.object_]
    in_guest: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start_ns)


@dataclass(frozen=True, kw_only=True, eq=False)
class Delays:
    """How long tasks waited for a core, in order of the wait's end.

    Attributes:
        delay_ns: uint64[n].
        end_ns: When the task ran; uint64[n].
        cpu: Where it was woken or preempted; uint16[n].
        source: Position in `Timeline.sources`; uint8[n].
        pid: int32[n].
    """

    delay_ns: NDArray[np.uint64]
    end_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    source: NDArray[np.uint8]
    pid: NDArray[np.int32]


def span_ns(timeline: Timeline) -> tuple[int, int]:
    """Time of the first and of the last event; twice 0 without events."""
    if not len(timeline):
        return 0, 0
    return int(timeline.time_ns[0]), int(timeline.time_ns[-1])


def traced_ns(timeline: Timeline, source: int, cpu: int) -> tuple[int, int]:
    """Time of a source's first and of its last event on a core; twice 0 without events."""
    own = np.flatnonzero((timeline.source == source) & (timeline.cpu == cpu))
    if not len(own):
        return 0, 0
    return int(timeline.time_ns[own[0]]), int(timeline.time_ns[own[-1]])


def task_runs(timeline: Timeline) -> Runs:
    """When each task ran, idle tasks included, from the `sched_switch` events of all guests.

    What ran before a guest's first switch on a core counts from the guest's first event there, what
    ran last to its last: before and after that it was not traced. On a core that guests share, a
    task runs only while its guest has the core, as the hypervisor's `vcpu_switch` tells.
    """
    rows = timeline.guest_rows("sched_switch")
    start_ns, end_ns = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    cpu, source = [np.empty(0, np.uint16)], [np.empty(0, np.uint8)]
    pid = [np.empty(0, np.int32)]
    for lane in _lanes(timeline, rows):
        times = timeline.time_ns[lane]
        begin, end = traced_ns(timeline, int(timeline.source[lane[0]]), int(timeline.cpu[lane[0]]))
        start_ns.append(np.concatenate([np.array([begin], np.uint64), times]))
        end_ns.append(np.concatenate([times, np.array([end], np.uint64)]))
        cpu.append(np.full(len(lane) + 1, timeline.cpu[lane[0]], np.uint16))
        source.append(np.full(len(lane) + 1, timeline.source[lane[0]], np.uint8))
        pid.append(timeline.values(lane[:1], "prev_pid").astype(np.int32))
        pid.append(timeline.values(lane, "next_pid").astype(np.int32))
    starts, ends, cpus = np.concatenate(start_ns), np.concatenate(end_ns), np.concatenate(cpu)
    order = np.lexsort((cpus, starts))
    order = order[ends[order] > starts[order]]
    runs = Runs(
        start_ns=starts[order],
        end_ns=ends[order],
        cpu=cpus[order],
        source=np.concatenate(source)[order],
        pid=np.concatenate(pid)[order],
    )
    for core in range(timeline.cores):
        if len(np.unique(runs.source[runs.cpu == core])) > 1:
            runs = _while_guest_has_core(timeline, runs, core)
    return runs


def _while_guest_has_core(timeline: Timeline, runs: Runs, cpu: int) -> Runs:
    """Cuts the runs on a core that guests share to when their guest had it."""
    switches = timeline.rows("vcpu_switch")
    switches = switches[timeline.cpu[switches] == cpu]
    if not len(switches):
        return runs
    ends = np.append(timeline.time_ns[switches], timeline.time_ns[-1:])
    begins = np.concatenate([timeline.time_ns[:1], ends[:-1]])
    before = timeline.values(switches[:1], "prev_vm")
    holders = np.concatenate([before, timeline.values(switches, "next_vm")])
    rows = [np.flatnonzero(runs.cpu != cpu)]
    start_ns, end_ns = [runs.start_ns[rows[0]]], [runs.end_ns[rows[0]]]
    for number, source in enumerate(timeline.sources):
        mine = np.flatnonzero((runs.cpu == cpu) & (runs.source == number))
        begin, end = (each[holders == source.name.encode()] for each in (begins, ends))
        # The guest's turns from `first` on, up to `last`, have a part of each run.
        first = np.searchsorted(end, runs.start_ns[mine], side="right")
        last = np.searchsorted(begin, runs.end_ns[mine], side="left")
        count = np.maximum(last - first, 0)
        row = np.repeat(mine, count)
        turn = np.repeat(first - np.cumsum(count) + count, count) + np.arange(len(row))
        rows.append(row)
        start_ns.append(np.maximum(runs.start_ns[row], begin[turn]))
        end_ns.append(np.minimum(runs.end_ns[row], end[turn]))
    row, starts = np.concatenate(rows), np.concatenate(start_ns)
    order = np.lexsort((runs.cpu[row], starts))
    row = row[order]
    return Runs(
        start_ns=starts[order],
        end_ns=np.concatenate(end_ns)[order],
        cpu=runs.cpu[row],
        source=runs.source[row],
        pid=runs.pid[row],
    )


def hypervisor_stays(timeline: Timeline) -> Stays:
    """In which guest each core was, and why it was in the hypervisor; empty without such events.

    Up to a core's first exit its guest has been in there since the timeline's start; what came last
    lasts to its end.
    """
    entries, exits = timeline.rows("vm_entry"), timeline.rows("vm_exit")
    rows = np.sort(np.concatenate([entries, exits]))
    names = np.empty(len(timeline) if len(rows) else 0, dtype=object)
    is_entry = np.zeros(len(names), bool)
    is_entry[entries] = True
    if len(entries):
        names[entries] = _guests(timeline, entries)
    if len(exits):
        names[exits] = exit_reasons(timeline, exits)
    begin, end = (np.array([each], np.uint64) for each in span_ns(timeline))
    start_ns, end_ns = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    cpu, name = [np.empty(0, np.uint16)], [np.empty(0, object)]
    in_guest = [np.empty(0, bool)]
    for core in range(timeline.cores):
        lane = rows[timeline.cpu[rows] == core]
        if not len(lane):
            continue
        if not is_entry[lane[0]]:
            start_ns.append(begin)
            end_ns.append(timeline.time_ns[lane[:1]])
            name.append(np.array(_guests(timeline, lane[:1]), dtype=object))
            in_guest.append(np.ones(1, bool))
        start_ns.append(timeline.time_ns[lane])
        end_ns.append(np.concatenate([timeline.time_ns[lane[1:]], end]))
        name.append(names[lane])
        in_guest.append(is_entry[lane])
        cpu.append(np.full(len(lane) + int(not is_entry[lane[0]]), core, np.uint16))
    starts, ends, cpus = np.concatenate(start_ns), np.concatenate(end_ns), np.concatenate(cpu)
    order = np.lexsort((cpus, starts))
    order = order[ends[order] > starts[order]]
    return Stays(
        start_ns=starts[order],
        end_ns=ends[order],
        cpu=cpus[order],
        name=np.concatenate(name)[order],
        in_guest=np.concatenate(in_guest)[order],
    )


def _guests(timeline: Timeline, rows: NDArray[np.intp]) -> list[str]:
    """VM and vCPU of some entries or of some exits, such as "linux/0"."""
    form = timeline.formats[int(timeline.event[rows[0]])]
    vms, vcpus = (column(timeline, rows, form.field(name)) for name in ("vm", "vcpu"))
    return [f"{vm}/{vcpu}" for vm, vcpu in zip(vms, vcpus, strict=True)]


IDLING: Final = EXIT_REASONS[0x01]
"""The exit of a guest that has nothing to do: WFI or WFE."""


def exit_reasons(timeline: Timeline, exits: NDArray[np.intp]) -> list[str]:
    """Why guests were left, in words; of some `vm_exit` events, not none."""
    reasons = timeline.values(exits, "reason").tolist()
    return [EXIT_REASONS.get(each, f"class 0x{each:02x}") for each in reasons]


def wakeup_delays(timeline: Timeline) -> Delays:
    """From the first `sched_wakeup` of a task that does not run to its run."""
    wakeups = timeline.rows("sched_wakeup")
    if not len(wakeups):
        return _no_delays()
    return _delays(timeline, wakeups, timeline.values(wakeups, "pid").astype(np.int32))


def preemption_delays(timeline: Timeline) -> Delays:
    """From a task's preemption to its next run."""
    rows = timeline.guest_rows("sched_switch")
    if not len(rows):
        return _no_delays()
    state = timeline.values(rows, "prev_state")
    pid = timeline.values(rows, "prev_pid").astype(np.int32)
    rows, pid = (each[np.isin(state, list(_RUNNABLE)) & (pid != IDLE)] for each in (rows, pid))
    return _delays(timeline, rows, pid)


def share_of_time(
    start_ns: NDArray[np.uint64], end_ns: NDArray[np.uint64], edges_ns: NDArray[np.uint64]
) -> NDArray[np.float64]:
    """How much of each window some intervals that do not overlap cover.

    Args:
        start_ns: In order; uint64[n].
        end_ns: uint64[n].
        edges_ns: Borders of the windows, in order; uint64[m + 1].

    Returns:
        0 to 1; float64[m].
    """
    shares: NDArray[np.float64] = np.diff(time_covered(start_ns, end_ns, edges_ns))
    return shares / np.diff(edges_ns.astype(np.float64))


def time_covered(
    start_ns: NDArray[np.uint64], end_ns: NDArray[np.uint64], until_ns: NDArray[np.uint64]
) -> NDArray[np.float64]:
    """How much time some intervals that do not overlap cover up to each instant.

    Args:
        start_ns: In order; uint64[n].
        end_ns: uint64[n].
        until_ns: uint64[m].

    Returns:
        In ns; float64[m].
    """
    if not len(start_ns):
        return np.zeros(len(until_ns))
    # It is piecewise linear, with the intervals' ends as its corners.
    total = np.concatenate([[0], np.cumsum(end_ns - start_ns)])
    corners = np.empty(2 * len(start_ns))
    corners[0::2], corners[1::2] = start_ns, end_ns
    heights = np.empty(len(corners))
    heights[0::2], heights[1::2] = total[:-1], total[1:]
    covered: NDArray[np.float64] = np.interp(until_ns.astype(np.float64), corners, heights)
    return covered


def _lanes(timeline: Timeline, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The rows of each guest on each core that has some."""
    key = timeline.source[rows].astype(np.int64) << 16 | timeline.cpu[rows]
    return [rows[key == each] for each in np.unique(key)]


def _delays(timeline: Timeline, rows: NDArray[np.intp], pid: NDArray[np.int32]) -> Delays:
    """From events at which a task was ready but did not run to its next run."""
    since, source = timeline.time_ns[rows], timeline.source[rows]
    switches = timeline.guest_rows("sched_switch")
    if not len(switches) or not len(since):
        return _no_delays()
    times, sources = timeline.time_ns[switches], timeline.source[switches]
    ins = timeline.values(switches, "next_pid").astype(np.int32)
    outs = timeline.values(switches, "prev_pid").astype(np.int32)
    numbers = np.unique(np.concatenate([_task(sources, ins), _task(sources, outs)]))

    def keys(of: NDArray[np.uint8], pids: NDArray[np.int32], at: NDArray[np.uint64]) -> Any:
        number = np.searchsorted(numbers, _task(of, pids)).astype(np.uint64)
        return number << _TIME_BITS | at

    came, left, ready = (
        keys(sources, ins, times), keys(sources, outs, times), keys(source, pid, since)
    )  # fmt: skip
    order = np.argsort(came, kind="stable")
    came, came_time = came[order], times[order]
    left = np.sort(left)
    following = np.searchsorted(came, ready, side="left")
    # What runs is switched away from before it is switched to: that is no wait.
    next_in = _at(came, following)
    next_out = _at(left, np.searchsorted(left, ready, side="right"))
    known = np.flatnonzero((next_in >> _TIME_BITS == ready >> _TIME_BITS) & (next_in < next_out))
    # Of several wake-ups before one run the first counts.
    _, first = np.unique(following[known], return_index=True)
    kept = known[first]
    end = came_time[following[kept]]
    order = np.argsort(end, kind="stable")
    kept = kept[order]
    return Delays(
        delay_ns=end[order] - since[kept],
        end_ns=end[order],
        cpu=timeline.cpu[rows[kept]],
        source=source[kept],
        pid=pid[kept],
    )


def _task(source: NDArray[np.uint8], pid: NDArray[np.int32]) -> NDArray[np.int64]:
    """One number a task: guests number theirs without regard to each other."""
    return source.astype(np.int64) << 32 | pid.astype(np.int64)


def _at(keys: NDArray[np.uint64], positions: NDArray[np.intp]) -> NDArray[np.uint64]:
    """The keys at those positions, and the largest number behind their end."""
    return np.append(keys, np.iinfo(np.uint64).max)[positions]


def _no_delays() -> Delays:
    return Delays(
        delay_ns=np.empty(0, np.uint64),
        end_ns=np.empty(0, np.uint64),
        cpu=np.empty(0, np.uint16),
        source=np.empty(0, np.uint8),
        pid=np.empty(0, np.int32),
    )
