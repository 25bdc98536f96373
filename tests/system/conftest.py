# SPDX-License-Identifier: MIT
"""A board under the tests' own hands: planned by the real layout, driven over QMP and the channel."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator import config
from orchestrator.images import sources
from orchestrator.machine.board import Layout
from orchestrator.machine.channel import PluginChannel, PluginProbe, ProbeCounts
from orchestrator.machine.command import INCOMING, Paths, console_names, qemu_command
from orchestrator.machine.elf import read_elf
from orchestrator.machine.layout import plan
from orchestrator.machine.private_dir import private_dir
from orchestrator.machine.process import QemuMachine
from orchestrator.machine.ram import GuestRam
from orchestrator.probe.emulation import Operation
from orchestrator.probe.instruction import decode
from orchestrator.records import HV_TRACE_PA, HV_TRACE_PROBES, PROBE

START_S = 30.0
PROBED = """
[machine]
cores = 2
[clock]
quantum = "50us"
[vm.probed]
type = "elf"
image = "{elf}"
ram = "4M"
pin = [0, 1]
"""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A machine that is stopped before its first instruction."""

    layout: Layout
    machine: QemuMachine
    channel: PluginChannel
    ram: GuestRam
    paths: Paths

    def pa(self, vm: int, va: int) -> int:
        """Where a bare-metal guest that maps its memory flat has an address."""
        layout = self.layout.vms[vm]
        return va - layout.ram_ipa + layout.ram_pa

    async def place_hvc(self, probe: PluginProbe, *, first_fetch: int = 0, flags: int = 0) -> None:
        """Has hypervisor and plugin know a probe, and writes its HVC over an A32 instruction."""
        word = int.from_bytes(self.ram.read(probe.pa, 4), "little")
        decoded = decode(word, va=probe.va, thumb=False)
        assert isinstance(decoded, Operation)
        entry = self.entry(probe.id)
        entry["va"], entry["word"], entry["vm"], entry["flags"] = probe.va, word, probe.vm, flags
        entry["emulation"], entry["operand"] = decoded.emulation, decoded.packed()
        entry["first_fetch"], entry["fetch_count"] = first_fetch, len(probe.fetches)
        entry["hits"], entry["taken"] = 0, 0
        entry["state"] = 1
        await self.channel.add_probe(probe)
        await self.channel.write_physical(probe.pa, hvc(probe.id))

    async def lift_hvc(self, probe: PluginProbe) -> ProbeCounts:
        """Undoes `place_hvc`, in the opposite order."""
        entry = self.entry(probe.id)
        word = int(entry["word"][0])
        await self.channel.write_physical(probe.pa, word.to_bytes(4, "little"))
        counts = await self.channel.remove_probe(probe.id)
        entry["state"] = 0
        return counts

    def entry(self, probe_id: int) -> NDArray[np.void]:
        """The probe's entry in the hypervisor's table."""
        pa = HV_TRACE_PA + HV_TRACE_PROBES + probe_id * PROBE.itemsize
        return self.ram.view(pa, PROBE, 1)

    async def run_to_stop(self) -> None:
        """Lets the machine go on until it stops by itself."""
        await self.machine.cont()
        await self._stopped()

    async def run_for(self, seconds: float) -> None:
        """Lets the machine go on, and stops it after some host time."""
        await self.machine.cont()
        await asyncio.sleep(seconds)
        await self.machine.stop()
        await self._stopped()

    async def _stopped(self) -> None:
        async with aclosing(self.machine.events()) as events:
            async for event in events:
                if event["event"] == "STOP":
                    return
        raise self.machine.death()


BoardMaker = Callable[..., AbstractAsyncContextManager[Board]]


def hvc(immediate: int) -> bytes:
    """`HVC #immediate` in A32 (DDI 0406C, B9.3.4)."""
    word = 0xE140_0070 | (immediate & 0xFFF0) << 4 | (immediate & 0xF)
    return word.to_bytes(4, "little")


@cache
def _symbols(elf: Path) -> tuple[tuple[str, str, int], ...]:
    """Name, type and value of each symbol, as binutils reads them."""
    listing = subprocess.run(
        ("arm-linux-gnueabihf-nm", elf), check=True, capture_output=True, text=True
    ).stdout
    rows = (line.split() for line in listing.splitlines())
    return tuple((row[2], row[1], int(row[0], 16)) for row in rows if len(row) == 3)


