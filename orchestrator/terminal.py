# SPDX-License-Identifier: MIT
"""How a run is shown: as text, as JSON, or as an attached console. Decides nothing."""

import contextlib
import dataclasses
import enum
import json
import os
import select
import socket
import sys
import termios
import tty
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestrator.errors import MachineError, OrchestrateError

if TYPE_CHECKING:
    from orchestrator.session import BootResult

_DETACH: Final = b"\x1d"  # Ctrl-]
_CHUNK_BYTES: Final = 1 << 16
_COLOURS: Final = (36, 33, 35, 32, 34, 31)  # SGR foreground colours, one VM after the other


class TextReporter:
    """Shows a run as lines: consoles on stdout, everything about the run on stderr.

    Args:
        show_consoles: Whether to show console lines; with a command stdout belongs to the
            command, and the logs in the run directory have the consoles.
    """

    def __init__(self, *, show_consoles: bool) -> None:
        self._show_consoles = show_consoles
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._colour_of: dict[str, int] = {}

    def phase(self, name: str) -> None:
        """A phase begins."""
        self._tell(f"phase {name}")

    def vm_state(self, vm: str, state: str) -> None:
        """A VM's state is another one now."""
        self._tell(f"{vm}: {state}")

    def console(self, vm: str, line: str) -> None:
        """Shows a console line with its VM's name before it."""
        if self._show_consoles:
            print(f"{self._label(vm)} {printable(line)}", flush=True)

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._tell(text)

    def command_output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Passes the bytes of the guest's command through unchanged."""
        target = sys.stdout if stream == "stdout" else sys.stderr
        target.flush()
        target.buffer.write(data)
        target.buffer.flush()

    def summary(self, result: "BootResult") -> None:
        """The last lines of a run: how long it took and where its logs are."""
        if result.guest_ns is not None:
            self._tell(f"guest time {result.guest_ns / 1e9:.6f} s")
        self._tell(f"host time {result.boot_host_s:.1f} s; logs in {result.run_dir}")

    def _label(self, vm: str) -> str:
        if not self._coloured:
            return f"[{vm}]"
        colour = self._colour_of.setdefault(vm, _COLOURS[len(self._colour_of) % len(_COLOURS)])
        return f"\x1b[{colour}m[{vm}]\x1b[0m"

    def _tell(self, text: str) -> None:
        print(f"orchestrate: {text}", file=sys.stderr, flush=True)


class JsonReporter:
    """Says nothing on stdout until the end, then one object; the phases go to stderr."""

    def __init__(self) -> None:
        self._output = {"stdout": b"", "stderr": b""}

    def phase(self, name: str) -> None:
        """A phase begins."""
        print(f"orchestrate: phase {name}", file=sys.stderr, flush=True)

    def vm_state(self, vm: str, state: str) -> None:
        """A VM's state; the result has the last one."""

    def console(self, vm: str, line: str) -> None:
        """A console line; the run directory has them all."""

    def note(self, text: str) -> None:
        """Something worth a line."""
        print(f"orchestrate: {text}", file=sys.stderr, flush=True)

    def command_output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Keeps the bytes for the result."""
        self._output[stream] += data

    def result(self, result: "BootResult") -> str:
        """The whole run as one JSON object; bytes that are not UTF-8 become U+FFFD."""
        return json.dumps({**_plain(result), **_plain(self._output), "error": None}, indent=2)


def error_json(error: OrchestrateError, *, exit_code: int) -> str:
    """A failed run as one JSON object."""
    told = {
        "kind": type(error).__name__,
        "message": error.message,
        "details": list(error.details),
    }
    return json.dumps({"exit_code": exit_code, "error": told}, indent=2)


def _plain(value: Any) -> Any:
    """Turns dataclasses, paths, enums and bytes into what JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value) if isinstance(value, Path) else value


def printable(line: str) -> str:
    """A guest's line without what would steer the user's terminal."""
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)


def attach(path: Path, *, name: str) -> int:
    """Connects this terminal to a guest's console until Ctrl-] or the guest's end.

    When stdin is not a terminal it is sent to its end, and output is shown until the guest's end.

    Args:
        path: The Unix socket of the console.
        name: The VM's name, for messages.

    Raises:
        MachineError: Nobody answers on the socket.
    """
    with socket.socket(socket.AF_UNIX) as guest, contextlib.ExitStack() as stack:
        try:
            guest.connect(str(path))
        except OSError as error:
            raise MachineError(
                f"console {name}: {error.strerror} ({path}); the system may have ended"
            ) from error
        stdin = sys.stdin.fileno()
        if sys.stdin.isatty():
            print(f"orchestrate: attached to {name}; Ctrl-] detaches", file=sys.stderr)
            stack.enter_context(_raw_terminal(stdin))
        # A guest that ends while something is typed to it has ended all the same.
        with contextlib.suppress(ConnectionError):
            _pump(guest, stdin, sys.stdout.fileno())
    print(f"\norchestrate: detached from {name}", file=sys.stderr)
    return 0


def _pump(guest: socket.socket, stdin: int, stdout: int) -> None:
    sources: list[int] = [guest.fileno(), stdin]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if guest.fileno() in ready:
            data = guest.recv(_CHUNK_BYTES)
            if not data:
                return
            _write_all(stdout, data)
        if stdin in ready:
            data = os.read(stdin, _CHUNK_BYTES)
            if not data:
                sources.remove(stdin)
                continue
            typed, detach, _ = data.partition(_DETACH)
            guest.sendall(typed)
            if detach:
                return


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextlib.contextmanager
def _raw_terminal(descriptor: int) -> Iterator[None]:
    """Keys go to the guest one by one, Ctrl-C included; the terminal is restored at the end."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
