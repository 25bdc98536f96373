# SPDX-License-Identifier: MIT
"""The plugin's channel on a real board: two RTOS guests on a core each, under the hypervisor."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from orchestrator import records
from orchestrator.errors import MachineError
from orchestrator.machine.channel import ChannelError, PluginProbe, StopPassed
from orchestrator.machine.protocol import (
    HEADER,
    HELLO,
    MAGIC,
    VERSION,
    Ability,
    Operation,
    ProbeMode,
    Status,
)

pytestmark = pytest.mark.system

HOOK = "OSTaskSwHook"
RING_BYTES = records.RING_HEADER_BYTES + 16384 * records.RECORD.itemsize
MODE_HYP = 0x1A
B_SELF = struct.pack("<I", 0xEAFF_FFFE)


def ring(board: Any, cpu: int) -> np.ndarray[Any, np.dtype[np.void]]:
    """What the plugin has recorded on a core."""
    raw = np.fromfile(board.paths.ring, np.uint8)[cpu * RING_BYTES :][:RING_BYTES]
    head = int(raw[: records.RING.itemsize].view(records.RING)[0]["head"])
    return raw[records.RING_HEADER_BYTES :].view(records.RECORD)[:head]


def on_board(make: Any, act: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with make(**options) as board:
            return await act(board)

    return asyncio.run(run())


def test_a_stop_point_is_the_same_instant_every_time(
    rtos_pair: Any, rtos_symbols: dict[str, int]
) -> None:
    """Twice the same time, registers and counts; the core stands behind the place, not before."""

    async def act(made: Any) -> Any:
        hook_pa = made.pa(1, rtos_symbols[HOOK])
        probe = PluginProbe(id=9000, mode=ProbeMode.SHADOW, vm=1, pa=hook_pa)
        await made.channel.add_probe(probe)
        await made.channel.stop_at(hook_pa)
        assert await made.channel.stopped() == (None, None)
        await made.run_to_stop()
        now = await made.channel.time()
        (hit,) = ring(made, 1)
        there = StopPassed(pa=hook_pa, sp=int(hit["sp"]))
        assert await made.channel.stopped() == (None, there)
        assert int(hit["pc"]) == rtos_symbols[HOOK]
        assert now.ns - 64 <= int(hit["time_ns"]) <= now.ns
        registers = [await made.channel.read_register(1, name) for name in ("pc", "sp", "VTTBR")]
        return now, registers, await made.channel.counters()

    first = on_board(rtos_pair, act, name="first")
    assert first == on_board(rtos_pair, act, name="second")
    assert first[1][2] >> 48 == 2, "VMID of the VM at position 1"


def test_a_board_stays_at_its_end(rtos_pair: Any) -> None:
    """The plugin stops it there once; to let it go on then would be to wait for ever."""
    end_ns = 30_000_000

    async def act(made: Any) -> None:
        for _ in range(2):
            await made.run_to_stop()
            assert (await made.channel.time()).ns == end_ns
        await made.run_for(0)
        assert (await made.channel.time()).ns == end_ns

    on_board(rtos_pair, act, stop_ns=end_ns)


def test_a_stop_that_has_passed_is_not_waited_for_for_ever(
    rtos_pair: Any, rtos_symbols: dict[str, int]
) -> None:
    """`main` is executed once. Nor is a stop of the maker's own taken for that of the stop point."""

    async def act(made: Any) -> None:
        hook_pa = made.pa(0, rtos_symbols[HOOK])
        await made.channel.add_probe(PluginProbe(id=1, mode=ProbeMode.SHADOW, vm=0, pa=hook_pa))
        await made.machine.cont()
        await made.machine.stop()
        seen = (await made.channel.probe_counts(1)).hits
        await made.channel.stop_at(hook_pa)
        await made.run_to_stop()
        assert (await made.channel.probe_counts(1)).hits == seen + 1
        await made.channel.stop_at(made.pa(0, rtos_symbols["main"]))
        with pytest.raises(MachineError, match=r"did not stop within 0.5 s"):
            await made.run_to_stop(limit_s=0.5)

    on_board(rtos_pair, act)


def test_guest_time_stands_while_the_machine_is_stopped(rtos_pair: Any) -> None:
    """A stop at an instant that the host chooses costs no guest time, whatever is asked meanwhile."""

    async def act(made: Any) -> None:
        for _ in range(3):
            await made.run_for(0.05)
            before = await made.channel.time()
            await made.channel.write_physical(made.pa(0, 0x4000_0000), b"\\0" * 4)
            assert await made.channel.read_register(0, "VTTBR") >> 48 == 1
            await made.machine.cont()
            await made.machine.stop()
            assert await made.channel.stopped() == (None, None)
            after = await made.channel.time()
            executed = after.instructions - before.instructions
            assert after.ns - before.ns >= executed, "time passes by instructions or while idle"

    on_board(rtos_pair, act)


def test_counters_account_for_every_instruction(rtos_pair: Any) -> None:
    """Guests and hypervisor on both cores add up to what QEMU counts in total."""

    async def act(made: Any) -> None:
        assert made.channel.abilities == (
            Ability.DETERMINISTIC | Ability.HAS_HYP | Ability.HAS_RING
        )
        await made.channel.count()
        await made.run_to_stop()
        now = await made.channel.time()
        assert now.ns == 50_000_000
        counters = await made.channel.counters()
        assert sum(sum(core.vm) + core.hypervisor for core in counters) == now.instructions
        assert [(core.other, core.uncounted) for core in counters] == [(0, 0)] * 2
        for core, counted in enumerate(counters):
            assert [ran > 10_000 for ran in counted.vm] == [vm == core for vm in range(8)]
            assert counted.hypervisor > 10_000

    on_board(rtos_pair, act, stop_ns=50_000_000)


