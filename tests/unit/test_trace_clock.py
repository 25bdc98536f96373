# SPDX-License-Identifier: MIT
"""The clock's fit: what evidence must give, and evidence that contradicts itself."""

import numpy as np
import pytest

from orchestrator.errors import GuestError
from orchestrator.trace.clock import COUNTER_NS, fit_brackets, fit_instants
from orchestrator.trace.timeline import ClockFit

OFFSET_NS = 73_346_408


def brackets(offset_ns: int, count: int = 32) -> dict[str, np.ndarray]:
    """System calls of 2 us, whose entry and exit are recorded at some instant within."""
    random = np.random.default_rng(1)
    begin = 1_000_000_000 + np.arange(count, dtype=np.int64) * 40_000
    enter = begin + random.integers(300, 700, count)
    leave = enter + random.integers(500, 900, count)
    end = leave + random.integers(200, 500, count)
    clock = [
        (each // COUNTER_NS * COUNTER_NS - offset_ns).astype(np.uint64) for each in (enter, leave)
    ]
    counter = [(each // COUNTER_NS).astype(np.uint64) for each in (begin, end)]
    return {"before": counter[0], "entered": clock[0], "left": clock[1], "after": counter[1]}


def test_the_constant_is_within_the_residual() -> None:
    fit = fit_brackets("local", **brackets(OFFSET_NS))
    assert abs(fit.offset_ns - OFFSET_NS) <= fit.residual_ns
    assert fit.residual_ns < 1000
    assert fit.samples == 64


def test_a_clock_of_another_rate_is_refused() -> None:
    """Bounds that exclude each other are no constant."""
    evidence = brackets(OFFSET_NS)
    for name in ("entered", "left"):
        evidence[name] = (evidence[name] * 1.01).astype(np.uint64)
    with pytest.raises(GuestError, match="contradict each other"):
        fit_brackets("local", **evidence)


def test_without_evidence_there_is_no_fit() -> None:
    none = np.empty(0, np.uint64)
    with pytest.raises(GuestError, match="nothing to fit"):
        fit_brackets("local", before=none, entered=none, left=none, after=none)


def test_exact_instants_leave_one_tick_of_the_counter() -> None:
    """Many readings of the clock are of no event, yet only one constant fits all events."""
    random = np.random.default_rng(2)
    instants = np.sort(random.integers(2_000_000_000, 2_010_000_000, 20_000).astype(np.uint64))
    events = instants[::37] // COUNTER_NS * COUNTER_NS - np.uint64(OFFSET_NS)
    rough = ClockFit(clock="local", offset_ns=OFFSET_NS + 400, residual_ns=504, samples=64)
    fit = fit_instants(rough, clock_ns=events[1:-1], instants_ns=instants)
    assert fit.residual_ns == COUNTER_NS
    assert abs(fit.offset_ns - OFFSET_NS) <= COUNTER_NS


def test_instants_of_something_else_change_nothing() -> None:
    rough = ClockFit(clock="local", offset_ns=0, residual_ns=504, samples=64)
    events = np.array([1_000_000, 2_000_000], np.uint64)
    assert fit_instants(rough, clock_ns=events, instants_ns=np.array([5], np.uint64)) == rough
