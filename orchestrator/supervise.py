# SPDX-License-Identifier: MIT
"""Watches one running machine until there is a reason to end it.

Everything arrives here as small callbacks in one event loop: console lines, QMP events, signals,
a clock tick. The first of them that decides the run sets its `Ending` or its error; what comes
later changes nothing.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, cast

from orchestrator.config import Timeouts
from orchestrator.errors import (
    GuestError,
    Interrupted,
    OrchestrateError,
    PhaseTimeout,
    StorageError,
)
from orchestrator.guest.profiles import POWER_OFF, HypervisorNews, hypervisor_news, profile_of
from orchestrator.guest.watch import GuestState, GuestWatch
from orchestrator.machine.board import Layout
from orchestrator.machine.command import HYPERVISOR_CONSOLE, Paths, console_names
from orchestrator.machine.console import Console
from orchestrator.machine.process import QemuMachine
from orchestrator.options import BootOptions, Reporter
from orchestrator.rundir import RunDir, storage_errors

_TICK_S: Final = 0.1
_OUTPUT_POLL_S: Final = 0.02
_ROOM_CHECK_TICKS: Final = 5
_AFTERMATH_S: Final = 0.5
"""A dying guest goes on speaking: its next lines are the ones that tell why."""
_CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why a run ended well.

    Attributes:
        reason: "ready", "guest-time", "command" or "power-off".
        exit_code: 0, or that of the command.
    """

    reason: str
    exit_code: int = 0


class Watcher(Protocol):
    """Traces a run; `orchestrator.observe`."""

    async def attach(self) -> None:
        """The machine has started and stands still."""

    async def stopped(self) -> bool:
        """The machine has stopped; answers whether that was the watcher's doing."""

    async def finish(self) -> None:
        """The run is at its end; QEMU is there still, unless it has died."""


class Start(Protocol):
    """A saved state; `orchestrator.starts`."""

    def log(self, console: str) -> bytes:
        """What a console had said by then."""

    async def load(self, machine: QemuMachine, channel_path: Path, layout: Layout) -> None:
        """Puts the machine, which has just been started, into that state."""


