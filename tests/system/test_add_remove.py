# SPDX-License-Identifier: MIT
"""Probes come and go while both cores run through them; nothing is lost and nothing is left."""

import asyncio
from typing import Any

import numpy as np
import pytest

from orchestrator.machine.channel import PluginProbe
from orchestrator.machine.protocol import ProbeMode
from orchestrator.machine.rings import RingReader, plugin_rings
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

PLACES = 8
STOPS = 1250
IDS = 8000
"""In turn: the hypervisor may be at work for the last hit of an id when its probe is gone already."""
STEPS = 1_000_000
"""Instructions in which each core has several slices, and is past any trap."""
PAUSE_S = 0.0001
"""Of host time between two stops: some hundred calls of the places."""


async def run_on(made: Any) -> None:
    """Lets both cores get further, however little of the host's time QEMU is given."""
    before = (await made.channel.time()).instructions
    while (await made.channel.time()).instructions < before + STEPS:
        await made.run_for(PAUSE_S)


def test_ten_thousand_times_under_load(
    probed_board: Any, places_symbols: dict[str, int], tmp_path: Any
) -> None:
    """Each stop lifts eight probes and places eight: hits agree, bytes are back, the guest goes on."""

    async def act() -> None:
        async with probed_board(rounds=0xFFFF_FFFF) as made:
            vas = [places_symbols[f"place_{i}"] for i in range(PLACES)]
            before = [made.ram.read(made.pa(0, va), 8) for va in vas]
            reader = RingReader(plugin_rings(made.paths.ring, 2), tmp_path / "trace")
            reader.start()
            plugin_hits = np.zeros(2, np.int64)
            hypervisor_hits = np.zeros(2, np.int64)
            try:
                for turn in range(STOPS):
                    probes = [
                        PluginProbe(
                            id=1 + (turn * PLACES + i) % IDS,
                            mode=ProbeMode.HVC,
                            vm=0,
                            va=va,
                            pa=made.pa(0, va),
                        )
                        for i, va in enumerate(vas)
                    ]
                    for probe in probes:
                        await made.place_hvc(probe)
                    await made.run_for(PAUSE_S)
                    for probe in probes:
                        counts = await made.lift_hvc(probe)
                        plugin_hits += counts.cpu_hits
                        hypervisor_hits += made.entry(probe.id)["hits"][0, :2]
                assert [made.ram.read(made.pa(0, va), 8) for va in vas] == before
                await run_on(made)  # the last traps end, and are written
                undefined = made.ram.read(made.pa(0, places_symbols["undefined_count"]), 8)
                assert undefined == bytes(8)
                streams = reader.finish()
            finally:
                reader.discard()
        # A core that is stopped between its trap and the hypervisor's look finds no HVC any more.
        unseen = plugin_hits - hypervisor_hits
        assert np.all((unseen >= 0) & (unseen <= STOPS)), unseen
        assert [streams[f"plugin-{core}"].records for core in range(2)] == plugin_hits.tolist()
        assert np.all(plugin_hits > STOPS)
        for core in range(2):
            records = read_stream(streams[f"plugin-{core}"].path).records
            assert np.array_equal(records["pc"], np.array(vas)[(records["id"] - 1) % PLACES])

    asyncio.run(act())