@pytest.fixture(scope="session")
def rtos_symbols() -> dict[str, int]:
    """Addresses of the RTOS's symbols."""
    return {name: value for name, _, value in _symbols(sources.build("rtos"))}


@pytest.fixture(scope="session")
def rtos_functions() -> dict[str, int]:
    """Addresses of the RTOS's code symbols."""
    rows = _symbols(sources.build("rtos"))
    return {name: value for name, kind, value in rows if kind in {"t", "T"}}


@pytest.fixture(scope="session")
def places_elf() -> Path:
    """The guest that is probed (images/bench/places.c)."""
    return sources.build("bench").with_name("places.elf")


@pytest.fixture(scope="session")
def places_symbols(places_elf: Path) -> dict[str, int]:
    """Addresses of its symbols."""
    return {name: value for name, _, value in _symbols(places_elf)}


@pytest.fixture
def probed_board(
    board: BoardMaker, places_elf: Path, places_symbols: dict[str, int]
) -> Callable[[int], AbstractAsyncContextManager[Board]]:
    """Makes a board whose one guest, on two cores, is about to call its places so many times."""

    @asynccontextmanager
    async def make(rounds: int) -> AsyncIterator[Board]:
        toml = PROBED.format(elf=places_elf)
        async with board(toml) as made:
            await made.channel.stop_at(made.pa(0, places_symbols["run"]))
            await made.run_to_stop()
            rounds_pa = made.pa(0, places_symbols["rounds"])
            made.ram.write(rounds_pa, rounds.to_bytes(4, "little"))
            yield made

    return make


@asynccontextmanager
async def _board(
    folder: Path, toml: str, *, stop_ns: int | None = None, state: Path | None = None
) -> AsyncIterator[Board]:
    (folder / "board.toml").write_text(toml)
    wanted = config.load(folder / "board.toml")
    elves = {
        vm.name: sources.build("rtos") if vm.image == "rtos" else Path(vm.image)
        for vm in wanted.vms
        if not isinstance(vm, config.LinuxVm)
    }
    hypervisor = sources.build("hypervisor") if wanted.machine.hypervisor == "builtin" else None
    images = {name: read_elf(path, max_segments=7) for name, path in elves.items()}
    layout = plan(wanted, images, hypervisor=hypervisor)
    inputs = {}
    for blob in layout.blobs:
        if isinstance(blob.content, bytes):
            inputs[blob.name] = folder / blob.name
            inputs[blob.name].write_bytes(blob.content)
        else:
            inputs[blob.name] = blob.content
    names = console_names(layout)
    assert isinstance(layout.kernel, Path)
    with private_dir() as sockets:
        paths = Paths(
            qmp=sockets / "qmp.sock",
            console_sockets={name: sockets / f"console-{name}.sock" for name in names},
            console_logs={name: folder / f"{name}.log" for name in names},
            ports={},
            inputs=inputs,
            kernel=layout.kernel,
            plugin=sources.build("plugin"),
            channel=sockets / "plugin.sock",
            ring=folder / "plugin.ring",
        )
        assert paths.channel
        machine = QemuMachine(
            [*qemu_command(layout, wanted, paths, stop_ns=stop_ns), *(INCOMING if state else ())],
            qmp_path=paths.qmp,
            stderr_path=folder / "qemu.log",
        )
        async with machine:
            await machine.start(timeout_s=START_S)
            if state:
                await machine.load_state(state / "machine")
            with GuestRam.of_process(machine.pid) as ram:
                async with await PluginChannel.connect(paths.channel) as channel:
                    if state:
                        await channel.load_state((state / "plugin").read_bytes())
                    yield Board(
                        layout=layout, machine=machine, channel=channel, ram=ram, paths=paths
                    )


@pytest.fixture
def board(tmp_path: Path) -> BoardMaker:
    """Makes a board of a config's text, or of a saved state; its guests are bare-metal ELFs."""

    def make(
        toml: str, *, stop_ns: int | None = None, name: str = "", state: Path | None = None
    ) -> AbstractAsyncContextManager[Board]:
        folder = tmp_path / (name or f"board-{len(list(tmp_path.iterdir()))}")
        folder.mkdir()
        return _board(folder, toml, stop_ns=stop_ns, state=state)

    return make
