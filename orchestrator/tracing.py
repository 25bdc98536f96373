# SPDX-License-Identifier: MIT
"""One traced run: default probes, the boot, the merge, the files that viewers open."""

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from orchestrator import export, session
from orchestrator.config import Config, ElfVm, LinuxVm, ProbeConfig, VmConfig
from orchestrator.errors import GuestError, MachineError, OrchestrateError, PhaseTimeout
from orchestrator.follow import OnPages
from orchestrator.images import sources
from orchestrator.images.kernel import linux_kernel
from orchestrator.images.store import Store
from orchestrator.live import LinuxLines
from orchestrator.observe import TRACE_FOLDER
from orchestrator.options import BootOptions, Reporter
from orchestrator.probe.guest import Guest
from orchestrator.probe.spec import possible
from orchestrator.rundir import RunDir
from orchestrator.trace.live import LiveText
from orchestrator.trace.memory import PAGES_FOLDER
from orchestrator.trace.run import (
    REFERENCE_FOLDER,
    STREAMS_FOLDER,
    linux_of_run,
    merge_run,
)
from orchestrator.trace.streams import BIRTH, BIRTH_PLACE, CLOCK_PLACE
from orchestrator.trace.timeline import LEFT_OUT_ADVICE, Timeline

DEFAULT_COMMAND: Final = ("sh", "-c", "context1 200 >/dev/null; sleep 0.35")
"""Some work for Linux, and then some periods of the project's RTOS."""

