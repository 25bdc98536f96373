# SPDX-License-Identifier: MIT
"""Perfetto's protobuf, for ui.perfetto.dev and trace_processor.

Guests' events go in as ftrace events, so that Perfetto makes its own scheduling view of them; an
event that its schema does not know goes in as a generic one. Threads of Linux are in their processes.
Each VM is a process, too: the tasks of an RTOS are its threads, and the first processes of a Linux
its children. Beside them are tracks: a slice for each run of an RTOS task, the share of the core
that each VM's tasks take, and a track for the hypervisor on each core, with the guest or the reason
of the exit as slices, vCPU switches and virtual interrupts as instants.

The schema is that of the `perfetto` package. Messages that repeat are serialized once: protobuf
joins fields by concatenation, so an event is its time and a body that was seen before.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

from orchestrator.export import analysis
from orchestrator.export.columns import Memo, by_format, chunks, column
from orchestrator.trace.timeline import EventFormat, Task, Timeline

PROCESS_BASE: Final = 0x4000_0000
"""pid of the process that stands for the first VM; no guest's own numbers come near."""
WINDOW_NS: Final = 10_000_000
_MAX_WINDOWS: Final = 1 << 20
"""Where a guest's clock runs wild, windows are longer: memory is in proportion to events, not times."""
"""Width of a window of the CPU share counters."""
_SEQUENCE: Final = 1


def write(timeline: Timeline, path: Path) -> None:
    """Writes the trace: system, processes, tracks, then events and slices.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("wb") as file:
        for packet in (*_system(timeline), *_track_descriptors(timeline)):
            _put(file, packet.SerializeToString())
        _put_ftrace(file, timeline)
        for time_ns, body in _track_events(timeline):
            _put(file, schema.TracePacket(timestamp=time_ns).SerializeToString() + body)


def process_of(source: int) -> int:
    """pid of the process that stands for a source: a VM, or the hypervisor."""
    return PROCESS_BASE + source


def task_track(source: int, pid: int) -> int:
    """Identity of the track with the runs of a task."""
    return 1 << 60 | source << 40 | pid


def share_track(source: int) -> int:
    """Identity of the counter track of a VM's share of its cores."""
    return 2 << 60 | source


def hypervisor_track(cpu: int) -> int:
    """Identity of the hypervisor's track of a core."""
    return 3 << 60 | cpu


def _process_track(source: int) -> int:
    return 4 << 60 | source


def _put(file: BinaryIO, packet: bytes) -> None:
    file.write(_delimited(_PACKET, packet))


_PACKET: Final = schema.Trace.PACKET_FIELD_NUMBER
_BUNDLE: Final = schema.TracePacket.FTRACE_EVENTS_FIELD_NUMBER
_EVENT: Final = schema.FtraceEventBundle.EVENT_FIELD_NUMBER


