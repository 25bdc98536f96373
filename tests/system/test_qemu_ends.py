# SPDX-License-Identifier: MIT
"""How QEMU itself goes when its guests have switched the board off."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from orchestrator.bench.board import machine_of, prepare
from orchestrator.bench.places import places_toml
from orchestrator.machine.private_dir import private_dir

pytestmark = pytest.mark.system

HOST_LIMIT_S = 60.0
TIMES = 10


def test_a_qemu_that_is_about_to_end_is_not_killed(tmp_path: Path) -> None:
    """Whoever leaves at its last event is early, and yet gets its own exit code, each time."""

    async def last_event() -> str:
        with private_dir() as sockets:
            made = prepare(tmp_path, sockets, places_toml(1), plugin=False)
            async with machine_of(made, tmp_path) as machine:
                await machine.start(timeout_s=HOST_LIMIT_S)
                await machine.cont()
                async with asyncio.timeout(HOST_LIMIT_S), aclosing(machine.events()) as events:
                    async for event in events:
                        if event["event"] == "SHUTDOWN":
                            break
            return str(machine.death())

    ends = {asyncio.run(last_event()) for _ in range(TIMES)}
    assert ends == {"QEMU ended by itself, exit code 0"}
