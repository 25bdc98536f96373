# SPDX-License-Identifier: MIT
"""The instants at which the job in Linux has ended, so that what a run leaves ends there.

Linux's init calls sync() when user space is up, once more when its job has ended, and for the last
time when it has said so on its console. The job may call it, too: whose call it is shows in the
kernel stack, since each task has its own.
"""

import enum
from collections.abc import Mapping
from typing import Final, Protocol

from orchestrator.config import LinuxVm
from orchestrator.machine.board import Layout
from orchestrator.machine.channel import StopPassed
from orchestrator.probe.guest import Guest
from orchestrator.probe.start import LINUX_READY, StartPoint, place_point

_STACK_BITS: Final = 13  # THREAD_SIZE of 32-bit ARM kernels is 8 KiB, aligned


class Channel(Protocol):
    """The plugin's channel."""

    async def stopped(self) -> tuple[StopPassed | None, ...]:
        """By core, the stop point that it came by."""

    async def stop_at(self, pa: int) -> None:
        """Stops the machine at the next execution of an address."""


class Call(enum.Enum):
    """What a call of sync() means."""

    OTHER = enum.auto()  # not init's
    READY = enum.auto()  # user space is up
    ENDED = enum.auto()  # the job has ended: no more records
    TOLD = enum.auto()  # the host has all that the job has left: nothing more to run for


class JobEnd:
    """Waits for the calls of sync() of Linux's init.

    Args:
        channel: The plugin's.
        ready: The kernel's `ksys_sync`.

    Attributes:
        text: That place.
        pa: Its physical address.
    """

    def __init__(self, channel: Channel, ready: StartPoint) -> None:
        self.text = ready.text
        self.pa = ready.pa
        self._channel = channel
        self._init: int | None = None
        self._calls = [Call.READY, Call.ENDED, Call.TOLD]

    async def wait(self) -> None:
        """Has the machine stop at the next call.

        Raises:
            MachineError: The machine runs, or is gone.
        """
        await self._channel.stop_at(self.pa)

    async def stacks(self) -> tuple[int, ...]:
        """The tasks that are calling sync() at this instant, by their kernel stacks.

        It is one, if any; in the realtime clock two cores may call at once.

        Raises:
            MachineError: As `wait`.
        """
        passed = await self._channel.stopped()
        return tuple(each.sp >> _STACK_BITS for each in passed if each and each.pa == self.pa)

    def call(self, stack: int) -> Call:
        """Which call this is; every one is to be told, in their order.

        Args:
            stack: The caller's, as `stacks` gives it. The first caller is init.
        """
        self._init = self._init or stack
        if stack != self._init or not self._calls:
            return Call.OTHER
        return self._calls.pop(0)


def job_end(channel: Channel, layout: Layout, guests: Mapping[str, Guest]) -> JobEnd | None:
    """That of the Linux VM which runs the job, the first one; None: there is no Linux.

    Raises:
        UsageError: Its kernel has no such place.
    """
    linux = next((vm for vm in layout.vms if isinstance(vm.config, LinuxVm)), None)
    if linux is None:
        return None
    ready = place_point(f"{linux.name}:{LINUX_READY}", layout, guests)
    return JobEnd(channel, ready)
