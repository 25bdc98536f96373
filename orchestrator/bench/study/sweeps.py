# SPDX-License-Identifier: MIT
"""Runs sweeps as a user does, and reads what they have found."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.bench.sweep.book import Row, open_book
from orchestrator.errors import CheckFailed, MachineError, MissingToolError

_CLUSTER_S: Final = 60.0
_COMMAND: Final = (sys.executable, "-m", "orchestrator.cli")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took.

    Attributes:
        wall_s: Host seconds from its start to its end.
        cpu_s: Of processor time, all its processes together.
    """

    wall_s: float
    cpu_s: float


def orchestrate(*words: object, quiet: bool = False) -> Cost:
    """Runs a command of `orchestrate`; its progress goes to stderr.

    Raises:
        CheckFailed: It ended with another exit code than 0; what it said is in the details.
    """
    began_s = time.monotonic()
    process = subprocess.Popen(
        (*_COMMAND, *map(str, words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    with process:
        try:
            told = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise CheckFailed(
            f"orchestrate {' '.join(map(str, words[:2]))} ended with {process.returncode}",
            details=told.splitlines()[-10:],
        )
    return Cost(wall_s=time.monotonic() - began_s, cpu_s=usage.ru_utime + usage.ru_stime)


def write_sweep(
    path: Path, *, config: Path, benches: Sequence[str], variants: Sequence[str], repeats: int = 1
) -> Path:
    """Writes a sweep's file; returns its path."""
    lines = {
        "config": str(config.absolute()),
        "bench": list(benches),
        "variants": list(variants),
        "repeats": repeats,
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    path.write_text(f"[sweep]\n{text}")
    return path


def run_sweep(file: Path, folder: Path, *where: object) -> Cost:
    """Runs a sweep to its end.

    Args:
        file: The sweep.
        folder: Its folder.
        where: Further words, such as ``-j 2``.

    Raises:
        CheckFailed: A job failed.
    """
    return orchestrate("sweep", "run", file, "-o", folder, *where)


def rows(folder: Path) -> list[Row]:
    """All jobs of a sweep."""
    with open_book(folder) as book:
        return book.rows()


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """A Dask scheduler and workers on loopback; yields its address.

    Raises:
        MissingToolError: Dask is not installed.
        MachineError: The scheduler did not start.
    """
    try:
        import distributed  # noqa: F401, PLC0415 - an extra that few need
    except ImportError as error:
        raise MissingToolError("Dask is missing: pip install 'orchestrator[dask]'") from error
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    common = ("--scheduler-file", str(file), "--no-dashboard", "--host", "127.0.0.1")
    with contextlib.ExitStack() as stack, (folder / "dask.log").open("wb") as log:

        def start(program: str, *options: str) -> subprocess.Popen[bytes]:
            command = (sys.executable, "-m", f"distributed.cli.dask_{program}", *common, *options)
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        scheduler = start("scheduler", "--port", "0")
        deadline_s = time.monotonic() + _CLUSTER_S
        while not file.exists():
            if scheduler.poll() is not None or time.monotonic() > deadline_s:
                raise MachineError(f"Dask's scheduler did not start; see {folder / 'dask.log'}")
            time.sleep(0.1)
        for _ in range(workers):
            start("worker", "--nthreads", "1", "--no-nanny")
        yield str(json.loads(file.read_text())["address"])


@contextmanager
def busy_host(processes: int) -> Iterator[None]:
    """So many other processes want a processor meanwhile, all the time."""
    with contextlib.ExitStack() as stack:
        for _ in range(processes):
            process = subprocess.Popen((sys.executable, "-c", "while True: pass"))
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
