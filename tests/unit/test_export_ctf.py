# SPDX-License-Identifier: MIT
"""The CTF trace, read back by babeltrace2, is the timeline event for event."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from timelines import LINUX, RTOS_TASKS, Builder, dual_timeline, without_events

from orchestrator import export
from orchestrator.export import columns, ctf
from orchestrator.trace.timeline import ClockFit, Source, Task, Timeline

_LINE = re.compile(
    r"\[(?P<seconds>\d+)\.(?P<ns>\d{9})\] \(\S+\) \S+ (?P<name>[\w:]+): "
    r"\{ cpu_id = (?P<cpu>\d+) \}, \{ pid = (?P<pid>-?\d+), tid = (?P<tid>-?\d+) \}, \{ (?P<fields>.*) \}"
)

PROCESSES = {0: 0, 401: 401, 402: 401, 15: 15, 55: -1} | dict.fromkeys(RTOS_TASKS, 65536)
"""Of each thread of the timeline, as timelines.py has them; -1: not known."""


def babeltrace(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["babeltrace2", "--clock-seconds", path], check=True, capture_output=True, text=True
    )


def events_of(timeline: Timeline, path: Path) -> list[dict[str, str]]:
    export.write(timeline, "ctf", path)
    lines = babeltrace(path).stdout.splitlines()
    found = [_LINE.fullmatch(line) for line in lines]
    assert all(found), lines[found.index(None)]
    return [each.groupdict() for each in found if each]


def shown(value: object) -> str:
    """A value as babeltrace2 prints it."""
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_every_event_comes_back_with_every_field(tmp_path: Path) -> None:
    timeline = dual_timeline(10)
    expected = []
    for form, rows in columns.by_format(timeline, np.arange(len(timeline))):
        fields = [
            (ctf.field_name(form, each), columns.column(timeline, rows, each))
            for each in ctf.own_fields(form)
        ]
        common_pid = timeline.values(rows, "common_pid")
        for at, row in enumerate(rows):
            expected.append({
                "seconds": str(int(timeline.time_ns[row]) // 10**9),
                "ns": f"{int(timeline.time_ns[row]) % 10**9:09d}",
                "name": ctf.event_name(form),
                "cpu": str(timeline.cpu[row]),
                "pid": str(PROCESSES[int(common_pid[at])]),
                "tid": str(common_pid[at]),
                "fields": ", ".join(f"{name} = {shown(values[at])}" for name, values in fields),
            })  # fmt: skip

    def key(event: dict[str, str]) -> list[str]:
        return sorted(event.values())

    found = events_of(timeline, tmp_path / "ctf")
    assert sorted(found, key=key) == sorted(expected, key=key)
    # Events of one core stay in their order; those of several at one instant have none.
    for cpu in ("0", "1"):
        names = [event["name"] for event in found if event["cpu"] == cpu]
        own = timeline.event[timeline.cpu == int(cpu)]
        assert names == [ctf.event_name(timeline.formats[int(each)]) for each in own]


def test_the_names_are_lttngs(tmp_path: Path) -> None:
    """Those that Trace Compass's Lttng29EventLayout looks for, and LTTng's tracepoints have."""
    linux = Source(name="linux", kind="linux", clock=ClockFit(clock="local"), cores=(0,))
    builder = Builder(sources=(linux,), tasks={})
    builder.add(1, 0, LINUX, "sched_switch", prev_comm="a", prev_pid=7, prev_state=1, next_pid=-1)
    builder.add(2, 0, LINUX, "softirq_entry", vec=7)
    builder.add(3, 0, LINUX, "hrtimer_expire_entry", hrtimer=0xC2000010, now=2**63)
    builder.add(4, 0, LINUX, "sched_process_exec", filename="/bin/sh", pid=8, old_pid=9)
    builder.add(5, 0, LINUX, "ipi_raise", target_cpus=b"\2\0\0\0\1\0\0\0", reason=16)
    found = events_of(builder.timeline(), tmp_path / "ctf")
    assert [(event["name"], event["fields"]) for event in found] == [
        (
            "sched_switch",
            (
                'prev_comm = "a", prev_tid = 7, prev_prio = 0, prev_state = 1, next_comm = "", '
                "next_tid = -1, next_prio = 0"
            ),
        ),
        ("irq_softirq_entry", "vec = 7"),
        (
            "timer_hrtimer_expire_entry",
            f"hrtimer = 0xC2000010, now = {-(2**63)}, function = 0x0",
        ),
        ("sched_process_exec", 'filename = "/bin/sh", tid = 8, old_tid = 9'),
        (
            "ipi_raise",
            "_target_cpus_length = 2, target_cpus = [ [0] = 2, [1] = 1 ], reason = 0x10",
        ),
    ]


def test_a_name_that_the_kernel_has_the_address_of_is_a_string(tmp_path: Path) -> None:
    """As LTTng's own events have strings there, its analyses look into them."""
    linux = Source(name="linux", kind="linux", clock=ClockFit(clock="local"), cores=(0,))
    builder = Builder(sources=(linux,), tasks={})
    for time_ns, address in ((1, 0x51CC0), (2, 0xBEFF_FE10)):
        builder.add(time_ns, 0, LINUX, "sys_enter_openat", dfd=-100, filename=address, flags=2)
    found = events_of(builder.timeline(), tmp_path / "ctf")
    assert {event["name"] for event in found} == {"syscall_entry_openat"}
    assert [re.findall(r"filename = ([^,]*), flags = (\w+)", each["fields"]) for each in found] == [
        [('"0x51cc0"', "2")],
        [('"0xbefffe10"', "2")],
    ]


