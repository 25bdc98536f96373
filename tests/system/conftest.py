# SPDX-License-Identifier: MIT
"""Boards for tests that place probes by address and stop where they like."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from orchestrator.bench import places
from orchestrator.bench.board import Board, elf_symbols, open_board
from orchestrator.images import sources

BoardMaker = Callable[..., AbstractAsyncContextManager[Board]]

_RTOS_PAIR = """
[machine]
cores = 2
[clock]
quantum = "50us"
[vm.a]
type = "elf"
ram = "16M"
pin = [0]
[vm.b]
type = "elf"
ram = "16M"
pin = [1]
"""


@pytest.fixture
def board(tmp_path: Path) -> BoardMaker:
    """Makes a board of a config's text, or of a saved state; its guests are bare-metal ELFs."""

    def make(
        toml: str, *, stop_ns: int | None = None, name: str = "", state: Path | None = None
    ) -> AbstractAsyncContextManager[Board]:
        folder = tmp_path / (name or f"board-{len(list(tmp_path.iterdir()))}")
        folder.mkdir()
        return open_board(folder, toml, stop_ns=stop_ns, state=state)

    return make


@pytest.fixture
def rtos_pair(board: BoardMaker) -> BoardMaker:
    """Makes a board with two RTOS guests, on a core each, under the hypervisor."""
    return partial(board, _RTOS_PAIR)


@pytest.fixture
def probed_board(board: BoardMaker) -> Callable[[int], AbstractAsyncContextManager[Board]]:
    """Makes a board whose one guest, on two cores, is about to call its places so many times."""

    @asynccontextmanager
    async def make(rounds: int) -> AsyncIterator[Board]:
        async with board(places.places_toml(2)) as made:
            await places.run_to_first_call(made, rounds)
            yield made

    return make


@pytest.fixture(scope="session")
def rtos_symbols() -> dict[str, int]:
    """Addresses of the RTOS's symbols."""
    return {name: value for name, _, value in elf_symbols(sources.build("rtos"))}


@pytest.fixture(scope="session")
def rtos_functions() -> dict[str, int]:
    """Addresses of the RTOS's code symbols."""
    rows = elf_symbols(sources.build("rtos"))
    return {name: value for name, kind, value in rows if kind in {"t", "T"}}


@pytest.fixture(scope="session")
def places_elf() -> Path:
    """The guest that is probed (images/bench/places.c)."""
    return places.places_elf()


@pytest.fixture(scope="session")
def places_symbols() -> dict[str, int]:
    """Addresses of its symbols."""
    return places.places_symbols()
