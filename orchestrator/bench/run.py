# SPDX-License-Identifier: MIT
"""Runs one benchmark in one variant of a system: `run_bench`, whose result follows from its inputs.

The system is the config's own. For a benchmark in Linux its programs go into the first Linux VM
as files of this run and the job starts them; for one of the RTOS the first ELF VM gets the
benchmarks' image. Sweeps and the command line call this; what ran and how is in the run directory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator import session
from orchestrator.bench.lines import TRACED, Readings, read
from orchestrator.bench.model import BenchResult
from orchestrator.bench.registry import RTOS_PHASES, Benchmark, DebianProgram
from orchestrator.bench.variants import Variant, guest_script
from orchestrator.bench.window import window
from orchestrator.config import Config, ElfVm, LinuxVm, ProbeConfig
from orchestrator.errors import CheckFailed, UsageError
from orchestrator.images import sources
from orchestrator.images.programs import debian_program
from orchestrator.images.store import Store
from orchestrator.options import BootOptions, Reporter
from orchestrator.rundir import RUN_JSON

GUEST_FOLDER = "/bench"
LINUX_SWITCH = "__switch_to"
RTOS_SWITCH = "OSTaskSwHook"

# Executed at both ends of the measured window and nowhere else; see bench.h and the RTOS's main.c.
LINUX_MARK = "sys_personality"
RTOS_MARK = "bench_mark"


class SilentReporter:
    """A reporter for runs whose result alone matters."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args, **_kwargs: None


def run_bench(
    config: Config,
    bench: Benchmark,
    variant: Variant,
    *,
    out: Path,
    saved_start: bool = False,
    reporter: Reporter | None = None,
) -> BenchResult:
    """Measures one benchmark in one variant of a system.

    Args:
        config: The system. Its probes, if any, are in every variant.
        bench: What runs.
        variant: How it is observed.
        out: Run directory to make.
        saved_start: Go on from the saved state of the booted system where that can be: the result
            is the same and comes sooner. A benchmark of the RTOS is over before that state.
        reporter: Hears how the run goes; None: nobody does.

    Returns:
        The result; equal for equal arguments, in the deterministic clock.

    Raises:
        UsageError: The system cannot run this; nothing was started.
        CheckFailed: The benchmark ended with an error or without its figures, or a tracer that was
            to record has recorded nothing. The run directory stays.
        OrchestrateError: The run failed.
    """
    check(config, bench, variant)
    reporter = reporter or SilentReporter()
    if bench.phase is not None:
        vm: LinuxVm | ElfVm = first_elf(config)
        system = _with_rtos_benchmark(config)
        place = RTOS_SWITCH
        options = BootOptions(out=out, until_ready=True, mark=f"{vm.name}:{RTOS_MARK}")
    else:
        vm = config.linux_vms[0]
        system = _with_programs(config, bench)
        place = LINUX_SWITCH
        script = guest_script(variant, shlex.join(bench.command))
        options = BootOptions(
            out=out,
            command=("sh", "-c", script),
            mark=f"{vm.name}:{LINUX_MARK}",
            saved_start=saved_start,
        )
    if variant.probe is not None:
        probe = ProbeConfig(vm=vm.name, place=place, name="switch", mode=variant.probe)
        options = (
            dataclasses.replace(options, withdrawn=(probe,))
            if variant.withdrawn
            else dataclasses.replace(options, probes=(probe,))
        )
    result = session.boot(system, options, reporter)
    output, errors = _output(result.run_dir, vm, in_rtos=bench.phase is not None)
    if result.exit_code:
        raise CheckFailed(
            f"{bench.name} in variant {variant.name} ended with exit code {result.exit_code}; "
            f"the run is in {result.run_dir}",
            details=errors.splitlines()[-10:],
        )
    readings = read(output, bench.reading, what=f"{bench.name} in variant {variant.name}")
    return _result(config, bench, variant, vm, result.run_dir, readings, output)


def check(config: Config, bench: Benchmark, variant: Variant) -> None:
    """Looks whether a system can run a benchmark in a variant.

    Raises:
        UsageError: It cannot; the message says why.
    """
    name = config.path.name
    if config.clock.mode != "deterministic":
        raise UsageError(f'{name}: a benchmark counts instructions; set clock.mode "deterministic"')
    if bench.phase is not None:
        first_elf(config)
        if variant.setup:
            raise UsageError(f"{bench.name}: variant {variant.name} is a tracer of Linux's own")
    elif not config.linux_vms:
        raise UsageError(f"{name}: has no Linux VM that could run {bench.name}")
    if variant.probe is not None and config.machine.hypervisor == "none" and variant.probe == "hvc":
        raise UsageError(f"{name}: variant hvc needs a hypervisor")


