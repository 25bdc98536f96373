# SPDX-License-Identifier: MIT
"""Decodes the pages of Linux's ring buffer into arrays; all pages step by step, together.

The form is that of include/linux/ring_buffer.h and kernel/trace/ring_buffer.c for 32-bit kernels;
`header_page` of the guest must say so (`check_header_page`). What an event means is not looked at.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import GuestError

PAGE_BYTES: Final = 4096
PAGE_HEADER_BYTES: Final = 12
"""struct buffer_data_page: time_stamp, 8 bytes; commit, 4 bytes."""
DATA_BYTES: Final = PAGE_BYTES - PAGE_HEADER_BYTES

_BATCH_BYTES: Final = PAGE_BYTES << 13
"""Decoded together: enough to be fast, and so little that memory does not count."""

DATA_MAX: Final = 28
"""Largest `type_len` that is a length in words; 0: the length is in the next word."""
PADDING: Final = 29
TIME_EXTEND: Final = 30
TIME_STAMP: Final = 31
DELTA_BITS: Final = 27
MISSED_EVENTS: Final = 1 << 31
MISSED_STORED: Final = 1 << 30
COMMIT_MASK: Final = (1 << 20) - 1
_ABSOLUTE_BITS: Final = np.uint64((1 << 59) - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class RingEvents:
    """The events of one CPU's pages, in the order of recording.

    Attributes:
        time: By the trace clock; uint64[n].
        offset: Of each record in the pages, the events' common fields first; uint64[n].
        bytes: Of each record; uint32[n].
        missed: Events that the pages say are missing before or between them.
    """

    time: NDArray[np.uint64]
    offset: NDArray[np.uint64]
    bytes: NDArray[np.uint32]
    missed: int


def check_header_page(text: str) -> None:
    """Makes sure that the guest's pages have the form that is decoded here.

    Raises:
        GuestError: They have not.
    """
    found = {
        name: (int(offset), int(size))
        for name, offset, size in re.findall(
            r"field: [\w ]+? (\w+);\toffset:(\d+);\tsize:(\d+);", text
        )
    }
    wanted = {"timestamp": (0, 8), "commit": (8, 4), "data": (PAGE_HEADER_BYTES, DATA_BYTES)}
    if any(found.get(name) != place for name, place in wanted.items()):
        raise GuestError(
            f"the guest's ring buffer has pages of another form than a 32-bit kernel's: {found}"
        )


def decode_pages(pages: NDArray[np.uint8]) -> RingEvents:
    """Decodes whole pages.

    Args:
        pages: uint8[n * 4096], the oldest page first.

    Raises:
        GuestError: They are no such pages: one says that it holds more than a page, or an event does
            not end within its page.
    """
    if len(pages) % PAGE_BYTES:
        raise GuestError(f"a ring buffer of {len(pages)} bytes is not made of pages")
    batches = [
        _decode_batch(pages[start : start + _BATCH_BYTES], start)
        for start in range(0, len(pages), _BATCH_BYTES)
    ]
    return RingEvents(
        time=np.concatenate([np.empty(0, np.uint64), *(each.time for each in batches)]),
        offset=np.concatenate([np.empty(0, np.uint64), *(each.offset for each in batches)]),
        bytes=np.concatenate([np.empty(0, np.uint32), *(each.bytes for each in batches)]),
        missed=sum(each.missed for each in batches),
    )


def _decode_batch(pages: NDArray[np.uint8], start: int) -> RingEvents:
    """Decodes pages that begin at the byte `start` of all."""
    words = pages.view("<u4")
    count = len(pages) // PAGE_BYTES
    head = pages.reshape(count, PAGE_BYTES)[:, :8].copy().view("<u8")[:, 0]
    commit = words[2 :: PAGE_BYTES // 4]
    held = (commit & COMMIT_MASK).astype(np.int64)
    if (held > DATA_BYTES).any():
        raise GuestError("a page of the ring buffer says that it holds more than a page")
    first = np.arange(count, dtype=np.int64) * PAGE_BYTES + PAGE_HEADER_BYTES
    end = first + held
    missed = _missed(words, commit, end)
    steps = _Steps(words=words, at=first, end=end, time=head.astype(np.uint64))
    while steps.go():
        pass
    time, offset, size, page = steps.result()
    # Step by step means: the first events of all pages, then the second ones, ...
    order = np.argsort(page, kind="stable")
    return RingEvents(
        time=time[order],
        offset=offset[order] + np.uint64(start),
        bytes=size[order],
        missed=missed,
    )


def _missed(words: NDArray[Any], commit: NDArray[Any], end: NDArray[np.int64]) -> int:
    flagged = np.flatnonzero(commit & np.uint32(MISSED_EVENTS))
    has_room = end[flagged] % PAGE_BYTES > 0
    stored = has_room & ((commit[flagged] & np.uint32(MISSED_STORED)) != 0)
    known = words[end[flagged[stored]] // 4]
    # Where there was no room for the number, at least one is missing.
    return int(known.sum(dtype=np.uint64)) + int((~stored).sum())


class _Steps:
    """One event of every page at a time, until all pages are at their end."""

    def __init__(
        self,
        *,
        words: NDArray[Any],
        at: NDArray[np.int64],
        end: NDArray[np.int64],
        time: NDArray[np.uint64],
    ) -> None:
        self._words = words
        self._at = at
        self._end = end
        self._time = time
        self._page = np.arange(len(at), dtype=np.int32)
        self._found: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]] = []

    def go(self) -> bool:
        """Takes the next event of each page that has one; False: none has."""
        live = self._at + 4 <= self._end
        if not live.all():
            self._at, self._end = self._at[live], self._end[live]
            self._time, self._page = self._time[live], self._page[live]
        if not len(self._at):
            return False
        word = self._words[self._at >> 2]
        kind = word & np.uint32(31)
        delta = (word >> np.uint32(5)).astype(np.uint64)
        data, size = self._at + 4, (kind.astype(np.int64) << 2)
        special = np.flatnonzero((kind == 0) | (kind > DATA_MAX))
        if len(special):
            self._special(special, kind, delta, data, size)
        time = self._time + delta
        self._time = time
        after = data + size
        event = kind <= DATA_MAX
        # An event has its number at least.
        if ((after > self._end) | (size < 4 * event)).any():
            raise GuestError("an event in the ring buffer does not end within its page")
        if event.all():
            self._found.append((time, data, size, self._page))
        else:
            self._found.append((time[event], data[event], size[event], self._page[event]))
        self._at = after
        return True

    def _special(
        self,
        rows: NDArray[np.intp],
        kind: NDArray[Any],
        delta: NDArray[np.uint64],
        data: NDArray[np.int64],
        size: NDArray[np.int64],
    ) -> None:
        """What is no plain short event; changes `delta`, `data` and `size` in place."""
        what = kind[rows]
        # Of padding that fills the page there is no next word to be read.
        is_end = (what == PADDING) & (delta[rows] == 0)
        size[rows[is_end]] = self._end[rows[is_end]] - data[rows[is_end]]
        rows, what = rows[~is_end], what[~is_end]
        following = self._words[np.minimum(data[rows] >> 2, len(self._words) - 1)]
        is_time = what >= TIME_EXTEND
        # A long or a discarded event: its length counts that word.
        long = rows[~is_time]
        data[long] += 4
        size[long] = -(-(following[~is_time].astype(np.int64) - 4) // 4) * 4
        size[rows[is_time]] = 4
        upper = following.astype(np.uint64) << np.uint64(DELTA_BITS)
        delta[rows[is_time]] += upper[is_time]
        absolute = rows[what == TIME_STAMP]
        # The kernel keeps 59 bits of it; the others are as before. The sum above shall be it.
        full = (self._time[absolute] & ~_ABSOLUTE_BITS) | delta[absolute]
        delta[absolute] = full - self._time[absolute]

    def result(
        self,
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint32], NDArray[np.int32]]:
        """Time, place, size and page of all events that were found."""
        if not self._found:
            empty = np.empty(0)
            return (
                empty.astype(np.uint64),
                empty.astype(np.uint64),
                empty.astype(np.uint32),
                empty.astype(np.int32),
            )
        time, data, size, page = (np.concatenate(each) for each in zip(*self._found, strict=True))
        return time, data.astype(np.uint64), size.astype(np.uint32), page
