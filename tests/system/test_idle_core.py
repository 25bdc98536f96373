# SPDX-License-Identifier: MIT
"""A core that has nothing to do costs nothing.

Who looks whether a trap is half done does not wait for it, and QEMU does not translate code anew
because there could be another core that runs.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from orchestrator.bench.board import Board
from orchestrator.images import sources
from orchestrator.probe.registers import HypervisorMemory, VcpuReader

pytestmark = pytest.mark.system

ONE_IDLE_CORE = """
[machine]
cores = 2
[vm.rtos]
type = "elf"
ram = "16M"
pin = [0]
"""
LINUX = """
[machine]
cores = {cores}
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
"""
HYP = 0x1A
MODE = 0x1F


def test_a_core_that_waits_in_hyp_mode_is_not_busy(
    board: Callable[..., AbstractAsyncContextManager[Board]],
) -> None:
    async def run() -> None:
        async with board(ONE_IDLE_CORE, stop_ns=20_000_000) as made:
            await made.run_to_stop()
            reader = VcpuReader(
                made.channel,
                hypervisor=HypervisorMemory(sources.build("hypervisor"), made.ram.read),
                virtualized=True,
                pins=lambda _: (0,),
            )
            assert await made.channel.read_register(1, "cpsr") & MODE == HYP
            assert 1 not in await reader.in_hypervisor()

    asyncio.run(run())


def test_a_core_that_works_in_hyp_mode_is_busy(
    board: Callable[..., AbstractAsyncContextManager[Board]],
) -> None:
    """At power-on the hypervisor itself boots."""

    async def run() -> None:
        async with board(ONE_IDLE_CORE) as made:
            memory = HypervisorMemory(sources.build("hypervisor"), made.ram.read)
            reader = VcpuReader(
                made.channel, hypervisor=memory, virtualized=True, pins=lambda _: (0,)
            )
            assert 0 in await reader.in_hypervisor()

    asyncio.run(run())


def test_linux_boots_with_as_many_translations_on_a_board_with_a_second_core(
    board: Callable[..., AbstractAsyncContextManager[Board]],
) -> None:
    """A core's share of the time until each timer, then of the rest: 148 blocks more, of 30,600."""

    async def translated(cores: int) -> int:
        async with board(LINUX.format(cores=cores), stop_ns=100_000_000) as made:
            await made.run_to_stop()
            info = await made.machine._qmp.execute("x-query-jit")
            found = re.search(r"TB count +(\d+)", str(info))
            assert found
            return int(found[1])

    async def run() -> None:
        one, two = await translated(1), await translated(2)
        assert two < one * 1.002

    asyncio.run(run())
