# SPDX-License-Identifier: MIT
"""Linux's tasks: names, priorities and processes, from all that tells of them.

Names are those that Linux has saved, else those in its `sched_switch` events; what tells of processes
is `processes`. An RTOS's tasks are `rtos`'s.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.trace.linux import LinuxTrace
from orchestrator.trace.processes import NOT_KNOWN, Process
from orchestrator.trace.timeline import EventFormat, Task

NO_NAME: Final = "<...>"
"""As ftrace calls a task that it knows only the number of."""


def linux_tasks(
    linux: LinuxTrace, processes: Mapping[int, Process], *, source: int
) -> dict[int, Task]:
    """The tasks by pid, without the idle ones.

    Args:
        linux: What it has left.
        processes: Of its threads, those included that were made while it was traced.
        source: Of the VM.
    """
    seen = _switched(linux)
    born = processes.keys() - linux.processes.keys()
    tasks = {}
    for pid in {*linux.comms, *seen, *born} - {0}:
        comm, prio = seen.get(pid, (NO_NAME, None))
        comm = linux.comms.get(pid, comm)
        tgid, ppid = processes.get(pid, NOT_KNOWN)
        tasks[pid] = Task(pid=pid, comm=comm, source=source, prio=prio, tgid=tgid, ppid=ppid)
    return tasks


def _switched(linux: LinuxTrace) -> dict[int, tuple[str, int]]:
    """Name and priority that each task had when it last got a CPU, or had one at the beginning."""
    form = next((each for each in linux.formats if each.name == "sched_switch"), None)
    first: dict[int, tuple[str, int]] = {}
    found: dict[int, tuple[str, int]] = {}
    if form is None:
        return found
    for ring in linux.events.values():
        event = linux.pages.view("<u2")[ring.offset >> np.uint64(1)]
        at = ring.offset[event == form.id].astype(np.int64)
        pids = linux.pages.view("<i4")[(at + form.field("next_pid").offset) // 4]
        _, last = np.unique(pids[::-1], return_index=True)
        first |= _told(linux, form, at[:1], "prev")
        found |= _told(linux, form, at[len(at) - 1 - last], "next")
    return first | found


def _told(
    linux: LinuxTrace, form: EventFormat, at: NDArray[np.int64], side: str
) -> dict[int, tuple[str, int]]:
    """What switches tell of the task that leaves ("prev") or comes ("next"): name and priority."""
    pid, prio = (
        linux.pages.view("<i4")[(at + form.field(f"{side}_{name}").offset) // 4].tolist()
        for name in ("pid", "prio")
    )
    comm = form.field(f"{side}_comm")
    names = linux.pages[at[:, None] + comm.offset + np.arange(comm.bytes)]
    return {
        one: (bytes(name).partition(b"\0")[0].decode(errors="replace"), number)
        for one, name, number in zip(pid, names, prio, strict=True)
    }
