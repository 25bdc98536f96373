# SPDX-License-Identifier: MIT
"""A guest that changes its tables between two hits is read through those of the hit.

The hypervisor remembers sections that it has looked up; the plugin asks QEMU each time. The hits are at
the RTOS's switches: in Supervisor mode and, those that an interrupt makes, in IRQ mode.
"""

import asyncio
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator import records
from orchestrator.bench.board import elf_symbols
from orchestrator.images import sources
from orchestrator.machine.channel import PluginProbe
from orchestrator.machine.protocol import ProbeMode
from orchestrator.machine.rings import RingReader, hypervisor_rings, plugin_rings
from orchestrator.probe.program import Code
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

TOML: Final = """
[machine]
cores = 1
[vm.rtos]
type = "elf"
ram = "16M"
pin = [0]
"""
VA: Final = 0x7000_0000
SECTION_A, SECTION_B = 0x4050_0000, 0x4060_0000
"""In the guest's RAM, and not used by it."""
AT: Final = 0x1234
VALUES: Final = {SECTION_A: 0xAAAA_0001, SECTION_B: 0xBBBB_0002}
READ_WRITE, NO_ACCESS, DOMAIN_3 = 0x402, 0x002, 3 << 5
"""Sections (B3.5.1). The guest's DACR gives access to domain 0 only."""
STEPS: Final = (
    (0, None),
    (SECTION_A | READ_WRITE, VALUES[SECTION_A]),
    (SECTION_A | READ_WRITE, VALUES[SECTION_A]),
    (SECTION_B | READ_WRITE, VALUES[SECTION_B]),
    (SECTION_A | READ_WRITE | DOMAIN_3, None),
    (SECTION_A | READ_WRITE, VALUES[SECTION_A]),
    (SECTION_A | NO_ACCESS, None),
    (SECTION_B | READ_WRITE, VALUES[SECTION_B]),
    (0, None),
)
SP, LR, PC, CPSR = 13, 14, 15, 16
PROGRAM: Final = np.array(
    [
        (4, 0, Code.SET, VA + AT),
        (0, 0, Code.U32, 0),
        *((0, register, Code.VALUE, 0) for register in (SP, LR, PC, CPSR)),
        (8, SP, Code.REGISTER, 0),
        (0, 0, Code.U64, 0),
        (0, 0, Code.END, 0),
    ],
    records.OP,
)
WORDS: Final = 7
MODE, SVC, IRQ = 0x1F, 0x13, 0x12


async def words_seen(make: Any, folder: Path) -> dict[str, NDArray[Any]]:
    """Records of both observers; before each hit the guest's table has another entry for the section."""
    symbols = {name: va for name, _, va in elf_symbols(sources.build("rtos"))}
    hook, table = symbols["OSTaskSwHook"], symbols["l1_table"]
    async with make(TOML) as board:
        behind = board.pa(0, hook + 8)
        await board.channel.stop_at(behind)
        await board.run_to_stop()
        for section, value in VALUES.items():
            board.ram.write(board.pa(0, section) + AT, struct.pack("<I", value))
        program_pa = records.HV_TRACE_PA + records.HV_TRACE_OPS
        board.ram.write(program_pa, PROGRAM.tobytes())
        probe = PluginProbe(
            id=1, mode=ProbeMode.HVC, vm=0, va=hook, pa=board.pa(0, hook), program=PROGRAM
        )
        await board.place_hvc(probe, flags=records.ProbeFlag.RECORD, program_pa=program_pa)
        reader = RingReader(
            [*plugin_rings(board.paths.ring, 1), *hypervisor_rings(board.ram, 1)], folder
        )
        reader.start()
        try:
            for entry, _ in STEPS:
                board.ram.write(board.pa(0, table) + 4 * (VA >> 20), struct.pack("<I", entry))
                await board.channel.stop_at(behind)
                await board.run_to_stop()
            streams = reader.finish()
        finally:
            reader.discard()
    return {name: read_stream(stream.path).records for name, stream in streams.items()}


def test_what_is_remembered_is_what_is_there(board: Any, tmp_path: Path) -> None:
    streams = asyncio.run(words_seen(board, tmp_path / "trace"))
    for name, stream in streams.items():
        found = [
            int(record["word"][0]) if record["valid"] & 1 else None
            for record in stream[: len(STEPS)]
        ]
        assert found == [value for _, value in STEPS], name
        assert len(stream) == len(STEPS), name
    plugin, hypervisor = streams["plugin-0"], streams["hypervisor-0"]
    assert np.array_equal(plugin["valid"], hypervisor["valid"])
    assert np.array_equal(plugin["word"][:, :WORDS], hypervisor["word"][:, :WORDS])
    for number, field in enumerate(("sp", "lr", "pc", "cpsr"), start=1):
        assert np.array_equal(plugin["word"][:, number], plugin[field]), field
    assert set((plugin["cpsr"] & MODE).tolist()) == {SVC, IRQ}
    costs = streams["plugin-0"]["cost"].tolist()
    assert costs[2] < costs[1], "it was looked up before"
