# SPDX-License-Identifier: MIT
"""What the idle plugin's figures are made of."""

import pytest

from orchestrator.bench.idle import Carries, Spent, in_turns
from orchestrator.errors import CheckFailed

STATES = [Carries.NOTHING, Carries.FLOOR, Carries.WATCHES]


def test_a_ratio_is_that_of_the_least_disturbed_runs() -> None:
    taken = {
        Carries.NOTHING: iter([2.5, 2.0, 9.0, 2.1, 2.2]),
        Carries.FLOOR: iter([3.0, 2.5, 2.6, 2.7, 9.0]),
        Carries.WATCHES: iter([9.0, 9.0, 9.0, 3.0, 9.0]),
    }

    async def run(state: Carries) -> Spent:
        return Spent(processor_s=next(taken[state]), guest_us=96_000)

    rounds = in_turns(STATES, run)
    assert rounds.ratio(Carries.WATCHES) == 1.5
    assert rounds.ratio(Carries.WATCHES, to=Carries.FLOOR) == 1.2
    assert rounds.work == "96 M instructions, 2.0 s"


def test_states_have_their_turns() -> None:
    order = []

    async def run(state: Carries) -> Spent:
        order.append(state)
        return Spent(processor_s=1, guest_us=1)

    in_turns(STATES, run)
    assert order[:6] == [*STATES, *STATES]


@pytest.mark.parametrize("guest_us", [99_899, 100_101])
def test_other_work_cannot_be_compared(guest_us: int) -> None:
    async def run(state: Carries) -> Spent:
        return Spent(processor_s=1, guest_us=guest_us if state is Carries.WATCHES else 100_000)

    with pytest.raises(CheckFailed, match=rf"{guest_us} us.*at 100000 us.*not the same work"):
        in_turns(STATES, run)
