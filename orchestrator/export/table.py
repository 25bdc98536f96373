# SPDX-License-Identifier: MIT
"""Parquet, for notebooks: a row an event, a column a field.

The first columns are those that every event has. Then comes each field of each event that occurs,
under its own name, empty for events without it: ``df[df.event == "sched_switch"].next_pid``. Last
is the text that ftrace prints behind the event's name. The schema's metadata says what is missing:
`lost`, `left_out`, `contradictions` and `clocks`, as JSON.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orchestrator.export.analysis import IDLE
from orchestrator.export.columns import (
    UNKNOWN_PROCESS,
    by_format,
    chunks,
    column,
    is_text,
    processes,
)
from orchestrator.export.text import Lines
from orchestrator.trace.timeline import EventFormat, Field, Timeline

_NAME: Final = pa.dictionary(pa.int32(), pa.string())
_FIRST: Final = {
    "time_ns": pa.uint64(),
    "cpu": pa.uint16(),
    "source": _NAME,
    "system": _NAME,
    "event": _NAME,
    "pid": pa.int32(),
    "tgid": pa.int32(),
    "comm": _NAME,
}


def write(timeline: Timeline, path: Path) -> None:
    """Writes the table; a row group for each chunk of events.

    Raises:
        OSError: The file cannot be written.
    """
    lines = Lines(timeline)
    occurring = [timeline.formats[int(number)] for number in np.unique(timeline.event)]
    fields = _field_types(occurring)
    schema = pa.schema(
        [*_FIRST.items(), *fields.items(), ("details", pa.string())], metadata=_metadata(timeline)
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in chunks(timeline):
            columns = {**_first(timeline, rows), **_fields(timeline, rows, fields)}
            columns["details"] = pa.array(lines.details(rows), pa.string())
            writer.write_table(pa.table(columns, schema=schema))


def _metadata(timeline: Timeline) -> dict[str, str]:
    """What is to be known of all events together."""
    facts = {
        **{why: [asdict(each) for each in gaps] for why, gaps in timeline.gaps().items()},
        "contradictions": list(timeline.contradictions),
        "clocks": [{"source": each.name, **asdict(each.clock)} for each in timeline.sources],
    }
    return {name: json.dumps(fact, ensure_ascii=False) for name, fact in facts.items()}


def _field_types(formats: Iterable[EventFormat]) -> dict[str, pa.DataType]:
    """The column of each field; where events differ in a field's type, one that holds all."""
    types: dict[str, set[str]] = {}
    for form in formats:
        for each in form.fields:
            if not each.name.startswith("common_"):
                # A field must not hide a column that every event has.
                types.setdefault(_column_name(each), set()).add(_kind(each))
    return {name: _widest(kinds) for name, kinds in sorted(types.items())}


def _column_name(field: Field) -> str:
    return f"field_{field.name}" if field.name in {*_FIRST, "details"} else field.name


def _kind(field: Field) -> str:
    if is_text(field):
        return "text"
    if field.dynamic or "[" in field.c_type:
        return "words"
    return "signed" if field.signed else f"unsigned {field.bytes}"


def _widest(kinds: set[str]) -> pa.DataType:
    if "text" in kinds:
        return _NAME
    if "words" in kinds:
        return pa.list_(pa.int64())
    if "unsigned 8" in kinds:
        return pa.uint64() if "signed" not in kinds else _NAME
    return pa.int64()


def _first(timeline: Timeline, rows: NDArray[np.intp]) -> dict[str, pa.Array]:
    pids = np.empty(len(rows), np.int32)
    events = timeline.event[rows]
    for form, some in by_format(timeline, rows):
        pids[events == form.id] = timeline.values(some, "common_pid")
    tgids = processes(timeline, pids)
    numbers = {number: at for at, number in enumerate(sorted(timeline.formats))}
    forms = [timeline.formats[number] for number in numbers]
    which = np.array([numbers[number] for number in events.tolist()], np.int32)
    known, task = np.unique(pids, return_inverse=True)
    return {
        "time_ns": pa.array(timeline.time_ns[rows]),
        "cpu": pa.array(timeline.cpu[rows]),
        "source": _named(timeline.source[rows], [each.name for each in timeline.sources]),
        "system": _named(which, [each.system for each in forms]),
        "event": _named(which, [each.name for each in forms]),
        "pid": pa.array(pids),
        "tgid": pa.array(tgids, mask=tgids == UNKNOWN_PROCESS),
        "comm": _named(task, [_comm(timeline, pid) for pid in known.tolist()]),
    }


def _comm(timeline: Timeline, pid: int) -> str | None:
    if pid == IDLE:
        return "<idle>"
    task = timeline.tasks.get(pid)
    return task.comm if task else None


def _named(numbers: NDArray[Any], names: list[str | None]) -> pa.Array:
    """A column of names by their numbers; a dictionary holds each name once."""
    unique = sorted({name for name in names if name is not None})
    where = {name: at for at, name in enumerate(unique)}
    positions = np.array([where.get(name, -1) if name is not None else -1 for name in names])
    indices = positions[numbers] if len(names) else np.empty(0, np.int64)
    return pa.DictionaryArray.from_arrays(
        pa.array(indices.astype(np.int32), mask=indices < 0), pa.array(unique, pa.string())
    )


def _fields(
    timeline: Timeline, rows: NDArray[np.intp], types: dict[str, pa.DataType]
) -> dict[str, pa.Array]:
    values = {name: np.full(len(rows), None, dtype=object) for name in types}
    events = timeline.event[rows]
    for form, some in by_format(timeline, rows):
        own = np.flatnonzero(events == form.id)
        for each in form.fields:
            name = _column_name(each)
            if name in values and not each.name.startswith("common_"):
                found = column(timeline, some, each)
                if types[name] == _NAME and not is_text(each):
                    found = [str(value) for value in found]
                for at, value in zip(own.tolist(), found, strict=True):
                    values[name][at] = value
    return {name: pa.array(values[name], types[name]) for name in types}
