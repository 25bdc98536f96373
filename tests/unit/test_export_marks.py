# SPDX-License-Identifier: MIT
"""Interrupts, softirqs and wake-ups as the report shows them."""

import pytest
from timelines import LINUX, RTOS, Builder, dual_timeline, without_events

from orchestrator.export.marks import ROWS, make_marks
from orchestrator.trace.timeline import ClockFit, Source, Task, Timeline


@pytest.fixture
def builder() -> Builder:
    clock = ClockFit(clock="counter")
    return Builder(
        sources=(
            Source(name="linux", kind="linux", clock=clock, cores=(0,)),
            Source(name="rtos", kind="rtos", clock=clock, cores=(1,)),
        ),
        tasks={7: Task(pid=7, comm="seven", source=LINUX)},
    )


def marks_of(timeline: Timeline) -> list[tuple[int, int, int, str, str]]:
    """Start, length, core, row, name of each."""
    marks = make_marks(timeline)
    kinds = [marks.kinds[each] for each in marks.kind.tolist()]
    columns = (marks.start_ns.tolist(), marks.length_ns.tolist(), marks.cpu.tolist())
    return [
        (*numbers, ROWS[row], name)
        for numbers, (row, name) in zip(zip(*columns, strict=True), kinds, strict=True)
    ]


def test_an_interrupt_lasts_from_entry_to_exit(builder: Builder) -> None:
    builder.add(50, 0, LINUX, "irq_handler_exit", irq=3)  # began before the trace did
    builder.add(100, 0, LINUX, "irq_handler_entry", irq=27, name="arch_timer")
    builder.add(140, 1, LINUX, "irq_handler_exit", irq=9)  # another core's
    builder.add(150, 0, LINUX, "irq_handler_exit", irq=27)
    builder.add(160, 0, LINUX, "softirq_entry", vec=1)
    builder.add(190, 0, LINUX, "softirq_exit", vec=1)
    builder.add(200, 0, LINUX, "irq_handler_entry", irq=27, name="arch_timer")  # does not end
    assert marks_of(builder.timeline()) == [
        (100, 50, 0, "interrupts", "arch_timer (27)"),
        (160, 30, 0, "softirqs", "TIMER"),
    ]


def test_a_wakeup_lasts_until_the_task_runs_or_the_next_one_comes(builder: Builder) -> None:
    builder.add(100, 0, LINUX, "sched_wakeup", pid=7)
    builder.add(110, 0, LINUX, "sched_wakeup", pid=8)
    builder.add(120, 1, RTOS, "sched_wakeup", pid=9)
    for at, cpu, source, pid in ((130, 0, LINUX, 7), (150, 0, LINUX, 8), (180, 1, RTOS, 9)):
        builder.add(at, cpu, source, "sched_switch", prev_pid=0, next_pid=pid)
    assert marks_of(builder.timeline()) == [
        (100, 10, 0, "wake-ups", "seven"),
        (110, 40, 0, "wake-ups", "pid 8"),
        (120, 60, 1, "wake-ups", "pid 9"),
    ]


def test_without_such_events_there_are_none() -> None:
    assert marks_of(without_events(dual_timeline(1))) == []
