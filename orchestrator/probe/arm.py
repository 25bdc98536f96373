# SPDX-License-Identifier: MIT
"""Places probes in guests and takes them away again, all or none.

Everything here happens while the machine stands still; who stops it, and when, is the session's
business. A probe that could not be placed, or that two observers counted differently, is an error.
"""

import contextlib
import itertools
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from orchestrator.config import ProbeConfig
from orchestrator.errors import CheckFailed, MachineError, OrchestrateError, UsageError
from orchestrator.guest.symbols import Encoding
from orchestrator.machine.channel import PluginProbe, ProbeCounts
from orchestrator.machine.protocol import ProbeMode
from orchestrator.mmu import Mmu
from orchestrator.probe.guest import Guest, View, find_guest
from orchestrator.probe.place import Place, ProbeRefused, Refusal, find
from orchestrator.probe.program import assemble
from orchestrator.probe.registers import VcpuReader
from orchestrator.probe.spec import Wanted, resolve
from orchestrator.probe.table import Numbers, ProbeTable, ProgramTable, Ram

_A32_HVC: Final = 0xE140_0070
_T32_HVC: Final = 0xF7E0_8000


class Channel(Protocol):
    """The plugin's channel, as far as it is needed here."""

    async def write_physical(self, pa: int, data: bytes) -> None:
        """Writes code."""

    async def add_probe(self, probe: PluginProbe) -> None:
        """Watches a place."""

    async def remove_probe(self, probe_id: int) -> ProbeCounts:
        """Watches it no more."""

    async def probe_counts(self, probe_id: int) -> ProbeCounts:
        """What was seen there."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A probe in a running guest.

    Attributes:
        id: In records; in `hvc` mode the immediate of its HVC.
        place: Where it is.
        vm_index: Number of its VM.
    """

    id: int
    place: Place
    vm_index: int

    @property
    def wanted(self) -> Wanted:
        """What was asked for."""
        return self.place.wanted


@dataclass(frozen=True, kw_only=True)
class Hits:
    """What a probe has counted.

    Attributes:
        cpu: Hits on each core, as the plugin saw them.
        recorded: Those that were recorded.
        hypervisor: Hits on each core, as the hypervisor saw them; None: a shadow probe.
        of_records: The plugin is gone, and `cpu` is the number of its records.
    """

    cpu: tuple[int, ...]
    recorded: int
    hypervisor: tuple[int, ...] | None
    of_records: bool = False

    @property
    def total(self) -> int:
        """On all cores."""
        return sum(self.cpu)

    def contradiction(self) -> str | None:
        """What the two observers do not agree on; None: they agree."""
        if self.hypervisor is None or self.hypervisor[: len(self.cpu)] == self.cpu:
            return None
        return f"the plugin counted {list(self.cpu)}, the hypervisor {list(self.hypervisor)}"


def hvc(number: int, encoding: Encoding) -> bytes:
    """The hypercall `HVC #number` (DDI 0406C, B9.3.4)."""
    if encoding is Encoding.T32:
        word = _T32_HVC | (number >> 12) << 16 | number & 0xFFF
        return struct.pack("<HH", word >> 16, word & 0xFFFF)
    return struct.pack("<I", _A32_HVC | (number >> 4) << 8 | number & 0xF)


