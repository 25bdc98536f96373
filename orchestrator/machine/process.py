# SPDX-License-Identifier: MIT
"""The QEMU process: started stopped, told to go on over QMP, and never left behind.

Whatever happens to this process, QEMU goes with it: it asks the kernel for SIGKILL on its parent's
death before it is executed (`setpriv --pdeathsig`).
"""

import asyncio
import contextlib
import enum
import functools
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final, Self

from qemu.qmp import EventListener, ExecuteError, Message, QMPClient, QMPError

from orchestrator.errors import MachineError, MissingToolError, PhaseTimeout, StorageError

_OLDEST_MAJOR: Final = 10
_POLL_S: Final = 0.005
_QUIT_S: Final = 3.0
_STDERR_LINES: Final = 10
_EVENTS: Final = ("STOP", "RESUME", "RESET", "SHUTDOWN", "GUEST_PANICKED")


class MachineState(enum.Enum):
    """Life of a machine; it only moves downwards."""

    NEW = "new"
    PAUSED = "paused"
    RUNNING = "running"
    ENDED = "ended"


class QemuMachine:
    """One QEMU.

    Use as an async context manager: on leaving, however that happens, the process is gone.

    Args:
        command: Program and arguments; must contain `-S` and serve QMP at qmp_path.
        qmp_path: The monitor's socket.
        stderr_path: File for what QEMU itself has to say.
    """

    def __init__(self, command: Sequence[str], *, qmp_path: Path, stderr_path: Path) -> None:
        self.command = tuple(command)
        self.state = MachineState.NEW
        self.version = ""
        self._qmp_path = qmp_path
        self._stderr_path = stderr_path
        self._process: asyncio.subprocess.Process | None = None
        self._qmp = QMPClient("orchestrate")
        self._listener = EventListener(names=_EVENTS)
        self._qmp.register_listener(self._listener)
        self._quitting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    @property
    def pid(self) -> int:
        """QEMU's process id; its RAM is among /proc/PID/fd."""
        if self._process is None:
            raise MachineError("QEMU was not started")
        return self._process.pid

    async def start(self, *, timeout_s: float) -> None:
        """Starts QEMU and connects to its monitor; the machine is then paused at power-on.

        Raises:
            MissingToolError: QEMU or setpriv is not installed, or QEMU is too old.
            MachineError: QEMU ended; the message has its own words.
            PhaseTimeout: No answer in time.

        On any error the process is gone.
        """
        if self.state is not MachineState.NEW:
            raise MachineError(f"QEMU cannot be started when it is {self.state.value}")
        _require(self.command[0], "qemu-system-arm")
        setpriv = _require("setpriv", "util-linux")
        try:
            with self._stderr_path.open("wb") as stderr:
                self._process = await asyncio.create_subprocess_exec(
                    *(setpriv, "--pdeathsig", "KILL", "--", *self.command),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    start_new_session=True,  # a terminal's Ctrl-C is for us alone
                )
        except OSError as error:
            raise StorageError(f"{self._stderr_path}: {error.strerror}") from error
        try:
            async with asyncio.timeout(timeout_s):
                await self._connect()
        except TimeoutError:
            await self.end()
            raise PhaseTimeout(
                f"start: QEMU did not answer within {timeout_s:g} s",
                details=self.last_words(),
            ) from None
        except BaseException:
            await self.end()
            raise
        self.state = MachineState.PAUSED

    async def _connect(self) -> None:
        process = self._running_process()
        while True:
            if process.returncode is not None:
                raise self.death()
            try:
                # The socket appears before QEMU has read all of its command line.
                await self._qmp.connect(str(self._qmp_path))
                break
            except QMPError as error:
                # Not there yet, or gone again; anything else is for the user to see.
                if not isinstance(error.__cause__, OSError | EOFError):
                    raise MachineError(f"QMP: {error}", details=self.last_words()) from error
            await asyncio.sleep(_POLL_S)
        version = await self._execute("query-version")
        numbers = version["qemu"]
        self.version = "{major}.{minor}.{micro}".format(**numbers)
        if version["package"]:
            self.version += f" ({version['package']})"
        if numbers["major"] < _OLDEST_MAJOR:
            raise MissingToolError(
                f"{self.command[0]} is QEMU {self.version}; install qemu-system-arm of version "
                f"{_OLDEST_MAJOR} or later"
            )

    async def cont(self) -> None:
        """Lets the guests run.

        Raises:
            MachineError: QEMU ended or refused.
        """
        await self._execute("cont")
        self.state = MachineState.RUNNING

    async def stop(self) -> None:
        """Stops the guests between two instructions.

        Raises:
            MachineError: QEMU ended or refused.
        """
        await self._execute("stop")
        self.state = MachineState.PAUSED

    async def runs(self) -> bool:
        """Whether the guests run at this instant; `state` is what was asked for last.

        Raises:
            MachineError: QEMU ended.
        """
        return bool((await self._execute("query-status"))["running"])

    async def save_state(self, path: Path) -> None:
        """Writes the whole state of the stopped machine to a file. It can go on afterwards.

        Raises:
            MachineError: QEMU ended, refused, or could not write; the file may be there in part.
        """
        await self._migrate("migrate", path)

    async def load_state(self, path: Path) -> None:
        """Puts a saved state into a machine that was started with `command.INCOMING`.

        The machine is as it was when it was saved, and stopped.

        Raises:
            MachineError: QEMU ended or refused: the state is damaged, or of another machine.
        """
        await self._migrate("migrate-incoming", path)

    async def _migrate(self, command: str, path: Path) -> None:
        # Pages have fixed places in the file, and those of zeros none.
        capabilities = [{"capability": "mapped-ram", "state": True}]
        await self._execute("migrate-set-capabilities", {"capabilities": capabilities})
        await self._execute(command, {"uri": f"file:{path}"})
        while (status := (await self._execute("query-migrate")).get("status")) != "completed":
            if status in ("failed", "cancelled"):
                raise MachineError(f"{path}: `{command}` failed", details=self.last_words())
            await asyncio.sleep(_POLL_S)

    async def quit(self) -> None:
        """Lets QEMU end in good order, as it does only then. Safe to call again.

        It is told once, and nothing after that: QEMU 10.0 ends the coroutine that executes
        commands before the thread that reads them, and a command that comes in between is SIGSEGV.
        """
        if self._quitting is None:
            self._quitting = asyncio.create_task(self._send_quit())
        await asyncio.shield(self._quitting)

    async def _send_quit(self) -> None:
        with contextlib.suppress(QMPError):  # it may go before it has answered
            await self._qmp.execute("quit")

    async def events(self) -> AsyncGenerator[Message, None]:
        """QMP events as they come; ends with the process, after its last event."""
        process = self._running_process()
        death = asyncio.ensure_future(process.wait())
        event: asyncio.Future[Message] | None = None
        try:
            while True:
                event = asyncio.ensure_future(self._listener.get())
                await asyncio.wait({event, death}, return_when=asyncio.FIRST_COMPLETED)
                if not event.done():
                    break
                yield event.result()
            event.cancel()
            # The monitor's last words may still be on their way through the socket.
            await self._disconnect()
            while not self._listener.empty():
                yield await self._listener.get()
        finally:
            death.cancel()
            if event is not None:
                event.cancel()  # else it would take the next one's event

    def forget_events(self) -> None:
        """Those that have come until now are not told by `events`."""
        self._listener.clear()

    async def end(self) -> None:
        """Ends QEMU, kindly or not, and waits until it is gone. Safe to call at any time."""
        process = self._process
        if process is None or self.state is MachineState.ENDED:
            return
        if process.returncode is None and self.state is not MachineState.NEW:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_QUIT_S):
                    await self.quit()
                    # Also when it goes by itself: kill() would collect its exit code, unseen by wait().
                    await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        self.state = MachineState.ENDED
        await self._disconnect()

    def last_words(self) -> tuple[str, ...]:
        """The end of what QEMU wrote to its standard error."""
        try:
            text = self._stderr_path.read_text(errors="replace")
        except OSError:
            return ()
        return tuple(f"qemu: {line}" for line in text.splitlines()[-_STDERR_LINES:])

    def death(self) -> MachineError | StorageError:
        """The error that describes how QEMU ended by itself."""
        code = self._process.returncode if self._process else None
        details = (*self.last_words(), f"log: {self._stderr_path}")
        if code is None or code >= 0:
            what = "did not start" if self.state is MachineState.NEW else "ended by itself"
            return MachineError(f"QEMU {what}, exit code {code}", details=details)
        name = signal.Signals(-code).name
        if name == "SIGXFSZ":
            message = "QEMU could not write on: the file size limit is reached (ulimit -f)"
            return StorageError(message, details=details)
        return MachineError(f"QEMU was killed by {name}", details=details)

    async def _execute(self, command: str, arguments: dict[str, object] | None = None) -> Any:
        if self._quitting is not None:
            raise MachineError(f"QEMU is about to end and takes no `{command}`")
        try:
            return await self._qmp.execute(command, arguments)
        except ExecuteError as error:
            raise MachineError(f"QEMU refused `{command}`: {error}") from error
        except QMPError as error:
            raise MachineError(
                f"QEMU did not answer to `{command}`", details=self.last_words()
            ) from error

    async def _disconnect(self) -> None:
        # The peer's going is reported here at the latest, and is not news.
        with contextlib.suppress(QMPError, EOFError, OSError):
            await self._qmp.disconnect()

    def _running_process(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise MachineError("QEMU was not started")
        return self._process


@functools.cache
def qemu_version(program: str) -> str:
    """What a QEMU says of itself, some lines, the first of which has the version.

    Raises:
        MissingToolError: It does not run.
    """
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingToolError(f"{program} does not run: apt install qemu-system-arm") from error
    return done.stdout


def _require(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise MissingToolError(f"{program} is not installed: apt install {package}")
    return path
