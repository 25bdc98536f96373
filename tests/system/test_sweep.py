# SPDX-License-Identifier: MIT
"""One sweep, however it is run: alone, killed and gone on with, by a Dask cluster: equal tables."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

pytestmark = pytest.mark.system

HOST_LIMIT_S = 280
SYSTEM = """
[vm.linux]
type = "linux"
ram = "128M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
"""
SWEEP = """
[sweep]
config = "system.toml"
bench = ["syscall"]
variants = ["none", "hvc"]
[parameters]
machine.time_slice = ["200us", "1ms"]
"""
JOBS = 4
Found = TypeVar("Found")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "system.toml").write_text(SYSTEM)
    (folder / "sweep.toml").write_text(SWEEP)
    return folder


def orchestrate(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-m", "orchestrator.cli", "sweep", *map(str, words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=HOST_LIMIT_S)
    assert process.returncode == 0, output
    return output


def table(out: Path) -> bytes:
    finish(orchestrate("export", out, out / "table.csv"))
    return (out / "table.csv").read_bytes()


def done(out: Path) -> dict[str, float]:
    """Host seconds of each job that is booked as done, by its key."""
    with contextlib.closing(sqlite3.connect(out / "sweep.sqlite")) as book:
        return dict(book.execute("SELECT key, host_s FROM job WHERE state = 'done'"))


def wait_for(what: Callable[[], Found], process: subprocess.Popen[str]) -> Found:
    """What `what` gives as soon as that is true: asking again could find that it has passed."""
    deadline = time.monotonic() + HOST_LIMIT_S
    while not (found := what()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def children(pid: int) -> list[int]:
    """Direct children that are Python."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "spawn_main" in (place / "cmdline").read_text():
                found.append(int(place.name))
    return found


def qemus_of(pid: int) -> list[int]:
    """QEMUs that a worker has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and (place / "comm").read_text().startswith("qemu"):
                found.append(int(place.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def expected(folder: Path) -> bytes:
    """The table of the sweep with one job at a time."""
    finish(orchestrate("run", folder / "sweep.toml", "-j", 1, "-o", folder / "one"))
    found = table(folder / "one")
    assert found.count(b"\n") == JOBS + 1
    return found


def test_a_sweep_that_was_killed_goes_on_where_it_was(folder: Path, expected: bytes) -> None:
    """First a worker, then the sweep itself is killed; what was done is not run again."""
    out = folder / "killed"
    first = orchestrate("run", folder / "sweep.toml", "-j", 2, "-o", out)
    busy = wait_for(lambda: [child for child in children(first.pid) if qemus_of(child)], first)
    os.kill(busy[0], signal.SIGKILL)
    wait_for(lambda: done(out), first)
    workers = children(first.pid)
    os.kill(first.pid, signal.SIGKILL)
    booked = done(out)
    assert 0 < len(booked) < JOBS
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline, "a worker has outlived its sweep"
        time.sleep(0.1)
    first.communicate()
    finish(orchestrate("run", folder / "sweep.toml", "-j", 2, "-o", out))
    assert {key: host_s for key, host_s in done(out).items() if key in booked} == booked
    assert table(out) == expected


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Path, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers on loopback: the scheduler's file, and the workers."""
    file = tmp_path / "scheduler.json"
    common = ("--scheduler-file", str(file), "--no-dashboard", "--host", "127.0.0.1")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    with contextlib.ExitStack() as stack:

        def start(program: str, *options: str) -> subprocess.Popen[bytes]:
            command = (sys.executable, "-m", f"distributed.cli.dask_{program}", *common, *options)
            process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process  # type: ignore[no-any-return]

        start("scheduler", "--port", "0")
        workers = [start("worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]
        yield file, workers


def test_a_dask_cluster_gives_the_same_and_loses_nothing_with_a_worker(
    folder: Path, expected: bytes, cluster: tuple[Path, list[subprocess.Popen[bytes]]]
) -> None:
    file, workers = cluster
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    address = json.loads(file.read_text())["address"]
    out = folder / "dask"
    run = orchestrate("run", folder / "sweep.toml", "--scheduler", address, "-o", out)
    wait_for(lambda: qemus_of(workers[0].pid), run)
    workers[0].kill()
    finish(run)
    assert table(out) == expected
