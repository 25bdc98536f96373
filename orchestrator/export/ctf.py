# SPDX-License-Identifier: MIT
"""CTF 1.8 as LTTng's kernel tracer writes it: for babeltrace2 and Trace Compass's kernel analysis.

A folder with `metadata` (TSDL) and a stream for each core. Trace Compass takes a trace for LTTng's
by its environment (``domain = "kernel"``, ``tracer_name = "lttng-modules"``), and finds events and
fields by LTTng's names, which differ from the kernel's in a few places: those are the tables below.

The binary form is written here and not by babeltrace2's library: its Python binding exists only for
Debian's own Python, and takes a call for each field, while records can be copied by the million.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.export.columns import by_format, chunks, dynamic, is_text, processes
from orchestrator.trace.timeline import EventFormat, Field, Timeline

_EVENT_PREFIXES: Final = {
    "softirq_": "irq_softirq_",
    "tasklet_": "irq_tasklet_",
    "hrtimer_": "timer_hrtimer_",
    "itimer_": "timer_itimer_",
    "sys_enter_": "syscall_entry_",
    "sys_exit_": "syscall_exit_",
}
"""Kernel's name of an event to LTTng's (lttng-modules 2.9 and later)."""
_TID_FIELDS: Final = {
    name: name.replace("pid", "tid")
    for name in ("pid", "prev_pid", "next_pid", "parent_pid", "child_pid", "old_pid")
}
"""What the kernel's sched events call a pid is a thread's number in LTTng's words."""

_PROCESS_FIELDS: Final = {"sched_process_fork": frozenset({"parent_pid", "child_pid"})}
"""Threads whose process LTTng's event has, too, under the name that the thread has in the kernel's."""

_SYSCALL_ENTRY: Final = "sys_enter_"
_NAME: Final = re.compile("name|path")
"""Arguments of system calls that are strings in LTTng's events; the kernel's have the address."""

_OWN_SYSTEMS: Final = frozenset({"hypervisor", "probe"})
"""Events that Linux's kernel has not; LTTng's names have no colon, so they stay apart."""

_PACKET: Final = np.dtype(
    [
        ("magic", "<u4"),
        ("uuid", "V16"),
        ("stream_id", "<u4"),
        ("timestamp_begin", "<u8"),
        ("timestamp_end", "<u8"),
        ("content_size", "<u8"),
        ("packet_size", "<u8"),
        ("packet_seq_num", "<u8"),
        ("events_discarded", "<u8"),
        ("cpu_id", "<u4"),
    ]
)
_EVENT: Final = np.dtype([("id", "<u2"), ("timestamp", "<u8"), ("pid", "<i4"), ("tid", "<i4")])
_MAGIC: Final = 0xC1FC1FC1

_METADATA: Final = """\
/* CTF 1.8 */

typealias integer {{ size = 16; align = 8; signed = false; }} := uint16_t;
typealias integer {{ size = 32; align = 8; signed = false; }} := uint32_t;
typealias integer {{ size = 64; align = 8; signed = false; }} := uint64_t;
typealias integer {{ size = 8; align = 8; signed = false; }} := uint8_t;

trace {{
	major = 1;
	minor = 8;
	uuid = "{uuid}";
	byte_order = le;
	packet.header := struct {{
		uint32_t magic;
		uint8_t  uuid[16];
		uint32_t stream_id;
	}};
}};

env {{
{environment}}};

clock {{
	name = "monotonic";
	description = "generic counter of the board, since power-on";
	freq = 1000000000;
	offset = 0;
}};

typealias integer {{
	size = 64; align = 8; signed = false;
	map = clock.monotonic.value;
}} := uint64_clock_monotonic_t;

stream {{
	id = 0;
	packet.context := struct {{
		uint64_clock_monotonic_t timestamp_begin;
		uint64_clock_monotonic_t timestamp_end;
		uint64_t content_size;
		uint64_t packet_size;
		uint64_t packet_seq_num;
		uint64_t events_discarded;
		uint32_t cpu_id;
	}};
	event.header := struct {{
		uint16_t id;
		uint64_clock_monotonic_t timestamp;
	}};
	event.context := struct {{
		integer {{ size = 32; align = 8; signed = true; }} _pid;
		integer {{ size = 32; align = 8; signed = true; }} _tid;
	}};
}};
"""
_METADATA_EVENT: Final = """
event {{
	name = "{name}";
	id = {id};
	stream_id = 0;
	fields := struct {{
{fields}	}};
}};
"""


