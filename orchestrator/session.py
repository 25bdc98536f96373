# SPDX-License-Identifier: MIT
"""One run from config to run directory: the one module that composes the layers.

Reading order: `boot`, then `_prepare` (images, layout, files), then `supervise` (the machine while
it runs), then `_document` (what `run.json` says).
"""

import asyncio
import dataclasses
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, Final, Self

import orchestrator
from orchestrator import starts
from orchestrator.config import Config, LinuxVm, Timeouts, VmConfig
from orchestrator.errors import GuestError, Interrupted, OrchestrateError, StorageError, UsageError
from orchestrator.guest.ftrace import agent_lines
from orchestrator.images import sources
from orchestrator.images.initramfs import PORTS, base_initramfs, files_cpio, job_area
from orchestrator.images.kernel import DEFAULT_BOOTARGS, linux_kernel
from orchestrator.images.store import Store
from orchestrator.machine.board import MAX_IMAGES, Layout
from orchestrator.machine.command import INCOMING, Paths, console_names, qemu_command
from orchestrator.machine.elf import read_elf
from orchestrator.machine.layout import plan
from orchestrator.machine.placement import LinuxImage, VmImage
from orchestrator.machine.private_dir import private_dir
from orchestrator.machine.process import QemuMachine
from orchestrator.observe import TRACE_FOLDER, Observer, ObserverPaths
from orchestrator.options import BootOptions, Reporter
from orchestrator.probe.guest import Guest
from orchestrator.probe.start import start_point
from orchestrator.rundir import RunDir, default_root, find_live, read_live, storage_errors
from orchestrator.starts import SavedStart, Saver
from orchestrator.supervise import Ending, Supervisor

_RUN_FORMAT: Final = 1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ELF_IMAGES: Final = MAX_IMAGES - 1
"""One image of a VM is its device tree."""


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


@dataclass(kw_only=True)
class _Run:
    """What is known of a run so far; `run.json` is made of it."""

    config: Config
    options: BootOptions
    run_dir: RunDir
    began_s: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    phases_s: dict[str, float] = field(default_factory=dict)
    symbols: dict[str, Path] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Path] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    layout: Layout | None = None
    command: tuple[str, ...] = ()
    qemu_version: str = ""
    saved_start: Path | None = None
    vms: dict[str, str] = field(default_factory=dict)


def boot(config: Config, options: BootOptions, reporter: Reporter) -> BootResult:
    """Boots the system of a config and watches it to the end that the options ask for.

    Raises:
        OrchestrateError: Any of them. No process and no socket is left. The run directory says
            what happened in its run.json, except after a `StorageError`: then it is removed.
    """
    with _Interruptions() as interruptions:
        config = dataclasses.replace(config, probes=(*config.probes, *options.probes))
        run = _Run(config=config, options=options, run_dir=RunDir.create(options.out, config.path))
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


def find_console(run_dir: Path | None, vm: str) -> Path:
    """The socket on which a console of a running system can be joined.

    Args:
        run_dir: The run; None: the only one that is running.
        vm: Name of a VM, or "hypervisor".

    Raises:
        UsageError: No such run or console, or several runs to choose from.
    """
    run_dir = run_dir or _the_running_one()
    consoles: dict[str, str] = read_live(run_dir)["consoles"]
    if vm not in consoles:
        raise UsageError(f"{run_dir}: no console {vm!r}; there are {', '.join(consoles)}")
    return Path(consoles[vm])


def find_control(run_dir: Path | None) -> Path:
    """The socket on which a running system can be asked: `orchestrator.control`.

    Args:
        run_dir: The run; None: the only one that is running.

    Raises:
        UsageError: No such run, or several runs to choose from.
    """
    return Path(read_live(run_dir or _the_running_one())["control"])


def _the_running_one() -> Path:
    running = find_live(default_root())
    if len(running) != 1:
        several = "\n".join(f"  {path}" for path in running)
        what = f"{len(running)} systems run:\n{several}" if running else "no system runs"
        raise UsageError(f"{what}; name its run directory with --run DIR")
    return running[0]


