# SPDX-License-Identifier: MIT
"""Instructions of guests and hypervisor, and the cost of a trap, against the guest's own code."""

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.bench.places import ALL_PLACES, places_toml, run_to_first_call
from orchestrator.machine.channel import CoreCounters, PluginProbe
from orchestrator.machine.protocol import ProbeMode
from orchestrator.machine.rings import RingReader, plugin_rings
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

PLACE_INSTRUCTIONS = 2  # one, and the return


def round_instructions(elf: Path, place_va: int) -> int:
    """How many a round of the guest's loop takes, from its disassembly: it has no inner branch.

    Args:
        elf: The guest.
        place_va: What is called first in the loop.
    """
    listing = subprocess.run(
        ("arm-linux-gnueabihf-objdump", "-d", "--no-show-raw-insn", "--disassemble=run", elf),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [
        (int(row[1], 16), row[2], int(row[3] or "0", 16))
        for row in re.finditer(
            r"^\s*([0-9a-f]+):\s+(\S+)(?:\s+([0-9a-f]{8}) <)?", listing, re.MULTILINE
        )
    ]
    first = next(at for at, _, target in rows if target == place_va)
    end, start = next(
        (at, target) for at, mnemonic, target in rows if mnemonic == "bne" and target <= first < at
    )
    loop = [row for row in rows if start <= row[0] <= end]
    assert sum(mnemonic in {"bl", "blx"} for _, mnemonic, _ in loop) == ALL_PLACES
    return len(loop) + ALL_PLACES * PLACE_INSTRUCTIONS


def test_a_guest_is_charged_for_its_own_instructions_only(
    board: Any, places_elf: Path, places_symbols: dict[str, int]
) -> None:
    """More rounds cost the guest as much as its code says, on both cores, and the hypervisor none."""

    async def counters_after(rounds: int) -> list[CoreCounters]:
        async with board(places_toml(2)) as made:
            await run_to_first_call(made, rounds)
            before = await made.channel.counters()
            await made.channel.stop_at(made.pa(0, places_symbols["all_done"]))
            await made.run_to_stop()
            after = await made.channel.counters()
            assert before[0].vm[0] < after[0].vm[0]
            return list(after)

    few, many = (asyncio.run(counters_after(rounds)) for rounds in (1000, 3000))
    expected = 2000 * round_instructions(places_elf, places_symbols["place_0"])
    # Core 0 waits for core 1 at the end: its count has the rounds of that loop in it.
    assert many[1].vm[0] - few[1].vm[0] == expected
    assert 0 <= many[0].vm[0] - few[0].vm[0] - expected < 20_000
    assert [core.hypervisor for core in many] == [core.hypervisor for core in few]


def test_a_traps_cost_and_the_guests_own_steps_fill_the_time(
    board: Any, places_symbols: dict[str, int], tmp_path: Path
) -> None:
    """On one core: from hit to hit there is the cost, the return, the call and the HVC itself."""
    count = 8

    async def act() -> None:
        async with board(places_toml(1)) as made:
            await run_to_first_call(made, 500)
            for i in range(count):
                va = places_symbols[f"place_{i}"]
                await made.place_hvc(
                    PluginProbe(id=i + 1, mode=ProbeMode.HVC, vm=0, va=va, pa=made.pa(0, va))
                )
            before = (await made.channel.counters())[0].hypervisor
            await made.channel.stop_at(made.pa(0, places_symbols["all_done"]))
            reader = RingReader(plugin_rings(made.paths.ring, 1), tmp_path / "trace")
            reader.start()
            await made.run_to_stop()
            records = read_stream(reader.finish()["plugin-0"].path).records
            spent = (await made.channel.counters())[0].hypervisor - before
        assert len(records) == 500 * count
        gaps = np.diff(records["time_ns"].astype(np.int64))
        own = gaps - records["cost"][:-1]
        assert set(own[records["id"][:-1] < count]) == {3}
        assert len(set(own[records["id"][:-1] == count])) == 1
        # All that the hypervisor did meanwhile, it did for these traps, but for the PSCI call.
        assert 0 <= spent - int(records["cost"].sum()) < 5000

    asyncio.run(act())


async def run_some(board: Any) -> None:
    """Lets the machine run, some 100,000 instructions at least."""
    before = (await board.channel.time()).instructions
    while (await board.channel.time()).instructions < before + 100_000:
        await board.run_for(0.01)


def test_what_nobody_watched_is_counted_as_such(board: Any, places_symbols: dict[str, int]) -> None:
    """From a probe until it is removed each instruction has an owner, before and after it none."""

    async def act() -> None:
        async with board(places_toml(2)) as made:
            await run_to_first_call(made, 0xFFFF_FFFF)
            known = await made.channel.counters()
            assert [core.uncounted for core in known] == [0, 0]
            await run_some(made)
            unwatched = await made.channel.counters()
            assert [core.vm for core in unwatched] == [core.vm for core in known]
            assert [core.hypervisor for core in unwatched] == [core.hypervisor for core in known]
            va = places_symbols["place_0"]
            await made.channel.add_probe(
                PluginProbe(id=1, mode=ProbeMode.SHADOW, vm=0, pa=made.pa(0, va), limit=1)
            )
            await run_some(made)
            assert (await made.channel.remove_probe(1)).hits > 0
            watched = await made.channel.counters()
            assert [core.uncounted for core in watched] == [core.uncounted for core in unwatched]
            await made.channel.stop_at(made.pa(0, places_symbols["all_done"]))
            await made.channel.cancel_stops()
            await run_some(made)
            after = await made.channel.counters()
            now = await made.channel.time()
        assert sum(core.vm[0] for core in watched) > sum(core.vm[0] for core in unwatched)
        assert sum(core.uncounted for core in after) > sum(core.uncounted for core in watched) > 0
        assert [core.vm for core in after] == [core.vm for core in watched]
        total = sum(sum(core.vm) + core.hypervisor + core.uncounted for core in after)
        assert total == now.instructions

    asyncio.run(act())
