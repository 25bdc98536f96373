# SPDX-License-Identifier: MIT
"""What a stop is for is seen of the machine that stands still, however late QEMU tells of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from orchestrator.errors import UsageError
from orchestrator.machine.channel import GuestTime, StopPassed
from orchestrator.machine.stops import Stops

T = TypeVar("T")
PLACE = StopPassed(pa=0x4000, sp=0x8000)


class Board:
    """A machine whose guest comes by stop points at given times; the channel of its plugin, too.

    As in QEMU, `stop` of a machine that stands still is nothing, and there is one event for each
    change from running to standing still (qemu: `do_vm_stop`).

    Attributes:
        points: Guest times of the stop points, each of which is there but once.
        served: Guest times at which `at_point` was called.
        stays: Guest times at which it wants the machine to stay.
        events: Stops that were not told yet.
        busy: At so many stops from now on a core is in the hypervisor.
    """

    def __init__(self, *points: int, end_ns: int | None = None) -> None:
        self.points = set(points)
        self.served: list[int] = []
        self.stays: set[int] = set()
        self.events = 0
        self.busy = 0
        self.now = 0
        self.running = True
        self._passed = False
        self.stops = Stops(
            self, self, end_ns=end_ns, busy_cores=self._busy_cores, at_point=self._at_point
        )

    async def runs(self) -> bool:
        return self.running

    async def cont(self) -> None:
        assert not self.running, "it was let go twice"
        self.running, self._passed = True, False
        self.now += self.busy > 0

    async def stop(self) -> None:
        """A stop point that the guest is at is passed by then: its own stop is on the way, too."""
        self._passed |= self.running and self.now in self.points
        self.points.discard(self.now)
        self.events += self.running
        self.running = False

    async def time(self) -> GuestTime:
        return GuestTime(ns=self.now, instructions=self.now)

    async def stopped(self) -> tuple[StopPassed | None, ...]:
        assert not self.running, "the plugin refuses"
        return (None, PLACE if self._passed else None)

    async def _busy_cores(self) -> tuple[int, ...]:
        self.busy -= 1
        return (0,) if self.busy >= 0 else ()

    async def _at_point(self) -> bool:
        assert not self.running
        self.served.append(self.now)
        return self.now not in self.stays

    async def run_to(self, ns: int) -> None:
        """The guest runs, to a stop point at the latest."""
        assert self.running
        point = min((each for each in self.points if self.now < each <= ns), default=None)
        self.now = ns if point is None else point
        if point is not None:
            await self.stop()

    async def tell_all(self) -> list[bool]:
        """QEMU's events arrive."""
        answers = []
        while self.events:
            self.events -= 1
            answers.append(await self.stops.told())
        return answers


def on_board(act: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await act()

    return asyncio.run(run())


def test_a_stop_point_is_served_and_the_machine_goes_on() -> None:
    async def act() -> None:
        board = Board(5)
        await board.run_to(9)
        assert await board.tell_all() == [True]
        assert (board.served, board.running) == ([5], True)

    on_board(act)


@pytest.mark.parametrize("told", [0, 1, 2])
def test_a_stop_point_at_the_instant_of_ones_own_stop_is_not_lost(told: int) -> None:
    """Whether QEMU tells of none, of one, or of both."""

    async def act() -> None:
        board = Board(7)
        board.now = 7
        async with board.stops.still():
            assert (board.served, board.running) == ([7], False)
        assert board.running
        board.events = told
        assert await board.tell_all() == [True] * told
        assert (board.served, board.running) == ([7], True)

    on_board(act)


def test_a_stop_point_before_ones_own_stop_is_served_before_it_is_told() -> None:
    async def act() -> None:
        board = Board(5)
        await board.run_to(9)
        async with board.stops.still():
            assert board.served == [5]
        assert await board.tell_all() == [True]
        assert (board.served, board.running) == ([5], True)

    on_board(act)


def test_what_is_told_late_finds_the_machine_at_the_next_stop_point() -> None:
    async def act() -> None:
        board = Board(5)
        async with board.stops.still():
            pass
        await board.run_to(9)
        assert board.events == 2
        assert await board.tell_all() == [True, True]
        assert (board.served, board.running) == ([5], True)

    on_board(act)


def test_a_stop_that_is_told_meanwhile_waits() -> None:
    async def act() -> None:
        board = Board()
        async with board.stops.still():
            told = asyncio.create_task(board.stops.told())
            await asyncio.sleep(0.01)
            assert not told.done()
            assert not board.running
        assert await told
        assert board.running

    on_board(act)


def test_the_end_is_nobodys_and_stays() -> None:
    async def act() -> None:
        board = Board(end_ns=8)
        board.now = 8
        async with board.stops.still():
            pass
        assert not board.running
        assert await board.tell_all() == [False]
        assert not board.running

    on_board(act)


def test_a_stop_for_a_reason_of_qemus_is_left_alone() -> None:
    async def act() -> None:
        board = Board(5)
        await board.run_to(3)
        await board.stop()
        assert await board.tell_all() == [False]
        assert (board.served, board.running) == ([], False)

    on_board(act)


@pytest.mark.parametrize("by_still", [False, True])
def test_a_stop_point_may_want_the_machine_to_stay(*, by_still: bool) -> None:
    """It is asked but once, who else comes by."""

    async def act() -> None:
        board = Board(5)
        board.stays = {5}
        await board.run_to(9)
        if by_still:
            async with board.stops.still():
                pass
        assert await board.tell_all() == [True]
        async with board.stops.still():
            pass
        assert (board.served, board.running) == ([5], False)

    on_board(act)


def test_who_wants_it_still_waits_for_the_hypervisor_and_misses_no_stop_point() -> None:
    """Of the stops that this takes one may come together with a stop point."""

    async def act() -> None:
        board = Board(2)
        board.busy = 4
        async with board.stops.still():
            assert board.busy < 0
            assert not board.running
        assert await board.tell_all() == [True] * 5
        assert (board.served, board.running) == ([2], True)

    on_board(act)


def test_who_may_not_have_it_still_changes_nothing() -> None:
    """The second time since a stop point, such as the end of records, has come in between."""

    async def act() -> None:
        board = Board(4)

        def check() -> None:
            if board.now == 0 or board.served:
                raise UsageError("no")

        for now, stops in ((0, 0), (4, 1)):
            board.now = now
            with pytest.raises(UsageError):
                async with board.stops.still(check):
                    pytest.fail("it was not allowed")
            assert (board.running, board.events) == (True, stops)
        assert board.served == [4]

    on_board(act)


def test_a_loaded_state_that_stands_at_a_stop_point_is_served_once() -> None:
    async def act() -> None:
        board = Board(0)
        await board.stop()
        board.events = 0
        await board.stops.loaded()
        async with board.stops.still():
            pass
        assert board.served == [0]

    on_board(act)