def test_a_fork_tells_threads_and_processes_apart(tmp_path: Path) -> None:
    """LTTng's parent_pid is a process; the kernel's is the thread that LTTng calls parent_tid."""
    linux = Source(name="linux", kind="linux", clock=ClockFit(clock="local"), cores=(0,))
    tasks = {
        pid: Task(pid=pid, comm="a", source=LINUX, tgid=tgid)
        for pid, tgid in ((7, 7), (8, 7), (9, 7), (10, 10))
    }
    builder = Builder(sources=(linux,), tasks=tasks)
    for time_ns, parent, child in ((1, 8, 9), (2, 9, 10), (3, 11, 12)):
        builder.add(
            time_ns, 0, LINUX, "sched_process_fork", common_pid=parent,
            parent_comm="a", parent_pid=parent, child_comm="b", child_pid=child,
        )  # fmt: skip
    fields = 'parent_comm = "a", parent_tid = {}, parent_pid = {}, child_comm = "b", {}'
    found = events_of(builder.timeline(), tmp_path / "ctf")
    assert [(event["tid"], event["pid"], event["fields"]) for event in found] == [
        ("8", "7", fields.format(8, 7, "child_tid = 9, child_pid = 7")),
        ("9", "7", fields.format(9, 7, "child_tid = 10, child_pid = 10")),
        ("11", "-1", fields.format(11, -1, "child_tid = 12, child_pid = -1")),
    ]


@pytest.mark.parametrize(
    "line",
    [
        'domain = "kernel";',
        'tracer_name = "lttng-modules";',
        "tracer_major = 2;",
        "tracer_minor = 13;",
        'sysname = "Linux";',
        'kernel_release = "6.1.0-50-armmp";',
    ],
)
def test_the_environment_is_that_of_lttngs_kernel_tracer(line: str, tmp_path: Path) -> None:
    """Trace Compass takes a trace for LTTng's kernel by `domain`, its layout by the tracer."""
    export.write(dual_timeline(1), "ctf", tmp_path / "ctf")
    assert f"\t{line}\n" in (tmp_path / "ctf" / "metadata").read_text()


def test_what_was_lost_is_told_by_the_reader(tmp_path: Path) -> None:
    export.write(dual_timeline(2, left_out=5), "ctf", tmp_path / "ctf")
    told = babeltrace(tmp_path / "ctf").stderr
    assert told.count("discarded") == 2
    assert "Tracer discarded 5 events" in told
    assert "Tracer discarded 3 events" in told
    assert "channel0_1" in told


def test_a_trace_without_events_is_read_without_complaint(tmp_path: Path) -> None:
    export.write(without_events(dual_timeline(1)), "ctf", tmp_path / "ctf")
    result = babeltrace(tmp_path / "ctf")
    assert result.stdout == ""
    assert "ERROR" not in result.stderr
