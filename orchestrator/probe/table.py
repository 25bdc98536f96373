# SPDX-License-Identifier: MIT
"""The hypervisor's tables of probes and of their programs, as the host fills them in: images/abi/trace.h.

Numbers are handed out here. The tables lie in the hypervisor's memory, where the host writes plain
data; the code of guests is another matter (`arm`).
"""

import heapq
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator import records
from orchestrator.errors import CheckFailed
from orchestrator.probe.place import Place
from orchestrator.records import ProbeFlag

_FREE, _ARMED = 0, 1
_FIRST_SHADOW_ID: Final = records.MAX_PROBES
_LAST_ID: Final = 0xFFFF


class Ram(Protocol):
    """The board's memory."""

    def read(self, pa: int, size: int) -> bytes:
        """A copy of some bytes."""

    def write(self, pa: int, data: bytes) -> None:
        """Writes data."""


class Numbers:
    """Ids of probes: those of `hvc` mode name an entry of the table, those of `shadow` do not."""

    def __init__(self) -> None:
        # 0 is the immediate of the calling convention's HVC.
        self._unused = {
            True: range(1, records.MAX_PROBES),
            False: range(_FIRST_SHADOW_ID, _LAST_ID + 1),
        }
        self._free: dict[bool, list[int]] = {True: [], False: []}

    def check(self, wanted: int, *, hvc: bool) -> None:
        """Whether so many ids are left.

        Raises:
            CheckFailed: They are not.
        """
        left = len(self._free[hvc]) + len(self._unused[hvc])
        if wanted > left:
            mode, other = ("hvc", "mode=shadow, ") if hvc else ("shadow", "")
            raise CheckFailed(
                f"{wanted} probes of mode {mode} are wanted, there is room for {left} more; choose "
                f"a narrower pattern, {other}or remove some"
            )

    def take(self, *, hvc: bool) -> int:
        """The smallest free id.

        Raises:
            CheckFailed: All are used.
        """
        self.check(1, hvc=hvc)
        if self._free[hvc]:
            return heapq.heappop(self._free[hvc])
        number, self._unused[hvc] = self._unused[hvc][0], self._unused[hvc][1:]
        return number

    def free(self, number: int) -> None:
        """Gives an id back that was taken."""
        heapq.heappush(self._free[number < _FIRST_SHADOW_ID], number)


class ProgramTable:
    """Programs in the hypervisor's table; probes that fetch the same share one.

    Args:
        ram: The board's memory.
    """

    def __init__(self, ram: Ram) -> None:
        self._ram = ram
        self._runs: dict[bytes, list[int]] = {}  # program -> [first, count, users]

    def take(self, program: NDArray[Any]) -> int:
        """Puts a program into the table; returns its physical address.

        Raises:
            CheckFailed: The table is full.
        """
        table_pa = records.HV_TRACE_PA + records.HV_TRACE_OPS
        data = program.tobytes()
        run = self._runs.get(data)
        if run is None:
            run = self._runs[data] = [self._room(len(program)), len(program), 0]
            self._ram.write(table_pa + run[0] * records.OP.itemsize, data)
        run[2] += 1
        return table_pa + run[0] * records.OP.itemsize

    def free(self, program: NDArray[Any]) -> None:
        """Takes it out again, once for each `take`."""
        data = program.tobytes()
        run = self._runs.get(data)
        if run is not None:
            run[2] -= 1
            if not run[2]:
                del self._runs[data]

    def _room(self, count: int) -> int:
        at = 0
        for first, length, _ in sorted(self._runs.values()):
            if first - at >= count:
                break
            at = first + length
        if at + count > records.MAX_OPS:
            raise CheckFailed("the table of what probes fetch is full; remove probes")
        return at


class ProbeTable:
    """Entries of the hypervisor's table of probes.

    Args:
        ram: The board's memory.
    """

    def __init__(self, ram: Ram) -> None:
        self._ram = ram

    def arm(  # one argument for each field that is filled in
        self,
        number: int,
        *,
        vm: int,
        place: Place,
        program_pa: int,
        words: int,
        limit: int,
        window_ns: tuple[int, int],
        record: bool,
    ) -> None:
        """Fills in an entry; the machine stands still, so it is all there at once.

        Args:
            number: The probe's id.
            vm: The VM's number.
            place: The instruction and how its work is done.
            program_pa: Of its program's first operation.
            words: That the program writes.
            limit: As in the config.
            window_ns: From and until.
            record: Whether the hypervisor records, or only counts.
        """
        entry = np.zeros(1, records.PROBE)
        if place.displaced is None:
            raise ValueError("a shadow probe has no entry")
        entry["va"], entry["vm"], entry["word"] = place.wanted.va, vm, place.word
        entry["next"] = place.wanted.va + 4
        bounded = bool(limit or window_ns[0] or window_ns[1])
        entry["flags"] = (
            ProbeFlag.T32 * place.thumb
            | ProbeFlag.RECORD * record
            | ProbeFlag.BOUNDED * bounded
            | ProbeFlag.CONDITIONAL * place.displaced.conditional
        )
        entry["emulation"] = place.displaced.emulation
        entry["operand"][0], entry["cond"] = place.displaced.packed(), place.displaced.cond
        entry["program_pa"], entry["words"] = program_pa, words
        entry["limit"] = limit
        entry["from_ns"], entry["until_ns"] = window_ns
        entry["state"] = _ARMED
        self._ram.write(self._pa(number), entry.tobytes())

    def free(self, number: int) -> None:
        """Empties an entry: its HVC is an undefined instruction from now on."""
        self._ram.write(self._pa(number), bytes(records.PROBE.itemsize))

    def hits(self, number: int) -> tuple[int, ...]:
        """Hits that the hypervisor has counted, by core."""
        data = self._ram.read(self._pa(number), records.PROBE.itemsize)
        entry: NDArray[Any] = np.frombuffer(data, records.PROBE)
        return tuple(int(count) for count in entry["hits"][0])

    def _pa(self, number: int) -> int:
        return records.HV_TRACE_PA + records.HV_TRACE_PROBES + number * records.PROBE.itemsize
