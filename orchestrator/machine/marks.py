# SPDX-License-Identifier: MIT
"""Instruction counts at each execution of one place: the machine stops there, in no guest time.

What lies between two marks is exact to the instruction. Who makes the guest come by is the caller's
business, such as a benchmark that makes a system call at both ends of its work; so is what the
counts mean (`orchestrator.bench`).
"""

from dataclasses import dataclass
from typing import Any, Final

from orchestrator.machine.channel import CoreCounters, PluginChannel

FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One execution of the place.

    Attributes:
        time_ns: Guest time.
        cores: What each core has executed until then.
    """

    time_ns: int
    cores: tuple[CoreCounters, ...]


class Marks:
    """The marks of one run.

    Args:
        channel: To the plugin.
        pa: The place.

    Attributes:
        pa: The place.
        taken: In order of time.
    """

    def __init__(self, channel: PluginChannel, pa: int) -> None:
        self.pa = pa
        self.taken: list[Mark] = []
        self._channel = channel

    async def wait(self) -> None:
        """Has the stopped machine stop at the next execution.

        Raises:
            MachineError: The machine runs, or QEMU is gone.
        """
        await self._channel.stop_at(self.pa)

    async def take(self) -> None:
        """Reads the counts of the machine, which has stopped at the place.

        Raises:
            MachineError: The clock is not deterministic, or QEMU is gone.
        """
        time = await self._channel.time()
        self.taken.append(Mark(time_ns=time.ns, cores=await self._channel.counters()))

    def document(self) -> dict[str, Any]:
        """The marks as plain data, for marks.json."""
        return {
            "format": FORMAT,
            "marks": [
                {
                    "time_ns": mark.time_ns,
                    "cores": [
                        {
                            "vm": list(core.vm),
                            "other": core.other,
                            "hypervisor": core.hypervisor,
                        }
                        for core in mark.cores
                    ],
                }
                for mark in self.taken
            ],
        }
