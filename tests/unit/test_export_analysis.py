# SPDX-License-Identifier: MIT
"""Runs, stays and delays of a system whose every time is known beforehand."""

import numpy as np
import pytest
from timelines import (
    HYPERVISOR,
    LINUX,
    RTOS,
    RTOS_TASKS,
    RTOS_UNIT_NS,
    Builder,
    dual_timeline,
    without_events,
)

from orchestrator.export import analysis
from orchestrator.trace.timeline import ClockFit, Source


def a_builder() -> Builder:
    fit = ClockFit(clock="counter")
    return Builder(
        sources=(
            Source(name="linux", kind="linux", clock=fit, cores=(0, 1)),
            Source(name="rtos", kind="rtos", clock=fit, cores=(1,)),
            Source(name="hypervisor", kind="hypervisor", clock=fit, cores=(0, 1)),
        ),
        tasks={},
    )


def switch(
    builder: Builder, at: int, before: int, after: int, *, state: int = 1, source: int = LINUX
) -> None:
    builder.add(
        at, 0, source, "sched_switch", prev_pid=before, next_pid=after, prev_state=state
    )  # fmt: skip


def test_rtos_tasks_run_one_two_four_eight() -> None:
    runs = analysis.task_runs(dual_timeline(20))
    of_rtos = runs.source == RTOS
    totals = [int(runs.duration_ns[of_rtos & (runs.pid == pid)].sum()) for pid in RTOS_TASKS]
    assert totals == [20 * RTOS_UNIT_NS * share for share in (1, 2, 4, 8)]


def test_runs_of_a_core_join_without_gap_from_its_guests_first_event_to_the_last() -> None:
    timeline = dual_timeline(5)
    runs = analysis.task_runs(timeline)
    for cpu, source in ((0, LINUX), (1, RTOS)):
        lane = runs.cpu == cpu
        own = timeline.time_ns[timeline.source == source]
        assert runs.start_ns[lane][0] == own[0]
        assert runs.end_ns[lane][-1] == own[-1]
        np.testing.assert_array_equal(runs.start_ns[lane][1:], runs.end_ns[lane][:-1])


def test_what_ran_before_the_first_switch_counts() -> None:
    builder = a_builder()
    builder.add(100, 0, LINUX, "sched_wakeup", pid=8)
    switch(builder, 150, 7, 8)
    builder.add(180, 0, LINUX, "sched_wakeup", pid=7)
    runs = analysis.task_runs(builder.timeline())
    assert list(zip(runs.start_ns, runs.end_ns, runs.pid, strict=True)) == [
        (100, 150, 7),
        (150, 180, 8),
    ]


def test_what_ran_last_is_not_known_to_have_run_on() -> None:
    """Another guest's events go on when a guest is no longer traced."""
    builder = a_builder()
    switch(builder, 100, 0, 7)
    builder.add(120, 0, LINUX, "sched_wakeup", pid=8)
    builder.add(900, 1, RTOS, "sched_switch", prev_pid=0, next_pid=9)
    runs = analysis.task_runs(builder.timeline())
    assert list(zip(runs.start_ns, runs.end_ns, runs.pid, strict=True)) == [(100, 120, 7)]


def test_on_a_shared_core_a_task_runs_only_while_its_guest_has_it() -> None:
    builder = a_builder()
    switch(builder, 100, 0, 7)
    switch(builder, 150, 0, 9, source=RTOS)
    for at, before, after in ((140, "linux", "rtos"), (180, "rtos", "linux"), (250, "linux", "x")):
        builder.add(at, 0, HYPERVISOR, "vcpu_switch", prev_vm=before, next_vm=after)
    builder.add(170, 0, RTOS, "sched_wakeup", pid=1)
    switch(builder, 230, 7, 0)
    builder.add(300, 0, LINUX, "sched_wakeup", pid=7)
    runs = analysis.task_runs(builder.timeline())
    assert list(zip(runs.start_ns, runs.end_ns, runs.pid, strict=True)) == [
        (100, 140, 7),
        (150, 170, 9),
        (180, 230, 7),
        (230, 250, 0),
    ]


