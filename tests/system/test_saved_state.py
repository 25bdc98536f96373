# SPDX-License-Identifier: MIT
"""A machine's state, saved and loaded: what goes on elsewhere is what would have gone on here."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import MachineError

pytestmark = pytest.mark.system

END_NS = 60_000_000
HOOK = "OSTaskSwHook"


def toml(cores: int) -> str:
    """Two RTOS guests, which share one core or have one each."""
    guests = "".join(
        f'[vm.{name}]\ntype = "elf"\nram = "16M"\npin = [{index % cores}]\n'
        for index, name in enumerate("ab")
    )
    return f"[machine]\ncores = {cores}\n{guests}"


async def at_the_end(board: Any) -> tuple[Any, ...]:
    """Time, instructions of all guests and the whole RAM at one instant."""
    await board.run_to_stop()
    now = await board.channel.time()
    assert now.ns == END_NS
    ram = hashlib.sha256(board.ram.read(0x4000_0000, board.ram.bytes)).hexdigest()
    return now, ram, await board.channel.counters()


@pytest.mark.parametrize("cores", [1, 2])
def test_a_loaded_state_goes_on_as_if_nothing_had_been(
    board: Any, rtos_symbols: dict[str, int], tmp_path: Path, cores: int
) -> None:
    """Equal RAM and counters: of one that was saved, of one that was not, of three loaded ones."""
    state = tmp_path / "state"
    state.mkdir()

    async def run(name: str, **options: Any) -> tuple[Any, ...]:
        async with board(toml(cores), stop_ns=END_NS, name=name, **options) as made:
            await made.channel.count()
            return await at_the_end(made)

    async def save() -> tuple[Any, ...]:
        async with board(toml(cores), stop_ns=END_NS, name="saved") as made:
            await made.channel.count()
            await made.channel.stop_at(made.pa(1, rtos_symbols[HOOK]))
            await made.run_to_stop()
            assert (await made.channel.time()).ns < END_NS
            await made.machine.save_state(state / "machine")
            (state / "plugin").write_bytes(await made.channel.save_state())
            return await at_the_end(made)

    async def load_two() -> list[tuple[Any, ...]]:
        both = await asyncio.gather(run("second", state=state), run("third", state=state))
        return list(both)

    expected = asyncio.run(run("plain"))
    assert asyncio.run(save()) == expected
    assert asyncio.run(run("first", state=state)) == expected
    assert asyncio.run(load_two()) == [expected, expected]


def test_a_damaged_state_is_an_error_and_leaves_no_qemu(board: Any, tmp_path: Path) -> None:
    """The error says what QEMU said."""
    (tmp_path / "machine").write_bytes(b"nothing that QEMU has written")

    async def load() -> None:
        async with board(toml(1), state=tmp_path):
            pytest.fail("that was a state?")

    with pytest.raises(MachineError) as caught:
        asyncio.run(load())
    assert any("migration" in line for line in caught.value.details)
