# SPDX-License-Identifier: MIT
"""What a second process may ask of a running system: JSON lines over a Unix socket.

The process that runs the boot owns the machine; it serves the socket that `live.json` names, in its
private directory. A request is one line, an object with the operation in "do"; so is the answer,
with "ok" or "error". The operations are those of `orchestrator.service`, which knows no sockets.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import (
    CheckFailed,
    ConfigError,
    GuestError,
    MachineError,
    MissingToolError,
    OrchestrateError,
    PhaseTimeout,
    StorageError,
    UsageError,
)

_LINE_BYTES: Final = 1 << 26
_ANSWER_S: Final = 120.0
_ERRORS: Final[Mapping[str, type[OrchestrateError]]] = {
    kind.__name__: kind
    for kind in (
        *(CheckFailed, UsageError, MissingToolError, GuestError, MachineError),
        *(PhaseTimeout, StorageError),
    )
}

Operation = Callable[[Mapping[str, Any]], Awaitable[Any]]


class ControlServer:
    """Answers requests, one connection beside the other.

    Args:
        path: The socket.
        operations: By name, what carries a request out and returns what JSON can hold.
    """

    def __init__(self, path: Path, operations: Mapping[str, Operation]) -> None:
        self._path = path
        self._operations = operations
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_unix_server(
            self._serve, path=self._path, limit=_LINE_BYTES
        )

    async def close(self) -> None:
        """Listens no more. Safe to call at any time."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # the client went away, or sends no lines
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            operation = self._operations[request["do"]]
        except (ValueError, KeyError, TypeError):
            return _error(UsageError(f"no such request: {line[:80]!r}"))
        try:
            return {"ok": await operation(request)}
        except OrchestrateError as error:
            return _error(error)
        except (KeyError, TypeError, ValueError) as error:
            return _error(UsageError(f"{request['do']}: {error}"))


def _error(error: OrchestrateError) -> dict[str, Any]:
    named = ConfigError if isinstance(error, ConfigError) else None
    kinds = [kind for kind in _ERRORS.values() if isinstance(error, kind)]
    name = "UsageError" if named else (kinds[0].__name__ if kinds else "CheckFailed")
    return {"error": {"type": name, "message": error.message, "details": list(error.details)}}


def ask(path: Path, request: Mapping[str, Any]) -> Any:
    """Sends one request to a running system and waits for the answer.

    Raises:
        OrchestrateError: What the other process raised.
        UsageError: Nobody listens any more.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(_LINE_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: the running system does not answer: {error}") from error
    if not line:
        raise MachineError("the running system went away before it answered")
    answer = json.loads(line)
    if "error" in answer:
        told = answer["error"]
        raise _ERRORS[told["type"]](told["message"], details=told["details"])
    return answer["ok"]
