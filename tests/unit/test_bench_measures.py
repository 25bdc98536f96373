# SPDX-License-Identifier: MIT
"""The figures of a timeline whose every number is known beforehand (tests/timelines.py)."""

import pytest
from timelines import RTOS_UNIT_NS, dual_timeline, without_events

from orchestrator.bench import measures
from orchestrator.bench.model import BenchResult, Instructions

FIGURES = {each.name: each for each in measures.of_timeline(dual_timeline(ticks=50))}


def test_an_rtos_task_s_response_is_from_its_wake_up_to_its_sleep() -> None:
    """All four wake 800 ns before the first runs; each runs twice as long as the one before."""
    units = {1: 1, 2: 1 + 2, 3: 1 + 2 + 4, 4: 1 + 2 + 4 + 8}
    for number, count in units.items():
        for statistic in ("mean", "p99", "max"):
            figure = FIGURES[f"trace/rtos/RTOS-Task{number}/response_{statistic}"]
            assert figure.value == 800 + count * RTOS_UNIT_NS
            assert figure.less_is_better


def test_cpu_shares_of_the_rtos_tasks_are_as_one_to_two_to_four_to_eight() -> None:
    shares = [FIGURES[f"trace/rtos/RTOS-Task{number}/share"].value for number in (1, 2, 3, 4)]
    assert [share / shares[0] for share in shares] == pytest.approx([1, 2, 4, 8])
    # 0.5 ms of every 10 ms, but the trace ends 2.1 ms before the last tick does.
    assert shares[0] == pytest.approx(5, rel=0.01)


def test_wake_up_latencies_and_switches_of_each_guest() -> None:
    assert FIGURES["trace/linux/rcu_sched/wakeup_max"].value == 4100
    assert FIGURES["trace/rtos/switches"].value == 50 * 5
    assert not FIGURES["trace/rtos/switches"].less_is_better


def test_time_away_from_the_guests_is_from_exit_to_entry() -> None:
    assert FIGURES["trace/hypervisor/away_mean"].value == 1200
    assert FIGURES["trace/hypervisor/away_max"].value == 1200


def test_nothing_traced_has_no_figures() -> None:
    assert not list(measures.of_timeline(without_events(dual_timeline())))


def test_a_result_s_figures_are_per_operation_and_keep_their_units() -> None:
    result = BenchResult(
        bench="cyclictest",
        variant="hvc",
        vm="linux",
        unit="run",
        operations=10,
        elapsed_ns=5000,
        instructions=Instructions(guest=400, hypervisor=20),
        figures={"latency_max_ns": 23.0},
    )
    assert [(each.name, each.value, each.unit) for each in measures.of_results([result])] == [
        ("bench/cyclictest/hvc/instructions", 42, "instructions"),
        ("bench/cyclictest/hvc/time", 500, "ns"),
        ("bench/cyclictest/hvc/latency_max", 23, "ns"),
    ]
