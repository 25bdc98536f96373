# SPDX-License-Identifier: MIT
"""One console of a running machine: drained without pause, shown line by line, shared.

This process owns the connection to QEMU's character device. The complete log is written by QEMU
itself. Whoever wants to see or type connects to a socket of this module; a slow or stopped viewer
is disconnected, it never makes the guest wait.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from orchestrator.errors import MachineError

_CHUNK_BYTES: Final = 1 << 16
_LINES_KEPT: Final = 10
_LINE_BYTES: Final = 4096
"""A line without an end is cut there: each piece that comes has all of it looked at again."""
_BACKLOG_BYTES: Final = 4096
_VIEWER_LAG_BYTES: Final = 1 << 20


class Console:
    """A console's output as lines, and its viewers.

    Args:
        name: The VM's name, or the hypervisor's.
        on_line: Called with each complete line, without its end.
        on_prompt: Called with the beginning of a line that has no end yet.
    """

    def __init__(
        self,
        name: str,
        *,
        on_line: Callable[[str], None],
        on_prompt: Callable[[str], None],
    ) -> None:
        self.name = name
        self.received_bytes = 0
        self.last_output_s = 0.0
        self._on_line = on_line
        self._on_prompt = on_prompt
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._partial = b""
        self._backlog = b""
        self._viewers: set[asyncio.StreamWriter] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._reading: asyncio.Task[None] | None = None
        self._awaited: deque[tuple[int, Callable[[], None]]] = deque()

    async def connect(self, socket_path: Path, *, relay_path: Path | None) -> None:
        """Connects to QEMU and starts reading; then opens the socket for viewers.

        Raises:
            MachineError: A socket cannot be opened; nothing is left open.
        """
        self.last_output_s = asyncio.get_running_loop().time()
        try:
            reader, self._writer = await asyncio.open_unix_connection(str(socket_path))
            self._reading = asyncio.create_task(self._read(reader))
            if relay_path is not None:
                self._server = await asyncio.start_unix_server(self._view, str(relay_path))
        except OSError as error:
            await self.close()
            raise MachineError(f"console {self.name}: {error}") from error

    def call_at(self, received_bytes: int, callback: Callable[[], None]) -> None:
        """Calls back, in the order of these calls, once so much output has been taken.

        At the output's end all are called that still wait. Now, if nothing is to be waited for.
        """
        self._awaited.append((received_bytes, callback))
        self._call_awaited(self.received_bytes)

    def replay(self, output: bytes) -> None:
        """Takes output as if it had just come, such as that of the time before a saved start."""
        self.received_bytes += len(output)
        self._relay(output)
        self._feed(output)

    async def drain(self) -> None:
        """Waits for the end of the output, which comes when QEMU has ended.

        Cancelling this leaves the reading alone.

        Raises:
            Exception: Whatever a callback raised; nothing was read after it.
        """
        if self._reading is not None:
            await asyncio.shield(self._reading)

    async def close(self) -> None:
        """Closes all sockets; output that has not arrived is lost."""
        if self._server is not None:
            self._server.close()
        for writer in (*self._viewers, self._writer):
            if writer is not None:
                writer.close()
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    def last_lines(self) -> tuple[str, ...]:
        """The end of the output, an unfinished line included."""
        tail = (_text(self._partial),) if self._partial else ()
        return (*self._lines, *tail)[-_LINES_KEPT:]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        # A killed QEMU ends the stream like one that went by itself.
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK_BYTES):
                self.last_output_s = loop.time()
                self.replay(chunk)
                self._call_awaited(self.received_bytes)
        if self._partial:
            self._end_line(self._partial)
            self._partial = b""
        self._call_awaited(None)

    def _call_awaited(self, received_bytes: int | None) -> None:
        while self._awaited and (received_bytes is None or self._awaited[0][0] <= received_bytes):
            _, callback = self._awaited.popleft()
            callback()

    def _feed(self, chunk: bytes) -> None:
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._end_line(line)
        if len(self._partial) > _LINE_BYTES:
            self._end_line(self._partial)
            self._partial = b""
        if self._partial:
            self._on_prompt(_text(self._partial))

    def _end_line(self, raw: bytes) -> None:
        line = _text(raw)
        self._lines.append(line)
        self._on_line(line)

    def _relay(self, chunk: bytes) -> None:
        self._backlog = (self._backlog + chunk)[-_BACKLOG_BYTES:]
        for viewer in tuple(self._viewers):
            if viewer.transport.get_write_buffer_size() > _VIEWER_LAG_BYTES:
                self._viewers.discard(viewer)
                viewer.transport.abort()
            else:
                viewer.write(chunk)

    async def _view(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one viewer: first what it has missed, then everything; its input goes to QEMU."""
        writer.write(self._backlog)
        self._viewers.add(writer)
        try:
            with contextlib.suppress(ConnectionError):
                while typed := await reader.read(_CHUNK_BYTES):
                    if self._writer is not None:
                        self._writer.write(typed)
                        await self._writer.drain()
        finally:
            self._viewers.discard(writer)
            writer.close()


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace").rstrip("\r")
