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
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

pytestmark = pytest.mark.system

HOST_LIMIT_S = 800
SYSTEM = """
[machine]
qemu = "{folder}/qemu.sh"
[timeouts]
start = "800s"
[vm.linux]
type = "linux"
ram = "128M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
"""
# While there is `hold`, a run from a saved start waits before QEMU begins, unless it gets the ticket.
# So a job is as far as the test wants it to be, and not as far as it has come meanwhile.
QEMU = """#!/bin/sh
case "$*" in
*-incoming*)
    echo $PPID >{folder}/$$.part
    mv {folder}/$$.part {folder}/$$.waits
    while [ -e {folder}/hold ] && ! rm {folder}/ticket 2>/dev/null; do sleep 0.1; done
    rm {folder}/$$.waits
    ;;
esac
exec qemu-system-arm "$@"
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
    (folder / "system.toml").write_text(SYSTEM.format(folder=folder))
    (folder / "sweep.toml").write_text(SWEEP)
    (folder / "qemu.sh").write_text(QEMU.format(folder=folder))
    (folder / "qemu.sh").chmod(0o755)
    return folder


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """No job gets further than to its QEMU meanwhile."""
    (folder / "hold").touch()
    try:
        yield
    finally:
        (folder / "hold").unlink()
        (folder / "ticket").unlink(missing_ok=True)


def command(*words: object) -> tuple[str, ...]:
    return (sys.executable, "-m", "orchestrator.cli", "sweep", *map(str, words))


def finish(*words: object) -> None:
    """Runs a sweep, or what is done with one, to its end."""
    end = subprocess.run(
        command(*words), capture_output=True, text=True, timeout=HOST_LIMIT_S, check=False
    )
    assert end.returncode == 0, end.stdout + end.stderr


@contextlib.contextmanager
def running(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A sweep that runs; it is gone afterwards, and so is what it has started."""
    with subprocess.Popen(
        command(*words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=HOST_LIMIT_S)


def table(out: Path) -> bytes:
    finish("export", out, out / "table.csv")
    return (out / "table.csv").read_bytes()


def done(out: Path) -> dict[str, float]:
    """Host seconds of each job that is booked as done, by its key."""
    with contextlib.closing(sqlite3.connect(out / "sweep.sqlite", timeout=HOST_LIMIT_S)) as book:
        return dict(book.execute("SELECT key, host_s FROM job WHERE state = 'done'"))


def wait_for(what: Callable[[], Found], process: subprocess.Popen[str]) -> Found:
    """What `what` gives as soon as that is true. It must stay true: a slow host looks seldom."""
    deadline = time.monotonic() + HOST_LIMIT_S
    while not (found := what()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def waiting(folder: Path) -> set[int]:
    """Workers whose QEMU waits."""
    found = set()
    for path in folder.glob("*.waits"):
        with contextlib.suppress(FileNotFoundError):
            worker = int(path.read_text())
            if is_alive(int(path.stem)) and is_alive(worker):
                found.add(worker)
    return found


@pytest.fixture(scope="module")
def expected(folder: Path) -> bytes:
    """The table of the sweep with one job at a time."""
    finish("run", folder / "sweep.toml", "-j", 1, "-o", folder / "one")
    found = table(folder / "one")
    assert found.count(b"\n") == JOBS + 1
    return found


def test_a_sweep_that_was_killed_goes_on_where_it_was(folder: Path, expected: bytes) -> None:
    """First a worker, then the sweep itself is killed; what was done is not run again."""
    out = folder / "killed"

    def both(but: Collection[int] = ()) -> set[int]:
        workers = waiting(folder)
        return workers if len(workers) == 2 and not workers.intersection(but) else set()

    run = ("run", folder / "sweep.toml", "-j", 2, "-o", out)
    with held(folder), running(*run) as first:
        before = wait_for(both, first)
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda: both(before), first)
        (folder / "ticket").touch()
        wait_for(lambda: done(out), first)
        workers = wait_for(both, first)
        booked = done(out)
        assert len(booked) == 1
        os.kill(first.pid, signal.SIGKILL)
        deadline = time.monotonic() + HOST_LIMIT_S
        while any(map(is_alive, workers)):
            assert time.monotonic() < deadline, "a worker has outlived its sweep"
            time.sleep(0.1)
    assert list((out / "running").iterdir()), "what a killed worker leaves"
    finish(*run)
    assert not (out / "running").exists()
    after = done(out)
    assert len(after) == JOBS
    assert {key: host_s for key, host_s in after.items() if key in booked} == booked
    assert table(out) == expected


WAIT_FOR_WORKERS = """
import sys
from distributed import Client
with Client(sys.argv[1], timeout=int(sys.argv[2])) as client:
    client.wait_for_workers(2, timeout=int(sys.argv[2]))
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers on loopback: the scheduler's address, and the workers."""
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

        scheduler = start("scheduler", "--port", "0")
        deadline = time.monotonic() + HOST_LIMIT_S
        address = ""
        while not address:
            assert scheduler.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
            with contextlib.suppress(FileNotFoundError, ValueError):  # or half of it is there
                address = json.loads(file.read_text())["address"]
        workers = [start("worker", "--nthreads", "1", "--no-nanny") for _ in range(2)]
        command = (sys.executable, "-c", WAIT_FOR_WORKERS, address, str(HOST_LIMIT_S))
        subprocess.run(command, check=True, timeout=HOST_LIMIT_S)
        yield address, workers


def test_a_dask_cluster_gives_the_same_and_loses_nothing_with_a_worker(
    folder: Path, expected: bytes, cluster: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = cluster
    out = folder / "dask"
    run_words = ("run", folder / "sweep.toml", "--scheduler", address, "-o", out)
    with contextlib.ExitStack() as holding:
        holding.enter_context(held(folder))
        with running(*run_words) as run:
            wait_for(lambda: workers[0].pid in waiting(folder), run)
            workers[0].kill()
            holding.close()
            output, _ = run.communicate(timeout=HOST_LIMIT_S)
            assert run.returncode == 0, output
    assert table(out) == expected
