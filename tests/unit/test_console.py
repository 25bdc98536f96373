# SPDX-License-Identifier: MIT
"""A console against a stand-in for QEMU's socket: nothing is lost, nobody can make it wait."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.errors import MachineError
from orchestrator.machine.console import Console

LIMIT_S = 300
"""No measure: what comes, comes at once where nothing else runs."""


@dataclass
class Heard:
    """What a console reported."""

    lines: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)


@dataclass
class Board:
    """QEMU's side of the connection, and the console on ours."""

    console: Console
    heard: Heard
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    relay: Path


@contextlib.asynccontextmanager
async def board(directory: Path) -> AsyncIterator[Board]:
    heard = Heard()
    console = Console("vm", on_line=heard.lines.append, on_prompt=heard.prompts.append)
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put((reader, writer))

    server = await asyncio.start_unix_server(accept, str(directory / "q"))
    try:
        await console.connect(directory / "q", relay_path=directory / "j")
        reader, writer = await accepted.get()
        try:
            yield Board(console, heard, writer, reader, directory / "j")
        finally:
            await console.close()
            writer.close()
    finally:
        server.close()


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that must come soon."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - it may be about anything
            await asyncio.sleep(0.001)


def test_lines_come_whole_however_they_were_cut(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with board(tmp_path) as b:
            for piece in (b"one\r\ntw", b"o\r", b"\nlogin: "):
                b.writer.write(piece)
                await b.writer.drain()
                await asyncio.sleep(0.01)
            await until(lambda: b.heard.prompts[-1:] == ["login: "])
            assert b.heard.lines == ["one", "two"]
            assert b.console.last_lines() == ("one", "two", "login: ")

    asyncio.run(scenario())


def test_output_is_taken_to_its_end_after_the_peer_has_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with board(tmp_path) as b:
            b.writer.write(b"x\n" * 50_000 + b"last words")
            await b.writer.drain()
            b.writer.close()
            await b.console.drain()
            assert len(b.heard.lines) == 50_001
            assert b.heard.lines[-1] == "last words"
            assert b.console.received_bytes == 100_010

    asyncio.run(scenario())


def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    """A guest that never ends a line must not take ever more time and memory."""

    async def scenario() -> None:
        async with board(tmp_path) as b:
            b.writer.write(b"x" * 1_000_000 + b"\nafter it\n")
            await until(lambda: b.heard.lines[-1:] == ["after it"])
            assert "".join(b.heard.lines[:-1]) == "x" * 1_000_000
            assert max(map(len, b.heard.lines)) < 100_000
            assert max(map(len, b.heard.prompts), default=0) <= 4096

    asyncio.run(scenario())


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with board(tmp_path) as b:
            b.writer.write(b"\xff\xfe\x00ok\n")
            await until(lambda: bool(b.heard.lines))
            assert b.heard.lines[0].endswith("ok")

    asyncio.run(scenario())


def test_a_viewer_sees_what_it_missed_and_what_it_types_arrives(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with board(tmp_path) as b:
            b.writer.write(b"before\n# ")
            await until(lambda: bool(b.heard.prompts))
            reader, writer = await asyncio.open_unix_connection(str(b.relay))
            assert await reader.readexactly(9) == b"before\n# "
            writer.write(b"ls\r")
            assert await b.reader.readexactly(3) == b"ls\r"
            b.writer.write(b"ls\r\n")
            assert await reader.readexactly(4) == b"ls\r\n"
            writer.close()

    asyncio.run(scenario())


def test_a_viewer_that_stopped_reading_is_dropped_and_the_guest_goes_on(tmp_path: Path) -> None:
    """Else its console would fill up, and QEMU would wait for it."""

    async def scenario() -> None:
        async with board(tmp_path) as b:
            with socket.socket(socket.AF_UNIX) as stuck:
                stuck.connect(str(b.relay))
                await until(lambda: bool(b.console._viewers))
                line = b"y" * 1023 + b"\n"
                async with asyncio.timeout(LIMIT_S):
                    for _ in range(8 * 1024):
                        b.writer.write(line)
                        await b.writer.drain()
                await until(lambda: len(b.heard.lines) == 8 * 1024)
                assert not b.console._viewers

    asyncio.run(scenario())


def test_closing_does_not_wait_for_viewers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with board(tmp_path) as b:
            reader, writer = await asyncio.open_unix_connection(str(b.relay))
            await until(lambda: bool(b.console._viewers))
            async with asyncio.timeout(LIMIT_S):
                await b.console.close()
                assert await reader.read() == b""
            writer.close()

    asyncio.run(scenario())


def test_no_qemu_behind_the_socket_is_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        console = Console("vm", on_line=print, on_prompt=print)
        with pytest.raises(MachineError, match="console vm"):
            await console.connect(tmp_path / "none", relay_path=None)

    asyncio.run(scenario())


def test_what_has_to_wait_for_output_is_called_after_it_and_in_order(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        async with board(tmp_path) as b:
            order: list[str] = []
            b.console.call_at(0, lambda: order.append("at once"))
            b.console.call_at(6, lambda: order.append("+".join(b.heard.lines)))
            b.console.call_at(6, lambda: order.append("second"))
            b.console.call_at(99, lambda: order.append("the end"))
            assert order == ["at once"]
            b.writer.write(b"one\nt")
            await until(lambda: b.console.received_bytes == 5)
            assert order == ["at once"]
            b.writer.write(b"\n")
            await until(lambda: len(order) == 3)
            b.writer.close()
            await b.console.drain()
            return order

    assert asyncio.run(scenario()) == ["at once", "one+t", "second", "the end"]