def _delimited(field: int, payload: bytes) -> bytes:
    """A field of protobuf's wire type 2: tag, length, payload."""
    return _varint(field << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _system(timeline: Timeline) -> Iterator[schema.TracePacket]:
    packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
    info = packet.system_info
    info.num_cpus = timeline.cores
    if timeline.uname:
        release = re.search(r"\d+\.\d+\S*", timeline.uname)
        info.utsname.sysname = "Linux"
        info.utsname.release = release[0] if release else timeline.uname
        info.utsname.machine = "armv7l"
    yield packet

    yield _process_tree(timeline)

    packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
    packet.ftrace_stats.phase = schema.FtraceStats.END_OF_TRACE
    for cpu in range(timeline.cores):
        packet.ftrace_stats.cpu_stats.add(cpu=cpu, overrun=timeline.missing(cpu))
    yield packet


def _process_tree(timeline: Timeline) -> schema.TracePacket:
    """The VMs, the processes of Linux below its own, and all tasks."""
    packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
    tree = packet.process_tree
    for number, source in enumerate(timeline.sources):
        tree.processes.add(pid=process_of(number), ppid=0, cmdline=[source.name])
    tasks = [task for _, task in sorted(timeline.tasks.items()) if task.pid != analysis.IDLE]
    one_of = {tgid: task for task in tasks if (tgid := _linux_process(timeline, task)) is not None}
    for tgid, task in sorted(one_of.items()):
        first = timeline.tasks.get(tgid)
        tree.processes.add(
            pid=tgid,
            # Linux's first processes have no parent but the VM.
            ppid=(first or task).ppid or process_of(task.source),
            cmdline=[first.comm] if first else [],
        )
    for task in tasks:
        tgid = _linux_process(timeline, task)
        tree.threads.add(
            tid=task.pid, tgid=process_of(task.source) if tgid is None else tgid, name=task.comm
        )
    return packet


def _linux_process(timeline: Timeline, task: Task) -> int | None:
    """The process of a thread of Linux, if it is known."""
    return task.tgid if timeline.sources[task.source].kind == "linux" else None


def _track_descriptors(timeline: Timeline) -> Iterator[schema.TracePacket]:
    for number, source in enumerate(timeline.sources):
        packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
        packet.track_descriptor.uuid = _process_track(number)
        packet.track_descriptor.process.pid = process_of(number)
        packet.track_descriptor.process.process_name = source.name
        yield packet
        if source.kind == "hypervisor":
            for cpu in source.cores:
                packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
                packet.track_descriptor.uuid = hypervisor_track(cpu)
                packet.track_descriptor.parent_uuid = _process_track(number)
                packet.track_descriptor.name = f"core {cpu}"
                yield packet
            continue
        packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
        packet.track_descriptor.uuid = share_track(number)
        packet.track_descriptor.parent_uuid = _process_track(number)
        packet.track_descriptor.name = f"CPU share of {source.name}"
        packet.track_descriptor.counter.unit_name = "%"
        yield packet
    for task in sorted(timeline.tasks.values(), key=lambda each: each.pid):
        if timeline.sources[task.source].kind == "rtos" and task.pid != analysis.IDLE:
            packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
            packet.track_descriptor.uuid = task_track(task.source, task.pid)
            packet.track_descriptor.thread.pid = process_of(task.source)
            packet.track_descriptor.thread.tid = task.pid
            packet.track_descriptor.thread.thread_name = task.comm
            yield packet


def _put_ftrace(file: BinaryIO, timeline: Timeline) -> None:
    bodies = {number: _body_of(form) for number, form in timeline.formats.items()}
    # The hypervisor's own are tracks.
    tracks = [form.id for form in timeline.formats.values() if form.system == "hypervisor"]
    for rows in chunks(timeline):
        guests = rows[~np.isin(timeline.event[rows], tracks)]
        events = _events(timeline, guests, bodies)
        cpus = timeline.cpu[guests]
        for cpu in np.unique(cpus).tolist():
            packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
            bundle = schema.FtraceEventBundle(cpu=cpu).SerializeToString()
            bundle += b"".join(events[cpus == cpu].tolist())
            _put(file, packet.SerializeToString() + _delimited(_BUNDLE, bundle))


def _events(
    timeline: Timeline, rows: NDArray[np.intp], bodies: dict[int, Memo]
) -> NDArray[np.object_]:
    """The events as fields of a bundle, in the order given; object[n] of bytes."""
    events = np.empty(len(rows), dtype=object)
    position = np.arange(len(rows))
    of_row = timeline.event[rows]
    for form, some in by_format(timeline, rows):
        columns = [column(timeline, some, each) for each in form.fields[1:]]
        stamps = (
            schema.FtraceEvent(timestamp=time).SerializeToString()
            for time in timeline.time_ns[some].tolist()
        )
        body = bodies[form.id]
        events[position[of_row == form.id]] = [
            _delimited(_EVENT, stamp + body[key])
            for stamp, key in zip(stamps, zip(*columns, strict=True), strict=True)
        ]
    return events


def _body_of(form: EventFormat) -> Memo:
    """Serializes an event without its time, from the values of its fields but `common_type`."""
    names = [each.name for each in form.fields[1:]]
    message = getattr(schema.FtraceEvent(), form.name, None)
    own = {name for name in names if not name.startswith("common_")}
    known = own <= {each.name for each in message.DESCRIPTOR.fields} if message else False

    def body(values: tuple[Any, ...]) -> bytes:
        event = schema.FtraceEvent()
        fields = dict(zip(names, values, strict=True))
        event.pid = fields["common_pid"]
        event.common_flags = fields["common_flags"]
        if known:
            target = getattr(event, form.name)
            target.SetInParent()
            for name in own:
                setattr(target, name, fields[name])
        else:
            event.generic.event_name = form.name
            for name in names:
                if name in own:
                    _add_generic(event.generic.field.add(name=name), fields[name])
        serialized: bytes = event.SerializeToString(deterministic=True)
        return serialized

    return Memo(body)


def _add_generic(field: Any, value: Any) -> None:
    if isinstance(value, int):
        if value < 0:
            field.int_value = value
        else:
            field.uint_value = value
    else:
        field.str_value = value if isinstance(value, str) else " ".join(map(hex, value))


def _track_events(timeline: Timeline) -> Iterator[tuple[int, bytes]]:
    """Times and packets of slices, instants and counters, one track after the other."""
    runs = analysis.task_runs(timeline)
    for task in sorted(timeline.tasks.values(), key=lambda each: each.pid):
        if timeline.sources[task.source].kind == "rtos" and task.pid != analysis.IDLE:
            own = (runs.source == task.source) & (runs.pid == task.pid)
            yield from _slices(
                task_track(task.source, task.pid),
                runs.start_ns[own].tolist(),
                runs.end_ns[own].tolist(),
                [task.comm] * int(own.sum()),
            )
    yield from _shares(timeline, runs)
    stays = analysis.hypervisor_stays(timeline)
    for cpu in range(timeline.cores):
        own = stays.cpu == cpu
        yield from _slices(
            hypervisor_track(cpu),
            stays.start_ns[own].tolist(),
            stays.end_ns[own].tolist(),
            stays.name[own].tolist(),
        )
    yield from _hypervisor_instants(timeline)


def _slices(
    track: int, starts: Iterable[int], ends: Iterable[int], names: Iterable[str]
) -> Iterator[tuple[int, bytes]]:
    begins = Memo(lambda name: _track_event(track, "TYPE_SLICE_BEGIN", name=name))
    end_body = _track_event(track, "TYPE_SLICE_END")
    for start, end, name in zip(starts, ends, names, strict=True):
        yield start, begins[name]
        yield end, end_body


def _shares(timeline: Timeline, runs: analysis.Runs) -> Iterator[tuple[int, bytes]]:
    begin, end = analysis.span_ns(timeline)
    if begin == end:
        return
    window_ns = max(WINDOW_NS, (end - begin) // _MAX_WINDOWS)
    edges = np.append(np.arange(begin, end, window_ns, dtype=np.uint64), np.uint64(end))
    for number, source in enumerate(timeline.sources):
        if source.kind == "hypervisor":
            continue
        total = np.zeros(len(edges) - 1)
        for cpu in source.cores:
            own = (runs.source == number) & (runs.cpu == cpu) & (runs.pid != analysis.IDLE)
            total += analysis.share_of_time(runs.start_ns[own], runs.end_ns[own], edges)
        bodies = Memo(_percent_of(share_track(number)))
        for time, share in zip(edges[:-1].tolist(), total.tolist(), strict=True):
            yield time, bodies[round(100 * share, 3)]


def _percent_of(track: int) -> Callable[[float], bytes]:
    return lambda value: _track_event(track, "TYPE_COUNTER", double_counter_value=value)


def _hypervisor_instants(timeline: Timeline) -> Iterator[tuple[int, bytes]]:
    bodies = Memo(lambda key: _track_event(hypervisor_track(key[0]), "TYPE_INSTANT", name=key[1]))
    for name, shape, fields in (
        ("vcpu_switch", "{}/{} to {}/{}", ("prev_vm", "prev_vcpu", "next_vm", "next_vcpu")),
        ("virq", "virq {} to {}/{}", ("irq", "vm", "vcpu")),
    ):
        rows = timeline.rows(name)
        if not len(rows):
            continue
        form = timeline.formats[int(timeline.event[rows[0]])]
        columns = [column(timeline, rows, form.field(each)) for each in fields]
        keys = zip(timeline.cpu[rows].tolist(), map(shape.format, *columns), strict=True)
        for time, key in zip(timeline.time_ns[rows].tolist(), keys, strict=True):
            yield time, bodies[key]


def _track_event(track: int, kind: str, **fields: Any) -> bytes:
    """A packet without its time."""
    packet = schema.TracePacket(trusted_packet_sequence_id=_SEQUENCE)
    packet.track_event.type = schema.TrackEvent.Type.Value(kind)
    packet.track_event.track_uuid = track
    for name, value in fields.items():
        setattr(packet.track_event, name, value)
    serialized: bytes = packet.SerializeToString(deterministic=True)
    return serialized
