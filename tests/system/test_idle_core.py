# SPDX-License-Identifier: MIT
"""Who looks whether a trap is half done does not wait for a core that has nothing to do."""

import asyncio
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
