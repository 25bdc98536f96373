# SPDX-License-Identifier: MIT
"""A board in its maker's own hands: planned as any other, but driven step by step over QMP and channel.

For measurements and tests that place probes by address and stop where they like. It knows where a
flat bare-metal guest has its symbols, and nothing else of guests; runs for users are `session`'s.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator import config
from orchestrator.errors import MachineError
from orchestrator.images import sources
from orchestrator.images.initramfs import base_initramfs, files_cpio
from orchestrator.images.job import job_area
from orchestrator.images.kernel import DEFAULT_BOOTARGS, linux_kernel
from orchestrator.images.store import Store
from orchestrator.machine.board import Layout
from orchestrator.machine.channel import PluginChannel, PluginProbe, ProbeCounts
from orchestrator.machine.command import INCOMING, Paths, console_names, qemu_command
from orchestrator.machine.elf import read_elf
from orchestrator.machine.layout import plan
from orchestrator.machine.placement import LinuxImage, VmImage
from orchestrator.machine.private_dir import private_dir
from orchestrator.machine.process import QemuMachine
from orchestrator.machine.ram import GuestRam
from orchestrator.probe.emulation import Operation
from orchestrator.probe.instruction import decode, word_at
from orchestrator.probe.program import words
from orchestrator.records import (
    HV_TRACE_OPS,
    HV_TRACE_PA,
    HV_TRACE_PROBES,
    MAX_OPS,
    OP,
    PROBE,
    ProbeFlag,
)

_START_S: Final = 120.0
_STOP_S: Final = 600.0
_MAX_SEGMENTS: Final = 7
_NO_PROGRAM_PA: Final = HV_TRACE_PA + HV_TRACE_OPS + (MAX_OPS - 1) * OP.itemsize
"""The table's last operation, which nobody has changed from END."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A machine that is stopped before its first instruction.

    Attributes:
        layout: The plan of the board.
        machine: QEMU.
        channel: To the plugin.
        ram: Of the board.
        paths: Logs, and the file with the plugin's rings.
        stop_ns: Guest time at which the plugin stops it; None: never.
    """

    layout: Layout
    machine: QemuMachine
    channel: PluginChannel
    ram: GuestRam
    paths: Paths
    stop_ns: int | None = None

    def pa(self, vm: int, va: int) -> int:
        """Where a bare-metal guest that maps its memory flat has an address."""
        layout = self.layout.vms[vm]
        return va - layout.ram_ipa + layout.ram_pa

    async def place_hvc(
        self,
        probe: PluginProbe,
        *,
        thumb: bool = False,
        program_pa: int = _NO_PROGRAM_PA,
        flags: int = 0,
    ) -> None:
        """Has hypervisor and plugin know a probe, and writes its HVC over an instruction of 32 bits.

        Args:
            probe: Its program is the plugin's; the hypervisor's is in its own table.
            thumb: The instruction is T32.
            program_pa: Where in that table it begins.
            flags: Of `struct trace_probe`, beyond what `thumb` and the entry's bounds ask for; 0:
                the hypervisor emulates and counts, but records nothing.

        Raises:
            MachineError: The instruction cannot be emulated; nothing was written.
        """
        word = word_at(self.ram.read(probe.pa, 4), thumb=thumb)
        decoded = decode(word, va=probe.va, thumb=thumb)
        if not isinstance(decoded, Operation):
            raise MachineError(f"{probe.va:#x}: {word:#010x} cannot be emulated: {decoded.reason}")
        entry = self.entry(probe.id)
        entry["va"], entry["word"], entry["vm"] = probe.va, word, probe.vm
        entry["next"] = probe.va + 4
        bounded = any(int(entry[bound][0]) for bound in ("limit", "from_ns", "until_ns"))
        entry["flags"] = (
            flags
            | ProbeFlag.T32 * thumb
            | ProbeFlag.BOUNDED * bounded
            | ProbeFlag.CONDITIONAL * decoded.conditional
        )
        entry["emulation"], entry["operand"] = decoded.emulation, decoded.packed()
        entry["cond"] = decoded.cond
        entry["program_pa"], entry["words"] = program_pa, words(probe.program)
        entry["hits"], entry["taken"] = 0, 0
        entry["state"] = 1
        await self.channel.add_probe(probe)
        await self.channel.write_physical(probe.pa, hvc(probe.id, thumb=thumb))

    async def lift_hvc(self, probe: PluginProbe) -> ProbeCounts:
        """Undoes `place_hvc`, in the opposite order."""
        entry = self.entry(probe.id)
        thumb = bool(int(entry["flags"][0]) & ProbeFlag.T32)
        await self.channel.write_physical(probe.pa, _code(int(entry["word"][0]), thumb=thumb))
        counts = await self.channel.remove_probe(probe.id)
        entry["state"] = 0
        return counts

    def entry(self, probe_id: int) -> NDArray[np.void]:
        """The probe's entry in the hypervisor's table."""
        pa = HV_TRACE_PA + HV_TRACE_PROBES + probe_id * PROBE.itemsize
        return self.ram.view(pa, PROBE, 1)

    async def run_to_stop(self, *, limit_s: float = _STOP_S) -> None:
        """Lets the machine go on until it stops by itself; at its `stop_ns` it stands already.

        Raises:
            MachineError: It does not within this host time, and runs; QEMU is gone.
        """
        if await self._at_the_end():
            return
        await self._go_on()
        try:
            async with asyncio.timeout(limit_s):
                await self._stopped()
        except TimeoutError:
            now_ns = (await self.channel.time()).ns
            raise MachineError(
                f"the machine did not stop within {limit_s:g} s and is at {now_ns} ns of guest "
                "time: is the place of its stop point executed, and not before?"
            ) from None

    async def run_for(self, seconds: float) -> None:
        """Lets the machine go on, and stops it after some host time, or at its `stop_ns`."""
        if await self._at_the_end():
            return
        await self._go_on()
        await asyncio.sleep(seconds)
        await self.machine.stop()
        await self._stopped()

    async def _at_the_end(self) -> bool:
        """Whether the plugin has stopped it for good: it does so once, and then it would go on."""
        return self.stop_ns is not None and (await self.channel.time()).ns >= self.stop_ns

    async def _go_on(self) -> None:
        self.machine.forget_events()  # of a stop before, that nobody has waited for
        await self.machine.cont()

    async def _stopped(self) -> None:
        async with aclosing(self.machine.events()) as events:
            async for event in events:
                if event["event"] == "STOP":
                    return
        raise self.machine.death()


def staged_pa(layout: Layout, vm: int, va: int) -> int:
    """Where the hypervisor will copy an address of a flat guest from, when it starts it.

    Raises:
        MachineError: The address is in no image.
    """
    for image in layout.vms[vm].images:
        if 0 <= va - image.ipa < image.bytes:
            return va - image.ipa + image.source_pa
    raise MachineError(f"{va:#x} is in no image of VM {vm}")


def hvc(immediate: int, *, thumb: bool = False) -> bytes:
    """The bytes of `HVC #immediate` (DDI 0406C, B9.3.4)."""
    if thumb:
        return _code(0xF7E0_8000 | immediate >> 12 << 16 | immediate & 0xFFF, thumb=True)
    return _code(0xE140_0070 | (immediate & 0xFFF0) << 4 | immediate & 0xF, thumb=False)


def _code(word: int, *, thumb: bool) -> bytes:
    """An instruction of 32 bits in memory order; of a T32 one the high halfword comes first."""
    if thumb:
        word = word >> 16 | (word & 0xFFFF) << 16
    return word.to_bytes(4, "little")


@cache
def elf_symbols(elf: Path) -> tuple[tuple[str, str, int], ...]:
    """Name, type letter and value of each symbol, as binutils reads them."""
    listing = subprocess.run(
        ("arm-linux-gnueabihf-nm", elf), check=True, capture_output=True, text=True
    ).stdout
    rows = (line.split() for line in listing.splitlines())
    defined = (row for row in rows if row[0] != "U")
    return tuple((name, kind, int(value, 16)) for value, kind, name in defined)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a QEMU can be started with.

    Attributes:
        layout: The plan of the board.
        paths: Its files.
        command: The command line, program first.
    """

    layout: Layout
    paths: Paths
    command: tuple[str, ...]


