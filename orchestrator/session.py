# SPDX-License-Identifier: MIT
"""One run from config to run directory: the one module that composes the layers.

Reading order: `boot`, then `orchestrator.prepare` (images, layout, files), then `supervise` (the
machine while it runs), then `run_record` (what `run.json` says).
"""

import asyncio
import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator import starts
from orchestrator.config import Config, Timeouts
from orchestrator.errors import GuestError, Interrupted, OrchestrateError, StorageError, UsageError
from orchestrator.guest.ftrace import RESULTS
from orchestrator.guest.symbol_text import symbol_text
from orchestrator.images.kernel import linux_kernel
from orchestrator.images.store import Store
from orchestrator.interruptions import Interruptions
from orchestrator.machine.board import Layout
from orchestrator.machine.command import Paths
from orchestrator.machine.private_dir import private_dir
from orchestrator.machine.process import QemuMachine
from orchestrator.observe import Observer
from orchestrator.options import BootOptions, Reporter
from orchestrator.prepare import observer_paths, prepare, write_files
from orchestrator.probe.guest import Guest
from orchestrator.run_record import Run, hash_inputs, run_document
from orchestrator.rundir import RunDir, storage_errors
from orchestrator.starts import SavedStart, Saver
from orchestrator.supervise import Ending, Supervisor


@dataclass(frozen=True, kw_only=True)
class BootResult:
    """A run that ended well.

    Attributes:
        exit_code: 0, or that of the command in Linux.
        ended_by: "ready", "guest-time", "command", "power-off" or "dry-run".
        run_dir: Logs, results and run.json.
        qemu_command: The exact command, program first.
        guest_ns: Guest time at the end, if it was given; else None.
        boot_host_s: Host seconds from the call to the end.
        phases_host_s: Host seconds of each phase.
        vms: Last state of each VM.
    """

    exit_code: int
    ended_by: str
    run_dir: Path
    qemu_command: tuple[str, ...]
    guest_ns: int | None
    boot_host_s: float
    phases_host_s: Mapping[str, float]
    vms: Mapping[str, str]


def boot(config: Config, options: BootOptions, reporter: Reporter) -> BootResult:
    """Boots the system of a config and watches it to the end that the options ask for.

    Raises:
        OrchestrateError: Any of them. No process and no socket is left. The run directory says
            what happened in its run.json, except after a `StorageError`: then it is removed.
    """
    with Interruptions() as interruptions:
        config = dataclasses.replace(config, probes=(*config.probes, *options.probes))
        run = Run(config=config, options=options, run_dir=RunDir.create(options.out, config.path))
        try:
            ending = (
                _dry_run(run, reporter)
                if options.dry_run
                else _live_run(run, reporter, interruptions)
            )
            interruptions.hold()
            if not options.dry_run:
                _finish(run, ending)
        except StorageError:
            interruptions.hold()
            run.run_dir.discard()
            raise
        except OrchestrateError as error:
            interruptions.hold()
            _finish_failed(run, error)
            raise
        except BaseException:
            run.run_dir.discard()
            raise
    return BootResult(
        exit_code=ending.exit_code,
        ended_by=ending.reason,
        run_dir=run.run_dir.path,
        qemu_command=run.command,
        guest_ns=options.for_ns if ending.reason == "guest-time" else None,
        boot_host_s=time.monotonic() - run.began_s,
        phases_host_s=run.phases_s,
        vms=run.vms,
    )


def _dry_run(run: Run, reporter: Reporter) -> Ending:
    """Everything but the run; the printed command works, its sockets go to the run directory."""
    layout, plugin = prepare(run, reporter)
    write_files(run, layout, sockets=run.run_dir.path, plugin=plugin, start=None)
    return Ending(reason="dry-run")


def _live_run(run: Run, reporter: Reporter, interruptions: Interruptions) -> Ending:
    layout, plugin = prepare(run, reporter)
    start = None
    if run.options.saved_start:
        start = _saved_start(run, layout, reporter, interruptions)
    with private_dir() as sockets:
        paths = write_files(run, layout, sockets=sockets, plugin=plugin, start=start)
        machine = _machine(run, paths)
        observer = Observer(
            config=run.config,
            layout=layout,
            images=run.symbols,
            hypervisor=run.inputs.get("hypervisor"),
            paths=observer_paths(run, sockets),
            machine=machine,
            options=run.options,
            reporter=reporter,
            start_pa=None if start is None else start.pa,
        )
        supervisor = Supervisor(
            layout=layout,
            machine=machine,
            paths=paths,
            run_dir=run.run_dir,
            options=run.options,
            timeouts=_timeouts(run.config.timeouts, run.options),
            reporter=reporter,
            observer=observer,
            start=start,
        )
        return _supervised(run, machine, supervisor, interruptions, sockets)