class _Interruptions:
    """Ctrl-C, SIGTERM and SIGHUP: an exception while work is done, an order while guests run.

    Attributes:
        sink: Takes the signal's number; None: `Interrupted` is raised where the program is.
    """

    def __init__(self) -> None:
        self.sink: Callable[[int], None] | None = None
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """From here on the run is being wound up, which is short: a signal changes nothing."""
        self.sink = lambda _number: None

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.sink is None:
            name = signal.Signals(number).name
            raise Interrupted(f"interrupted by {name}", signal_number=number)
        self.sink(number)

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._before = {n: signal.signal(n, self._handle) for n in _SIGNALS} if main else {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _dry_run(run: _Run, reporter: Reporter) -> Ending:
    """Everything but the run; the printed command works, its sockets go to the run directory."""
    layout, plugin = _prepare(run, reporter)
    _write_files(run, layout, sockets=run.run_dir.path, plugin=plugin, start=None)
    return Ending(reason="dry-run")


def _live_run(run: _Run, reporter: Reporter, interruptions: _Interruptions) -> Ending:
    layout, plugin = _prepare(run, reporter)
    start = None
    if run.options.saved_start:
        start = _saved_start(run, layout, reporter, interruptions)
    with private_dir() as sockets:
        paths = _write_files(run, layout, sockets=sockets, plugin=plugin, start=start)
        machine = _machine(run, paths)
        observer = Observer(
            config=run.config,
            layout=layout,
            images=run.symbols,
            hypervisor=run.inputs.get("hypervisor"),
            paths=_observer_paths(run, sockets),
            machine=machine,
            options=run.options,
            reporter=reporter,
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
    run: _Run, layout: Layout, reporter: Reporter, interruptions: _Interruptions
) -> SavedStart:
    """Where the run goes on; if the system has not booted in this form yet, it does so first."""
    began_s = time.monotonic()
    run.hashes = _hash_inputs(run.inputs)
    by_path = {run.inputs[name]: digest for name, digest in run.hashes.items()}
    store = Store()
    entry = store.entry(
        f"{starts.KIND}/{starts.digest(run.config, layout, by_path)[:24]}",
        lambda folder: _save_start(run, folder, reporter, interruptions),
    )
    store.keep_newest(starts.KIND, starts.KEPT, used=entry)
    run.saved_start = entry
    start = SavedStart(entry)
    if run.options.for_ns is not None and run.options.for_ns <= start.time_ns:
        raise UsageError(
            f"the saved start is at {start.time_ns / 1e9:g} s of guest time ({start.text}), after "
            "the end that --for asks for; leave out --saved-start"
        )
    run.phases_s["saved start"] = time.monotonic() - began_s
    return start


def _save_start(run: _Run, folder: Path, reporter: Reporter, interruptions: _Interruptions) -> None:
    """Boots the system without its job and its probes, saves it, and keeps the consoles' logs."""
    reporter.note("the system boots once; its state is saved for this and all further runs")
    making = _Run(
        config=dataclasses.replace(run.config, probes=()),
        options=dataclasses.replace(run.options, command=None, for_ns=None, until_ready=False),
        run_dir=RunDir.create(folder / "run", run.config.path),
    )
    layout, plugin = _prepare(making, reporter)
    guests = {
        vm.name: Guest(vm.config, index=index, image=making.symbols[vm.name])
        for index, vm in enumerate(layout.vms)
    }
    with private_dir() as sockets:
        paths = _write_files(making, layout, sockets=sockets, plugin=plugin, start=None)
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
                channel=_observer_paths(making, sockets).channel,
                start=start_point(making.config, layout, guests),
                folder=folder,
            ),
            ends_on_stop="saved",
        )
        ending = _supervised(making, machine, supervisor, interruptions, sockets)
        interruptions.sink = None
    if ending.reason != "saved":
        raise GuestError(f"the system ended before its start could be saved: {ending.reason}")
    with storage_errors(folder):
        for log in paths.console_logs.values():
            log.rename(folder / log.name)
    making.run_dir.discard()


def _machine(run: _Run, paths: Paths) -> QemuMachine:
    return QemuMachine(run.command, qmp_path=paths.qmp, stderr_path=run.run_dir.file("qemu.log"))


def _supervised(
    run: _Run,
    machine: QemuMachine,
    supervisor: Supervisor,
    interruptions: _Interruptions,
    sockets: Path,
) -> Ending:
    try:
        return asyncio.run(_supervise(run, supervisor, interruptions, sockets))
    finally:
        run.qemu_version = machine.version
        run.phases_s |= supervisor.phases_s
        run.vms = {name: watch.state.value for name, watch in supervisor.watches.items()}


