# SPDX-License-Identifier: MIT
"""Without the plugin nobody holds a core at a full ring: the hypervisor tells what it had to drop.

The guest calls its places in turn, so how many hits there were is known, and which ones are missing.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from orchestrator.bench.board import Board, machine_of, prepare, staged_pa
from orchestrator.bench.places import PLACES, places_symbols, places_toml, set_rounds
from orchestrator.machine.channel import PluginChannel, PluginProbe
from orchestrator.machine.private_dir import private_dir
from orchestrator.machine.protocol import ProbeMode
from orchestrator.machine.ram import GuestRam
from orchestrator.machine.rings import RingReader, hypervisor_rings
from orchestrator.records import HV_TRACE_RING_RECORDS, Kind
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

HOST_LIMIT_S = 800
ROUNDS = 4000
RECORD = 4  # TRACE_PROBE_RECORD
FIRST_ID = 100


class InImage:
    """In the plugin's place, before anything has run: what is written is in the image."""

    def __init__(self, ram: GuestRam) -> None:
        self._ram = ram

    async def add_probe(self, probe: PluginProbe) -> None:
        """There is nobody to be told."""

    async def write_physical(self, pa: int, data: bytes) -> None:
        self._ram.write(pa, data)


@asynccontextmanager
async def probed(folder: Path, *, cores: int, rounds: int) -> AsyncIterator[Board]:
    """A board without plugin, not started yet, with a probe at each place that is to be recorded."""
    with private_dir() as sockets:
        made = prepare(folder, sockets, places_toml(cores), plugin=False)
        async with machine_of(made, folder) as machine:
            await machine.start(timeout_s=HOST_LIMIT_S)
            set_rounds(made.layout, machine.pid, rounds)
            with GuestRam.of_process(machine.pid) as ram:
                channel = cast("PluginChannel", InImage(ram))
                board = Board(
                    layout=made.layout,
                    machine=machine,
                    channel=channel,
                    ram=ram,
                    paths=made.paths,
                )
                for i in range(PLACES):
                    va = places_symbols()[f"place_{i}"]
                    pa = staged_pa(made.layout, 0, va)
                    probe = PluginProbe(id=FIRST_ID + i, mode=ProbeMode.HVC, vm=0, va=va, pa=pa)
                    await board.place_hvc(probe, flags=RECORD)
                yield board


async def until(condition: Any) -> None:
    """Waits for a state that stays."""
    deadline = time.monotonic() + HOST_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def hits(board: Board, core: int) -> int:
    """What the hypervisor has counted at all places."""
    return sum(int(board.entry(FIRST_ID + i)["hits"][0, core]) for i in range(PLACES))


def test_what_does_not_fit_is_counted_to_the_last_record(tmp_path: Path) -> None:
    """Nobody empties the rings: the first records are there, the number of all others is told."""

    async def act() -> None:
        async with probed(tmp_path, cores=2, rounds=ROUNDS) as board:
            rings = hypervisor_rings(board.ram, 2)
            await board.machine.cont()
            await until(lambda: all(hits(board, core) == PLACES * ROUNDS for core in range(2)))
            for core, ring in enumerate(rings):
                head = int(ring.header["head"][0])
                assert head == HV_TRACE_RING_RECORDS
                assert int(ring.header["lost"][0]) == PLACES * ROUNDS - head
                assert ring.records["seq"].tolist() == list(range(head))
                assert ring.records["id"].tolist() == [
                    FIRST_ID + number % PLACES for number in range(head)
                ]
                assert set(ring.records["cpu"].tolist()) == {core}

    asyncio.run(act())


def test_a_gap_is_told_where_it_is(tmp_path: Path) -> None:
    """A reader that comes late finds a record in the gap's place; the calls' order shows its size."""

    async def act() -> None:
        told = []

        def look(_name: str, records: Any) -> None:
            told.extend(records[records["kind"] == Kind.LOSS]["word"][:, 0].tolist())

        async with probed(tmp_path, cores=1, rounds=0xFFFF_FFFF) as board:
            (ring,) = hypervisor_rings(board.ram, 1)
            await board.machine.cont()
            await until(lambda: int(ring.header["lost"][0]) > 0)
            reader = RingReader([ring], tmp_path / "trace", on_records=look)
            reader.start()
            try:
                await until(lambda: told)
                await board.machine.stop()
                stream = reader.finish()["hypervisor-0"]
            finally:
                reader.discard()
            counted = hits(board, 0)
        records = read_stream(stream.path).records
        at = np.flatnonzero(records["kind"][:-1] == Kind.LOSS)
        gaps = records["word"][at, 0].astype(int)
        missing = records["id"][at + 1].astype(int) - records["id"][at - 1].astype(int) - 1
        assert at[0] == HV_TRACE_RING_RECORDS
        assert np.array_equal(missing % PLACES, gaps % PLACES)
        kept = records[records["kind"] == Kind.PROBE]
        others = np.delete(np.diff(kept["id"].astype(int)) % PLACES, at - np.arange(len(at)) - 1)
        assert set(others.tolist()) == {1}, "nothing is missing elsewhere"
        # A core is stopped between its record and its count at most once.
        assert len(kept) + stream.lost - counted in {0, 1}
        assert 0 < gaps.sum() <= stream.lost

    asyncio.run(act())
