# SPDX-License-Identifier: MIT
"""Who was woken in an RTOS, from the set of its ready tasks as it was seen time after time.

The kernel's profile names places that it passes after each change of the set. What is in the set there
and was not the time before was woken since, whatever has woken it: a post, a time-out, another task,
the end of a delay. The set has a bit for each priority; who has that priority is what the task
switches tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.trace.pack import Packed, pack
from orchestrator.trace.rtos import DEAD, RUNNING, Switches
from orchestrator.trace.streams import READY, Probe
from orchestrator.trace.timeline import EventFormat

_PRIORITIES = 64
_UNKNOWN = b"<...>"  # as Linux calls a task whose name it has not kept


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadySets:
    """The ready tasks of an RTOS, in order of time.

    Attributes:
        time_ns: uint64[n].
        cpu: uint16[n].
        ready: Bit p: a task of priority p could run; uint64[n].
    """

    time_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    ready: NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """Both tasks of each switch, in order of time."""

    time_ns: NDArray[np.uint64]
    pid: NDArray[np.int64]
    prio: NDArray[np.int64]
    comm: NDArray[np.bytes_]


def ready_sets(seen: Iterable[tuple[Probe, NDArray[np.void]]]) -> ReadySets:
    """What could run in an RTOS, wherever it was looked at.

    Args:
        seen: The probes that look (role `streams.READY`), and their hits.
    """
    looks = [(probe, hits) for probe, hits in seen if len(hits)]
    if not looks:
        nothing = np.empty(0, np.uint64)
        return ReadySets(time_ns=nothing, cpu=nothing.astype(np.uint16), ready=nothing)
    time_ns, cpu = (
        np.concatenate([hits[name] for _, hits in looks]) for name in ("time_ns", "cpu")
    )
    order = np.argsort(time_ns, kind="stable")
    ready = np.concatenate([probe.value(READY, hits) for probe, hits in looks])
    return ReadySets(
        time_ns=time_ns[order].astype(np.uint64),
        cpu=cpu[order].astype(np.uint16),
        ready=ready[order].astype(np.uint64),
    )


def wakeup_events(
    sets: ReadySets, switches: Switches, form: EventFormat, *, first_pid: int, source: int
) -> Packed:
    """Packs `sched_wakeup` of each task that became ready.

    Args:
        sets: What was ready.
        switches: Of the same RTOS.
        form: Of `sched_wakeup`.
        first_pid: Pid of the RTOS's priority 0, for tasks that never ran.
        source: See `Packed`.
    """
    new = sets.ready[1:] & ~sets.ready[:-1]
    changed = np.flatnonzero(new)
    bits = new[changed, None] >> np.arange(_PRIORITIES, dtype=np.uint64) & np.uint64(1)
    row, prio = np.nonzero(bits)
    at = changed[row] + 1
    seen = _seen(switches)
    who = _who(seen, sets.time_ns[at], prio)
    woken = ~_only_moved(sets, seen, at, prio, who)
    at, prio, who = at[woken], prio[woken], who[woken]
    known = who >= 0
    pid, comm = first_pid + prio, np.full(len(at), _UNKNOWN, seen.comm.dtype)
    pid[known], comm[known] = seen.pid[who[known]], seen.comm[who[known]]
    time_ns, cpu = sets.time_ns[at], sets.cpu[at]
    values: dict[str, NDArray[Any]] = {
        "common_pid": switches.pid_at(time_ns),
        "comm": comm,
        "pid": pid,
        "prio": prio,
        "success": np.ones(len(at), np.int64),
        "target_cpu": cpu,
    }
    return pack(form, values, time_ns=time_ns, cpu=cpu, source=source)


def with_dead(switches: Switches, sets: ReadySets) -> Switches:
    """Marks those that wait for nothing and could not run nevertheless: they were deleted."""
    last = np.searchsorted(sets.time_ns, switches.time_ns, side="right") - 1
    prio = switches.prev["priority"].astype(np.int64)
    # Of lower priorities than the set has bits for nothing is known.
    known = (last >= 0) & (prio >= 0) & (prio < _PRIORITIES)
    bit = np.uint64(1) << np.where(known, prio, 0).astype(np.uint64)
    gone = known & (switches.state == RUNNING) & (sets.ready[last] & bit == 0)
    return replace(switches, state=np.where(gone, DEAD, switches.state))


def _seen(switches: Switches) -> _Seen:
    def both(what: str) -> NDArray[Any]:
        return np.stack([switches.prev[what], switches.next[what]], 1).reshape(-1)

    return _Seen(
        time_ns=np.repeat(switches.time_ns, 2),
        pid=both("pid").astype(np.int64),
        prio=both("priority").astype(np.int64),
        comm=both("comm"),
    )


def _who(seen: _Seen, time_ns: NDArray[np.uint64], prio: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in `seen` the task is that has a priority at a time; -1: it never ran.

    That is the next one to be seen with it, or else the last one.
    """
    who = np.full(len(prio), -1, np.int64)
    for each in np.unique(prio).tolist():
        rows = np.flatnonzero(seen.prio == each)
        if len(rows):
            mine = prio == each
            following = np.searchsorted(seen.time_ns[rows], time_ns[mine], side="left")
            who[mine] = rows[np.minimum(following, len(rows) - 1)]
    return who


def _only_moved(
    sets: ReadySets,
    seen: _Seen,
    at: NDArray[np.intp],
    prio: NDArray[np.int64],
    who: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether a task was ready before, at another priority: a mutex lends its owner a higher one."""
    moved = np.zeros(len(at), np.bool_)
    pids = np.where(who >= 0, seen.pid[who], -1) if len(seen.pid) else np.full(len(at), -1)
    for pid in np.unique(pids[pids >= 0]).tolist():
        rows = np.flatnonzero(seen.pid == pid)
        mine = np.flatnonzero(pids == pid)
        last = np.searchsorted(seen.time_ns[rows], sets.time_ns[at[mine]], side="right") - 1
        mine, last = mine[last >= 0], last[last >= 0]
        had = seen.prio[rows[last]]
        bit = np.uint64(1) << had.astype(np.uint64)
        left = (sets.ready[at[mine] - 1] & bit != 0) & (sets.ready[at[mine]] & bit == 0)
        moved[mine] = left & (had != prio[mine])
    return moved