def _observer_paths(run: _Run, sockets: Path) -> ObserverPaths:
    return ObserverPaths(
        channel=sockets / "plugin.sock",
        ring=sockets / "plugin.rings",
        control=sockets / "control.sock",
        folder=run.run_dir.file(TRACE_FOLDER),
    )


async def _supervise(
    run: _Run, supervisor: Supervisor, interruptions: _Interruptions, sockets: Path
) -> Ending:
    loop = asyncio.get_running_loop()
    interruptions.sink = lambda number: _to_loop(loop, supervisor, number)
    # The guests boot meanwhile: hashing lets go of the interpreter.
    hashing = asyncio.create_task(asyncio.to_thread(_hash_inputs, run.inputs, run.hashes))
    try:
        return await supervisor.run(
            {
                "pid": os.getpid(),
                "started": run.started,
                "control": str(_observer_paths(run, sockets).control),
            },
            {name: sockets / f"join-{name}.sock" for name in supervisor.console_names},
        )
    finally:
        interruptions.hold()
        run.hashes = await hashing


def _to_loop(loop: asyncio.AbstractEventLoop, supervisor: Supervisor, number: int) -> None:
    loop.call_soon_threadsafe(supervisor.interrupt, number)


def _timeouts(timeouts: Timeouts, options: BootOptions) -> Timeouts:
    given = dataclasses.asdict(options.timeouts)
    return dataclasses.replace(timeouts, **{k: v for k, v in given.items() if v is not None})


def _prepare(run: _Run, reporter: Reporter) -> tuple[Layout, Path]:
    """Gets all images ready and gives each its place."""
    reporter.phase("images")
    began_s = time.monotonic()
    config = run.config
    run.inputs["config"] = config.path
    images = {vm.name: _vm_image(run, vm) for vm in config.vms}
    hypervisor = None
    if config.machine.hypervisor != "none":
        built_in = config.machine.hypervisor == "builtin"
        hypervisor = sources.build("hypervisor") if built_in else Path(config.machine.hypervisor)
        run.inputs["hypervisor"] = hypervisor
    plugin = run.inputs["plugin"] = sources.build("plugin")
    with storage_errors(config.path):
        layout = plan(config, images, hypervisor=hypervisor)
    run.phases_s["images"] = time.monotonic() - began_s
    return layout, plugin


def _vm_image(run: _Run, vm: VmConfig) -> VmImage:
    if not isinstance(vm, LinuxVm):
        path = sources.build("rtos") if vm.image == "rtos" else Path(vm.image)
        run.inputs[f"{vm.name}.image"] = run.symbols[vm.name] = path
        return read_elf(path, max_segments=_ELF_IMAGES)
    store = Store()
    kernel = linux_kernel(store, vm.kernel)
    default = vm.initramfs == "default"
    initramfs = base_initramfs(store, kernel) if default else Path(vm.initramfs)
    run.inputs[f"{vm.name}.kernel"] = run.symbols[vm.name] = kernel.path
    run.versions[f"{vm.name}.kernel"] = kernel.version
    run.inputs[f"{vm.name}.initramfs"] = initramfs
    for host_path, guest_path in vm.files:
        run.inputs[f"{vm.name}:{guest_path}"] = host_path
    first = vm is run.config.linux_vms[0]
    ftrace = agent_lines(run.config.trace.linux) if first and run.options.ftrace else None
    return LinuxImage(
        kernel=kernel.path,
        text_offset=kernel.text_offset,
        memory_bytes=kernel.memory_bytes,
        initramfs=initramfs,
        files=files_cpio(vm.files, trace=ftrace),
        job=job_area(run.options.command if first else None),
        bootargs=f"{DEFAULT_BOOTARGS} {vm.append}".strip(),
    )


