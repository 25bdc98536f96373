# SPDX-License-Identifier: MIT
"""HVCs as the plugin sees them: none missed, none twice, on the right core, with their cost.

The guest (images/bench/places.c) calls eight places a known number of times on each of two vCPUs at
once. These HVCs are nobody's, so the hypervisor gives the guest an undefined instruction for each,
which the guest counts.
"""

import asyncio
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.bench.board import hvc, staged_pa
from orchestrator.machine.channel import ChannelError, PluginProbe
from orchestrator.machine.protocol import Ability, ProbeMode
from orchestrator.machine.rings import RingReader, plugin_rings
from orchestrator.probe.program import Code
from orchestrator.records import OP, Kind
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

PLACES = 8
ROUNDS = 4000
MODE_SVC = 0x13
SP = 13


def test_every_hit_is_counted_on_its_core(
    probed_board: Any, places_symbols: dict[str, int], tmp_path: Path
) -> None:
    """Two cores at once, eight probes: N of each on each core, by plugin, stream and guest."""

    async def act() -> None:
        program = np.array([(4, SP, Code.REGISTER, 0), (0, 17, Code.U32, 0), (0, 17, 0, 0)], OP)
        async with probed_board(ROUNDS) as made:
            channel = made.channel
            reader = RingReader(plugin_rings(made.paths.ring, 2), tmp_path / "trace")
            reader.start()
            try:
                for i in range(PLACES):
                    va = places_symbols[f"place_{i}"]
                    pa = made.pa(0, va)
                    probe = PluginProbe(
                        id=0x1230 + i, mode=ProbeMode.HVC, vm=0, va=va, pa=pa, program=program
                    )
                    await channel.add_probe(probe)
                    await channel.write_physical(pa, hvc(probe.id))
                await channel.stop_at(made.pa(0, places_symbols["all_done"]))
                await made.run_to_stop()
                counts = [await channel.probe_counts(0x1230 + i) for i in range(PLACES)]
                assert [each.cpu_hits for each in counts] == [(ROUNDS, ROUNDS)] * PLACES
                undefined = made.ram.read(made.pa(0, places_symbols["undefined_count"]), 8)
                assert struct.unpack("<2I", undefined) == (PLACES * ROUNDS,) * 2
                streams = reader.finish()
            finally:
                reader.discard()
        for core in range(2):
            records = read_stream(streams[f"plugin-{core}"].path).records
            assert len(records) == PLACES * ROUNDS
            assert np.all(records["id"] == 0x1230 + np.arange(len(records)) % PLACES)
            assert np.all(records["cpu"] == core)
            assert np.all(records["vcpu"] == core)
            assert np.all(records["vm"] == 0)
            assert np.all(records["cpsr"] & 0x1F == MODE_SVC)
            assert np.all(records["valid"] == 1)
            place_of = [places_symbols[f"place_{i}"] for i in range(PLACES)]
            assert np.all(records["pc"] == np.resize(place_of, len(records)))
            assert len(set(records["sp"])) == 1
            # Trap, injected exception, the guest's handler; nobody else runs on the core.
            gaps = np.diff(records["time_ns"].astype(np.int64))
            costs = records["cost"].astype(np.int64)
            assert np.all((costs > 20) & (costs < 400))
            assert np.all(gaps > costs[:-1])

    asyncio.run(act())


REALTIME = """
[machine]
cores = 2
[clock]
mode = "realtime"
[vm.probed]
type = "elf"
image = "{elf}"
ram = "4M"
pin = [0, 1]
"""


def test_in_the_realtime_clock_every_hit_is_counted_on_its_core_too(
    board: Any, places_elf: Path, places_symbols: dict[str, int], tmp_path: Path
) -> None:
    """Both cores run at the same time on threads of their own; what is not recorded is told."""
    rounds = 1000  # as the guest is built

    async def act() -> None:
        async with board(REALTIME.format(elf=places_elf)) as made:
            channel = made.channel
            assert channel.abilities == Ability.HAS_HYP | Ability.HAS_RING
            for i in range(PLACES):
                va = places_symbols[f"place_{i}"]
                probe = PluginProbe(
                    id=0x1230 + i, mode=ProbeMode.HVC, vm=0, va=va, pa=made.pa(0, va)
                )
                await channel.add_probe(probe)
                await channel.write_physical(staged_pa(made.layout, 0, va), hvc(probe.id))
            await channel.stop_at(made.pa(0, places_symbols["all_done"]))
            reader = RingReader(plugin_rings(made.paths.ring, 2), tmp_path / "trace")
            reader.start()
            try:
                await made.run_to_stop()
                counts = [await channel.probe_counts(0x1230 + i) for i in range(PLACES)]
                with pytest.raises(ChannelError, match="deterministic clock"):
                    await channel.counters()
                streams = reader.finish()
            finally:
                reader.discard()
        assert [each.cpu_hits for each in counts] == [(rounds, rounds)] * PLACES
        for core in range(2):
            stream = streams[f"plugin-{core}"]
            records = read_stream(stream.path).records
            kept = records[records["kind"] == Kind.PROBE]
            told = records[records["kind"] == Kind.LOSS]["word"][:, 0].sum()
            assert len(kept) + stream.lost == PLACES * rounds
            assert told <= stream.lost
            assert np.all(kept["cpu"] == core)
            assert np.all(kept["vcpu"] == core)
            assert np.all(np.diff(kept["time_ns"].astype(np.int64)) > 0)

    asyncio.run(act())
