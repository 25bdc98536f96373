# SPDX-License-Identifier: MIT
"""What a run traces: probes placed at one instant, streams drained, counts at the end.

The session makes an `Observer`, the supervisor tells it when the machine stands still. What it stands
still for is `machine.stops`' to find out; which probe can be where is `orchestrator.probe`'s, how a
ring is drained `machine.rings`'; what a second process may ask is `orchestrator.service`'s.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.config import Config, LinuxVm
from orchestrator.control import ControlServer
from orchestrator.errors import (
    CheckFailed,
    MachineError,
    UsageError,
)
from orchestrator.follow import PageFollower
from orchestrator.machine.board import Layout
from orchestrator.machine.channel import PluginChannel
from orchestrator.machine.command import HYPERVISOR_CONSOLE
from orchestrator.machine.marks import Marks
from orchestrator.machine.process import QemuMachine
from orchestrator.machine.protocol import Ability
from orchestrator.machine.ram import GuestRam
from orchestrator.machine.rings import RingReader, hypervisor_rings, plugin_rings
from orchestrator.machine.stops import Stops
from orchestrator.options import BootOptions, Reporter
from orchestrator.probe.arm import Probes
from orchestrator.probe.ending import Call, JobEnd, job_end
from orchestrator.probe.guest import Guest, find_guest
from orchestrator.probe.ledger import Ledger
from orchestrator.probe.registers import HypervisorMemory, VcpuReader
from orchestrator.probe.spec import resolve
from orchestrator.probe.start import StartPoint, place_point, start_point
from orchestrator.pull import pull_trace
from orchestrator.records import CONTROL, HV_TRACE_PA, Kind
from orchestrator.rundir import write_atomically
from orchestrator.service import Service
from orchestrator.trace.memory import PAGES_FOLDER

TRACE_FOLDER: Final = "trace"
PROBES_JSON: Final = "probes.json"
MARKS_JSON: Final = "marks.json"
_OWN_EVENTS: Final = sum(
    1 << kind for kind in (Kind.VM_ENTRY, Kind.VM_EXIT, Kind.VCPU_SWITCH, Kind.VIRQ)
)
_EVENTS_OFFSET: Final = dict(CONTROL.fields or {})["events"][1]


@dataclass(frozen=True, kw_only=True)
class ObserverPaths:
    """Files of an observed run.

    Attributes:
        channel: The plugin's socket.
        ring: The plugin's rings.
        control: Where other processes may ask.
        folder: Where streams and probes.json go.
    """

    channel: Path
    ring: Path
    control: Path
    folder: Path


class Observer:
    """Watches one run. `attach`, then `stopped` at each stop, then `finish`.

    Args:
        config: The run's, with the probes of the command line.
        layout: The board.
        images: By VM, the file with its symbols.
        hypervisor: The hypervisor's ELF; None: there is none.
        paths: See there.
        machine: The QEMU.
        options: What the user wants.
        reporter: Hears what happens.
        start_pa: The place at whose execution the machine stands from the beginning, since its
            state was loaded; None: it is at power-on.
    """

    def __init__(  # noqa: PLR0913 - it composes what it is given
        self,
        *,
        config: Config,
        layout: Layout,
        images: Mapping[str, Path],
        hypervisor: Path | None,
        paths: ObserverPaths,
        machine: QemuMachine,
        options: BootOptions,
        reporter: Reporter,
        start_pa: int | None = None,
    ) -> None:
        self._config = config
        self._layout = layout
        self._hypervisor = hypervisor
        self._paths = paths
        self._machine = machine
        self._options = options
        self._start_pa = start_pa
        self._reporter = reporter
        self.guests = {
            vm.name: Guest(vm.config, index=index, image=images[vm.name])
            for index, vm in enumerate(layout.vms)
        }
        self._start: StartPoint | None = None
        self._start_is_sync = False
        self._job_end: JobEnd | None = None
        self._job_has_ended = False
        self._marks: Marks | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._open = contextlib.AsyncExitStack()
        self._attached = False
        self._follower: PageFollower | None = None
        self._ram: GuestRam
        self._reader: RingReader
        self._channel: PluginChannel
        self._ledger: Ledger
        self._stops: Stops
        self.probes: Probes

    @property
    def _hypervisor_events(self) -> bool:
        return self._options.hypervisor_events and self._config.machine.hypervisor == "builtin"

    @property
    def _records(self) -> bool:
        """Whether something is recorded from the start point on."""
        return bool(self._config.probes or self._options.withdrawn) or self._hypervisor_events

    async def attach(self) -> None:
        """Connects to the machine, which has just been started and stands still.

        Raises:
            OrchestrateError: The plugin does not answer; a probe or the start point cannot be found.
        """
        for probe in self._config.probes:
            resolve(probe, find_guest(self.guests, probe.vm))  # better now than at that instant
        if self._records:
            self._start = start_point(self._config, self._layout, self.guests)
        elif self._options.command is not None:
            # A run that records nothing stops where others do: so it is the same to the guests.
            with contextlib.suppress(UsageError):  # a kernel of the user's, without such a place
                self._start = start_point(self._config, self._layout, self.guests)
        self._ram = ram = self._open.enter_context(GuestRam.of_process(self._machine.pid))
        self._channel = await PluginChannel.connect(self._paths.channel)
        self._open.push_async_callback(self._channel.close)
        own_hypervisor = self._config.machine.hypervisor == "builtin"
        rings = plugin_rings(self._paths.ring, self._layout.cores)
        rings += hypervisor_rings(ram, self._layout.cores) if own_hypervisor else []
        self._reader = RingReader(rings, self._paths.folder, on_records=self._options.on_records)
        self._open.callback(self._reader.discard)
        self._reader.start()
        self.probes = Probes(
            channel=self._channel,
            ram=ram,
            guests=self.guests,
            vcpus=self._vcpu_reader(ram, own_hypervisor=own_hypervisor),
            hypervisor=own_hypervisor,
        )
        self._ledger = Ledger(self.probes, self.guests)
        self._stops = Stops(
            self._machine,
            self._channel,
            end_ns=self._options.for_ns,
            busy_cores=self.probes.busy_cores,
            at_point=self._at_a_point,
        )
        await self._set_stops()
        service = Service(
            self.probes, self.guests, self._ledger, still=self.still, changed=self._write_ledger
        )
        control = ControlServer(self._paths.control, service.operations())
        await control.start()
        self._open.push_async_callback(control.close)
        self._attached = True
        if self._stands_at(self._start) or self._stands_at(self._job_end):
            await self._stops.loaded()

    async def _set_stops(self) -> None:
        """Has the machine stop where records begin, where the job's end is looked for, at marks."""
        if self._options.mark is not None:
            mark = place_point(self._options.mark, self._layout, self.guests)
            self._marks = Marks(self._channel, mark.pa)
        if self._start is None:
            if self._marks is not None:
                await self._marks.wait()
            return
        if self._options.command is not None:
            self._job_end = job_end(self._channel, self._layout, self.guests)
        if self._job_end is not None:
            self._start_is_sync = self._job_end.pa == self._start.pa
            if not self._stands_at(self._job_end):
                await self._job_end.wait()
        if not (self._stands_at(self._start) or self._start_is_sync):
            await self._channel.stop_at(self._start.pa)

    def _stands_at(self, place: StartPoint | JobEnd | None) -> bool:
        """Whether it is where the machine, whose state was loaded, stands."""
        return place is not None and place.pa == self._start_pa

    def _vcpu_reader(self, ram: GuestRam, *, own_hypervisor: bool) -> VcpuReader:
        memory = None
        if own_hypervisor and self._hypervisor is not None:
            memory = HypervisorMemory(self._hypervisor, ram.read)
        return VcpuReader(
            self._channel,
            hypervisor=memory,
            virtualized=self._layout.virtualization,
            pins=lambda vm: self._layout.vms[vm].config.pin,
        )

    async def stopped(self) -> bool:
        """QEMU has told of a stop, perhaps of one that is over.

        Returns:
            Whether that was ours; it then runs again, or the one who stopped it goes on.

        Raises:
            OrchestrateError: The probes cannot be placed.
        """
        return self._closing is not None or await self._stops.told()

    async def _at_a_point(self) -> bool:
        """The machine stands at the start point, in a call of sync(), or at a mark.

        Returns:
            Whether it goes on.
        """
        if self._finishing is not None:
            return await self._after_the_records()
        stacks = () if self._job_end is None else await self._job_end.stacks()
        start = None
        if self._start is not None and (not stacks or self._start_is_sync):
            start, self._start = self._start, None
            await self._arm()
        if self._marks is not None and (start is not None or not stacks):
            # Marks are waited for from the start on, which may itself be at one.
            if start is None or start.pa == self._marks.pa:
                await self._marks.take()
            await self._marks.wait()
        if self._job_end is not None and stacks:
            if Call.ENDED in [self._job_end.call(stack) for stack in stacks]:
                self._job_has_ended = True
                await self._end_records()
            await self._job_end.wait()
        return True

    async def _after_the_records(self) -> bool:
        """Has the machine go on until the host has all of the job's output, and not any further.

        So the consoles end at an instant of the guest, too.
        """
        if self._job_end is None:
            return True
        stacks = await self._job_end.stacks()
        if Call.TOLD in [self._job_end.call(stack) for stack in stacks]:
            return False
        if stacks:
            await self._job_end.wait()
        return True

    async def _arm(self) -> None:
        if not self._records:
            return
        now_ns = self._ledger.armed_ns = (await self._channel.time()).ns
        if self._hypervisor_events:
            at = HV_TRACE_PA + _EVENTS_OFFSET
            self._ram.write(at, _OWN_EVENTS.to_bytes(4, "little"))
        off, _ = await self.probes.add(self._options.withdrawn)
        await self.probes.remove([each.id for each in off])
        placed, skipped = await self.probes.add(self._config.probes)
        self._ledger.skip(skipped)
        self._reporter.note(
            f"{len(placed)} probe{'s' * (len(placed) != 1)} placed at "
            f"{now_ns / 1e9:.6f} s of guest time"
        )
        if skipped:
            self._reporter.note(f"left out: {len(skipped)}, such as {skipped[0]}")
        self._write_ledger()
        await self._follow()

    async def _follow(self) -> None:
        """Has somebody watch ftrace's pages from now on."""
        linux = next((vm for vm in self._layout.vms if isinstance(vm.config, LinuxVm)), None)
        if self._options.on_pages is None or linux is None:
            return
        self._follower = PageFollower(
            await self.probes.view(linux.name),
            self._ram,
            cpus=len(linux.config.pin),
            instance=self._config.trace.linux.instance,
            on_pages=self._options.on_pages,
        )
        self._open.callback(self._follower.stop)

    @contextlib.asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """The machine stands still meanwhile, and no core is on its way through the hypervisor.

        Raises:
            UsageError: The probes of the config are not placed yet, or the run is at its end.
            MachineError: QEMU is gone.
        """
        async with self._stops.still(self._check_records):
            yield

    def _check_records(self) -> None:
        if self._finishing is not None:
            raise UsageError("the run is at its end")
        if self._start is not None:
            raise UsageError(
                f"{self._start.text} was not executed yet, where records begin; try again later"
            )

    async def finish(self) -> None:
        """Ends the observation: counts, the guests' own bytes, complete streams. Safe to repeat.

        Raises:
            OrchestrateError: A probe was not placed, counted or removed as it should be. The
                streams are complete nevertheless, as far as they can be.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        # A second caller waits for the first one's work, and neither interrupts it.
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            # Who has the machine stand still, for another process, finishes first: else it would
            # let it go on while the last counts are taken.
            async with self._stops.alone() if self._attached else contextlib.nullcontext():
                await self._end_records()
        finally:
            await self._open.aclose()

    async def _end_records(self) -> None:
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish())
        await asyncio.shield(self._finishing)

    async def _finish(self) -> None:
        if not self._attached:
            return
        faults: list[str] = []
        gone = False
        try:
            await self._machine.stop()
            if self._follower is not None:
                await asyncio.to_thread(self._follower.finish)
            self._ledger.executed = await self._count_instructions()
            if self._options.ftrace and self._job_end is not None:
                await self._pull()
            await self._take_away(faults)
        except MachineError as error:
            gone = True
            faults.append(f"what the probes counted is taken from the records: {error.message}")
        # The machine stands still or is gone: what is in the rings now is all there will be.
        streams = await asyncio.to_thread(self._reader.finish)
        if gone:
            self._ledger.count_records({each: streams[each].path for each in streams})
        lost = {name: each.lost for name, each in streams.items() if each.lost}
        if lost:
            faults.append(f"records were lost: {lost}")
        self._write_ledger()
        self._write_marks()
        if faults:
            raise CheckFailed("\n".join(faults))

    async def _count_instructions(self) -> list[dict[str, int]]:
        """Instructions that each core has executed, by whose they were; none in real time."""
        if Ability.DETERMINISTIC not in self._channel.abilities:
            return []
        return [
            {vm.name: core.vm[index] for index, vm in enumerate(self._layout.vms)}
            | {HYPERVISOR_CONSOLE: core.hypervisor}
            | ({"uncounted": core.uncounted} if core.uncounted else {})
            for core in await self._channel.counters()
        ]

    async def _pull(self) -> None:
        linux = next(vm for vm in self._layout.vms if isinstance(vm.config, LinuxVm))
        if self._job_has_ended:
            self._reporter.phase("pull")
        note = await pull_trace(
            self.probes,
            self.guests[linux.name],
            self._ram,
            linux=linux,
            job_has_ended=self._job_has_ended,
            instance=self._config.trace.linux.instance,
            folder=self._paths.folder / PAGES_FOLDER,
        )
        if note:
            self._reporter.note(f"{linux.name}: {note}")

    async def _take_away(self, faults: list[str]) -> None:
        if self._start is not None and self._records:
            faults.append(
                f"the probes were never placed: {self._start.text} was not executed; see arm_at "
                "in [trace]"
            )
        busy = bool(await self.probes.busy_cores())
        for number, placed in list(self.probes.placed.items()):
            hits = await self.probes.hits(number)
            self._ledger.count(placed, hits)
            # A core on its way through the hypervisor was counted by one and not yet by the other.
            fault = None if busy else hits.contradiction()
            if fault:
                faults.append(f"probe {number} ({placed.wanted.name}): {fault}")
        try:
            await self.probes.remove(list(self.probes.placed), counted=False)
        except CheckFailed as error:
            faults.append(error.message)

    def _write_marks(self) -> None:
        if self._marks is not None:
            text = json.dumps(self._marks.document(), indent=1) + "\n"
            write_atomically(self._paths.folder / MARKS_JSON, text.encode())

    def _write_ledger(self) -> None:
        content = self._ledger.content()
        if content is not None:
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            write_atomically(self._paths.folder / PROBES_JSON, text.encode())