def prepare(
    folder: Path, sockets: Path, toml: str, *, plugin: bool = True, stop_ns: int | None = None
) -> Prepared:
    """Plans a board and writes the files that QEMU loads.

    Args:
        folder: Takes them, and the logs.
        sockets: A directory with a short path.
        toml: The text of a config.
        plugin: Whether QEMU has the plugin, with channel and rings.
        stop_ns: Guest time at which the plugin stops the machine.

    Raises:
        ConfigError: The config is wrong.
        MissingToolError: What a part is built with is missing.
    """
    (folder / "board.toml").write_text(toml)
    wanted = config.load(folder / "board.toml")
    built_in = wanted.machine.hypervisor == "builtin"
    layout = plan(
        wanted,
        {vm.name: _image(vm) for vm in wanted.vms},
        hypervisor=sources.build("hypervisor") if built_in else None,
    )
    inputs = {}
    for blob in layout.blobs:
        if isinstance(blob.content, bytes):
            inputs[blob.name] = folder / blob.name
            inputs[blob.name].write_bytes(blob.content)
        else:
            inputs[blob.name] = blob.content
    kernel = layout.kernel if isinstance(layout.kernel, Path) else folder / "boot.elf"
    if isinstance(layout.kernel, bytes):
        kernel.write_bytes(layout.kernel)
    names = console_names(layout)
    paths = Paths(
        qmp=sockets / "qmp.sock",
        console_sockets={name: sockets / f"console-{name}.sock" for name in names},
        console_logs={name: folder / f"{name}.log" for name in names},
        ports={},
        inputs=inputs,
        kernel=kernel,
        plugin=sources.build("plugin") if plugin else None,
        channel=sockets / "plugin.sock" if plugin else None,
        ring=folder / "plugin.ring" if plugin else None,
    )
    command = tuple(qemu_command(layout, wanted, paths, stop_ns=stop_ns))
    return Prepared(layout=layout, paths=paths, command=command)


