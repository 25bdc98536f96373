# SPDX-License-Identifier: MIT
"""What a stop of the machine is for: a stop point, the end of the run, or somebody's own request.

QEMU tells of a stop later than it happens, and but once of two that come together: `stop` at the
instant of a stop point is one event, or none. So a stop is not told by what was asked for or has been
told so far. It is told by the machine while it stands still: by its guest time, and by the stop
points that its cores have come by. Who waits at a stop point, and what is done there, is the caller's
business.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Protocol

from orchestrator.machine.channel import GuestTime, StopPassed

_QUIET_TRIES: Final = 100
_QUIET_PAUSE_S: Final = 0.002


class Machine(Protocol):
    """`process.QemuMachine`, as far as it is needed here."""

    async def runs(self) -> bool:
        """Whether the guests run at this instant."""

    async def stop(self) -> None:
        """Stops them; nothing where they stand still already."""

    async def cont(self) -> None:
        """Lets them run."""


class Channel(Protocol):
    """`channel.PluginChannel`, as far as it is needed here."""

    async def time(self) -> GuestTime:
        """Guest time."""

    async def stopped(self) -> tuple[StopPassed | None, ...]:
        """By core, the stop point that it came by since the machine went on."""


class Stops:
    """Decides at each stop whether the machine goes on; one at a time.

    Args:
        machine: The QEMU.
        channel: To its plugin.
        end_ns: Guest time at which it stops for good; None: it does not.
        busy_cores: The cores on their way through the hypervisor, of the machine that stands still.
        at_point: Called while the machine stands at a stop point that a core came by, once for each
            such instant; answers whether the machine goes on.
    """

    def __init__(
        self,
        machine: Machine,
        channel: Channel,
        *,
        end_ns: int | None,
        busy_cores: Callable[[], Awaitable[Sequence[int]]],
        at_point: Callable[[], Awaitable[bool]],
    ) -> None:
        self._machine = machine
        self._channel = channel
        self._end_ns = end_ns
        self._busy_cores = busy_cores
        self._at_point = at_point
        self._lock = asyncio.Lock()
        self._served: tuple[GuestTime, bool] | None = None

    async def told(self) -> bool:
        """QEMU has told of a stop, perhaps of one that is over.

        Returns:
            Whether it was a stop point's or somebody's own; the machine then goes on, or stays where
            it is by their wish. Else it stands at the end of the run, or for a reason of QEMU's.

        Raises:
            OrchestrateError: As `at_point`; or QEMU is gone.
        """
        async with self._lock:
            if await self._machine.runs():
                return True
            if await self._at_the_end() or not await self._is_at_a_point():
                return False
            if await self._serve():
                await self._machine.cont()
            return True

    async def loaded(self) -> None:
        """The machine, whose state was loaded, has not gone on yet and stands at a stop point.

        Raises:
            OrchestrateError: As `at_point`; or QEMU is gone.
        """
        async with self._lock:
            await self._serve()

    @contextlib.asynccontextmanager
    async def still(self, check: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """The machine stands still meanwhile, and no core is on its way through the hypervisor.

        Nobody else stops it or lets it go on before this is over.

        Args:
            check: Raises what forbids it; asked before the machine is stopped, and again then, since
                a stop point may have had its turn.

        Raises:
            OrchestrateError: As `check` and `at_point`; or QEMU is gone.
        """
        async with self._lock:
            check()
            goes_on = await self._stop_quietly()
            try:
                check()
                yield
            finally:
                if goes_on and not await self._at_the_end():
                    await self._machine.cont()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Waits until nobody is within `still` or at a stop point, and keeps them out meanwhile."""
        async with self._lock:
            yield

    async def _stop_quietly(self) -> bool:
        """Stops where no trap is half done, so that both observers have counted the same.

        Returns:
            Whether the machine may go on.
        """
        for _ in range(_QUIET_TRIES):
            if not await self._stop():
                return False
            if not await self._busy_cores() or await self._at_the_end():
                return True
            await self._machine.cont()
            await asyncio.sleep(_QUIET_PAUSE_S)
        return await self._stop()

    async def _stop(self) -> bool:
        """Stops the machine; a stop point that a core came by meanwhile has its turn."""
        await self._machine.stop()
        return not await self._is_at_a_point() or await self._serve()

    async def _is_at_a_point(self) -> bool:
        return any(await self._channel.stopped())

    async def _serve(self) -> bool:
        """Has the stop point served, the same instant but once. Answers whether the machine goes on."""
        now = await self._channel.time()
        if self._served is None or self._served[0] != now:
            self._served = now, await self._at_point()
        return self._served[1]

    async def _at_the_end(self) -> bool:
        return self._end_ns is not None and (await self._channel.time()).ns >= self._end_ns