class Supervisor:
    """Runs a machine to its end.

    Args:
        layout: The board.
        machine: Not started yet.
        paths: Files and sockets of the run.
        run_dir: Where the run's files are.
        options: What the user wants.
        timeouts: Those of the config with the overrides applied.
        reporter: Hears what happens.
        observer: Traces the run; None: nobody does.
        start: Where the machine goes on; None: at power-on.
        stop: What the run is for, if that is a place at which the machine stops and the observer
            lets it: the reason of that end. Such a run stays in the phase "ready", with its limit.

    Attributes:
        phases_s: Host seconds of each phase that has begun.
        watches: The guests by name.
    """

    def __init__(  # noqa: PLR0913 - it composes what it is given
        self,
        *,
        layout: Layout,
        machine: QemuMachine,
        paths: Paths,
        run_dir: RunDir,
        options: BootOptions,
        timeouts: Timeouts,
        reporter: Reporter,
        observer: Watcher | None = None,
        start: Start | None = None,
        stop: str | None = None,
    ) -> None:
        self._layout = layout
        self._observer = observer
        self._start = start
        self._stop = stop
        self._machine = machine
        self._paths = paths
        self._run_dir = run_dir
        self._options = options
        self._timeouts = timeouts
        self._reporter = reporter
        self._job_vm = next(
            (vm.name for vm in layout.vms if options.command and vm.virtio_buses), None
        )
        self.phases_s: dict[str, float] = {}
        self.watches = {
            vm.name: GuestWatch(
                vm.name,
                profile_of(vm.config),
                runs_job=vm.name == self._job_vm,
                on_change=self._guest_changed,
            )
            for vm in layout.vms
        }
        self._consoles = {name: self._make_console(name) for name in console_names(layout)}
        self._phase = ""
        self._phase_began_s = 0.0
        self._shutdown_reason = ""
        self._dying: tuple[str, str | None] | None = None
        self._outcome: asyncio.Future[Ending]

    async def run(self, live: Mapping[str, object], relays: Mapping[str, Path]) -> Ending:
        """Starts the machine and watches it; when this returns or raises, it is gone.

        Args:
            live: What `live.json` shall say beside QEMU's process id.
            relays: By console name, the socket that viewers may connect to.

        Raises:
            OrchestrateError: The run failed or was interrupted; details hold console lines.
        """
        self._outcome = asyncio.get_running_loop().create_future()
        async with self._machine:
            work = asyncio.create_task(self._work(live, relays))
            deciders: set[asyncio.Future[Any]] = {work, self._outcome}
            await asyncio.wait(deciders, return_when=asyncio.FIRST_COMPLETED)
            self._enter_phase("stop")
            work.cancel()
            (failure,) = await asyncio.gather(work, return_exceptions=True)
            await self._finish_tracing(failed=isinstance(failure, Exception))
        await self._drain()
        for console in self._consoles.values():
            await console.close()
        self._end_phase()
        if not self._outcome.done() and failure is not None:
            raise failure
        try:
            ending = await self._outcome
        except Interrupted as error:
            # Only now has everything been taken that the guests said before the signal.
            error.details = self._details(None)
            raise
        self._check_logs()
        return ending

    async def _finish_tracing(self, *, failed: bool = False) -> None:
        """What went wrong with the tracing fails a run that went well, and is a note beside others."""
        if self._observer is None:
            return
        try:
            await self._observer.finish()
        except OrchestrateError as error:
            if failed or (self._outcome.done() and self._outcome.exception() is not None):
                self._reporter.note(error.message)
                return
            if self._outcome.done():
                self._outcome = asyncio.get_running_loop().create_future()
            self._fail(error)

    async def _work(self, live: Mapping[str, object], relays: Mapping[str, Path]) -> None:
        self._enter_phase("start")
        await self._machine.start(timeout_s=self._timeouts.start_s)
        if self._start is not None and self._paths.channel is not None:
            await self._start.load(self._machine, self._paths.channel, self._layout)
        for name, console in self._consoles.items():
            await console.connect(self._paths.console_sockets[name], relay_path=relays[name])
        if self._observer is not None:
            await self._observer.attach()
        sockets = {name: str(path) for name, path in relays.items()}
        self._run_dir.set_live({**live, "qemu_pid": self._machine.pid, "consoles": sockets})
        self._enter_phase("ready")
        for name in self.watches:
            self._reporter.vm_state(name, GuestState.BOOTING.value)
        if self._start is not None:
            for name, console in self._consoles.items():
                console.replay(self._start.log(name))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_events())
                tasks.create_task(self._tick())
                for console in self._consoles.values():
                    # Ends with QEMU; before that only with an error, such as a closed stdout.
                    tasks.create_task(console.drain())
                if self._job_vm is not None:
                    tasks.create_task(self._pass_output(self._job_vm))
                await self._machine.cont()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    # What ends a run. Only the first call counts.

    def _end(self, reason: str, exit_code: int = 0) -> None:
        if not self._outcome.done():
            self._outcome.set_result(Ending(reason=reason, exit_code=exit_code))

    def _fail(self, error: OrchestrateError) -> None:
        if not self._outcome.done():
            self._outcome.set_exception(error)

    def _fail_guest(self, message: str, name: str | None) -> None:
        """Fails the run after the guest's aftermath, so that its details have the reason."""
        if self._dying is None:
            self._dying = (message, name)
            asyncio.get_running_loop().call_later(_AFTERMATH_S, self._bury)

    def _bury(self) -> None:
        if self._dying is not None:
            message, name = self._dying
            self._fail(GuestError(message, details=self._details(name)))

    @property
    def console_names(self) -> tuple[str, ...]:
        """All consoles of the board."""
        return tuple(self._consoles)

    # Console lines.

    def _make_console(self, name: str) -> Console:
        def on_line(line: str) -> None:
            self._reporter.console(name, line)
            if name == HYPERVISOR_CONSOLE:
                self._hypervisor_line(line)
            else:
                self.watches[name].line(line)

        def on_prompt(text: str) -> None:
            if name in self.watches:
                self.watches[name].prompt(text)

        return Console(name, on_line=on_line, on_prompt=on_prompt)

    def _hypervisor_line(self, line: str) -> None:
        news = hypervisor_news(line)
        if news is None:
            return
        if news.vm is None:
            self._reporter.vm_state(HYPERVISOR_CONSOLE, GuestState.FAILED.value)
            self._fail_guest(f"the hypervisor died: {news.reason}", HYPERVISOR_CONSOLE)
        elif news.vm in self.watches:
            self._after_its_output(news.vm, partial(self._vm_news, self.watches[news.vm], news))

    def _vm_news(self, watch: GuestWatch, news: HypervisorNews) -> None:
        if news.what == "started":
            watch.started(has_console=watch.name in self._consoles)
        elif news.what == "stopped":
            watch.stopped(news.reason)
        else:
            watch.fail("was reset")

    def _after_its_output(self, vm: str, act: Callable[[], None]) -> None:
        """What a guest said before now goes first, though its socket may be read later."""
        console = self._consoles.get(vm)
        if console is None:
            act()
            return
        log = self._paths.console_logs[vm]
        with storage_errors(log):
            said_bytes = log.stat().st_size  # QEMU has just written it
        console.call_at(said_bytes, act)

    def _guest_changed(self, watch: GuestWatch) -> None:
        self._reporter.vm_state(watch.name, watch.state.value)
        if watch.state is GuestState.FAILED:
            self._fail_guest(f"vm {watch.name} {watch.failure}", watch.name)
            return
        watches = self.watches.values()
        all_ready = all(other.was_ready for other in watches)
        if self._phase == "ready" and all_ready and self._stop is None:
            if self._options.until_ready:
                self._end("ready")
            else:
                self._enter_phase("command" if self._job_vm else "run")
        if all(other.state is GuestState.STOPPED for other in watches):
            self._end("power-off")

    # QEMU's events.

    async def _follow_events(self) -> None:
        async for event in self._machine.events():
            if event["event"] == "STOP":
                await self._machine_stopped()
            elif event["event"] == "SHUTDOWN" and not self._shutdown_reason:
                data = cast(dict[str, Any], event["data"])
                self._shutdown_reason = str(data["reason"])
                await self._finish_tracing()
                if data["guest"]:  # else QEMU goes already: it was told to, or had a signal
                    await self._machine.quit()
        # QEMU is gone. What the guests said last may tell more than how it went.
        await self._drain()
        self._bury()
        if self._outcome.done():
            return
        if self._shutdown_reason == "guest-shutdown":
            self._powered_off()
        elif self._shutdown_reason == "guest-reset":
            self._fail(GuestError("the board was reset", details=self._details(None)))
        else:
            error = self._machine.death()
            self._fail(type(error)(error.message, details=(*self._details(None), *error.details)))

    async def _machine_stopped(self) -> None:
        if self._shutdown_reason or (self._observer is not None and await self._observer.stopped()):
            return
        if self._stop is not None:
            self._end(self._stop)
        elif self._options.for_ns is not None:
            self._end("guest-time")

    def _powered_off(self) -> None:
        for watch in self.watches.values():
            if watch.state is not GuestState.STOPPED:
                watch.stopped(POWER_OFF)
        self._bury()

    # The clock.

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_TICK_S)
            self._check_ready_time()
            self._check_silence()
            if self._phase == "command" and self._phase_age_s() > self._timeouts.command_s:
                raise PhaseTimeout(
                    f"command: not done within {self._timeouts.command_s:g} s",
                    details=self._details(self._job_vm),
                )
            ticks += 1
            if ticks % _ROOM_CHECK_TICKS == 0:
                self._run_dir.check_room()

    def _check_ready_time(self) -> None:
        if self._phase != "ready":
            return
        limit_s = self._timeouts.ready_s
        late = [n for n, watch in self.watches.items() if watch.state is GuestState.BOOTING]
        if self._phase_age_s() > limit_s and not late:
            raise PhaseTimeout(
                f"ready: all guests are, but within {limit_s:g} s the place was not executed at "
                "which this run is to stop; see arm_at in [trace], or leave out --saved-start",
                details=self._details(None),
            )
        if self._phase_age_s() > limit_s:
            raise PhaseTimeout(
                f"ready: vm {', '.join(late)} not ready after {limit_s:g} s",
                details=[line for name in late for line in self._details(name)],
            )

    def _check_silence(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for vm in self._layout.vms:
            state, own_ns = self.watches[vm.name].state, vm.config.silence_ns
            watched = state is GuestState.BOOTING or (
                own_ns is not None and state is GuestState.READY
            )
            limit_s = self._timeouts.silence_s if own_ns is None else own_ns / 1e9
            console = self._consoles.get(vm.name)
            if console and watched and now_s - console.last_output_s > limit_s:
                raise GuestError(
                    f"vm {vm.name} has been silent for {limit_s:g} s",
                    details=self._details(vm.name),
                )

    # The command in Linux.

    async def _pass_output(self, vm: str) -> None:
        """Passes on what the command writes, to its end, and then ends the run."""
        watch, ports = self.watches[vm], self._paths.ports[vm]
        with (
            storage_errors(self._run_dir.path),
            ports["stdout"].open("rb") as stdout,
            ports["stderr"].open("rb") as stderr,
        ):
            done = False
            while not done:
                # Looked at before reading: whatever was written by then is read below.
                done = watch.state is GuestState.DONE
                while data := stdout.read(_CHUNK_BYTES):
                    self._reporter.command_output("stdout", data)
                while data := stderr.read(_CHUNK_BYTES):
                    self._reporter.command_output("stderr", data)
                if not done:
                    await asyncio.sleep(_OUTPUT_POLL_S)
            status = ports["status"].read_text().strip()
        if status != str(watch.exit_code):
            raise StorageError(
                f"{ports['status']}: holds {status!r}, but the command ended with "
                f"{watch.exit_code}: its output is not complete"
            )
        self._end("command", watch.exit_code or 0)

    # Phases, signals, the last words.

    def _enter_phase(self, name: str) -> None:
        self._end_phase()
        self._phase = name
        self._phase_began_s = asyncio.get_running_loop().time()
        self._reporter.phase(name)

    def _end_phase(self) -> None:
        if self._phase:
            self.phases_s[self._phase] = self._phase_age_s()

    def _phase_age_s(self) -> float:
        return asyncio.get_running_loop().time() - self._phase_began_s

    def interrupt(self, number: int) -> bool:
        """The user's signal ends the run in order. Call it in the event loop.

        Returns:
            False if the run has ended already.
        """
        if self._outcome.done():
            return False
        name = signal.Signals(number).name
        message = f"interrupted by {name} in phase {self._phase!r}; all was stopped"
        self._fail(Interrupted(message, signal_number=number))
        return True

    async def _drain(self) -> None:
        """Takes what is left in the sockets of a QEMU that has ended."""
        for console in self._consoles.values():
            await console.drain()

    def _check_logs(self) -> None:
        """QEMU drops log lines silently when the disk is full; that must not pass."""
        for name, console in self._consoles.items():
            path = self._paths.console_logs[name]
            with storage_errors(path):
                logged_bytes = path.stat().st_size
            # More is no fault: QEMU logs what it could not send any more when it was told to quit.
            if logged_bytes < console.received_bytes:
                raise StorageError(
                    f"{path}: holds {logged_bytes} of {console.received_bytes} bytes; "
                    "the disk is full or was for a while"
                )

    def _details(self, name: str | None) -> tuple[str, ...]:
        """The last lines of one console and the place of its log; of all consoles without a name."""
        names = [name] if name in self._consoles else list(self._consoles)
        return tuple(
            text
            for each in names
            for text in (
                *(f"{each}: {line}" for line in self._consoles[each].last_lines()),
                f"{each}: log in {self._paths.console_logs[each]}",
            )
        )
