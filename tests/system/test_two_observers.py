# SPDX-License-Identifier: MIT
"""The plugin and the hypervisor see the same traps: same events, same order, same times, same words.

Each reads registers, memory and time in its own way, and neither knows of the other. The guest
(images/bench/places.c) calls ten places, A32 and T32, on two vCPUs at once, each with an HVC in the place of its
first instruction, which the hypervisor emulates.
"""

import asyncio
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator import records
from orchestrator.bench.board import hvc
from orchestrator.machine.channel import PluginProbe
from orchestrator.machine.protocol import ProbeMode
from orchestrator.machine.rings import Ring, RingReader, hypervisor_rings, plugin_rings
from orchestrator.probe.program import Code
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

HOST_LIMIT_S = 800

PLACES, A32_PLACES = 10, 8
ROUNDS = 10_400
RECORD_HITS = 4
CPSR_T = 0x20
FIRST_ID = 7000
PROGRAMS_PA = records.HV_TRACE_PA + records.HV_TRACE_OPS + 0x800
NO_REG = 17
SP, LR, PC, CPSR = 13, 14, 15, 16
TEXT_VA, TABLE_VA, DATA_VA = 0x4031_0F81, 0x4032_0000, 0x4033_0801
"""In the guest's RAM, behind its image."""
TEXT = b"eighteen bytes,and\0XYZW"
HALF = 0xFACE
NAMES_VA = 0x4034_0000
MEMORY = {
    TEXT_VA: TEXT,
    TABLE_VA: struct.pack("<4I", 0, TABLE_VA + 12, 0, DATA_VA),
    DATA_VA + 300: struct.pack("<H", HALF),
}
HVC_WORDS = [
    int.from_bytes(hvc(FIRST_ID + i, thumb=i >= A32_PLACES), "little") for i in range(PLACES)
]
ROOM_RECORDS = 256
"""Before the hypervisor's ring is full, the plugin holds the core (qemu_plugin/hyp.c)."""
SLICE_NS = 25_000
"""Two cores that are always busy share the quantum."""


def program(*ops: tuple[Code, int, int, int]) -> NDArray[np.void]:
    """Operations as code, register, value and extent."""
    rows = [(extent, reg, code, value) for code, reg, value, extent in ops]
    return np.array([*rows, (0, NO_REG, Code.END, 0)], records.OP)


PARTLY = program(
    (Code.VALUE, 0, 0, 0),
    *((Code.REGISTER, SP, 0, 12), (Code.U64, NO_REG, 4, 0)),
    *((Code.REGISTER, PC, 0, 4), (Code.U32, NO_REG, 0, 0)),  # which is the HVC
    *((Code.SET, NO_REG, 0x4020_0000, 4), (Code.U16, NO_REG, 2, 0)),  # of the image
    *((Code.SET, NO_REG, 0x7000_0000, 4), (Code.U32, NO_REG, 0, 0)),  # nothing is there
    # Through lr: code taken for a pointer.
    *((Code.REGISTER, LR, 0, 4), (Code.LOAD, NO_REG, 0, 0x14), (Code.U32, NO_REG, 0x10, 0)),
    *((Code.SET, NO_REG, 0x4020_0040, 15), (Code.STRING, NO_REG, 0, 15)),
)
"""All but two of its values can be read, so the hypervisor goes the long way."""
ALL = program(
    (Code.VALUE, 0, 0, 0),
    *((Code.REGISTER, SP, 0, 12), (Code.U64, NO_REG, 4, 0)),
    *((Code.REGISTER, PC, 0, 4), (Code.U32, NO_REG, 0, 0)),
    *((Code.SET, NO_REG, 0x4020_0000, 4), (Code.U16, NO_REG, 2, 0), (Code.U8, NO_REG, 1, 0)),
    (Code.VALUE, LR, -8 & 0xFFFF_FFFF, 0),
    (Code.VALUE, CPSR, 1, 0),
    (Code.VALUE, NO_REG, 0xABCD, 0),
    (Code.VALUE, SP, 0, 0),
    # A string that begins and ends inside a word.
    *((Code.SET, NO_REG, TEXT_VA, 24), (Code.STRING, NO_REG, 0, 24)),
    (Code.U8, NO_REG, 5, 0),
    # A table in another page: a pointer, and an odd address beyond what it points to.
    *((Code.SET, NO_REG, TABLE_VA, 8), (Code.LOAD, NO_REG, 4, 4), (Code.POINTER, NO_REG, 0, 1)),
    *((Code.ADD, NO_REG, 300, 2), (Code.U16, NO_REG, 0, 0)),
)
"""All of it can be read, so the hypervisor's short way has it."""


def names(place: int) -> NDArray[np.void]:
    """Four strings of 16 bytes: aligned, and the last of them not. There is more behind their NULs."""
    first = NAMES_VA + 80 * place
    starts = [first + 16 * i for i in range(3)] + [first + 49]
    ops: list[tuple[Code, int, int, int]] = []
    for va in starts:
        ops += [(Code.SET, NO_REG, va, 16), (Code.NAME, NO_REG, 0, 16)]
    return program(*ops)


