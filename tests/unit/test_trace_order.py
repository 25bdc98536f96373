# SPDX-License-Identifier: MIT
"""Orders of events that cannot be true are found, those that can be are not."""

import numpy as np

from orchestrator.records import RECORD, Kind
from orchestrator.trace.order import handled_before_sent, outside_of_vm, told


def records(*rows: tuple[int, Kind, int]) -> np.ndarray:
    out = np.zeros(len(rows), RECORD)
    for index, (time_ns, kind, vm) in enumerate(rows):
        out[index]["time_ns"], out[index]["kind"], out[index]["vm"] = time_ns, kind, vm
    return out


def test_a_guest_acts_only_where_it_runs() -> None:
    """Between its exit and its next entry, or while another VM runs, nothing can happen in it."""
    stay = records(
        (1000, Kind.VM_ENTRY, 0),
        (2000, Kind.VM_EXIT, 0),
        (2100, Kind.VM_ENTRY, 1),
        (3000, Kind.VM_EXIT, 1),
        (3100, Kind.VM_ENTRY, 0),
    )
    times = np.array([500, 1500, 2050, 2500, 3150], np.uint64)
    wrong = outside_of_vm(times, records=stay, vm=0, residual_ns=16)
    assert wrong.tolist() == [2, 3]
    # As far as the clock is not known, it may have been a moment later.
    assert outside_of_vm(times, records=stay, vm=0, residual_ns=60).tolist() == [3]
    assert len(outside_of_vm(times, records=stay[:0], vm=0, residual_ns=0)) == 0


def test_each_handler_needs_an_interrupt_of_its_own() -> None:
    sent = records((100, Kind.VIRQ, 0), (300, Kind.VIRQ, 0))
    irq = np.array([26, 26, 26], np.int64)
    in_order = handled_before_sent(
        np.array([110, 310, 330], np.uint64), irq, records=sent, residual_ns=5
    )
    assert in_order.tolist() == [2]
    early = handled_before_sent(
        np.array([110, 290, 310], np.uint64), irq, records=sent, residual_ns=5
    )
    assert early.tolist() == [1]


def test_many_contradictions_are_counted_not_listed() -> None:
    lines = list(told("that", np.arange(1000, dtype=np.uint64)))
    assert len(lines) == 21
    assert lines[-1] == "and 980 more such: that"