_CLOCK_HITS: Final = 4000
_BIRTH_FETCH: Final = tuple(
    f"{name}=((struct task_struct *)%{register})->{member}"
    for name, register, member in zip(
        BIRTH, ("r0", "r0", "tpidruro"), ("pid", "tgid", "tgid"), strict=True
    )
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TraceResult:
    """A traced run.

    Attributes:
        boot: How the run went.
        timeline: All events.
        files: What was written, by format.
    """

    boot: session.BootResult
    timeline: Timeline
    files: dict[str, Path]


def trace(
    config: Config,
    options: BootOptions,
    reporter: Reporter,
    *,
    formats: Sequence[str],
    live: Callable[[str], None] | None = None,
) -> TraceResult:
    """Boots a config, records its command, and writes the result into the run directory.

    Args:
        config: The system.
        options: Of the boot; the command, if any, is that to be recorded.
        reporter: Hears what happens.
        formats: Keys of `export.FORMATS`.
        live: Gets a line for each record while the system runs; called in another thread.

    Raises:
        OrchestrateError: As `session.boot`, and as merging and writing do.
    """
    run_dir = RunDir.place(options.out, config.path)
    command = options.command
    if command is None and config.linux_vms:
        command = DEFAULT_COMMAND
    on_records = on_pages = None
    if live is not None:
        folder = run_dir / TRACE_FOLDER
        on_records = LiveText(folder, [vm.name for vm in config.vms], live).records
        on_pages = _live_linux(config, reporter, live)
    options = dataclasses.replace(
        options,
        out=run_dir,
        command=command,
        probes=(*options.probes, *default_probes(config, options.probes)),
        ftrace=bool(config.linux_vms),
        hypervisor_events=config.trace.hypervisor,
        on_records=on_records,
        on_pages=on_pages,
    )
    try:
        boot = session.boot(config, options, reporter)
    except (GuestError, MachineError, PhaseTimeout):  # not what the user has stopped
        if (run_dir / STREAMS_FOLDER / PAGES_FOLDER).is_dir():
            _write_rescued(config, run_dir, reporter, formats, saved_start=options.saved_start)
        raise
    reporter.phase("merge")
    timeline = merge_run(run_dir)
    reporter.phase("write")
    return TraceResult(boot=boot, timeline=timeline, files=_write(timeline, run_dir, formats))


def _live_linux(config: Config, reporter: Reporter, show: Callable[[str], None]) -> OnPages | None:
    """Who makes lines of Linux's events while it runs; None: nobody can."""
    if not config.linux_vms:
        return None
    if config.clock.mode != "deterministic":
        # Another boot's clock would be wrong by milliseconds.
        reporter.note("--live shows no events of Linux in real time; the finished trace has them")
        return None
    reporter.note("running once before, for what Linux's events mean and for its clock")
    with tempfile.TemporaryDirectory(prefix="orchestrate-") as name:
        run = Path(name) / REFERENCE_FOLDER
        session.boot(
            dataclasses.replace(config, probes=()),
            BootOptions(out=run, command=("true",), ftrace=True, saved_start=True),
            reporter,
        )
        like = linux_of_run(run)
    if like is None:
        return None
    vm = config.linux_vms[0]
    return LinuxLines(like, vm.name, vm.pin, show).pages


def _write(timeline: Timeline, run_dir: Path, formats: Sequence[str]) -> dict[str, Path]:
    files = {}
    for name in formats:
        files[name] = run_dir / export.FORMATS[name].file
        export.write(timeline, name, files[name])
    return files


def _write_rescued(
    config: Config,
    run_dir: Path,
    reporter: Reporter,
    formats: Sequence[str],
    *,
    saved_start: bool,
) -> None:
    """Makes what can be made of a run whose Linux died; its end is told by who called."""
    reporter.note("booting once more, for the kernel's event formats")
    options = BootOptions(
        out=run_dir / REFERENCE_FOLDER,
        command=("true",),
        ftrace=True,
        saved_start=saved_start,
    )
    try:
        # The same boot up to the first instruction of a command, so the clock is the same, too.
        session.boot(dataclasses.replace(config, probes=()), options, reporter)
        timeline = merge_run(run_dir)
    except OrchestrateError as error:
        reporter.note(f"the rescued trace cannot be read: {error.message}")
        return
    for line in summary(timeline):
        reporter.note(line)
    for path in _write(timeline, run_dir, formats).values():
        reporter.note(f"wrote {path}")


def default_probes(config: Config, given: Sequence[ProbeConfig]) -> tuple[ProbeConfig, ...]:
    """Probes that cost the guests nothing: each RTOS's tasks and calls; Linux's clock and threads.

    Args:
        config: The system; what it probes itself is left out.
        given: Further probes, left out as well.
    """
    known = [(each.vm, each.place) for each in (*config.probes, *given)]
    first_linux = next((i for i, vm in enumerate(config.vms) if isinstance(vm, LinuxVm)), -1)
    return tuple(
        probe
        for index, vm in enumerate(config.vms)
        for probe in _probes_of(vm, index, first_linux)
        # In real time a probe's time is that of the host's, a while after the counter was read.
        if (probe.place != CLOCK_PLACE or config.clock.mode == "deterministic")
        and not any(vm.name == name and fnmatchcase(probe.place, at) for name, at in known)
    )


def _probes_of(vm: VmConfig, index: int, first_linux: int) -> Iterator[ProbeConfig]:
    if isinstance(vm, LinuxVm) and index != first_linux:
        return  # only the first one runs the command and is traced
    guest = Guest(vm, index=index, image=_image(vm))
    if isinstance(vm, LinuxVm):
        yield from _probes_of_linux(vm, guest)
        return
    profile = guest.profile
    if profile is None:
        return
    yield _shadow(vm, profile.switch_at)
    yield from (_shadow(vm, place) for place in (profile.tick_at,) if place)
    for place in profile.ready_at:
        if guest.symbols.get(place) is not None:
            yield _shadow(vm, place, tasks=False)
    for calls in profile.calls:
        fetch = possible(calls.fetch, guest)
        for place in calls.at:
            if guest.symbols.get(place) is not None:
                yield _shadow(vm, place, fetch=fetch, tasks=False)


def _probes_of_linux(vm: LinuxVm, guest: Guest) -> Iterator[ProbeConfig]:
    if guest.symbols.get(CLOCK_PLACE) is not None:
        yield _shadow(vm, CLOCK_PLACE, limit=_CLOCK_HITS, tasks=False)
    is_known = possible(_BIRTH_FETCH, guest) == _BIRTH_FETCH
    if is_known and guest.symbols.get(BIRTH_PLACE) is not None:
        yield _shadow(vm, BIRTH_PLACE, fetch=_BIRTH_FETCH, tasks=False)


def _shadow(
    vm: VmConfig, place: str, *, fetch: tuple[str, ...] = (), limit: int = 0, tasks: bool = True
) -> ProbeConfig:
    return ProbeConfig(
        vm=vm.name, place=place, fetch=fetch, mode="shadow", limit=limit, tasks=tasks, own=True
    )


def _image(vm: VmConfig) -> Path:
    if isinstance(vm, ElfVm):
        return sources.build("rtos") if vm.image == "rtos" else Path(vm.image)
    return linux_kernel(Store(), vm.kernel).path


def summary(timeline: Timeline) -> list[str]:
    """What a user should know of a timeline: how much, how exact, what is missing or wrong."""
    lines = [f"{len(timeline)} events on {timeline.cores} cores"]
    for source in timeline.sources:
        clock = source.clock
        if clock.samples:
            lines.append(
                f"{source.name}: clock {clock.clock} fitted by {clock.samples} pieces of evidence, "
                f"at most {clock.residual_ns} ns off"
            )
    gaps = timeline.gaps()
    lines += [
        f"{each.source}: {each.events} events were lost on core {each.cpu}" for each in gaps["lost"]
    ]
    lines += [
        f"{each.source}: {each.events} events were left out on core {each.cpu}: {LEFT_OUT_ADVICE}"
        for each in gaps["left_out"]
    ]
    cores = Counter(core for source in timeline.sources for core in source.cores)
    if all(source.kind != "hypervisor" for source in timeline.sources):
        lines += [
            f"core {core} is shared, and which guest had it was not recorded: times of tasks are "
            "only right with hypervisor = true in [trace]"
            for core, count in sorted(cores.items())
            if count > 1
        ]
    return lines + [f"contradiction: {each}" for each in timeline.contradictions]
