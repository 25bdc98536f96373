# SPDX-License-Identifier: MIT
"""From streams of records to a timeline: RTOS tasks as Linux's, probes, the hypervisor, loss."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from orchestrator.errors import CheckFailed, StorageError, UsageError
from orchestrator.records import (
    MAGIC,
    PROBES_FORMAT,
    RECORD,
    RING,
    RING_HEADER_BYTES,
    VERSION,
    Kind,
    Observer,
)
from orchestrator.trace.merge import Vm, merge
from orchestrator.trace.run import merge_run
from orchestrator.trace.streams import read_streams

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.trace.timeline import Timeline

VMS = [
    Vm(name="linux", is_linux=True, cores=(0,)),
    Vm(name="rtos", is_linux=False, cores=(1,)),
]
SWITCH, TICK, OTHER, READY = 8192, 8193, 8194, 8195
FACTS = ("priority", "state", "delay", "name")


def fetches(*names: str) -> list[dict[str, Any]]:
    """Words in a row; a name takes four of them."""
    out, word = [], 0
    for name in names:
        text = name.endswith("name")
        size = 16 if text else 8 if name == "ready" else 4
        kind = "string" if text else f"u{8 * size}"
        out.append({"name": name, "type": kind, "word": word, "bytes": size})
        word += size // 4
    return out


def probe(number: int, label: str, role: str, *names: str) -> dict[str, Any]:
    return {
        "id": number, "vm": "rtos", "name": f"rtos:{label}", "label": label, "role": role,
        "own": True, "fetch": fetches(*names),
    }  # fmt: skip


PROBES: dict[str, Any] = {
    "format": PROBES_FORMAT,
    "probes": [
        probe(
            SWITCH, "OSTaskSwHook", "switch", "prev_priority", "prev_state", "prev_delay",
            "prev_name", "next_priority", "next_name",
        ),
        probe(TICK, "OSTimeTick", "tick"),
        probe(OTHER, "OSSemPost", "", "%r0", "count"),
        probe(READY, "OS_Sched", "ready", "ready"),
    ],
    "profiles": {"rtos": {"ready": [
        {"fact": fact, "mask": 0xFFFF_FFFF, "first": 0, "last": 0} for fact in ("state", "delay")
    ]}},
}  # fmt: skip


def record(time_ns: int, kind: Kind, number: int, words: list[int], cpu: int = 1) -> np.void:
    out = np.zeros(1, RECORD)
    out["time_ns"], out["kind"], out["cpu"], out["vm"], out["id"] = time_ns, kind, cpu, 1, number
    out["valid"], out["words"] = (1 << len(words)) - 1, len(words)
    out["word"][0, : len(words)] = words
    first: np.void = out[0]
    return first


def name_words(name: str) -> list[int]:
    return [int(word) for word in np.frombuffer(name.encode().ljust(16, b"\0"), "<u4")]


def switch(time_ns: int, prev: tuple[int, int, int, str], following: tuple[int, str]) -> np.void:
    priority, state, delay, name = prev
    words = [priority, state, delay, *name_words(name), following[0], *name_words(following[1])]
    return record(time_ns, Kind.PROBE, SWITCH, words)


def write_stream(path: Path, observer: Observer, cpu: int, records: list[np.void]) -> None:
    head = np.zeros(1, RING)
    head["magic"], head["version"], head["record_bytes"] = MAGIC, VERSION, RECORD.itemsize
    head["cpu"], head["observer"], head["head"] = cpu, observer, len(records)
    data = np.array(records, RECORD)
    data["seq"] = np.arange(len(records))
    path.write_bytes(head.tobytes().ljust(RING_HEADER_BYTES, b"\0") + data.tobytes())


def timeline_of(
    folder: Path,
    plugin: list[np.void],
    hypervisor: list[np.void],
    probes: dict[str, Any] = PROBES,
) -> Timeline:
    write_stream(folder / "plugin-1.rec", Observer.PLUGIN, 1, plugin)
    write_stream(folder / "hypervisor-1.rec", Observer.HYPERVISOR, 1, hypervisor)
    (folder / "probes.json").write_text(json.dumps(probes))
    return merge(vms=VMS, cores=2, linux=None, observed=read_streams(folder), host={})


def column(timeline: Timeline, event: str, field: str) -> list[Any]:
    rows = timeline.rows(event)
    return timeline.values(rows, field).tolist() if len(rows) else []


IDLE = (63, 0, 0, "uC/OS-II Idle")


def ready(time_ns: int, *priorities: int) -> np.void:
    tasks = sum(1 << each for each in (*priorities, 63))
    return record(time_ns, Kind.PROBE, READY, [tasks & 0xFFFF_FFFF, tasks >> 32])


def test_switches_and_wakeups_of_an_rtos_are_linuxs(tmp_path: Path) -> None:
    """Woken is who is in the ready set and was not; what the set was at first is not known."""
    timeline = timeline_of(
        tmp_path,
        [
            ready(900, 5),
            switch(1000, IDLE, (5, "Task1")),
            ready(1900, 6),
            switch(2000, (5, 0, 2, "Task1"), (6, "Task2")),
            ready(2400),
            switch(2500, (6, 1, 0, "Task2"), (63, "uC/OS-II Idle")),
            record(3000, Kind.PROBE, TICK, []),
            ready(3050),
            record(4000, Kind.PROBE, TICK, []),
            ready(4050, 5, 7),
            switch(4100, IDLE, (5, "Task1")),
            ready(4200, 7),
            switch(4300, (5, 0, 0, "Task1"), (63, "uC/OS-II Idle")),
        ],
        [],
    )
    base = 65536 * 2
    assert column(timeline, "sched_switch", "prev_pid") == [0, base + 5, base + 6, 0, base + 5]
    assert column(timeline, "sched_switch", "next_comm")[0] == b"Task1"
    # The last one waits for nothing and is not ready: it was deleted.
    assert column(timeline, "sched_switch", "prev_state") == [0, 1, 1, 0, 0x20]
    assert column(timeline, "sched_wakeup", "comm") == [b"Task2", b"Task1", b"<...>"]
    assert column(timeline, "sched_wakeup", "pid") == [base + 6, base + 5, base + 7]
    assert column(timeline, "sched_wakeup", "common_pid") == [base + 5, 0, 0]
    assert timeline.time_ns[timeline.rows("sched_wakeup")].tolist() == [1900, 4050, 4050]
    assert column(timeline, "rtos_OSTimeTick", "common_pid") == [0, 0]
    assert timeline.format_named("rtos_OS_Sched") is None
    assert {pid: task.comm for pid, task in timeline.tasks.items()} == {
        base + 5: "Task1",
        base + 6: "Task2",
    }
    assert np.all(np.diff(timeline.time_ns.astype(np.int64)) >= 0)


def test_a_priority_that_the_ready_set_has_no_bit_for_is_not_dead(tmp_path: Path) -> None:
    """A kernel may be built for up to 255 of them."""
    timeline = timeline_of(
        tmp_path, [ready(900, 5), switch(1000, (70, 0, 0, "Low"), (5, "Task1"))], []
    )
    assert column(timeline, "sched_switch", "prev_state") == [0]


def test_without_ready_sets_there_are_switches_alone(tmp_path: Path) -> None:
    timeline = timeline_of(tmp_path, [switch(1000, (5, 0, 0, "Task1"), (6, "Task2"))], [])
    assert column(timeline, "sched_switch", "prev_state") == [0]
    assert not len(timeline.rows("sched_wakeup"))


def test_other_probes_are_events_with_their_values(tmp_path: Path) -> None:
    timeline = timeline_of(
        tmp_path,
        [
            switch(1000, IDLE, (5, "Task1")),
            record(1500, Kind.PROBE, OTHER, [0xDEADBEEF, 7]),
        ],
        [],
    )
    form = timeline.format_named("rtos_OSSemPost")
    assert form
    assert form.system == "probe"
    assert column(timeline, "rtos_OSSemPost", "r0") == [0xDEADBEEF]
    assert column(timeline, "rtos_OSSemPost", "count") == [7]
    assert column(timeline, "rtos_OSSemPost", "common_pid") == [65536 * 2 + 5]


def test_a_users_probe_at_the_task_switch_is_an_event_besides(tmp_path: Path) -> None:
    """Only what nobody has asked for is made into tasks and nothing else."""
    users = [{**each, "own": each["id"] != SWITCH} for each in PROBES["probes"]]
    seen = [switch(1000, IDLE, (5, "Task1")), ready(1500, 5)]
    timeline = timeline_of(tmp_path, seen, [], probes={**PROBES, "probes": users})
    assert column(timeline, "sched_switch", "next_pid") == [65536 * 2 + 5]
    assert column(timeline, "rtos_OSTaskSwHook", "next_priority") == [5]
    assert timeline.format_named("rtos_OS_Sched") is None


def test_the_hypervisor_has_events_of_its_own_and_hits_count_once(tmp_path: Path) -> None:
    """A hit that both observers saw is the plugin's."""
    seen = [switch(1000, IDLE, (5, "Task1"))]
    timeline = timeline_of(
        tmp_path,
        seen,
        [
            switch(1016, IDLE, (5, "Task1")),
            record(2000, Kind.VM_EXIT, 0x100, [0]),
            record(2016, Kind.VIRQ, 27, [27]),
            record(2100, Kind.VCPU_SWITCH, 0, [1, 0, 0xFF, 0xFF]),
            record(2200, Kind.VM_ENTRY, 0, []),
        ],
    )
    assert len(timeline.rows("sched_switch")) == 1
    assert column(timeline, "vm_exit", "vm") == [b"rtos"]
    assert column(timeline, "virq", "irq") == [27]
    assert column(timeline, "vcpu_switch", "next_vm") == [b"none"]
    assert [source.kind for source in timeline.sources] == ["linux", "rtos", "hypervisor"]


