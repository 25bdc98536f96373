# SPDX-License-Identifier: MIT
"""Ties Linux's trace clock to the generic counter, by evidence that the run has left.

The guest's agent has made system calls and read the counter right before and right after each; an
instance of ftrace on the same clock holds their entry and exit (images/linux/trace/clock.c). An entry
is recorded after the first reading and an exit before the second, so every call bounds the constant
between the clocks on both sides; the tightest bounds count. A run whose bounds contradict each other
has no such constant, which is an error, not an average.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import GuestError
from orchestrator.trace.timeline import ClockFit

COUNTER_NS: Final = 16
"""One tick of the generic counter: 62.5 MHz under QEMU."""


def fit_brackets(
    clock: str,
    *,
    before: NDArray[np.uint64],
    entered: NDArray[np.uint64],
    left: NDArray[np.uint64],
    after: NDArray[np.uint64],
) -> ClockFit:
    """Finds the constant from system calls between two readings of the counter.

    Args:
        clock: Name of the trace clock, in ns.
        before: Counter before each call, in its ticks; uint64[n].
        entered: Trace clock of its entry, in ns; uint64[n].
        left: Trace clock of its exit, in ns; uint64[n].
        after: Counter after it, in its ticks; uint64[n].

    Raises:
        GuestError: There is no evidence, or no constant fits all of it.
    """
    if not len(before):
        raise GuestError(f"trace clock {clock}: the run has left nothing to fit it by")
    lowest = (before.astype(np.int64) * COUNTER_NS - entered.astype(np.int64)).max()
    # The counter shows the time of its last tick.
    highest = ((after.astype(np.int64) + 1) * COUNTER_NS - left.astype(np.int64)).min()
    if lowest > highest:
        raise GuestError(
            f"trace clock {clock}: no constant ties it to the generic counter; the bounds of "
            f"{len(before)} calls contradict each other by {lowest - highest} ns. Does it run at "
            "another rate?"
        )
    offset = (int(lowest) + int(highest)) // 2
    return ClockFit(
        clock=clock,
        offset_ns=offset,
        residual_ns=int(highest) - offset,
        samples=2 * len(before),
    )


def fit_instants(
    fit: ClockFit, *, clock_ns: NDArray[np.uint64], instants_ns: NDArray[np.uint64]
) -> ClockFit:
    """Sharpens a fit by exact times at which the kernel's code has read the counter.

    The clock is read for other reasons, too, so there are more instants than events. Each event has
    some that the rough fit allows; the constant is the one that all events have in common.

    Args:
        fit: From `fit_brackets`.
        clock_ns: Trace clock of events, all within the time that the instants cover; uint64[n].
        instants_ns: Guest times, ascending; uint64[m].

    Returns:
        The sharper fit; the given one where there is nothing in common or more than one constant.
    """
    if not len(clock_ns) or not len(instants_ns):
        return fit
    about = clock_ns.astype(np.int64) + fit.offset_ns
    times = instants_ns.astype(np.int64)
    reach = fit.residual_ns + 2 * COUNTER_NS
    candidates: NDArray[np.int64] | None = None
    for mine, guess in zip(clock_ns.astype(np.int64), about, strict=True):
        near = times[np.searchsorted(times, guess - reach) : np.searchsorted(times, guess + reach)]
        offsets = near - mine
        if candidates is None:
            candidates = offsets
        else:
            # An event's clock is of its last tick, so equal constants differ by less than one.
            apart = np.abs(candidates[:, None] - offsets[None, :])
            candidates = candidates[(apart <= COUNTER_NS).any(axis=1)]
        if not len(candidates):
            return fit
    if candidates is None or np.ptp(candidates) > COUNTER_NS:
        return fit
    offset = int(candidates.min())
    return ClockFit(
        clock=fit.clock,
        offset_ns=offset,
        residual_ns=COUNTER_NS,
        samples=fit.samples + len(clock_ns),
    )