def _saved_start(
    run: Run, layout: Layout, reporter: Reporter, interruptions: Interruptions
) -> SavedStart:
    """Where the run goes on; if the system has not booted in this form yet, it does so first."""
    began_s = time.monotonic()
    run.hashes = hash_inputs(run.inputs)
    by_path = {run.inputs[name]: digest for name, digest in run.hashes.items()}
    store = Store()
    entry = store.entry(
        f"{starts.KIND}/{starts.digest(run.config, layout, by_path)[:24]}",
        lambda folder: _save_start(run, folder, reporter, interruptions),
        keep=starts.KEPT,
    )
    run.saved_start = entry
    start = SavedStart(entry)
    if run.options.for_ns is not None and run.options.for_ns <= start.time_ns:
        raise UsageError(
            f"the saved start is at {start.time_ns / 1e9:g} s of guest time ({start.text}), after "
            "the end that --for asks for; leave out --saved-start"
        )
    run.phases_s["saved start"] = time.monotonic() - began_s
    return start


def _save_start(run: Run, folder: Path, reporter: Reporter, interruptions: Interruptions) -> None:
    """Boots the system without its job and its probes, saves it, and keeps the consoles' logs."""
    reporter.note("the system boots once; its state is saved for this and all further runs")
    making = Run(
        config=dataclasses.replace(run.config, probes=()),
        options=dataclasses.replace(run.options, command=None, for_ns=None, until_ready=False),
        run_dir=RunDir.create(folder / "run", run.config.path),
    )
    layout, plugin = prepare(making, reporter)
    guests = {
        vm.name: Guest(vm.config, index=index, image=making.symbols[vm.name])
        for index, vm in enumerate(layout.vms)
    }
    with private_dir() as sockets:
        paths = write_files(making, layout, sockets=sockets, plugin=plugin, start=None)
        machine = _machine(making, paths)
        supervisor = Supervisor(
            layout=layout,
            machine=machine,
            paths=paths,
            run_dir=making.run_dir,
            options=making.options,
            timeouts=_timeouts(run.config.timeouts, run.options),
            reporter=reporter,
            observer=Saver(
                machine,
                channel=observer_paths(making, sockets).channel,
                config=making.config,
                layout=layout,
                guests=guests,
                folder=folder,
            ),
            stop="saved",
        )
        ending = _supervised(making, machine, supervisor, interruptions, sockets)
        interruptions.release()
    if ending.reason != "saved":
        raise GuestError(f"the system ended before its start could be saved: {ending.reason}")
    with storage_errors(folder):
        for log in paths.console_logs.values():
            log.rename(folder / log.name)
    making.run_dir.discard()


def _machine(run: Run, paths: Paths) -> QemuMachine:
    return QemuMachine(run.command, qmp_path=paths.qmp, stderr_path=run.run_dir.file("qemu.log"))


def _supervised(
    run: Run,
    machine: QemuMachine,
    supervisor: Supervisor,
    interruptions: Interruptions,
    sockets: Path,
) -> Ending:
    try:
        return asyncio.run(_supervise(run, supervisor, interruptions, sockets))
    finally:
        run.qemu_version = machine.version
        run.phases_s |= supervisor.phases_s
        run.vms = {name: watch.state.value for name, watch in supervisor.watches.items()}


async def _supervise(
    run: Run, supervisor: Supervisor, interruptions: Interruptions, sockets: Path
) -> Ending:
    loop = asyncio.get_running_loop()

    def interrupt(number: int) -> None:
        if not supervisor.interrupt(number):
            interruptions.keep(number)

    interruptions.sink = lambda number: loop.call_soon_threadsafe(interrupt, number)
    # The guests boot meanwhile: hashing lets go of the interpreter.
    hashing = asyncio.create_task(asyncio.to_thread(hash_inputs, run.inputs, run.hashes))
    try:
        return await supervisor.run(
            {
                "pid": os.getpid(),
                "started": run.started,
                "control": str(observer_paths(run, sockets).control),
            },
            {name: sockets / f"join-{name}.sock" for name in supervisor.console_names},
        )
    finally:
        interruptions.hold()
        run.hashes = await hashing


def _timeouts(timeouts: Timeouts, options: BootOptions) -> Timeouts:
    given = dataclasses.asdict(options.timeouts)
    return dataclasses.replace(timeouts, **{k: v for k, v in given.items() if v is not None})


def _finish(run: Run, ending: Ending) -> None:
    if ending.reason == "command":
        name = run.config.linux_vms[0].name
        for port in ("stdout", "stderr"):
            run.run_dir.keep_part(f"{name}.{port}")
        run.run_dir.unpack_results(run.run_dir.file(f"{name}.results.part"))
        _add_symbols(run)
    document = run_document(run, status="ok", ended_by=ending.reason, exit_code=ending.exit_code)
    run.run_dir.finish(document)


def _add_symbols(run: Run) -> None:
    """Makes the list of symbols that the guest's agent has left to the host."""
    folder = run.run_dir.file("results") / RESULTS
    sections = folder / "sections"
    if run.options.ftrace and sections.exists():
        store = Store()
        kernel = linux_kernel(store, run.config.linux_vms[0].kernel)
        with storage_errors(folder):
            text = symbol_text(store, kernel, sections.read_text())
            (folder / "kallsyms").write_text(text)


def _finish_failed(run: Run, error: OrchestrateError) -> None:
    """Says in run.json what happened; when even that fails, nothing half-written stays."""
    status = "interrupted" if isinstance(error, Interrupted) else "failed"
    document = run_document(run, status=status, exit_code=error.status, error=error)
    try:
        run.run_dir.finish(document)
    except StorageError:
        run.run_dir.discard()
