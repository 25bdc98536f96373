# SPDX-License-Identifier: MIT
"""Fields of a timeline's events as columns, strings and dynamic arrays included.

`Timeline.values` gives the fixed fields; here they become what people and other formats read.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.trace.timeline import EventFormat, Field, Timeline

CHUNK: Final = 1 << 18
"""Events that a writer takes at once: few enough to bound its memory."""
_PRINTK_FORMAT: Final = re.compile(r"^(?:0x)?([0-9a-f]+) : (\S.*?)\s*$", re.MULTILINE)
_FUNCTION: Final = re.compile(r"^([0-9a-f]+) [tTwW] (\S+)", re.MULTILINE)
"""A line of kallsyms."""
UNKNOWN_PROCESS: Final = -1
"""What `processes` gives for a thread whose process is not known."""


class Memo(dict[Any, Any]):
    """A function's results by argument: traces repeat few values very often.

    Args:
        function: Of one argument, without side effects.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: Any) -> Any:
        if len(self) > CHUNK:
            self.clear()
        result = self[key] = self._function(key)
        return result


def text(raw: bytes) -> str:
    """A kernel string up to its NUL; what is no UTF-8 is kept readable."""
    return raw.split(b"\0", 1)[0].decode(errors="backslashreplace")


def chunks(timeline: Timeline) -> Iterator[NDArray[np.intp]]:
    """Positions of all events in order, `CHUNK` at a time."""
    for start in range(0, len(timeline), CHUNK):
        yield np.arange(start, min(start + CHUNK, len(timeline)))


def by_format(
    timeline: Timeline, rows: NDArray[np.intp]
) -> Iterator[tuple[EventFormat, NDArray[np.intp]]]:
    """The events among `rows` of each format that occurs, formats in order of their ids."""
    events = timeline.event[rows]
    for number in np.unique(events):
        yield timeline.formats[int(number)], rows[events == number]


def is_text(field: Field) -> bool:
    """Whether a field is a string: an array of char."""
    return field.c_type.replace("const", "").split("[")[0].strip() == "char" and "[" in field.c_type


def column(timeline: Timeline, rows: NDArray[np.intp], field: Field) -> list[Any]:
    """A field of some events of one format: int, str, or a tuple of int for other arrays.

    Args:
        timeline: Where they are.
        rows: Positions of events; not empty.
        field: Of their format.
    """
    if field.dynamic:
        return [_value(raw, field) for raw in dynamic(timeline, rows, field)]
    values = timeline.values(rows, field.name)
    if values.dtype.kind != "S":
        return values.tolist()  # type: ignore[no-any-return] # numpy types it as Any
    return list(map(Memo(lambda raw: _value(raw, field)).__getitem__, _padded(values, field)))


def dynamic(timeline: Timeline, rows: NDArray[np.intp], field: Field) -> list[bytes]:
    """The data of a dynamic field (`__data_loc`), of each event."""
    word = timeline.values(rows, field.name).astype(np.int64)
    start = timeline.offset[rows].astype(np.int64) + (word & 0xFFFF)
    end = start + (word >> 16)
    return [
        timeline.payload[a:b].tobytes() for a, b in zip(start.tolist(), end.tolist(), strict=True)
    ]


def _padded(values: NDArray[Any], field: Field) -> list[bytes]:
    """numpy drops NULs at the end of bytes; a number array needs them."""
    raw: list[bytes] = values.tolist()
    return raw if is_text(field) else [each.ljust(field.bytes, b"\0") for each in raw]


def _value(raw: bytes, field: Field) -> Any:
    if is_text(field):
        return text(raw)
    # The target has 32 bits, and an element's type names its size only in C; char and u8 apart,
    # words are what trace events hold (bitmasks, argument lists).
    size = 1 if "char" in field.c_type or "u8" in field.c_type or len(raw) % 4 else 4
    return tuple(
        int.from_bytes(raw[at : at + size], "little", signed=field.signed)
        for at in range(0, len(raw), size)
    )


def processes(timeline: Timeline, pids: NDArray[Any]) -> NDArray[np.int32]:
    """The process of some threads: its number, or -1 where it is not known; an idle task's is 0; int32[n].

    Args:
        timeline: Where the threads are.
        pids: Their numbers.
    """
    known = {pid: task.tgid for pid, task in timeline.tasks.items() if task.tgid is not None}
    threads, of = np.array(sorted((known | {0: 0}).items()), np.int32).T
    at = np.minimum(np.searchsorted(threads, pids), len(threads) - 1)
    return np.where(threads[at] == pids, of[at], np.int32(UNKNOWN_PROCESS))


def kernel_strings(timeline: Timeline) -> dict[int, str]:
    """Texts of the kernel's that events hold only the address of (tracefs: `printk_formats`)."""
    lines = _PRINTK_FORMAT.finditer(timeline.printk_formats)
    return {int(line[1], 16): line[2].removeprefix('"').removesuffix('"') for line in lines}


def symbolizer(timeline: Timeline) -> Callable[[int], str]:
    """Names of Linux kernel addresses, as the kernel prints %ps; hex where there is none."""
    pairs = sorted((int(line[1], 16), line[2]) for line in _FUNCTION.finditer(timeline.kallsyms))
    addresses = [pair[0] for pair in pairs]

    def name(address: int) -> str:
        at = bisect_right(addresses, address) - 1
        return pairs[at][1] if at >= 0 else f"0x{address:x}"

    return name
