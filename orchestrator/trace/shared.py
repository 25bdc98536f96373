# SPDX-License-Identifier: MIT
"""Cores that several guests share: a `sched_switch` wherever the hypervisor changes the vCPU.

A guest's scheduler does not see that its core was given to another guest. A viewer that draws a CPU
by its `sched_switch` events would show the old task running on while the other guest runs. So each
change of the vCPU becomes one more switch, from the task that the old guest ran to the one that the
new guest goes on with. It is the hypervisor's: its source is the hypervisor, and its flags have
`MADE`, which no guest's own has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.records import NO_VM, Kind
from orchestrator.trace.pack import Packed, pack
from orchestrator.trace.rtos import COMM_BYTES, IDLE, RUNNING, Switches
from orchestrator.trace.timeline import EventFormat

MADE: Final = 0x40
"""TRACE_FLAG_NMI in `common_flags`, "z" in ftrace's text: no scheduler switches tasks in an NMI."""
_PRIO: Final = 120  # of an idle task of Linux, and of whatever has no priority that is known


@dataclass(frozen=True, kw_only=True, eq=False)
class Running:
    """The task that each switch of a vCPU's own scheduler has left running, the first is before it.

    Attributes:
        time_ns: Of the switches, ascending; uint64[n].
        pid: int64[n + 1].
        prio: int64[n + 1].
        comm: S16[n + 1].
    """

    time_ns: NDArray[np.uint64]
    pid: NDArray[np.int64]
    prio: NDArray[np.int64]
    comm: NDArray[np.bytes_]

    def at(self, time_ns: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Position of the task that ran at each time."""
        return np.searchsorted(self.time_ns, time_ns, side="right")

    def pid_at(self, time_ns: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Its pid."""
        return self.pid[self.at(time_ns)]


def only(pid: int, comm: str) -> Running:
    """A guest of whose tasks nothing is known, as one task."""
    return Running(
        time_ns=np.empty(0, np.uint64),
        pid=np.array([pid], np.int64),
        prio=np.array([_PRIO], np.int64),
        comm=np.array([comm.encode()], f"S{COMM_BYTES}"),
    )


def of_switches(switches: Switches) -> Running:
    """Those of an RTOS that has switched at least once."""

    def column(what: str) -> NDArray[Any]:
        return np.concatenate([switches.prev[what][:1], switches.next[what]])

    return Running(
        time_ns=switches.time_ns,
        pid=column("pid").astype(np.int64),
        prio=column("priority").astype(np.int64),
        comm=column("comm").astype(f"S{COMM_BYTES}"),
    )


def of_linux(
    payload: NDArray[np.uint8],
    offset: NDArray[np.uint64],
    time_ns: NDArray[np.uint64],
    form: EventFormat,
) -> Running:
    """Those of one CPU of Linux.

    Args:
        payload: Holds the records.
        offset: Of each `sched_switch` of that CPU, not none.
        time_ns: Of each.
        form: Of `sched_switch`.
    """
    at = offset.astype(np.intp)

    def column(what: str) -> NDArray[Any]:
        fields = form.field(f"prev_{what}"), form.field(f"next_{what}")
        pieces = []
        for each, rows in zip(fields, (at[:1], at), strict=True):
            raw = payload[rows[:, None] + (each.offset + np.arange(each.bytes))]
            pieces.append(raw.view(f"S{each.bytes}" if what == "comm" else "<i4")[:, 0])
        return np.concatenate(pieces)

    return Running(
        time_ns=time_ns,
        pid=column("pid").astype(np.int64),
        prio=column("prio").astype(np.int64),
        comm=column("comm"),
    )


def handovers(
    records: NDArray[np.void],
    running: Mapping[tuple[int, int], Running],
    form: EventFormat,
    *,
    source: int,
) -> Packed:
    """Packs the switches that the hypervisor has made on cores that guests share.

    Args:
        records: The hypervisor's of those cores, in order of time; only VCPU_SWITCH matters.
        running: By VM's number and vCPU.
        form: Of `sched_switch`.
        source: The hypervisor's; see `Packed`.
    """
    mine = records[records["kind"] == Kind.VCPU_SWITCH]
    word = mine["word"].astype(np.int64)
    vcpus = (word[:, 0] & NO_VM) << 8 | word[:, 1], (word[:, 2] & NO_VM) << 8 | word[:, 3]
    time_ns = mine["time_ns"].astype(np.uint64)
    values: dict[str, NDArray[Any]] = {}
    for who, ids in zip(("prev", "next"), vcpus, strict=True):
        pid, prio = np.full(len(mine), IDLE, np.int64), np.full(len(mine), _PRIO, np.int64)
        comm = np.full(len(mine), b"<idle>", f"S{COMM_BYTES}")
        for (vm, vcpu), tasks in running.items():
            rows = np.flatnonzero(ids == (vm << 8 | vcpu))
            at = tasks.at(time_ns[rows])
            pid[rows], prio[rows] = tasks.pid[at], tasks.prio[at]
            # What is behind a name's NUL is left from another one.
            comm[rows] = [each.partition(b"\0")[0] for each in tasks.comm[at].tolist()]
        values |= {f"{who}_pid": pid, f"{who}_prio": prio, f"{who}_comm": comm}
    values["common_pid"] = values["prev_pid"]
    values["common_flags"] = np.full(len(mine), MADE, np.int64)
    values["prev_state"] = np.full(len(mine), RUNNING, np.int64)
    # From one idle task to another nothing changes.
    kept = (values["prev_pid"] != IDLE) | (values["next_pid"] != IDLE)
    return pack(
        form,
        {name: value[kept] for name, value in values.items()},
        time_ns=time_ns[kept],
        cpu=mine["cpu"][kept],
        source=source,
    )
