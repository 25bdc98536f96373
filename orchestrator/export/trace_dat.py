# SPDX-License-Identifier: MIT
"""`trace.dat` of trace-cmd, version 6, as `trace-cmd report` and KernelShark open it.

The layout is described in trace-cmd.dat.v6(5). Each core of the board is a CPU of the file; its
events are packed anew into pages of Linux's ring buffer, whatever source they came from, with the
event formats that the timeline holds. Records are copied as they are.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.trace.timeline import EventFormat, Timeline

_MAGIC: Final = b"\x17\x08\x44tracing6\0"
_LITTLE_ENDIAN: Final = b"\0"
_LONG_BYTES: Final = b"\x04"
_PAGE_BYTES: Final = 4096
_HEADER_PAGE: Final = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:4;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:12;\tsize:4084;\tsigned:0;
"""
_HEADER_EVENT: Final = """\
# compressed entry header
\ttype_len    :    5 bits
\ttime_delta  :   27 bits
\tarray       :   32 bits

\tpadding     : type == 29
\ttime_extend : type == 30
\ttime_stamp : type == 31
\tdata max type_len  == 28
"""
_OPTION_DONE, _OPTION_CPUSTAT, _OPTION_TRACECLOCK, _OPTION_UNAME, _OPTION_CPUCOUNT = 0, 2, 4, 5, 8

_PAGE_HEADER_BYTES: Final = 12
_DATA_BYTES: Final = _PAGE_BYTES - _PAGE_HEADER_BYTES
_SHORT_BYTES: Final = 28 * 4
"""Up to this size a record's length is in the first word of its entry."""
_TIME_EXTEND: Final = 30
_DELTA_BITS: Final = 27
_DELTA_MASK: Final = np.uint64((1 << _DELTA_BITS) - 1)
_MISSED: Final = 0xC000_0000
"""Flags of a page's `commit`: events are missing before it, and their number is behind its data."""
_COPY_EVENTS: Final = 1 << 17
"""Events packed at once, so that the memory needed does not grow with the trace."""