def _image(vm: config.VmConfig) -> VmImage:
    if not isinstance(vm, config.LinuxVm):
        path = sources.build("rtos") if vm.image == "rtos" else Path(vm.image)
        return read_elf(path, max_segments=_MAX_SEGMENTS)
    store = Store()
    kernel = linux_kernel(store, vm.kernel)
    return LinuxImage(
        kernel=kernel.path,
        text_offset=kernel.text_offset,
        memory_bytes=kernel.memory_bytes,
        initramfs=base_initramfs(store, kernel),
        files=files_cpio(()),
        job=job_area(None),
        bootargs=DEFAULT_BOOTARGS,
    )


def machine_of(made: Prepared, folder: Path, *options: str) -> QemuMachine:
    """QEMU for a prepared board, not started yet.

    Args:
        made: What it is started with.
        folder: For what QEMU itself has to say.
        options: Further words of its command line.
    """
    command = (*made.command, *options)
    return QemuMachine(command, qmp_path=made.paths.qmp, stderr_path=folder / "qemu.log")


@asynccontextmanager
async def open_board(
    folder: Path, toml: str, *, stop_ns: int | None = None, state: Path | None = None
) -> AsyncIterator[Board]:
    """A board, stopped at power-on or where a saved state was; QEMU is gone when it is left.

    Args:
        folder: Empty; takes config, inputs, logs and rings.
        toml: The text of a config.
        stop_ns: Guest time at which the plugin stops the machine.
        state: A folder with the files `machine` and `plugin` of a saved state.

    Raises:
        OrchestrateError: The board cannot be planned, built or started.
    """
    with private_dir() as sockets:
        made = prepare(folder, sockets, toml, stop_ns=stop_ns)
        async with machine_of(made, folder, *(INCOMING if state else ())) as machine:
            await machine.start(timeout_s=_START_S)
            if state:
                await machine.load_state(state / "machine")
            with GuestRam.of_process(machine.pid) as ram:
                async with await PluginChannel.connect(sockets / "plugin.sock") as channel:
                    if state:
                        await channel.load_state((state / "plugin").read_bytes())
                    yield Board(
                        layout=made.layout,
                        machine=machine,
                        channel=channel,
                        ram=ram,
                        paths=made.paths,
                        stop_ns=stop_ns,
                    )