def _write_files(
    run: _Run, layout: Layout, *, sockets: Path, plugin: Path, start: SavedStart | None
) -> Paths:
    """Writes what was made for this run, and names all that QEMU will open."""
    inputs = {}
    for blob in layout.blobs:
        if isinstance(blob.content, bytes):
            inputs[blob.name] = run.run_dir.write_input(blob.name, blob.content)
            run.inputs[blob.name] = inputs[blob.name]
        else:
            inputs[blob.name] = blob.content
    kernel = layout.kernel
    if isinstance(kernel, bytes):
        kernel = run.run_dir.write_input("boot.elf", kernel)
    names = console_names(layout)
    observed = _observer_paths(run, sockets)
    paths = Paths(
        qmp=sockets / "qmp.sock",
        console_sockets={name: sockets / f"console-{name}.sock" for name in names},
        console_logs={name: run.run_dir.file(f"{name}.log") for name in names},
        ports={
            vm.name: {port: run.run_dir.file(f"{vm.name}.{port}.part") for port in PORTS}
            for vm in run.config.linux_vms[:1]
        },
        inputs=inputs,
        kernel=kernel,
        plugin=plugin,
        channel=observed.channel,
        ring=observed.ring,
        append_logs=start is not None,
    )
    if start is not None:
        for name, log in paths.console_logs.items():
            with storage_errors(log):
                log.write_bytes(start.log(name))
    run.layout = layout
    command = qemu_command(layout, run.config, paths, stop_ns=run.options.for_ns)
    run.command = (*command, *(INCOMING if start else ()))
    return paths


def _hash_inputs(
    inputs: Mapping[str, Path], known: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """By input, the SHA-256 of its file; a directory has none. What is known is not read again."""
    hashes = dict(known)
    for name, path in inputs.items():
        if path.is_dir() or name in known:
            continue
        with storage_errors(path), path.open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _finish(run: _Run, ending: Ending) -> None:
    if ending.reason == "command":
        name = run.config.linux_vms[0].name
        for port in ("stdout", "stderr"):
            run.run_dir.keep_part(f"{name}.{port}")
        run.run_dir.unpack_results(run.run_dir.file(f"{name}.results.part"))
    document = _document(run, status="ok", ended_by=ending.reason, exit_code=ending.exit_code)
    run.run_dir.finish(document)


def _finish_failed(run: _Run, error: OrchestrateError) -> None:
    """Says in run.json what happened; when even that fails, nothing half-written stays."""
    status = "interrupted" if isinstance(error, Interrupted) else "failed"
    document = _document(run, status=status, exit_code=error.status, error=error)
    try:
        run.run_dir.finish(document)
    except StorageError:
        run.run_dir.discard()


def _document(
    run: _Run,
    *,
    status: str,
    exit_code: int,
    ended_by: str | None = None,
    error: OrchestrateError | None = None,
) -> dict[str, Any]:
    """The content of run.json. What may differ between two runs of one config is in `host`."""
    inputs = {
        name: {"sha256": digest} | ({"version": run.versions[name]} if name in run.versions else {})
        for name, digest in sorted(run.hashes.items())
    }
    host: dict[str, Any] = {
        "started": run.started,
        "run_dir": str(run.run_dir.path),
        "command": list(run.command),
        "inputs": {name: str(path) for name, path in sorted(run.inputs.items())},
        "phases_s": {name: round(seconds, 3) for name, seconds in run.phases_s.items()},
        "total_s": round(time.monotonic() - run.began_s, 3),
    }
    if run.saved_start is not None:
        host["saved_start"] = str(run.saved_start)
    if error is not None:
        host["error"] = {"message": error.message, "details": list(error.details)}
    return {
        "format": _RUN_FORMAT,
        "orchestrate": orchestrator.__version__,
        "status": status,
        "ended_by": ended_by,
        "exit_code": exit_code,
        "error": type(error).__name__ if error else None,
        "guest_ns": run.options.for_ns if ended_by == "guest-time" else None,
        "vms": run.vms,
        "qemu": run.qemu_version,
        "config": _plain(dataclasses.asdict(run.config)),
        "guest_command": list(run.options.command or ()),
        "memory": _memory(run.layout) if run.layout else [],
        "inputs": inputs,
        "host": host,
    }


def _memory(layout: Layout) -> list[dict[str, str | int]]:
    """Who owns which physical memory, in ascending order."""
    areas: list[tuple[int, int, str]] = [
        *((vm.ram_pa, vm.config.ram_bytes, f"RAM of {vm.name}") for vm in layout.vms),
        *((blob.pa, blob.bytes, blob.name) for blob in layout.blobs),
    ]
    return [{"pa": f"{pa:#x}", "bytes": size, "what": what} for pa, size, what in sorted(areas)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path | datetime) else value