def write(timeline: Timeline, path: Path) -> None:
    """Writes the folder.

    Raises:
        OSError: It cannot be written.
    """
    path.mkdir()
    identity = _identity(timeline)
    (path / "metadata").write_text(_metadata(timeline, identity), encoding="utf-8", newline="\n")
    streams = [_Stream(timeline, cpu, identity) for cpu in range(timeline.cores)]
    for stream in streams:
        with (path / f"channel0_{stream.cpu}").open("wb") as file:
            stream.write(file)


def event_name(form: EventFormat) -> str:
    """An event's name in the trace; what is no kernel event has its system in front."""
    if form.system in _OWN_SYSTEMS:
        return f"{form.system}:{form.name}"
    for kernel, lttng in _EVENT_PREFIXES.items():
        if form.name.startswith(kernel):
            return lttng + form.name.removeprefix(kernel)
    return form.name


def field_name(form: EventFormat, field: Field) -> str:
    """A field's name in the trace."""
    return _TID_FIELDS.get(field.name, field.name) if form.system == "sched" else field.name


def has_process(form: EventFormat, field: Field) -> bool:
    """Whether the process of the thread that a field names follows it, under the kernel's name."""
    return field.name in _PROCESS_FIELDS.get(form.name, ())


def is_name(form: EventFormat, field: Field) -> bool:
    """Whether a field is a string for LTTng, of which only the address was recorded.

    The trace has the address as a string: readers that look for names fail on a number.
    """
    is_pointer = field.c_type.removeprefix("const ") == "char *"
    return form.name.startswith(_SYSCALL_ENTRY) and is_pointer and bool(_NAME.search(field.name))


def own_fields(form: EventFormat) -> list[Field]:
    """The fields of an event that are in its payload: the common ones are in its context."""
    return [each for each in form.fields if not each.name.startswith("common_")]


def _identity(timeline: Timeline) -> uuid.UUID:
    """A UUID that is the same for equal timelines only."""
    digest = hashlib.sha256(repr((timeline.uname, sorted(timeline.host.items()))).encode())
    for column in (timeline.time_ns, timeline.cpu, timeline.offset, timeline.payload):
        digest.update(np.ascontiguousarray(column).data)
    return uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest())


def _metadata(timeline: Timeline, identity: uuid.UUID) -> str:
    release = re.search(r"\d+\.\d+\S*", timeline.uname)
    environment: dict[str, str | int] = {
        "hostname": next((each.name for each in timeline.sources if each.kind == "linux"), ""),
        "domain": "kernel",
        "sysname": "Linux",
        "kernel_release": release[0] if release else "",
        "kernel_version": timeline.uname,
        "tracer_name": "lttng-modules",
        "tracer_major": 2,
        "tracer_minor": 13,
        "tracer_patchlevel": 0,
        "architecture_bit_width": 32,
    }
    lines = [
        f"\t{key} = {value if isinstance(value, int) else _quoted(value)};\n"
        for key, value in environment.items()
    ]
    events = [
        _METADATA_EVENT.format(
            name=event_name(form),
            id=form.id,
            fields="".join(
                f"\t\t{line}\n" for each in own_fields(form) for line in _declaration(form, each)
            ),
        )
        for form in (timeline.formats[int(number)] for number in np.unique(timeline.event))
    ]
    return _METADATA.format(uuid=identity, environment="".join(lines)) + "".join(events)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _declaration(form: EventFormat, field: Field) -> Iterator[str]:
    # The underscore keeps names apart from TSDL's keywords; readers take it away.
    name = f"_{field_name(form, field)}"
    if is_name(form, field):
        yield f"string {name};"
    elif is_text(field):
        if field.dynamic:
            yield f"string {name};"
        else:
            yield f"{_integer(1, field, encoding='UTF8')} {name}[{field.bytes}];"
    elif field.dynamic:
        yield f"uint32_t _{name}_length;"
        yield f"{_integer(4, field)} {name}[ _{name}_length ];"
    elif "[" in field.c_type:
        yield f"{_integer(1, field)} {name}[{field.bytes}];"
    else:
        yield f"{_integer(field.bytes, field)} {name};"
    if has_process(form, field):
        yield f"{_integer(4, field)} _{field.name};"


def _integer(size: int, field: Field, encoding: str = "none") -> str:
    base = 16 if "*" in field.c_type else 10
    signed = "true" if field.signed else "false"
    return (
        f"integer {{ size = {8 * size}; align = 8; signed = {signed}; "
        f"encoding = {encoding}; base = {base}; }}"
    )


