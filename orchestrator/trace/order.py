# SPDX-License-Identifier: MIT
"""Looks for an order of events across sources that can not be true.

Two sources that saw the same core cannot contradict each other by more than their clocks leave open:
a guest does something only while the hypervisor says that it runs there, and handles an interrupt
only after one was made pending. What is found is told, not mended.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.records import Kind

_MAX_TOLD: Final = 20


def outside_of_vm(
    time_ns: NDArray[np.uint64],
    *,
    records: NDArray[np.void],
    vm: int,
    residual_ns: int,
) -> NDArray[np.intp]:
    """Positions of a guest's events at which it did not run on the core.

    Args:
        time_ns: Of the guest's events on one core, ascending.
        records: The hypervisor's VM_ENTRY and VM_EXIT of that core, in order of time.
        vm: The guest's number.
        residual_ns: What its clock leaves open.
    """
    entered = records["time_ns"].astype(np.int64)
    inside = (records["kind"] == Kind.VM_ENTRY) & (records["vm"] == vm)
    if not len(entered):
        return np.empty(0, np.intp)
    # Before the first record nothing is known.
    state = np.concatenate([[True], inside])
    times = time_ns.astype(np.int64)
    runs = np.zeros(len(times), np.bool_)
    for shift in (-residual_ns, 0, residual_ns):
        runs |= state[np.searchsorted(entered, times + shift, side="right")]
    return np.flatnonzero(~runs)


def handled_before_sent(
    handled_ns: NDArray[np.uint64],
    irq: NDArray[np.int64],
    *,
    records: NDArray[np.void],
    residual_ns: int,
) -> NDArray[np.intp]:
    """Positions of handler entries before which no interrupt was made pending since the last one.

    Args:
        handled_ns: Times at which handlers of a guest began on one vCPU, ascending.
        irq: By the guest's own numbers.
        records: The hypervisor's VIRQ records of that vCPU, in order of time.
        residual_ns: What the guest's clock leaves open.
    """
    sent = records["time_ns"].astype(np.int64)
    wrong = []
    for number in np.unique(irq):
        rows = np.flatnonzero(irq == number)
        times = handled_ns[rows].astype(np.int64)
        before = np.searchsorted(sent, times + residual_ns, side="right")
        last = np.searchsorted(sent, times[:-1] - residual_ns, side="left")
        # The first one may have been sent before recording began.
        wrong.append(rows[1:][before[1:] <= last])
    return np.sort(np.concatenate(wrong)) if wrong else np.empty(0, np.intp)


def told(what: str, time_ns: NDArray[np.uint64]) -> Iterator[str]:
    """One line for each place, and how many more there are."""
    for each in time_ns[:_MAX_TOLD].tolist():
        yield f"{each / 1e9:.9f} s: {what}"
    if len(time_ns) > _MAX_TOLD:
        yield f"and {len(time_ns) - _MAX_TOLD} more such: {what}"
