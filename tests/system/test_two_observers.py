# SPDX-License-Identifier: MIT
"""The plugin and the hypervisor see the same traps: same events, same order, same times, same words.

Each reads registers, memory and time in its own way, and neither knows of the other. The guest
(images/bench/places.c) calls ten places, A32 and T32, on two vCPUs at once, each with an HVC in the place of its
first instruction, which the hypervisor emulates.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator import records
from orchestrator.bench.board import hvc
from orchestrator.machine.channel import PluginProbe, ProbeMode
from orchestrator.machine.rings import Ring, RingReader, hypervisor_rings, plugin_rings, read_stream

pytestmark = pytest.mark.system

PLACES, A32_PLACES = 10, 8
ROUNDS = 10_400
RECORD_HITS = 4
CPSR_T = 0x20
FIRST_ID = 7000
FIRST_FETCH = 100
HVC_WORDS = [
    int.from_bytes(hvc(FIRST_ID + i, thumb=i >= A32_PLACES), "little") for i in range(PLACES)
]
ROOM_RECORDS = 256
"""Before the hypervisor's ring is full, the plugin holds the core (qemu_plugin/hyp.c)."""
SLICE_NS = 25_000
"""Two cores that are always busy share the quantum."""

FETCHES = np.zeros(7, records.FETCH)
FETCHES[0] = (0, 4, 0, 0, 0, (0,) * 6)  # r0
FETCHES[1] = (13, 8, 0, 1, 0, (4, 0, 0, 0, 0, 0))  # two words of the stack
FETCHES[2] = (15, 4, 0, 1, 0, (0,) * 6)  # the word at pc, which is the HVC
FETCHES[3] = (17, 2, 0, 1, 0x4020_0000, (2, 0, 0, 0, 0, 0))  # a halfword of the image
FETCHES[4] = (17, 4, 0, 1, 0x7000_0000, (0,) * 6)  # nothing is there
FETCHES[5] = (14, 4, 0, 2, 0, (0, 0x10, 0, 0, 0, 0))  # through lr: code taken for a pointer
FETCHES[6] = (17, 15, 1, 1, 0x4020_0040, (0,) * 6)  # a string that ends early
SAME = ("kind", "cpu", "vm", "id", "pc", "lr", "sp", "cpsr", "valid", "vcpu", "words", "word")


def wait_until_one_is_full(rings: list[Ring]) -> None:
    """As full as the plugin lets it be, while nobody reads."""
    while all(len(ring.records) - int(ring.header["head"][0]) > ROOM_RECORDS for ring in rings):
        time.sleep(0.05)


async def observed_run(
    make: Any, symbols: dict[str, int], folder: Path, *, reader_is_late: bool
) -> dict[str, NDArray[Any]]:
    """All streams of a run in which every place is called `ROUNDS` times on each core."""
    async with make(ROUNDS) as board:
        fetches_pa = records.HV_TRACE_PA + records.HV_TRACE_FETCHES
        fetches_pa += FIRST_FETCH * records.FETCH.itemsize
        board.ram.write(fetches_pa, FETCHES.tobytes())
        for i in range(PLACES):
            va = symbols[f"place_{i}"]
            probe = PluginProbe(
                id=FIRST_ID + i,
                mode=ProbeMode.HVC,
                vm=0,
                va=va,
                pa=board.pa(0, va),
                fetches=FETCHES,
            )
            await board.place_hvc(
                probe, thumb=i >= A32_PLACES, first_fetch=FIRST_FETCH, flags=RECORD_HITS
            )
        rings = [*plugin_rings(board.paths.ring, 2), *hypervisor_rings(board.ram, 2)]
        reader = RingReader(rings, folder)
        await board.channel.stop_at(board.pa(0, symbols["all_done"]))
        try:
            run = asyncio.create_task(board.run_to_stop())
            if reader_is_late:
                await asyncio.to_thread(wait_until_one_is_full, rings)
            reader.start()
            await run
            summaries = reader.finish()
        finally:
            reader.discard()
        undefined = board.ram.read(board.pa(0, symbols["undefined_count"]), 8)
        assert undefined == bytes(8), "each HVC was a probe's"
        hits = [board.entry(FIRST_ID + i)["hits"][0, :3].tolist() for i in range(PLACES)]
        assert hits == [[ROUNDS, ROUNDS, 0]] * PLACES
    assert [summary.lost for summary in summaries.values()] == [0] * 4
    return {name: read_stream(summary.path) for name, summary in summaries.items()}


