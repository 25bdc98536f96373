# SPDX-License-Identifier: MIT
"""A core that Linux and the RTOS share: its track shows who really ran, as far as trace-cmd can see.

What the tasks' times must be is known without the trace: the RTOS's tasks execute a fixed number of
instructions of 1 ns, trace-cmd records in the guest, and the hypervisor tells its entries and exits.
"""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tracecmd import HOST_LIMIT_S, Switch, guest_files, switches, traced

pytestmark = pytest.mark.system

CONFIG = """
[machine]
cores = 1
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.linux.files]
{files}
[vm.rtos]
type = "elf"
ram = "16M"
pin = [0]
priority = 100
[trace.linux]
instance = "own"
"""
# Busy over several releases of the RTOS's tasks, which takes turns with Linux.
JOB = """
tc start -e sched:sched_switch > /dev/null
i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done
tc stop
tc extract -o /results/peer.dat > /dev/null
"""
TASKS = {f"RTOS-Task{n}": 500_000 << n - 1 for n in (1, 2, 3, 4)}
"""Instructions of a release, of 1 ns each (images/rtos/workload)."""
RTOS = {*TASKS, "uC/OS-II Idle", "uC/OS-II Stat", "Report"}
MADE = "common_flags & 0x40"


@pytest.fixture(scope="module")
def dat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a run."""
    folder = tmp_path_factory.mktemp("shared")
    files = guest_files(tmp_path_factory.mktemp("armhf"), JOB)
    (folder / "test.toml").write_text(CONFIG.format(files=files))
    run = traced(folder, "-f", "trace.dat,report", command=("sh", "/run/job.sh"), code=0)
    return run / "trace.dat"


def stays(dat: Path, vm: str) -> list[tuple[int, int]]:
    """When the hypervisor had a VM run: from its entries to its exits."""
    done = subprocess.run(
        ["trace-cmd", "report", "-t", "-F", "hypervisor", "-i", dat],
        capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    lines = re.findall(rf"(\d+)\.(\d+): (vm_entry|vm_exit): +vm={vm} ", done.stdout)
    times = [(int(s + ns), what) for s, ns, what in lines]
    return [
        (start, end)
        for (start, before), (end, after) in pairwise(times)
        if (before, after) == ("vm_entry", "vm_exit")
    ]


def within(spans: list[tuple[int, int]], since: int, until: int) -> int:
    """How much of some time the spans cover."""
    return sum(max(0, min(end, until) - max(start, since)) for start, end in spans)


def spans_of(track: list[Switch], names: set[str] | None, since: int = 0) -> list[tuple[int, int]]:
    """When tasks ran, by the core's track alone; None: all but the RTOS's and the idle ones."""
    return [
        (each.time_ns, following.time_ns)
        for each, following in pairwise(track)
        if each.time_ns >= since
        and (
            each.next in names
            if names is not None
            else each.next not in RTOS and not each.next.startswith("swapper")
        )
    ]


def test_the_track_has_no_gap(dat: Path) -> None:
    """Each switch is away from the task that the one before has left running."""
    track = switches(dat)
    # By pid: a program that starts another one changes its name. To a viewer all idle tasks are one.
    wrong = [(one, two) for one, two in pairwise(track) if one.what[5] != two.what[1]]
    assert len(track) > 100
    assert wrong == []


def test_each_release_takes_as_long_as_its_instructions(dat: Path) -> None:
    """Though Linux has the core for most of the time meanwhile."""
    track = switches(dat)
    elapsed: dict[str, list[int]] = {task: [] for task in TASKS}
    for task, instructions in TASKS.items():
        began, ran = None, 0
        for each, following in pairwise(track):
            if each.next != task:
                continue
            began = each.time_ns if began is None else began
            ran += following.time_ns - each.time_ns
            if following.prev == task and following.what[3] == "S":
                assert ran == pytest.approx(instructions, rel=0.01)
                elapsed[task].append(following.time_ns - began)
                began, ran = None, 0
        assert len(elapsed[task]) >= 2
    assert max(elapsed["RTOS-Task4"]) > 1.2 * TASKS["RTOS-Task4"]


def test_times_are_those_of_the_hypervisors_account(dat: Path) -> None:
    """Per guest; what its exits took that did not change the guest is the task's in a track."""
    track = switches(dat)
    busy = [each.time_ns for each in switches(dat, f"sched_switch: {MADE}")]
    since, until = busy[0], busy[-1]
    for vm, names in (("linux", None), ("rtos", RTOS - {"uC/OS-II Idle"})):
        ran = within(spans_of(track, names), since, until)
        assert ran == pytest.approx(within(stays(dat, vm), since, until), rel=0.03)


def test_the_guests_own_switches_are_still_countable(dat: Path) -> None:
    """Without the hypervisor's, Linux's are those that trace-cmd has recorded in the guest."""
    own = [
        each
        for each in switches(dat, f"sched_switch: !({MADE})")
        if not RTOS & {each.prev, each.next}
    ]
    peer = switches(dat.parent / "results/peer.dat")
    assert len(peer) > 10
    found = [
        own[first : first + len(peer)]
        for first in range(len(own))
        if [each.what for each in own[first : first + len(peer)]] == [each.what for each in peer]
    ]
    assert len(found) == 1
    made = switches(dat, f"sched_switch: {MADE}")
    assert len(made) > 20
    assert len(made) + len(switches(dat, f"sched_switch: !({MADE})")) == len(switches(dat))
    assert {each.what[3] for each in made} == {"R"}


def test_a_made_switch_is_where_the_hypervisor_changed_the_vcpu(dat: Path) -> None:
    done = subprocess.run(
        ["trace-cmd", "report", "-t", "-F", "vcpu_switch", "-i", dat],
        capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    changes = {
        int(s + ns): (before, after)
        for s, ns, before, after in re.findall(
            r"(\d+)\.(\d+): vcpu_switch: +prev_vm=(\S+) .* next_vm=(\S+)", done.stdout
        )
    }
    guests = {True: {"rtos"}, False: {"linux", "none"}}
    for each in switches(dat, f"sched_switch: {MADE}"):
        before, after = changes[each.time_ns]
        assert before in guests[each.prev in RTOS]
        assert after in guests[each.next in RTOS]
    assert np.all(np.diff(sorted(changes)) > 0)