class _Stream:
    """The events of one core, in packets.

    Args:
        timeline: Where they are.
        cpu: The core.
        identity: The trace's UUID.
    """

    def __init__(self, timeline: Timeline, cpu: int, identity: uuid.UUID) -> None:
        self.cpu = cpu
        self._timeline = timeline
        self._identity = identity
        self._count = 0

    def write(self, file: BinaryIO) -> None:
        timeline = self._timeline
        missing = timeline.missing(self.cpu)
        own = [rows[timeline.cpu[rows] == self.cpu] for rows in chunks(timeline)]
        packets = [rows for rows in own if len(rows)]
        # The first packet is empty: a reader takes the difference between packets for what is
        # missing, and when in the run that was is not known.
        begin = int(timeline.time_ns[packets[0][0]]) if packets else 0
        file.write(self._packet(begin, begin, missing=0, content=b""))
        for at, rows in enumerate(packets):
            first, last = (int(timeline.time_ns[rows[end]]) for end in (0, -1))
            content = _records(timeline, rows)
            is_last = at == len(packets) - 1
            file.write(
                self._packet(first, last, missing=missing if is_last else 0, content=content)
            )

    def _packet(self, begin_ns: int, end_ns: int, *, missing: int, content: bytes) -> bytes:
        bits = 8 * (_PACKET.itemsize + len(content))
        values: tuple[Any, ...] = (
            *(_MAGIC, self._identity.bytes, 0),
            *(begin_ns, end_ns, bits, bits, self._count, missing, self.cpu),
        )
        self._count += 1
        return np.array([values], _PACKET).tobytes() + content


@dataclass(frozen=True)
class _Part:
    """Records of one format, one behind the other.

    Attributes:
        sizes: int64[n].
        content: uint8[sum of sizes].
    """

    sizes: NDArray[np.int64]
    content: NDArray[np.uint8]


def _records(timeline: Timeline, rows: NDArray[np.intp]) -> bytes:
    """Events of one core in the trace's binary form, in their order."""
    sizes = np.zeros(len(rows), np.int64)
    events = timeline.event[rows]
    parts = []
    for form, some in by_format(timeline, rows):
        own = events == form.id
        part = _part(timeline, some, form)
        sizes[own] = part.sizes
        parts.append((own, part))
    starts = np.cumsum(sizes) - sizes
    content = np.empty(int(sizes.sum()), np.uint8)
    for own, part in parts:
        inside = np.arange(len(part.content)) - np.repeat(
            np.cumsum(part.sizes) - part.sizes, part.sizes
        )
        content[np.repeat(starts[own], part.sizes) + inside] = part.content
    return content.tobytes()


def _part(timeline: Timeline, rows: NDArray[np.intp], form: EventFormat) -> _Part:
    head = np.empty(len(rows), _EVENT)
    head["id"] = form.id
    head["timestamp"] = timeline.time_ns[rows]
    head["tid"] = timeline.values(rows, "common_pid")
    head["pid"] = processes(timeline, head["tid"])
    first = head.view(np.uint8).reshape(len(rows), -1)
    fields = own_fields(form)
    if not any(each.dynamic or is_name(form, each) for each in fields):
        content = np.concatenate([first, *_fixed(timeline, rows, form, fields)], axis=1)
        return _Part(np.full(len(rows), content.shape[1]), content.reshape(-1))
    columns: list[Sequence[bytes]] = [[row.tobytes() for row in first]]
    for each in fields:
        if each.dynamic:
            columns.append([_dynamic(raw, each) for raw in dynamic(timeline, rows, each)])
        elif is_name(form, each):
            addresses = timeline.values(rows, each.name).tolist()
            columns.append([b"0x%x\0" % address for address in addresses])
        else:
            raw = np.concatenate([*_fixed(timeline, rows, form, [each])], axis=1)
            columns.append([row.tobytes() for row in raw])
    records = [b"".join(pieces) for pieces in zip(*columns, strict=True)]
    return _Part(
        np.array([len(each) for each in records], np.int64),
        np.frombuffer(b"".join(records), np.uint8),
    )


def _fixed(
    timeline: Timeline, rows: NDArray[np.intp], form: EventFormat, fields: Sequence[Field]
) -> Iterator[NDArray[np.uint8]]:
    """Fields of fixed size as they are in the trace; uint8[n, bytes] each, some in one."""
    offset = timeline.offset[rows].astype(np.intp)[:, None]
    bytes_of: list[NDArray[np.intp]] = []
    for each in fields:
        bytes_of.append(np.arange(each.offset, each.offset + each.bytes))
        is_last = each is fields[-1]
        if is_last or has_process(form, each):
            yield timeline.payload[offset + np.concatenate(bytes_of)]
            bytes_of = []
        if has_process(form, each):
            process = processes(timeline, timeline.values(rows, each.name))
            yield process.astype("<i4").view(np.uint8).reshape(len(rows), -1)


def _dynamic(raw: bytes, field: Field) -> bytes:
    if is_text(field):
        return raw.split(b"\0", 1)[0] + b"\0"
    words = len(raw) // 4
    return words.to_bytes(4, "little") + raw[: 4 * words]