LENGTHS = {3: (0, 1, 3, 2), 5: (4, 5, 7, 6), 7: (8, 9, 11, 10), 9: (12, 15, 16, 14)}
NAMES = {
    place: [bytes(range(0x80, 0x80 + length)) for length in lengths]
    for place, lengths in LENGTHS.items()
}


def named(text: bytes) -> bytes:
    """Sixteen bytes that begin with a text and its NUL, if there is room for one."""
    return (text + b"\0" + bytes(range(0xF0, 0x100)))[:16]


PROGRAMS = [names(i) if i in NAMES else (PARTLY, ALL)[i % 2] for i in range(PLACES)]
SAME = ("kind", "cpu", "vm", "id", "pc", "lr", "sp", "cpsr", "valid", "vcpu", "words", "word")


def wait_until_one_is_full(rings: list[Ring]) -> None:
    """As full as the plugin lets it be, while nobody reads."""
    deadline = time.monotonic() + HOST_LIMIT_S
    while all(len(ring.records) - int(ring.header["head"][0]) > ROOM_RECORDS for ring in rings):
        assert time.monotonic() < deadline, "no ring has become full"
        time.sleep(0.05)


async def observed_run(
    make: Any, symbols: dict[str, int], folder: Path, *, reader_is_late: bool
) -> dict[str, NDArray[Any]]:
    """All streams of a run in which every place is called `ROUNDS` times on each core."""
    async with make(ROUNDS) as board:
        for va, data in MEMORY.items():
            board.ram.write(board.pa(0, va), data)
        for number, each in enumerate(PROGRAMS):
            board.ram.write(PROGRAMS_PA + 0x100 * number, each.tobytes())
        for number, texts in NAMES.items():
            row = b"".join(named(text) for text in texts[:3]) + b"@" + named(texts[3])
            board.ram.write(board.pa(0, NAMES_VA + 80 * number), row)
        for i in range(PLACES):
            va = symbols[f"place_{i}"]
            probe = PluginProbe(
                id=FIRST_ID + i,
                mode=ProbeMode.HVC,
                vm=0,
                va=va,
                pa=board.pa(0, va),
                program=PROGRAMS[i],
            )
            await board.place_hvc(
                probe,
                thumb=i >= A32_PLACES,
                program_pa=PROGRAMS_PA + 0x100 * i,
                flags=RECORD_HITS,
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
    return {name: read_stream(summary.path).records for name, summary in summaries.items()}


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
        # What lies behind the words that a record has is not its own.
        unused = np.arange(records.WORDS) >= hypervisor["words"][:, np.newaxis]
        hypervisor = hypervisor.copy()
        hypervisor["word"][unused] = 0
        for name in SAME:
            assert np.array_equal(plugin[name], hypervisor[name]), name
        assert np.all(plugin["id"] == FIRST_ID + np.arange(len(plugin)) % PLACES)
        partly, whole = plugin[::2], plugin[1::PLACES]
        assert np.all(partly["valid"] == 0b1111_0011111), "all but two can be read"
        assert np.all(whole["valid"] == (1 << records.WORDS) - 1)
        called_with = np.concatenate([partly["word"][:, 0], whole["word"][:, 0]])
        assert np.all(called_with == core), "r0 is what `run` was called with"
        for place, texts in NAMES.items():
            hits = plugin[place::PLACES]
            expected = b"".join(named(text) for text in texts)
            assert np.all(hits["valid"] == (1 << 16) - 1)
            assert np.all(hits["word"][:, :16] == np.frombuffer(expected, "<u4"))
            assert hits["cost"].max() + 300 < partly["cost"].min()
        words = whole["word"]
        assert np.all(words[:, 6] == whole["lr"] - 8)
        assert np.all(words[:, 7] == whole["cpsr"] + 1)
        assert np.all(words[:, 8] == 0xABCD)
        assert np.all(words[:, 9] == whole["sp"])
        text = np.frombuffer(TEXT.ljust(24, b"\0"), "<u4")
        assert np.all(words[:, 10:16] == text)
        assert np.all(words[:, 16:] == (TEXT[5], DATA_VA, HALF))
        assert whole["cost"].max() + 300 < partly["cost"].min(), "the hypervisor has a short way"
        is_thumb = np.arange(len(plugin)) % PLACES >= A32_PLACES
        assert np.array_equal(plugin["cpsr"] & CPSR_T != 0, is_thumb)
        assert np.array_equal(partly["word"][:, 3], np.resize(HVC_WORDS[::2], len(partly)))
        assert np.all(whole["word"][:, 3] == HVC_WORDS[1])
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
            window = {"from_ns": now_ns + 200_000, "until_ns": now_ns + 800_000}
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
            streams = {
                name: read_stream(stream.path).records for name, stream in reader.finish().items()
            }
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
