# SPDX-License-Identifier: MIT
"""Shadow probes see everything and change nothing: not a byte of RAM, not a nanosecond."""

import asyncio
import hashlib
from typing import Any

import numpy as np
import pytest

from orchestrator.machine.board import RAM_PA
from orchestrator.machine.channel import PluginProbe
from orchestrator.machine.protocol import ProbeMode
from orchestrator.machine.rings import RingReader, plugin_rings
from orchestrator.probe.program import Code
from orchestrator.records import OP
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

END_NS = 400_000_000
PROGRAM = np.array(
    [
        *((4, 13, Code.REGISTER, 0), (0, 17, Code.U32, 0)),  # a word of the stack
        (0, 14, Code.VALUE, 0),  # lr
        # a device, which must not be read
        *((4, 17, Code.SET, 0x0900_0000), (0, 17, Code.U32, 0)),
        (0, 17, Code.END, 0),
    ],
    OP,
)


async def run_plain(make: Any) -> Any:
    async with make(stop_ns=END_NS, name="plain") as board:
        await board.channel.count()
        await board.run_to_stop()
        return await state_of(board), await board.channel.counters()


async def state_of(board: Any) -> Any:
    """All that the guests could tell two runs apart by, and the time."""
    ram = hashlib.sha256(board.ram.read(RAM_PA, board.ram.bytes)).hexdigest()
    registers = [
        await board.channel.read_register(core, name)
        for core in range(2)
        for name in (*(f"r{i}" for i in range(13)), "sp", "lr", "cpsr", "CNTV_CVAL")
    ]
    consoles = [path.read_bytes() for path in board.paths.console_logs.values()]
    return (
        await board.channel.time(),
        [
            sum(core.vm) + core.other + core.hypervisor + core.uncounted
            for core in await board.channel.counters()
        ],
        ram,
        registers,
        consoles,
    )


def test_a_watched_run_is_the_same_run(
    rtos_pair: Any, rtos_functions: dict[str, int], rtos_symbols: dict[str, int]
) -> None:
    """Every function of both guests is watched, each guest's from a task switch of its own on."""

    async def run_watched() -> Any:
        async with rtos_pair(stop_ns=END_NS, name="watched") as made:
            await made.channel.count()
            reader = RingReader(plugin_rings(made.paths.ring, 2), made.paths.ring.parent / "trace")
            reader.start()
            try:
                for vm in range(2):
                    # Not after some host time: the guests could be at their end by then.
                    await made.channel.stop_at(made.pa(vm, rtos_symbols["OSTaskSwHook"]))
                    await made.run_to_stop()
                    for number, va in enumerate(rtos_functions.values()):
                        await made.channel.add_probe(
                            PluginProbe(
                                id=1000 * (vm + 1) + number,
                                mode=ProbeMode.SHADOW,
                                vm=vm,
                                pa=made.pa(vm, va),
                                program=PROGRAM,
                            )
                        )
                await made.run_to_stop()
                counts = [
                    await made.channel.probe_counts(1000 * (vm + 1) + number)
                    for vm in range(2)
                    for number in range(len(rtos_functions))
                ]
                same = await state_of(made), await made.channel.counters()
                return same, counts, reader.finish()
            finally:
                reader.discard()

    plain = asyncio.run(run_plain(rtos_pair))
    watched, counts, streams = asyncio.run(run_watched())
    assert watched == plain
    hits = sum(each.hits for each in counts)
    records = [read_stream(stream.path).records for stream in streams.values()]
    assert hits == sum(len(each) for each in records) > 5_000
    for core, each in enumerate(records):
        assert set(each["cpu"]) == {core}
        assert set(each["vm"]) == {core}
        assert np.all(np.diff(each["time_ns"].astype(np.int64)) > 0)
        assert set(each["pc"]) <= set(rtos_functions.values())
        assert np.all(each["word"][:, 1] == each["lr"])
        # Stack and lr, and not the device; the first function begins without a stack.
        assert np.all(each["valid"] == np.where(each["sp"], 0b011, 0b010))
        assert np.all(each["word"][:, 2] == 0)