def write(timeline: Timeline, path: Path) -> None:
    """Writes the file.

    Args:
        timeline: The events; records of more than 4 KiB do not fit into a page and are an error.
        path: The file to make.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("wb") as file:
        _write_head(timeline, file)
        file.write(b"flyrecord\0")
        table = file.tell()
        file.write(bytes(16 * timeline.cores))
        places = []
        for cpu in range(timeline.cores):
            file.write(bytes(-file.tell() % _PAGE_BYTES))
            start = file.tell()
            for pages in _pages(timeline, cpu):
                file.write(pages.data)
            places.append((start, file.tell() - start))
        file.seek(table)
        for start, size in places:
            file.write(struct.pack("<QQ", start, size))


def _write_head(timeline: Timeline, file: BinaryIO) -> None:
    file.write(_MAGIC + _LITTLE_ENDIAN + _LONG_BYTES + struct.pack("<I", _PAGE_BYTES))
    file.writelines(
        name.encode() + b"\0" + _sized(text, "<Q")
        for name, text in (("header_page", _HEADER_PAGE), ("header_event", _HEADER_EVENT))
    )
    systems: dict[str, list[EventFormat]] = {"ftrace": []}
    for form in timeline.formats.values():
        systems.setdefault(form.system, []).append(form)
    ftrace = systems.pop("ftrace")
    file.write(struct.pack("<I", len(ftrace)))
    for form in ftrace:
        file.write(_sized(form.text, "<Q"))
    file.write(struct.pack("<I", len(systems)))
    for system, forms in sorted(systems.items()):
        file.write(system.encode() + b"\0" + struct.pack("<I", len(forms)))
        for form in forms:
            file.write(_sized(form.text, "<Q"))
    file.write(_sized(timeline.kallsyms, "<I") + _sized(timeline.printk_formats, "<I"))
    tasks = "".join(f"{task.pid} {task.comm}\n" for task in timeline.tasks.values())
    file.write(_sized(tasks, "<Q"))
    file.write(struct.pack("<I", timeline.cores) + b"options  \0")
    file.writelines(
        struct.pack("<H", number) + _sized(text, "<I") for number, text in _options(timeline)
    )
    file.write(struct.pack("<H", _OPTION_DONE))


def _sized(text: str, size: str) -> bytes:
    data = text.encode()
    return struct.pack(size, len(data)) + data


def _options(timeline: Timeline) -> Iterator[tuple[int, str]]:
    yield _OPTION_TRACECLOCK, "[local]\0"
    if timeline.uname:
        yield _OPTION_UNAME, f"Linux {timeline.uname} armv7l\0"
    for cpu in range(timeline.cores):
        entries = int(np.count_nonzero(timeline.cpu == cpu))
        yield (
            _OPTION_CPUSTAT,
            f"CPU: {cpu}\nentries: {entries}\noverrun: {timeline.missing(cpu)}\n\0",
        )
    yield _OPTION_CPUCOUNT, struct.pack("<I", timeline.cores).decode("latin-1")


def _pages(timeline: Timeline, cpu: int) -> Iterator[NDArray[np.uint8]]:
    """The pages of one core, some at a time."""
    rows = np.flatnonzero(timeline.cpu == cpu)
    missing = timeline.missing(cpu)
    if not len(rows):
        empty = np.zeros(_PAGE_BYTES, np.uint8)
        if missing:
            _mark_missing(empty, missing)
        yield empty
        return
    for start in range(0, len(rows), _COPY_EVENTS):
        pages = _pack(timeline, rows[start : start + _COPY_EVENTS])
        if start == 0 and missing:
            _mark_missing(pages, missing)
        yield pages


def _mark_missing(pages: NDArray[np.uint8], missing: int) -> None:
    """Says in the first page how many events are missing before it."""
    words = pages[:_PAGE_BYTES].view("<u4")
    used = int(words[2])
    words[2] |= np.uint32(_MISSED)
    words[(_PAGE_HEADER_BYTES + used) // 4] = min(missing, (1 << 32) - 1)


def _pack(timeline: Timeline, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Pages that hold some events of one core."""
    time_ns = timeline.time_ns[rows]
    words = (timeline.bytes[rows].astype(np.int64) + 3) // 4
    is_long = words * 4 > _SHORT_BYTES
    delta = np.diff(time_ns, prepend=time_ns[:1])
    extend = np.where(delta >> np.uint64(_DELTA_BITS), 2, 0)
    size = 1 + is_long + words
    first = _page_starts(size + extend, extend)
    page = np.zeros(len(rows), np.int64)
    page[first[1:]] = 1
    page = np.cumsum(page)
    delta[first], extend[first] = 0, 0
    end = np.cumsum(size + extend)
    before = end - size - extend  # words of the events before this one, all pages together
    at = page * (_PAGE_BYTES // 4) + _PAGE_HEADER_BYTES // 4 + before - before[first][page]

    out = np.zeros(len(first) * _PAGE_BYTES, np.uint8)
    word = out.view("<u4")
    word_of_page = np.arange(len(first)) * (_PAGE_BYTES // 4)
    word[word_of_page] = (time_ns[first] & np.uint64(0xFFFF_FFFF)).astype(np.uint32)
    word[word_of_page + 1] = (time_ns[first] >> np.uint64(32)).astype(np.uint32)
    last = np.append(first[1:], len(rows)) - 1
    word[word_of_page + 2] = (end[last] - before[first]) * 4
    _write_extends(word, at, delta, extend)
    at += extend
    short_delta = np.where(extend > 0, np.uint64(0), delta) & _DELTA_MASK
    entry = np.where(is_long, 0, words).astype(np.uint64) | short_delta << np.uint64(5)
    word[at] = entry.astype(np.uint32)
    word[at[is_long] + 1] = (words[is_long] + 1) * 4
    _copy(timeline, rows, out, (at + 1 + is_long) * 4)
    return out


def _page_starts(size: NDArray[np.int64], extend: NDArray[np.int64]) -> NDArray[np.intp]:
    """Positions of the first event of each page; sizes are words, with those of `extend`."""
    end = np.cumsum(size)
    room = _DATA_BYTES // 4 - 1  # one word is left for the number of lost events
    starts, at = [], 0
    while at < len(size):
        starts.append(at)
        # The first event of a page needs no time extend: the page has its time.
        limit = end[at] - size[at] + extend[at] + room
        after = int(np.searchsorted(end, limit, side="right"))
        if after == at:
            raise OSError(f"an event of {4 * int(size[at])} bytes does not fit into a page")
        at = after
    return np.array(starts, np.intp)


def _write_extends(
    word: NDArray[np.uint32],
    at: NDArray[np.int64],
    delta: NDArray[np.uint64],
    extend: NDArray[np.int64],
) -> None:
    rows = np.flatnonzero(extend)
    low = (delta[rows] & _DELTA_MASK) << np.uint64(5)
    word[at[rows]] = (low | np.uint64(_TIME_EXTEND)).astype(np.uint32)
    word[at[rows] + 1] = (delta[rows] >> np.uint64(_DELTA_BITS)).astype(np.uint32)


def _copy(
    timeline: Timeline, rows: NDArray[np.intp], out: NDArray[np.uint8], at: NDArray[np.int64]
) -> None:
    """Copies records; all of one size together."""
    sizes = timeline.bytes[rows]
    offset = timeline.offset[rows].astype(np.int64)
    for size in np.unique(sizes).tolist():
        mine = np.flatnonzero(sizes == size)
        if size % 4 == 0 and not (offset[mine] % 4).any() and len(timeline.payload) % 4 == 0:
            source, target, unit = timeline.payload.view("<u4"), out.view("<u4"), 4
        else:
            source, target, unit = timeline.payload, out, 1
        step = np.arange(size // unit)
        target[at[mine, None] // unit + step] = source[offset[mine, None] // unit + step]