def test_wakeup_delay_is_from_the_first_wakeup_to_the_run() -> None:
    builder = a_builder()
    builder.add(100, 0, LINUX, "sched_wakeup", pid=7)
    builder.add(110, 0, LINUX, "sched_wakeup", pid=7)
    switch(builder, 130, 0, 7)
    builder.add(140, 0, LINUX, "sched_wakeup", pid=7)  # it runs: nothing to wait for
    switch(builder, 150, 7, 0)
    switch(builder, 170, 0, 7)
    builder.add(180, 0, LINUX, "sched_wakeup", pid=9)  # never runs
    delays = analysis.wakeup_delays(builder.timeline())
    assert list(zip(delays.delay_ns, delays.pid, strict=True)) == [(30, 7)]


def test_a_wakeup_of_what_ran_from_the_start_is_no_delay() -> None:
    builder = a_builder()
    builder.add(100, 0, LINUX, "sched_wakeup", pid=7)
    switch(builder, 130, 7, 0)
    switch(builder, 150, 0, 7)
    assert list(analysis.wakeup_delays(builder.timeline()).delay_ns) == []


def test_guests_may_use_the_same_pids() -> None:
    builder = a_builder()
    builder.add(100, 0, LINUX, "sched_wakeup", pid=7)
    switch(builder, 120, 0, 7, source=RTOS)
    switch(builder, 150, 0, 7)
    assert list(analysis.wakeup_delays(builder.timeline()).delay_ns) == [50]


def test_preemption_delay_is_from_the_preemption_to_the_next_run() -> None:
    builder = a_builder()
    switch(builder, 100, 7, 8, state=0)
    switch(builder, 140, 8, 7, state=1)  # 8 sleeps
    switch(builder, 200, 7, 8, state=0x100)
    switch(builder, 230, 8, 7, state=0)
    delays = analysis.preemption_delays(builder.timeline())
    assert list(zip(delays.delay_ns, delays.pid, strict=True)) == [(40, 7), (30, 7)]


def test_stays_alternate_between_guest_and_hypervisor() -> None:
    builder = a_builder()
    for at, name, more in (
        (10, "vm_entry", {}),
        (30, "vm_exit", {"reason": 0x100}),
        (35, "vm_entry", {}),
        (60, "vm_exit", {"reason": 0x01}),
        (90, "vm_entry", {}),
    ):
        builder.add(at, 1, HYPERVISOR, name, vm="rtos", vcpu=0, **more)
    builder.add(100, 0, LINUX, "sched_wakeup", pid=7)
    stays = analysis.hypervisor_stays(builder.timeline())
    assert list(zip(stays.start_ns, stays.end_ns, stays.name, stays.in_guest, strict=True)) == [
        (10, 30, "rtos/0", True),
        (30, 35, "IRQ", False),
        (35, 60, "rtos/0", True),
        (60, 90, "WFx", False),
        (90, 100, "rtos/0", True),
    ]


def test_what_a_core_leaves_first_it_was_in_from_the_start() -> None:
    builder = a_builder()
    builder.add(10, 0, LINUX, "sched_wakeup", pid=7)
    builder.add(40, 0, HYPERVISOR, "vm_exit", vm="linux", vcpu=1, reason=0x12)
    builder.add(45, 0, LINUX, "sched_wakeup", pid=7)
    stays = analysis.hypervisor_stays(builder.timeline())
    assert list(zip(stays.start_ns, stays.end_ns, stays.name, stays.in_guest, strict=True)) == [
        (10, 40, "linux/1", True),
        (40, 45, "HVC", False),
    ]


@pytest.mark.parametrize(
    ("edges", "shares"),
    [
        ([0, 100], [0.3]),
        ([0, 20, 40, 100], [0.5, 0.5, 10 / 60]),
        ([15, 25], [0.5]),
        ([90, 99], [0]),
    ],
)
def test_share_of_time(edges: list[int], shares: list[float]) -> None:
    start, end = np.array([10, 30], np.uint64), np.array([20, 50], np.uint64)
    found = analysis.share_of_time(start, end, np.array(edges, np.uint64))
    np.testing.assert_allclose(found, shares)


def test_without_events_there_is_nothing() -> None:
    timeline = without_events(dual_timeline(1))
    assert len(analysis.task_runs(timeline)) == 0
    assert len(analysis.hypervisor_stays(timeline)) == 0
    assert len(analysis.wakeup_delays(timeline).delay_ns) == 0
    assert len(analysis.preemption_delays(timeline).delay_ns) == 0