def test_a_probe_in_the_middle_of_a_block_has_the_exact_time(
    rtos_pair: Any, rtos_symbols: dict[str, int]
) -> None:
    """Straight-line code takes a nanosecond an instruction, wherever QEMU's blocks begin and end.

    `OSTaskSwHook` reads the counter into r0 and r1, and goes on with five instructions up to a branch;
    so the guest itself tells what time it was just before them.
    """
    read = bytes.fromhex("1e0f51ec")  # mrrc p15, 1, r0, r1, c14
    branch = bytes.fromhex("0700000a")  # beq
    count = 5
    program = np.array([(0, 0, Code.VALUE, 0), (0, 17, Code.END, 0)], OP)  # r0

    async def act() -> None:
        async with rtos_pair(stop_ns=300_000_000) as made:
            start_pa = made.pa(0, rtos_symbols["OSTaskSwHook"]) + 8
            for i in range(count):
                await made.channel.add_probe(
                    PluginProbe(
                        id=1 + i, mode=ProbeMode.SHADOW, vm=0, pa=start_pa + 4 * i, program=program
                    )
                )
            await made.run_to_stop()
            assert made.ram.read(start_pa - 4, 4) == read
            assert made.ram.read(start_pa + 4 * (count - 1), 4) == branch
            reader = RingReader(plugin_rings(made.paths.ring, 2), made.paths.ring.parent)
            reader.start()
            records = read_stream(reader.finish()["plugin-0"].path).records
        assert len(records) > 10 * count
        for block in records.reshape(-1, count):
            assert list(block["id"]) == list(range(1, 1 + count))
            assert list(np.diff(block["time_ns"])) == [1] * (count - 1)
            assert block["word"][0, 0] == (block["time_ns"][0] - 1) // 16

    asyncio.run(act())


THREE_GUESTS = "[machine]\ncores = 1\n" + "".join(
    f'[vm.v{i}]\ntype = "elf"\nram = "16M"\npin = [0]\n' for i in range(3)
)


@pytest.mark.parametrize("vm", [0, 2], ids=["real UART", "emulated UART"])
def test_a_block_that_is_left_in_its_middle_keeps_its_times(
    board: Any, rtos_symbols: dict[str, int], vm: int
) -> None:
    """The loop that writes a console leaves its block at each access to the UART.

    QEMU breaks a block off where a device is accessed, or where the hypervisor emulates one; what
    was reckoned as executed is then taken back. Each byte is one hit of the store, and instructions
    without a device between them are one nanosecond apart.
    """
    loop = bytes.fromhex("003092e5 200013e3 fcffff1a 0130f1e5 00308ce5 000051e1 f8ffff1a")
    instructions = len(loop) // 4
    store = 4

    async def act() -> None:
        async with board(THREE_GUESTS, stop_ns=300_000_000) as made:
            # It is not there before the hypervisor has copied it.
            await made.channel.stop_at(made.pa(vm, rtos_symbols["uart_write"]))
            await made.run_to_stop()
            code_pa = made.pa(vm, rtos_symbols["uart_write"])
            start_pa = code_pa + made.ram.read(code_pa, 128).index(loop)
            for i in range(instructions):
                await made.channel.add_probe(
                    PluginProbe(id=i + 1, mode=ProbeMode.SHADOW, vm=vm, pa=start_pa + 4 * i)
                )
            reader = RingReader(plugin_rings(made.paths.ring, 1), made.paths.ring.parent)
            reader.start()
            await made.run_to_stop()
            records = read_stream(reader.finish()["plugin-0"].path).records
            written = made.paths.console_logs[f"v{vm}"].read_bytes()
        assert len(written) > 20
        assert np.sum(records["id"] == store + 1) == len(written)
        times = records["time_ns"].astype(np.int64)
        steps, ids = np.diff(times), records["id"][:-1].astype(int)
        assert np.all(steps > 0)
        # From one instruction to the next, both of them inside of the loop, in code order or back.
        in_order = np.diff(records["id"].astype(int)) == 1
        for first in (2, 3, 4, 6):
            assert set(steps[in_order & (ids == first)]) == {1}

    asyncio.run(act())


LINUX_AND_RTOS = """
[machine]
cores = 2
[vm.linux]
type = "linux"
ram = "128M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
"""


def test_a_watched_boot_of_linux_is_the_same_boot(board: Any) -> None:
    """Thousands of places all over the kernel's code, hit while it boots: same RAM, same log.

    In the other boot the plugin sees nothing of what is translated.
    """
    text_bytes, step = 0x80_0000, 0x400

    async def boot(*, watched: bool) -> tuple[Any, int]:
        async with board(LINUX_AND_RTOS, stop_ns=600_000_000) as made:
            reader = RingReader(plugin_rings(made.paths.ring, 2), made.paths.ring.parent / "trace")
            reader.start()
            try:
                start_pa = made.layout.vms[0].entry_ipa
                for number in range(text_bytes // step if watched else 0):
                    pa = start_pa + number * step
                    await made.channel.add_probe(
                        PluginProbe(id=number + 1, mode=ProbeMode.SHADOW, vm=0, pa=pa)
                    )
                await made.run_to_stop()
                records = sum(stream.records for stream in reader.finish().values())
                return await state_of(made), records
            finally:
                reader.discard()

    plain, none = asyncio.run(boot(watched=False))
    same, hits = asyncio.run(boot(watched=True))
    assert none == 0
    assert hits > 10_000
    assert b"Linux version" in b"".join(plain[-1])
    assert same == plain