def test_on_a_shared_core_the_hypervisors_changes_are_switches(tmp_path: Path) -> None:
    """Between the tasks of both guests; one of which nothing is known is itself the task."""
    vms = [
        Vm(name="bare", is_linux=False, cores=(1,)),
        Vm(name="rtos", is_linux=False, cores=(1,)),
    ]
    write_stream(
        tmp_path / "plugin-1.rec",
        Observer.PLUGIN,
        1,
        [switch(1000, IDLE, (5, "Task1")), switch(3000, (5, 0, 2, "Task1"), (63, "Idle"))],
    )
    changes = [(2000, 1, 0), (2500, 0, 1), (3500, 1, 0xFF), (3600, 0xFF, 0)]
    write_stream(
        tmp_path / "hypervisor-1.rec",
        Observer.HYPERVISOR,
        1,
        [
            record(at, Kind.VCPU_SWITCH, 0, [a, a if a == 0xFF else 0, b, b if b == 0xFF else 0])
            for at, a, b in changes
        ],
    )
    (tmp_path / "probes.json").write_text(json.dumps(PROBES))
    timeline = merge(vms=vms, cores=2, linux=None, observed=read_streams(tmp_path), host={})
    task, bare = 65536 * 2 + 5, 65536 * 2 - 1
    rows = timeline.rows("sched_switch")
    made = timeline.values(rows, "common_flags") == 0x40
    assert timeline.time_ns[rows[made]].tolist() == [2000, 2500, 3600]
    assert timeline.values(rows[made], "prev_pid").tolist() == [task, bare, 0]
    assert timeline.values(rows[made], "next_pid").tolist() == [bare, task, bare]
    assert timeline.values(rows[made], "next_comm").tolist() == [b"bare", b"Task1", b"bare"]
    assert timeline.guest_rows("sched_switch").tolist() == rows[~made].tolist()
    assert timeline.tasks[bare].comm == "bare"


def test_loss_is_in_the_sources(tmp_path: Path) -> None:
    timeline = timeline_of(
        tmp_path,
        [switch(1000, IDLE, (5, "Task1"))],
        [record(1500, Kind.LOSS, 0, [3, 1]), record(2000, Kind.VM_EXIT, 0x100, [0])],
    )
    assert timeline.sources[-1].lost == {1: 3 + (1 << 32)}


def test_a_task_that_could_not_be_read_is_an_error(tmp_path: Path) -> None:
    broken = switch(1000, IDLE, (5, "Task1"))
    broken["valid"] = 0
    with pytest.raises(CheckFailed, match="could not be read at 1 of 1 hits"):
        timeline_of(tmp_path, [broken], [])


def test_hits_of_which_nobody_knows_what_they_are_are_not_left_out(tmp_path: Path) -> None:
    timeline_of(tmp_path, [switch(1000, IDLE, (5, "Task1"))], [])
    (tmp_path / "probes.json").unlink()
    with pytest.raises(StorageError, match=r"probes.json: is not there"):
        read_streams(tmp_path)


def test_a_directory_that_is_no_run_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not the directory of a run"):
        merge_run(tmp_path)
