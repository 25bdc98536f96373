# SPDX-License-Identifier: MIT
"""Linux's tasks have the last names and priorities that anything tells of, and their processes."""

from typing import Any

import numpy as np
from timelines import LINUX_FORMATS, pack

from orchestrator.trace.linux import LinuxTrace
from orchestrator.trace.pages import RingEvents
from orchestrator.trace.processes import Process
from orchestrator.trace.tasks import linux_tasks
from orchestrator.trace.timeline import ClockFit, Task

SWITCH = next(each for each in LINUX_FORMATS if each.name == "sched_switch")


def switch(prev: tuple[int, str, int], following: tuple[int, str, int]) -> bytes:
    values: dict[str, Any] = {}
    for side, task in (("prev", prev), ("next", following)):
        values |= zip((f"{side}_pid", f"{side}_comm", f"{side}_prio"), task, strict=True)
    return pack(SWITCH, **values)


def trace(*cpus: list[bytes], **more: Any) -> LinuxTrace:
    """What a Linux has left that recorded these switches on its CPUs."""
    records = [record for cpu in cpus for record in cpu]
    size = len(records[0])
    events, at = {}, 0
    for cpu, own in enumerate(cpus):
        offset = np.arange(at, at + len(own), dtype=np.uint64) * np.uint64(size)
        events[cpu] = RingEvents(
            time=offset, offset=offset, bytes=np.full(len(own), size, np.uint32), missed=0
        )
        at += len(own)
    return LinuxTrace(
        pages=np.frombuffer(b"".join(records), np.uint8),
        events=events,
        formats=tuple(LINUX_FORMATS),
        fit=ClockFit(clock="local"),
        ended=0,
        **more,
    )


def test_names_are_those_at_the_last_switch_to_a_task() -> None:
    idle = (0, "swapper/0", 120)
    ring = [
        switch(idle, (7, "sh", 120)),
        switch((7, "cat", 110), idle),
        switch(idle, (7, "cat", 110)),
    ]
    assert linux_tasks(trace(ring), {}, source=3) == {
        7: Task(pid=7, comm="cat", source=3, prio=110)
    }


def test_who_has_a_cpu_at_the_beginning_is_a_task() -> None:
    """On CPU 1 task 8 leaves and never comes back; on CPU 0 task 7 was known to come."""
    rings = (
        [switch((0, "swapper/0", 120), (7, "here", 100))],
        [switch((8, "gone", 98), (0, "swapper/1", 120))],
        [switch((7, "there", 120), (0, "swapper/2", 120))],
    )
    found = linux_tasks(trace(*rings), {}, source=0)
    assert {pid: (task.comm, task.prio) for pid, task in found.items()} == {
        7: ("here", 100),
        8: ("gone", 98),
    }


def test_saved_names_come_first_and_new_threads_are_tasks_without_any() -> None:
    linux = trace(
        [switch((0, "swapper/0", 120), (7, "old", 120))],
        comms={7: "new"},
        processes={7: Process(7, 1), 2: Process(2, 0)},
    )
    born = {9: Process(7, 1)}
    found = linux_tasks(linux, {**linux.processes, **born}, source=0)
    assert found == {
        7: Task(pid=7, comm="new", source=0, prio=120, tgid=7, ppid=1),
        9: Task(pid=9, comm="<...>", source=0, tgid=7, ppid=1),
    }