class Probes:
    """All probes of a running system.

    Args:
        channel: The plugin's.
        ram: The board's memory.
        guests: By the VM's name.
        vcpus: Reads the guests' registers.
        hypervisor: Whether the project's own hypervisor runs, so that `hvc` is possible.
    """

    def __init__(
        self,
        *,
        channel: Channel,
        ram: Ram,
        guests: Mapping[str, Guest],
        vcpus: VcpuReader,
        hypervisor: bool,
    ) -> None:
        self.guests = guests
        self.placed: dict[int, Placed] = {}
        self._channel = channel
        self._ram = ram
        self._vcpus = vcpus
        self._hypervisor = hypervisor
        self._numbers = Numbers()
        self._table = ProbeTable(ram)
        self._programs = ProgramTable(ram)
        self._leaving: list[Placed] = []
        self._originals: dict[int, int] = {}  # by physical address, a byte under a probe
        self._probed_pages: Counter[int] = Counter()

    async def view(self, vm: str) -> View:
        """A guest's memory at this instant.

        Raises:
            UsageError: There is no such VM.
            MachineError: The machine runs, or is gone.
        """
        guest = find_guest(self.guests, vm)
        registers = await self._vcpus.translating(guest.index)
        return View(guest, Mmu(registers, self.read))

    def read(self, pa: int, size: int) -> bytes:
        """Physical memory as the guests know it: without the probes; nothing where there is none."""
        try:
            data = self._ram.read(pa, size)
        except MachineError:
            return b""
        if self._hidden_in(pa, size):
            patched = bytearray(data)
            for at in range(size):
                patched[at] = self._originals.get(pa + at, patched[at])
            data = bytes(patched)
        return data

    def _hidden_in(self, pa: int, size: int) -> bool:
        pages = range(pa >> 12, (pa + size - 1 >> 12) + 1)
        return any(page in self._probed_pages for page in pages)

    async def plan(
        self, probes: Sequence[ProbeConfig]
    ) -> tuple[tuple[Place, ...], tuple[Refusal, ...]]:
        """Finds out where probes would be; writes nothing.

        Returns:
            The places, and those of patterns that have none.

        Raises:
            ProbeRefused: A place that was named exactly cannot have one.
            UsageError: A place or a fetch that does not exist.
            MachineError: The machine runs, or is gone.
        """
        places: list[Place] = []
        refused: list[Refusal] = []
        skipped: list[Refusal] = []
        views: dict[str, View] = {}
        taken = {(each.vm_index, each.wanted.va): each for each in self.placed.values()}
        for probe in probes:
            if probe.mode == "hvc" and not self._hypervisor:
                raise UsageError(
                    f"{probe.vm}:{probe.place}: only the project's own hypervisor answers a probe's "
                    "HVC; use mode=shadow"
                )
            if probe.vm not in views:
                views[probe.vm] = await self.view(probe.vm)
            view = views[probe.vm]
            all_wanted = resolve(probe, view.guest)
            for wanted in all_wanted:
                found = find(wanted, view)
                key = (view.guest.index, wanted.va)
                if isinstance(found, Place) and key in taken:
                    other = taken[key]
                    found = Refusal(
                        where=f"{probe.vm}:{wanted.label}",
                        reason=f"probe {other.id} ({other.wanted.name}) is there already",
                    )
                if isinstance(found, Place):
                    places.append(found)
                else:
                    (skipped if len(all_wanted) > 1 else refused).append(found)
        doubles = _doubles(places)
        if refused or doubles:
            raise ProbeRefused((*refused, *doubles))
        if skipped and not places:
            raise ProbeRefused(tuple(skipped))
        return tuple(places), tuple(skipped)

    async def add(
        self, probes: Sequence[ProbeConfig]
    ) -> tuple[tuple[Placed, ...], tuple[Refusal, ...]]:
        """Places probes, all of them or none.

        Returns:
            What was placed, and the places of patterns that were left out.

        Raises:
            OrchestrateError: As `plan`; or the machine is gone. Nothing is left of what was begun.
        """
        await self._let_go()
        places, skipped = await self.plan(probes)
        for hvc_mode in (True, False):
            count = sum((place.displaced is not None) == hvc_mode for place in places)
            self._numbers.check(count, hvc=hvc_mode)
        placed: list[Placed] = []
        try:
            for place in places:
                each = Placed(
                    id=self._numbers.take(hvc=place.displaced is not None),
                    place=place,
                    vm_index=self.guests[place.wanted.config.vm].index,
                )
                placed.append(each)
                await self._arm(each)
        except OrchestrateError:
            for each in placed:
                await self._undo(each)
            raise
        self.placed |= {each.id: each for each in placed}
        return tuple(placed), skipped

    async def busy_cores(self) -> tuple[int, ...]:
        """The cores that are on their way through the hypervisor, perhaps with a probe's trap.

        Raises:
            MachineError: The machine runs, or is gone.
        """
        return await self._vcpus.in_hypervisor() if self._hypervisor else ()

    async def remove(self, ids: Sequence[int], *, counted: bool = True) -> dict[int, Hits]:
        """Takes probes away; the bytes are what they were.

        Args:
            ids: Of the probes.
            counted: Whether the observers must have counted the same.

        Raises:
            UsageError: There is no such probe; nothing was removed.
            CheckFailed: A place held something else than the probe, or observers disagree about
                one. All of them are removed all the same.
            MachineError: The machine runs, or is gone.
        """
        unknown = [str(number) for number in ids if number not in self.placed]
        if unknown:
            known = ", ".join(map(str, self.placed)) or "none"
            raise UsageError(f"no probe {', '.join(unknown)}; there are: {known}")
        await self._let_go()
        faults = []
        found = {}
        for number in dict.fromkeys(ids):
            each = self.placed.pop(number)
            faults += await self._disarm(each)
            counts = await self._channel.remove_probe(number)
            found[number] = self._hits(each, counts)
            if each.place.displaced is None:
                self._numbers.free(number)
            else:
                self._leaving.append(each)
            fault = found[number].contradiction()
            if fault and counted:
                faults.append(f"probe {number} ({each.wanted.name}): {fault}")
        if faults:
            raise CheckFailed("\n".join(faults))
        return found

    async def hits(self, number: int) -> Hits:
        """What a probe has counted so far.

        Raises:
            UsageError: There is no such probe.
            MachineError: The machine is gone.
        """
        if number not in self.placed:
            raise UsageError(f"no probe {number}")
        each = self.placed[number]
        return self._hits(each, await self._channel.probe_counts(number))

    def hits_of_records(self, number: int, cpu_records: Sequence[int]) -> Hits:
        """What a probe has counted where the plugin is gone: the hypervisor's table is not.

        Args:
            number: The probe's id.
            cpu_records: Its records that the plugin has left, by core.
        """
        counts = tuple(cpu_records)
        hypervisor = None
        if self.placed[number].place.displaced is not None:
            hypervisor = self._table.hits(number)[: len(counts)]
        return Hits(cpu=counts, recorded=sum(counts), hypervisor=hypervisor, of_records=True)

    def _hits(self, placed: Placed, counts: ProbeCounts) -> Hits:
        hypervisor = None
        if placed.place.displaced is not None:
            hypervisor = self._table.hits(placed.id)[: len(counts.cpu_hits)]
        return Hits(cpu=counts.cpu_hits, recorded=counts.recorded, hypervisor=hypervisor)

    async def _arm(self, each: Placed) -> None:
        wanted, place = each.wanted, each.place
        config = wanted.config
        program = assemble(wanted.fetches)
        if place.displaced is not None:
            program_pa = self._programs.take(program)
            self._table.arm(
                each.id,
                vm=each.vm_index,
                place=place,
                program_pa=program_pa,
                words=sum(fetch.words for fetch in wanted.fetches),
                limit=config.limit,
                window_ns=(config.from_ns, config.until_ns),
                record=config.record == "both",
            )
        await self._channel.add_probe(
            PluginProbe(
                id=each.id,
                mode=ProbeMode.SHADOW if place.displaced is None else ProbeMode.HVC,
                vm=each.vm_index,
                va=wanted.va,
                pa=place.code.pa,
                program=program,
                limit=config.limit,
                from_ns=config.from_ns,
                until_ns=config.until_ns,
            )
        )
        if place.displaced is not None:
            await self._channel.write_physical(place.code.pa, hvc(each.id, place.code.encoding))
            self._hide(place)

    def _hide(self, place: Place) -> None:
        for at, byte in enumerate(place.original, place.code.pa):
            self._originals[at] = byte
            self._probed_pages[at >> 12] += 1

    def _unhide(self, place: Place) -> None:
        for at in range(place.code.pa, place.code.pa + len(place.original)):
            if self._originals.pop(at, None) is not None:
                self._probed_pages[at >> 12] -= 1
                if not self._probed_pages[at >> 12]:
                    del self._probed_pages[at >> 12]

    async def _disarm(self, each: Placed) -> list[str]:
        """Puts the instruction back; answers what was wrong."""
        place = each.place
        if place.displaced is None:
            return []
        self._unhide(place)
        there = self._ram.read(place.code.pa, len(place.original))
        if there != hvc(each.id, place.code.encoding):
            name = f"probe {each.id} ({each.wanted.name})"
            told = f"{name}: at {place.code.pa:#x} there is {there.hex()} instead of its HVC"
            return [f"{told}: the guest has changed its code; left as it is"]
        await self._channel.write_physical(place.code.pa, place.original)
        return []

    async def _undo(self, each: Placed) -> None:
        """Takes back a probe that was perhaps placed in part."""
        if each.place.displaced is not None:
            self._unhide(each.place)
            await self._channel.write_physical(each.place.code.pa, each.place.original)
            self._table.free(each.id)
            self._programs.free(assemble(each.wanted.fetches))
        with contextlib.suppress(OrchestrateError):  # it was perhaps never added
            await self._channel.remove_probe(each.id)
        self._numbers.free(each.id)

    async def _let_go(self) -> None:
        """Frees the entries of removed probes, once no core can still be about to look at one."""
        if not self._leaving or await self.busy_cores():
            return
        for each in self._leaving:
            self._table.free(each.id)
            self._programs.free(assemble(each.wanted.fetches))
            self._numbers.free(each.id)
        self._leaving.clear()


def _doubles(places: Sequence[Place]) -> tuple[Refusal, ...]:
    """Places that were wanted twice at once, or that would overwrite each other."""
    found = []
    by_pa = sorted(places, key=lambda place: place.code.pa)
    for low, high in itertools.pairwise(by_pa):
        written = 4 if low.displaced is not None else low.size
        if high.code.pa < low.code.pa + written:
            where = f"{high.wanted.config.vm}:{high.wanted.label}"
            reason = f"the probe at {low.wanted.label} is there already"
            found.append(Refusal(where=where, reason=reason))
    return tuple(found)
