# SPDX-License-Identifier: MIT
"""Whose hit it was: by the hit itself, by the switches of its own vCPU, by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.records import RECORD, Kind
from orchestrator.trace.current import pids_by_switches, pids_of_linux, tasks_of_hits
from orchestrator.trace.merge import Vm, merge
from orchestrator.trace.shared import Running
from orchestrator.trace.streams import Fetched, Observed, Probe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.trace.timeline import Timeline

TASK = Probe(
    id=1,
    vm="linux",
    name="linux:vfs_read",
    place="vfs_read",
    role="",
    own=False,
    fetched=(
        Fetched(name="task_id", type="s32", word=0, bytes=4),
        Fetched(name="task_priority", type="s32", word=1, bytes=4),
        Fetched(name="task_name", type="string", word=2, bytes=16),
    ),
    current="task_id",
)
USER = Probe(
    id=2, vm="linux", name="linux:0x10548", place="0x10548", role="", own=False, fetched=()
)


def hit(probe: Probe, time_ns: int, *, vcpu: int, pid: int | None = None, comm: str = "") -> Any:
    out = np.zeros(1, RECORD)
    out["kind"], out["id"], out["time_ns"] = Kind.PROBE, probe.id, time_ns
    out["vcpu"] = out["cpu"] = vcpu
    if pid is not None:
        out["valid"] = 0x3F
        out["word"][0, :2] = pid, 120
        out["word"][0, 2:6] = np.frombuffer(comm.encode().ljust(16, b"\0"), "<u4")
    return out[0]


def array(*hits: Any) -> NDArray[np.void]:
    return np.array(list(hits), RECORD)


def running(vcpu: int) -> Running:
    """On vCPU 0 tasks 10 and, from 500 on, 11; on vCPU 1 tasks 20 and 21."""
    first = 10 * (vcpu + 1)
    return Running(
        time_ns=np.array([500], np.uint64),
        pid=np.array([first, first + 1], np.int64),
        prio=np.array([120, 120], np.int64),
        comm=np.array([b"one", b"other"]),
    )


def timeline_of(*hits: Any) -> Timeline:
    observed = Observed(
        probes={each.id: each for each in (TASK, USER)},
        hits=array(*hits),
        hypervisor=array(),
        lost={},
        ready={},
    )
    vms = [Vm(name="linux", is_linux=True, cores=(0, 1))]
    return merge(vms=vms, cores=2, linux=None, observed=observed, host={})


def pids(timeline: Timeline, event: str) -> list[int]:
    found: list[int] = timeline.values(timeline.rows(event), "common_pid").tolist()
    return found


def test_each_vcpu_has_its_own_task() -> None:
    hits = array(*(hit(USER, time, vcpu=vcpu) for time in (400, 600) for vcpu in (0, 1)))
    assert pids_by_switches(hits, running).tolist() == [10, 20, 11, 21]


def test_in_linux_a_hit_says_itself_whose_it_is() -> None:
    """Switches tell it only where the record could not: its page was not there, say."""
    hits = array(
        hit(TASK, 400, vcpu=1, pid=77), hit(TASK, 450, vcpu=1), hit(TASK, 600, vcpu=0, pid=0)
    )
    assert pids_of_linux(hits, TASK, running).tolist() == [77, 20, 0]
    assert pids_of_linux(hits, USER, running).tolist() == [20, 20, 11]


def test_the_last_hit_of_a_task_names_it() -> None:
    """It may have executed another program since."""
    hits = array(
        hit(TASK, 100, vcpu=0, pid=7, comm="sh"),
        hit(TASK, 200, vcpu=0, pid=0, comm="swapper/0"),
        hit(TASK, 300, vcpu=1, pid=7, comm="cat"),
        hit(TASK, 400, vcpu=1),
    )
    assert tasks_of_hits([(TASK, hits), (USER, array())]) == {7: ("cat", 120)}


def test_hits_have_their_tasks_though_no_switch_was_recorded() -> None:
    timeline = timeline_of(
        hit(TASK, 100, vcpu=0, pid=7, comm="cat"), hit(TASK, 200, vcpu=1, pid=8, comm="sh")
    )
    assert pids(timeline, "linux_vfs_read") == [7, 8]
    assert {pid: task.comm for pid, task in timeline.tasks.items()} == {7: "cat", 8: "sh"}


def test_where_nothing_tells_the_task_it_is_the_vms() -> None:
    timeline = timeline_of(hit(USER, 100, vcpu=1))
    (pid,) = pids(timeline, "linux_0x10548")
    assert timeline.tasks[pid].comm == "linux"
