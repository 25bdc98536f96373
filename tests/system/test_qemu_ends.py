# SPDX-License-Identifier: MIT
"""How QEMU itself goes when its guests have switched the board off."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from orchestrator.bench.board import machine_of, prepare
from orchestrator.bench.places import places_toml
from orchestrator.errors import MachineError
from orchestrator.machine.private_dir import private_dir
from orchestrator.machine.process import QemuMachine

pytestmark = pytest.mark.system

HOST_LIMIT_S = 60.0
TIMES = 10


async def _until_switched_off(machine: QemuMachine) -> None:
    await machine.start(timeout_s=HOST_LIMIT_S)
    await machine.cont()
    async with asyncio.timeout(HOST_LIMIT_S), aclosing(machine.events()) as events:
        async for event in events:
            if event["event"] == "SHUTDOWN":
                break


def test_a_qemu_whose_guests_have_ended_goes_when_it_is_told_to(tmp_path: Path) -> None:
    """It has its own exit code, each time: it was neither killed, nor told twice."""

    async def end() -> str:
        with private_dir() as sockets:
            made = prepare(tmp_path, sockets, places_toml(1), plugin=False)
            async with machine_of(made, tmp_path) as machine:
                await _until_switched_off(machine)
            return str(machine.death())

    ends = {asyncio.run(end()) for _ in range(TIMES)}
    assert ends == {"QEMU ended by itself, exit code 0"}


def test_a_qemu_on_its_way_out_is_told_nothing_more(tmp_path: Path) -> None:
    """A command that it reads then crashes it."""

    async def end() -> str:
        with private_dir() as sockets:
            made = prepare(tmp_path, sockets, places_toml(1), plugin=False)
            async with machine_of(made, tmp_path) as machine:
                await _until_switched_off(machine)
                await machine.quit()
                with pytest.raises(MachineError, match="about to end and takes no `stop`"):
                    await machine.stop()
                await machine.quit()
            return str(machine.death())

    assert asyncio.run(end()) == "QEMU ended by itself, exit code 0"