def test_code_that_is_written_is_executed_and_so_is_what_it_was_before(
    rtos_pair: Any, rtos_symbols: dict[str, int]
) -> None:
    """`b .` over a function that runs all the time holds the guest; its own word sets it free."""

    async def act(made: Any) -> None:
        channel = made.channel
        hook_pa = made.pa(0, rtos_symbols[HOOK])
        probe = PluginProbe(id=1, mode=ProbeMode.SHADOW, vm=0, pa=hook_pa + 4)
        await channel.add_probe(probe)
        await channel.stop_at(hook_pa)
        await made.run_to_stop()
        word = made.ram.read(hook_pa, 4)
        for code, grows in ((B_SELF, False), (word, True)):
            await channel.write_physical(hook_pa, code)
            before = (await channel.probe_counts(1)).hits
            await made.run_for(0.2)
            while grows and (await channel.probe_counts(1)).hits <= before + 1:
                await made.run_for(0.2)
            assert ((await channel.probe_counts(1)).hits > before + 1) == grows

    on_board(rtos_pair, act)


async def refusal(request: Awaitable[object]) -> Status:
    with pytest.raises(ChannelError) as refused:
        await request
    return refused.value.reason


def test_what_cannot_be_done_is_refused_and_changes_nothing(
    rtos_pair: Any, rtos_symbols: dict[str, int]
) -> None:
    async def act(made: Any) -> None:
        channel = made.channel
        hook_pa = made.pa(0, rtos_symbols[HOOK])
        probe = PluginProbe(id=1, mode=ProbeMode.SHADOW, vm=0, pa=hook_pa)
        await channel.add_probe(probe)
        assert await refusal(channel.add_probe(probe)) is Status.TAKEN
        far = PluginProbe(id=2, mode=ProbeMode.SHADOW, vm=0, pa=0x0900_0000)
        assert await refusal(channel.add_probe(far)) is Status.MISSING
        hvc = PluginProbe(id=8192, mode=ProbeMode.HVC, vm=0, pa=hook_pa)
        assert await refusal(channel.add_probe(hvc)) is Status.BAD
        assert await refusal(channel.remove_probe(2)) is Status.MISSING
        assert await refusal(channel.read_register(2, "r0")) is Status.MISSING
        assert await refusal(channel.read_register(0, "r99")) is Status.MISSING
        assert await refusal(channel.write_physical(0x0900_0000, b"\\0")) is Status.MISSING
        for _ in range(16):
            await channel.stop_at(hook_pa + 2)
        assert await refusal(channel.stop_at(hook_pa)) is Status.TAKEN
        await channel.cancel_stops()
        await made.machine.cont()
        assert await refusal(channel.write_physical(hook_pa, b"\\0")) is Status.RUNNING
        assert await refusal(channel.remove_probe(1)) is Status.RUNNING

    on_board(rtos_pair, act)


END = b"<end>"
ANSWER_LIMIT_S = 300


def hello() -> bytes:
    return HEADER.pack(16, Operation.HELLO, 0) + HELLO.pack(MAGIC, VERSION)


async def answer_to(path: Any, message: bytes, until: bytes = END) -> bytes:
    """What the plugin says until it has said that, or hangs up."""
    reader, writer = await asyncio.open_unix_connection(path)
    heard = b""
    writer.write(message)
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            while until not in heard and not heard.endswith(END):
                heard += await reader.read(4096) or END
    except ConnectionResetError:
        heard += END
    finally:
        writer.close()
    return heard


def test_a_client_that_talks_nonsense_harms_nobody(rtos_pair: Any) -> None:
    """It is told so or left, the others go on, and so does the machine."""

    async def act(made: Any) -> None:
        path = made.paths.channel
        time = HEADER.pack(8, Operation.TIME, 0)
        first = b"first request must be HELLO"
        assert first in await answer_to(path, time, first)
        wrong = HEADER.pack(16, Operation.HELLO, 0) + HELLO.pack(MAGIC, VERSION + 1)
        assert (await answer_to(path, wrong)).endswith(END)
        assert await answer_to(path, HEADER.pack(7, Operation.HELLO, 0)) == END
        assert await answer_to(path, HEADER.pack(1 << 30, Operation.HELLO, 0)) == END
        for request, told in (
            (HEADER.pack(8, 999, 0), b"no operation 999"),
            (HEADER.pack(9, Operation.TIME, 0) + b"x", b"TIME with 1 bytes"),
        ):
            assert told in await answer_to(path, hello() + request, told)
        # In two pieces, and two in one.
        reader, writer = await asyncio.open_unix_connection(path)
        whole = hello() + time
        writer.write(whole[:19])
        await writer.drain()
        await reader.readexactly(24)
        writer.write(whole[19:] + time)
        assert len(await reader.readexactly(2 * 24)) == 48
        # There is room for four; the one too many is turned away, and the others stay.
        more = [await asyncio.open_unix_connection(path) for _ in range(3)]
        assert await more[-1][0].read() == b""
        writer.write(time)
        assert len(await reader.readexactly(24)) == 24
        for _, each in (*more, (reader, writer)):
            each.close()
        assert (await made.channel.time()).ns == 0

    on_board(rtos_pair, act)