def test_both_observers_tell_the_same(
    probed_board: Any, places_symbols: dict[str, int], tmp_path: Path
) -> None:
    """More than 100,000 hits on each of two cores, held against each other one by one."""
    streams = asyncio.run(
        observed_run(probed_board, places_symbols, tmp_path / "trace", reader_is_late=False)
    )
    for core in range(2):
        plugin, hypervisor = streams[f"plugin-{core}"], streams[f"hypervisor-{core}"]
        assert len(plugin) == len(hypervisor) == PLACES * ROUNDS > 100_000
        for name in SAME:
            assert np.array_equal(plugin[name], hypervisor[name]), name
        assert np.all(plugin["id"] == FIRST_ID + np.arange(len(plugin)) % PLACES)
        assert np.all(plugin["valid"] == 0b1111_0011111), "all but two can be read"
        assert np.all(plugin["word"][:, 0] == core), "r0 is what `run` was called with"
        is_thumb = np.arange(len(plugin)) % PLACES >= A32_PLACES
        assert np.array_equal(plugin["cpsr"] & CPSR_T != 0, is_thumb)
        assert np.all(plugin["word"][:, 3] == np.resize(HVC_WORDS, len(plugin)))
        # The hypervisor reads its clock a fixed number of instructions after the trap, in steps of
        # 16 ns. If the core's slice ends in between, the other core's is in between as well: a whole
        # one, but for the last, which ends with that core's work.
        late_ns = hypervisor["time_ns"].astype(np.int64) - plugin["time_ns"].astype(np.int64)
        assert np.mean(late_ns < SLICE_NS) > 0.95
        assert np.all(late_ns < SLICE_NS + late_ns.min() + 16)
        assert np.sum(late_ns % SLICE_NS > late_ns.min() + 15) <= 1
        assert np.all(hypervisor["time_ns"][:-1] < plugin["time_ns"][1:])


def test_full_rings_hold_the_guests_and_change_nothing(
    probed_board: Any, places_symbols: dict[str, int], tmp_path: Path
) -> None:
    """With a reader that comes late the streams are the same, times and all."""
    prompt, late = (
        asyncio.run(
            observed_run(
                probed_board, places_symbols, tmp_path / f"late-{late}", reader_is_late=late
            )
        )
        for late in (False, True)
    )
    assert prompt.keys() == late.keys()
    for name, stream in prompt.items():
        assert np.array_equal(stream, late[name]), name


def test_limit_and_window_hold_for_both(
    probed_board: Any, places_symbols: dict[str, int], tmp_path: Path
) -> None:
    """Every hit is counted; recorded are the first of them, or those of a time."""
    limit, rounds = 77, 2000

    async def act() -> None:
        async with probed_board(rounds) as board:
            now_ns = (await board.channel.time()).ns
            window = {"from_ns": now_ns + 1_000_000, "until_ns": now_ns + 3_000_000}
            for number, bounds in ((1, {"limit": limit}), (2, window)):
                va = places_symbols[f"place_{number}"]
                probe = PluginProbe(
                    id=number, mode=ProbeMode.HVC, vm=0, va=va, pa=board.pa(0, va), **bounds
                )
                for name, value in bounds.items():
                    board.entry(number)[name] = value
                await board.place_hvc(probe, flags=RECORD_HITS)
            await board.channel.stop_at(board.pa(0, places_symbols["all_done"]))
            rings = [*plugin_rings(board.paths.ring, 2), *hypervisor_rings(board.ram, 2)]
            reader = RingReader(rings, tmp_path / "trace")
            reader.start()
            await board.run_to_stop()
            streams = {name: read_stream(stream.path) for name, stream in reader.finish().items()}
            counts = [await board.channel.probe_counts(number) for number in (1, 2)]
            assert [each.cpu_hits for each in counts] == [(rounds, rounds)] * 2
        plugin, hypervisor = (
            np.concatenate([streams[f"{observer}-{core}"] for core in range(2)])
            for observer in ("plugin", "hypervisor")
        )
        assert [each.recorded for each in counts] == [
            np.sum(plugin["id"] == number) for number in (1, 2)
        ]
        for records_of in (plugin, hypervisor):
            assert np.sum(records_of["id"] == 1) == limit
            times = records_of["time_ns"][records_of["id"] == 2]
            assert len(times) > 100
            assert window["from_ns"] <= times.min() + 15
            assert times.max() < window["until_ns"]
        # The hypervisor looks at its clock a little later: one hit of each core at either end.
        assert abs(np.sum(plugin["id"] == 2) - np.sum(hypervisor["id"] == 2)) <= 4

    asyncio.run(act())
