# SPDX-License-Identifier: MIT
"""Threads are in their processes in every export, as the program and the kernel themselves say.

The program prints getpid() and gettid() of each of its threads. The kernel is asked, in the same run,
to note each thread's process itself (ftrace's `record-tgid`), of all that ran.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

pytestmark = pytest.mark.system

HOST_LIMIT_S = 800
CONFIG = """
[machine]
cores = 1
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.linux.files]
"/run/threads" = "threads"
"""
JOB = """
echo 1 > /sys/kernel/tracing/options/record-tgid
/run/threads
cat /sys/kernel/tracing/saved_tgids > /results/saved_tgids
"""
PROGRAM = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void *tell(void *end)
{
    char line[80];
    int length = snprintf(line, sizeof(line), "thread %d of %d, child of %d\n", gettid(), getpid(),
                          getppid());
    write(STDOUT_FILENO, line, length);
    usleep(1000);
    return end;
}

/* Threads that make the next one: parents other than a process's first thread. */
static void *chain(void *left)
{
    pthread_t next;
    tell(NULL);
    if (left && !pthread_create(&next, NULL, chain, (char *)left - 1))
        pthread_join(next, NULL);
    return NULL;
}

static void *fork_here(void *unused)
{
    if (fork() == 0) {
        chain((void *)2);
        _exit(0);
    }
    wait(NULL);
    return unused;
}

int main(void)
{
    pthread_t thread;
    chain((void *)3);
    return pthread_create(&thread, NULL, fork_here, NULL) || pthread_join(thread, NULL);
}
"""
TOLD = re.compile(r"thread (\d+) of (\d+), child of (\d+)")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a program and the kernel say.

    Attributes:
        run: The run's directory.
        threads: Process of each thread of the program.
        parents: Parent of each process of the program.
        kernels: Process of each thread, as the kernel has noted it.
    """

    run: Path
    threads: dict[int, int]
    parents: dict[int, int]
    kernels: dict[int, int]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("processes")
    (folder / "threads.c").write_text(PROGRAM)
    subprocess.run(
        (
            *("arm-linux-gnueabihf-gcc", "-O1", "-static", "-pthread", "-w"),
            *("-o", folder / "threads", folder / "threads.c"),
        ),
        check=True,
    )
    (folder / "test.toml").write_text(CONFIG)
    run = folder / "run"
    done = subprocess.run(
        (
            *(sys.executable, "-m", "orchestrator.cli", "trace", "-c", folder / "test.toml"),
            *("-o", run, "-f", "ctf,parquet,perfetto,report", "--", "sh", "-c", JOB),
        ),
        capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    rows = [tuple(map(int, found.groups())) for found in TOLD.finditer(done.stdout)]
    saved = (run / "results/saved_tgids").read_text().split()
    return Told(
        run=run,
        threads={thread: process for thread, process, _ in rows},
        parents={process: parent for _, process, parent in rows},
        kernels=dict(zip(map(int, saved[::2]), map(int, saved[1::2]), strict=True)),
    )


def test_the_program_has_two_processes_with_threads(told: Told) -> None:
    processes = list(told.threads.values())
    assert sorted(processes.count(each) for each in set(processes)) == [3, 4]
    # The kernel notes a thread when it switches, which the one that forks does, too.
    assert told.kernels.items() >= told.threads.items()


def test_parquet_has_the_process_of_each_event(told: Told) -> None:
    rows = pyarrow.parquet.read_table(told.run / "trace.parquet", columns=["pid", "tgid"])
    found = {row["pid"]: row["tgid"] for row in rows.to_pylist()}
    assert found.items() >= told.kernels.items()
    assert None not in found.values()


def test_perfetto_has_the_threads_in_their_processes(told: Told) -> None:
    trace = Trace.FromString((told.run / "trace.perfetto").read_bytes())
    (tree,) = [each.process_tree for each in trace.packet if each.HasField("process_tree")]
    threads = {each.tid: each.tgid for each in tree.threads}
    assert threads.items() >= told.kernels.items()
    processes = {each.pid: each for each in tree.processes}
    assert {pid: processes[pid].ppid for pid in told.parents} == told.parents
    assert {processes[pid].cmdline[0] for pid in told.parents} == {"threads"}
    # The first process is the VM's, and threads of the kernel are kthreadd's.
    (vm,) = [each.pid for each in tree.processes if list(each.cmdline) == ["linux"]]
    assert processes[1].ppid == vm
    assert {each.ppid for each in tree.processes if each.cmdline[0] == "rcu_sched"} == {2}


def test_ctf_has_lttngs_context_and_forks(told: Told) -> None:
    """Every fork of the program: by which thread of which process, and what was made."""
    done = subprocess.run(
        ["babeltrace2", told.run / "ctf"],
        capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    contexts = re.findall(r"\{ pid = (-?\d+), tid = (\d+) \}", done.stdout)
    found = {int(tid): int(pid) for pid, tid in contexts}
    assert found.items() >= told.kernels.items()
    forks = re.findall(
        r"sched_process_fork: .* parent_tid = (\d+), parent_pid = (\d+), .* "
        r"child_tid = (\d+), child_pid = (\d+) ",
        done.stdout,
    )
    made = {int(each[2]): tuple(map(int, each)) for each in forks}
    assert made.keys() >= told.threads.keys()
    for parent_tid, parent_pid, child_tid, child_pid in made.values():
        assert told.kernels.get(parent_tid, parent_pid) == parent_pid
        assert told.kernels.get(child_tid, child_pid) == child_pid
    # Threads are made by their own process, some not by its first thread.
    inner = [made[tid] for tid, process in told.threads.items() if tid != process]
    assert all(parent_pid == child_pid for _, parent_pid, _, child_pid in inner)
    assert any(parent_tid != parent_pid for parent_tid, parent_pid, _, _ in inner)