def applies(config: Config, bench: Benchmark, variant: Variant) -> bool:
    """Whether `check` is content."""
    try:
        check(config, bench, variant)
    except UsageError:
        return False
    return True


def first_elf(config: Config) -> ElfVm:
    """The VM that runs the RTOS's benchmarks.

    Raises:
        UsageError: There is none.
    """
    for vm in config.vms:
        if isinstance(vm, ElfVm):
            return vm
    raise UsageError(f'{config.path.name}: has no VM of type "elf" for a benchmark of the RTOS')


def _with_programs(config: Config, bench: Benchmark) -> Config:
    first = config.linux_vms[0]
    vm = dataclasses.replace(first, files=(*first.files, *_files(bench)))
    return _with_vm(config, first, vm)


def _with_rtos_benchmark(config: Config) -> Config:
    first = first_elf(config)
    vm = dataclasses.replace(
        first, image=sources.build("rtos-bench"), ready="rtos: bench done", console=True
    )
    # Probes are placed by default when Linux's user space is up; these are over long before.
    trace = dataclasses.replace(config.trace, arm_at=f"{vm.name}:{RTOS_MARK}")
    system = dataclasses.replace(config, trace=trace)
    return _with_vm(system, first, vm)


def _with_vm(config: Config, old: LinuxVm | ElfVm, new: LinuxVm | ElfVm) -> Config:
    return dataclasses.replace(config, vms=tuple(new if vm is old else vm for vm in config.vms))


def _files(bench: Benchmark) -> tuple[tuple[Path, str], ...]:
    """Host file and guest path of all that a benchmark needs in Linux."""
    files: list[tuple[Path, str]] = []
    for program in bench.programs:
        if isinstance(program, DebianProgram):
            files += debian_program(
                Store(),
                package=program.package,
                path=program.path,
                libraries=program.libraries,
                guest_path=f"{GUEST_FOLDER}/{Path(program.path).name}",
            )
        elif program.endswith(".sh"):
            script = sources.root() / "images" / "linux" / "workloads" / program
            files.append((script, f"{GUEST_FOLDER}/{program}"))
        else:
            files.append((sources.build("linux") / program, f"{GUEST_FOLDER}/{program}"))
    files += ((path, f"{GUEST_FOLDER}/{name}") for name, path in bench.files.items())
    return tuple(files)


def _output(run_dir: Path, vm: LinuxVm | ElfVm, *, in_rtos: bool) -> tuple[str, str]:
    if in_rtos:
        return (run_dir / f"{vm.name}.log").read_text(errors="replace"), ""
    out, errors = (
        (run_dir / f"{vm.name}.{port}").read_text(errors="replace") for port in ("stdout", "stderr")
    )
    # UnixBench's own programs tell their COUNT on stderr.
    return out + errors, errors


def _result(
    config: Config,
    bench: Benchmark,
    variant: Variant,
    vm: LinuxVm | ElfVm,
    run_dir: Path,
    readings: Readings,
    output: str,
) -> BenchResult:
    events = 0
    if variant.setup:
        found = TRACED.search(output)
        events = int(found[1]) if found else 0
        if not events:
            raise CheckFailed(
                f"{bench.name}: variant {variant.name} recorded no event; the run is in {run_dir}"
            )
    measured = window(
        run_dir,
        number=RTOS_PHASES.index(bench.phase) if bench.phase else 0,
        vm=config.vms.index(vm),
        pin=vm.pin,
    )
    return BenchResult(
        bench=bench.name,
        variant=variant.name,
        vm=vm.name,
        unit=bench.unit,
        operations=round(readings.count * bench.scale),
        elapsed_ns=readings.elapsed_ns,
        instructions=measured.instructions,
        probes=measured.probes,
        events=events,
        figures=readings.figures,
        system=_system(config, json.loads((run_dir / RUN_JSON).read_text())),
    )


def _system(config: Config, document: dict[str, Any]) -> dict[str, str]:
    """What ran, without anything that two runs of one config may differ in."""
    inputs = {name: each["sha256"] for name, each in document["inputs"].items()}
    versions = {
        name: each["version"] for name, each in document["inputs"].items() if "version" in each
    }
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    return {
        "config": config.path.name,
        "orchestrate": document["orchestrate"],
        "qemu": document["qemu"],
        "shift": str(config.clock.shift),
        **versions,
        "inputs": digest,
    }
