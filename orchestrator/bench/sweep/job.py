# SPDX-License-Identifier: MIT
"""One job of a sweep: a pure function of its inputs, and the digest of those.

What runs a job may be this process, another one, or another machine: all that it needs goes in as
plain data, all that it finds comes back as plain data. `run` decides where and when.
"""

import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orchestrator
from orchestrator.bench.registry import benchmarks
from orchestrator.bench.run import run_bench
from orchestrator.bench.sweep.plan import Job
from orchestrator.bench.variants import VARIANTS
from orchestrator.config import Config, LinuxVm
from orchestrator.errors import Interrupted, MachineError, OrchestrateError
from orchestrator.images import sources
from orchestrator.images.initramfs import base_initramfs
from orchestrator.images.kernel import linux_kernel
from orchestrator.images.store import Store, storage_errors
from orchestrator.machine.process import qemu_version

RUNNING: Final = "running"
"""Of the sweep's folder: where its jobs have their run directories meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job with the identity of its inputs.

    Attributes:
        job: What to run.
        inputs: Digest of everything that the job's config stands for.
        key: Digest of all of it: equal keys, equal results.
        kept: Folder for the run directory of a job that failed, in the sweep's folder.
        saved_start: Whether other jobs have the same boot; see `run_bench`.
    """

    job: Job
    inputs: str
    key: str
    kept: Path
    saved_start: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        key: That of its task.
        result: A `BenchResult` as JSON; None: it failed.
        error: Why, and where its run directory is; "" if it did not fail.
        host_s: Host seconds that it took.
    """

    key: str
    result: str | None
    error: str
    host_s: float


def tasks(jobs: Sequence[Job], kept: Path) -> list[Task]:
    """Works out what each job's inputs are; builds and fetches what is not there.

    Args:
        jobs: All of a sweep.
        kept: See `Task`.

    Raises:
        OrchestrateError: An input cannot be made or read.
    """
    boots = Counter(_boot(job) for job in jobs)
    return [_task(job, kept, saved_start=boots[_boot(job)] > 1) for job in jobs]


def _boot(job: Job) -> str:
    """Jobs of which this is equal differ only in what comes after the system has booted."""
    return json.dumps([job.tables, job.bench], sort_keys=True, default=str)


def _task(job: Job, kept: Path, *, saved_start: bool) -> Task:
    inputs = inputs_digest(job.config())
    identity = {
        "inputs": inputs,
        "config": job.tables,
        "bench": job.bench,
        "variant": job.variant,
        "repeat": job.repeat,
    }
    text = json.dumps(identity, sort_keys=True, default=str)
    key = _sha256(text.encode())
    return Task(job=job, inputs=inputs, key=key, kept=kept, saved_start=saved_start)


def run_task(task: Task) -> Outcome:
    """Runs a job. What fails is told in the outcome, so that the other jobs go on.

    Raises:
        Interrupted: The user stopped the run.
    """
    began_s = time.monotonic()
    result, error = None, ""
    place = _place(task.kept.parent / RUNNING)
    try:
        result = _run(task, place / "run")
    except Interrupted:
        raise
    except OrchestrateError as failure:
        error = "\n".join((failure.message, *failure.details, *_keep(place / "run", task)))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return Outcome(key=task.key, result=result, error=error, host_s=time.monotonic() - began_s)


def remove_leftovers(folder: Path) -> None:
    """Removes what jobs have left that were killed.

    Args:
        folder: Of a sweep in which nothing runs.
    """
    shutil.rmtree(folder / RUNNING, ignore_errors=True)


def _place(running: Path) -> Path:
    """A folder for one run, in the sweep's; on another machine, where that is not, a temporary one."""
    with contextlib.suppress(OSError):
        running.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(dir=running))
    return Path(tempfile.mkdtemp(prefix="sweep-"))


def _run(task: Task, out: Path) -> str:
    job = task.job
    config = job.config()
    if inputs_digest(config) != task.inputs:
        raise MachineError(
            "the images, QEMU or orchestrate of this worker are not those of the sweep; "
            "run ci/setup from the same sources there"
        )
    bench = benchmarks(config)[job.bench]
    variant = VARIANTS[job.variant]
    result = run_bench(config, bench, variant, out=out, saved_start=task.saved_start)
    return json.dumps(asdict(result), sort_keys=True)


def _keep(run_dir: Path, task: Task) -> Iterator[str]:
    """Moves a failed job's run directory to where the user finds it."""
    if not run_dir.exists():
        return
    place = task.kept / task.key[:16]
    with contextlib.suppress(OSError):  # on another machine that folder may not be
        task.kept.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        shutil.move(run_dir, place)
        yield f"run directory: {place}"


def inputs_digest(config: Config) -> str:
    """The identity of everything that a config stands for: images, plugin, QEMU, files.

    Raises:
        OrchestrateError: Something cannot be built or read.
    """
    parts = {
        "orchestrate": orchestrator.__version__,
        "qemu": qemu_version(config.machine.qemu).splitlines()[0],
        **{name: _tree_digest(sources.build(name)) for name in sources.PARTS},
    }
    paths: list[Path | str] = [config.machine.hypervisor]
    store = Store()
    for vm in config.vms:
        if isinstance(vm, LinuxVm):
            kernel = linux_kernel(store, vm.kernel)
            default = vm.initramfs == "default"
            paths += [kernel.path, base_initramfs(store, kernel) if default else vm.initramfs]
            paths += [host for host, _ in vm.files]
        else:
            paths.append(vm.image)
    paths += (bench.path for bench in config.benches)
    files = [str(path) for path in paths]
    digests = [_file_digest(path) for path in paths if isinstance(path, Path)]
    return _sha256(json.dumps([parts, [Path(file).name for file in files], digests]).encode())


@functools.cache
def _tree_digest(path: Path) -> str:
    files = [path]
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file() and each.suffix != ".d")
        files = [each for each in files if not each.name.startswith(".")]
    return _sha256("".join(_file_digest(each) for each in files).encode())


@functools.cache
def _file_digest(path: Path) -> str:
    with storage_errors(f"cannot read {path}"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
