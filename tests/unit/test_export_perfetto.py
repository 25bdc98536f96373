# SPDX-License-Identifier: MIT
"""The Perfetto file, decoded by Perfetto's own schema, says what the timeline says."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema
from timelines import LINUX, RTOS, RTOS_TASKS, RTOS_UNIT_NS, START_NS, Builder, dual_timeline

from orchestrator import export
from orchestrator.export import columns, perfetto
from orchestrator.trace.timeline import ClockFit, Source, Timeline

TICKS = 12


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return dual_timeline(TICKS)


@pytest.fixture(scope="module")
def packets(timeline: Timeline, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    path = tmp_path_factory.mktemp("perfetto") / "trace.perfetto"
    export.write(timeline, "perfetto", path)
    return list(schema.Trace.FromString(path.read_bytes()).packet)


def test_a_clock_that_runs_wild_does_not_take_memory_for_its_time(tmp_path: Path) -> None:
    timeline = dual_timeline(1)
    time_ns = timeline.time_ns.copy()
    time_ns[-1] = 1 << 62
    export.write(replace(timeline, time_ns=time_ns), "perfetto", tmp_path / "trace")
    assert (tmp_path / "trace").stat().st_size < 100 << 20


def slices_of(packets: list[Any], track: int) -> list[tuple[int, int, str]]:
    found, stack = [], []
    for packet in packets:
        event = packet.track_event
        if not packet.HasField("track_event") or event.track_uuid != track:
            continue
        if event.type == schema.TrackEvent.TYPE_SLICE_BEGIN:
            stack.append((packet.timestamp, event.name))
        elif event.type == schema.TrackEvent.TYPE_SLICE_END:
            start, name = stack.pop()
            found.append((start, packet.timestamp, name))
    assert not stack, "a slice has no end"
    return found


def test_ftrace_events_are_those_of_the_guests_in_order(
    timeline: Timeline, packets: list[Any]
) -> None:
    found = defaultdict(list)
    for packet in packets:
        for event in packet.ftrace_events.event:
            found[packet.ftrace_events.cpu].append((event.timestamp, event.WhichOneof("event")))
    for cpu in (0, 1):
        own = (timeline.cpu == cpu) & (timeline.source != 2)
        assert found[cpu] == [
            (int(time), timeline.formats[int(event)].name)
            for time, event in zip(timeline.time_ns[own], timeline.event[own], strict=True)
        ]


@pytest.mark.parametrize("name", ["sched_switch", "sched_wakeup", "irq_handler_entry"])
def test_typed_events_have_every_field_of_the_timeline(
    name: str, timeline: Timeline, packets: list[Any]
) -> None:
    rows = timeline.rows(name)
    form = timeline.formats[int(timeline.event[rows[0]])]
    expected = {
        each.name: columns.column(timeline, rows, each)
        for each in form.fields
        if not each.name.startswith("common_")
    }
    by_time = sorted(
        ((event.timestamp, packet.ftrace_events.cpu, event)
         for packet in packets for event in packet.ftrace_events.event if event.HasField(name)),
        key=lambda each: each[:2],
    )  # fmt: skip
    assert len(by_time) == len(rows)
    for field, values in expected.items():
        assert [getattr(getattr(event, name), field) for *_, event in by_time] == values


def test_an_event_unknown_to_the_schema_goes_in_as_generic(tmp_path: Path) -> None:
    linux = Source(name="linux", kind="linux", clock=ClockFit(clock="local"), cores=(0,))
    builder = Builder(sources=(linux,), tasks={})
    builder.add(5, 0, LINUX, "sched_stat_runtime", comm="x", pid=7, runtime=2**63, common_pid=7)
    export.write(builder.timeline(), "perfetto", tmp_path / "out")
    trace = schema.Trace.FromString((tmp_path / "out").read_bytes())
    (event,) = [event for packet in trace.packet for event in packet.ftrace_events.event]
    assert (event.timestamp, event.pid, event.generic.event_name) == (5, 7, "sched_stat_runtime")
    fields = {each.name: each for each in event.generic.field}
    assert fields["comm"].str_value == "x"
    assert fields["pid"].uint_value == 7
    assert fields["runtime"].uint_value == 2**63


def test_runs_of_rtos_tasks_are_slices_of_one_two_four_eight(packets: list[Any]) -> None:
    for number, (pid, comm) in enumerate(RTOS_TASKS.items()):
        found = slices_of(packets, perfetto.task_track(RTOS, pid))
        assert len(found) == TICKS
        assert {end - start for start, end, _ in found} == {RTOS_UNIT_NS << number}
        assert {name for *_, name in found} == {comm}


def test_hypervisor_slices_are_entry_to_exit_and_exit_to_entry(
    timeline: Timeline, packets: list[Any]
) -> None:
    for cpu, vm in ((0, "linux"), (1, "rtos")):
        moves = [
            (int(timeline.time_ns[row]), timeline.formats[int(timeline.event[row])].name)
            for row in np.flatnonzero((timeline.source == 2) & (timeline.cpu == cpu))
            if timeline.formats[int(timeline.event[row])].name in {"vm_entry", "vm_exit"}
        ]
        expected = [
            (start, end, f"{vm}/0" if kind == "vm_entry" else "IRQ")
            for (start, kind), (end, _) in pairwise([*moves, (int(timeline.time_ns[-1]), "")])
        ]
        assert slices_of(packets, perfetto.hypervisor_track(cpu)) == expected


def test_virtual_interrupts_are_instants_of_the_hypervisors_track(
    timeline: Timeline, packets: list[Any]
) -> None:
    found = [
        packet.timestamp
        for packet in packets
        if packet.track_event.type == schema.TrackEvent.TYPE_INSTANT
        and packet.track_event.name.startswith("virq 27 to ")
    ]
    assert sorted(found) == timeline.time_ns[timeline.rows("virq")].tolist()


def test_cpu_share_counts_what_the_rtos_tasks_took(packets: list[Any]) -> None:
    track = perfetto.share_track(RTOS)
    found = [
        (packet.timestamp, packet.track_event.double_counter_value)
        for packet in packets
        if packet.track_event.track_uuid == track
    ]
    assert found[0] == (START_NS, 75.0)  # 15 units of 0.5 ms in a window of 10 ms
    assert {value for _, value in found[:-1]} == {75.0}


def test_names_of_processes_threads_and_tracks(packets: list[Any]) -> None:
    tree = next(each.process_tree for each in packets if each.HasField("process_tree"))
    linux, rtos, hypervisor = (perfetto.process_of(number) for number in range(3))
    assert {each.pid: (each.ppid, list(each.cmdline)) for each in tree.processes} == {
        linux: (0, ["linux"]),
        rtos: (0, ["rtos"]),
        hypervisor: (0, ["hypervisor"]),
        401: (1, ["hackbench"]),
        15: (2, ["rcu_sched"]),
    }
    assert {each.tid: (each.name, each.tgid) for each in tree.threads} == {
        401: ("hackbench", 401),
        402: ("hackbench", 401),
        15: ("rcu_sched", 15),
        55: ("kworker/0:1", linux),  # whose process is not known
        **{pid: (comm, rtos) for pid, comm in RTOS_TASKS.items()},
    }
    tracks = {each.track_descriptor.uuid: each.track_descriptor for each in packets}
    assert tracks[perfetto.hypervisor_track(1)].name == "core 1"
    assert tracks[perfetto.share_track(LINUX)].counter.unit_name == "%"
    used = {each.track_event.track_uuid for each in packets if each.HasField("track_event")}
    assert used <= set(tracks), "an event is on a track that nothing describes"


def test_loss_is_in_the_statistics(packets: list[Any]) -> None:
    stats = next(each.ftrace_stats for each in packets if each.HasField("ftrace_stats"))
    assert [(each.cpu, each.overrun) for each in stats.cpu_stats] == [(0, 0), (1, 3)]
