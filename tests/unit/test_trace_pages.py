# SPDX-License-Identifier: MIT
"""Pages of the ring buffer: every kind of entry, written here by the kernel's header file."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import GuestError
from orchestrator.trace.pages import check_header_page, decode_pages

PAGE = 4096


def entry(type_len: int, delta: int, *words: int) -> bytes:
    """struct ring_buffer_event: type_len in the low 5 bits, then 27 bits of time."""
    return struct.pack("<I", type_len | delta << 5) + struct.pack(f"<{len(words)}I", *words)


def page(time: int, data: bytes, *, flags: int = 0, behind: bytes = b"") -> bytes:
    return (struct.pack("<QI", time, len(data) | flags) + data + behind).ljust(PAGE, b"\0")


def decoded(*pages: bytes) -> list[tuple[int, int, int]]:
    events = decode_pages(np.frombuffer(b"".join(pages), np.uint8))
    return list(
        zip(events.time.tolist(), events.offset.tolist(), events.bytes.tolist(), strict=True)
    )


def test_lengths_short_and_long() -> None:
    """1 to 28 words are in the entry's head; more follow in a word that counts itself."""
    data = entry(2, 5, 1, 2) + entry(0, 7, 4 + 120, *range(30)) + entry(1, 1, 9)
    assert decoded(page(1000, data)) == [
        (1005, 16, 8),
        (1012, 12 + 12 + 8, 120),
        (1013, 12 + 12 + 128 + 4, 4),
    ]


def test_time_extends_and_absolute_times() -> None:
    """A delta of more than 27 bits comes before its event; an absolute time keeps the top bits."""
    late = (1 << 59) + 1000
    stamp = (1 << 50) + 77
    data = (
        entry(30, 3, 2)
        + entry(1, 0, 1)
        + entry(31, stamp & ((1 << 27) - 1), stamp >> 27)
        + entry(1, 4, 1)
    )
    assert [time for time, _, _ in decoded(page(late, data))] == [
        late + (2 << 27) + 3,
        (1 << 59) + stamp + 4,
    ]


def test_padding_ends_a_page_and_hides_discarded_events() -> None:
    """A discarded event has a time of its own; padding without one fills the page."""
    data = entry(29, 2, 12, 0, 0) + entry(1, 3, 5) + entry(29, 0) + bytes(40)
    assert decoded(page(10, data)) == [(15, 12 + 16 + 4, 4)]


def test_missing_events_are_counted() -> None:
    """Bit 31: some are missing; bit 30: how many stands behind the data."""
    data = entry(1, 1, 5)
    counted = page(0, data, flags=0xC000_0000, behind=struct.pack("<I", 1234))
    uncounted = page(9, data, flags=0x8000_0000)
    events = decode_pages(np.frombuffer(counted + uncounted, np.uint8))
    assert events.missed == 1234 + 1
    assert len(events.time) == 2


def test_an_event_that_leaves_its_page_is_an_error() -> None:
    with pytest.raises(GuestError, match="does not end within its page"):
        decoded(page(0, entry(20, 1, 1)))


def test_a_page_that_holds_more_than_a_page_is_an_error() -> None:
    with pytest.raises(GuestError, match="holds more than a page"):
        decoded(struct.pack("<QI", 0, PAGE - 11).ljust(PAGE, b"\0"))


def test_the_number_of_missing_events_has_no_room_on_a_full_page() -> None:
    """Then at least one is missing; behind the page there is another, or nothing."""
    full = page(0, entry(28, 1, *range(28)) * 35 + entry(5, 1, *range(5)), flags=0xC000_0000)
    assert len(full) == PAGE
    assert decode_pages(np.frombuffer(full, np.uint8)).missed == 1


WORDS = st.integers(0, (1 << 32) - 1) | st.sampled_from([0, 1, 28, 29, 30, 31]).map(
    lambda n: n | 32
)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3).map(lambda bits: bits << 30),
            st.integers(0, PAGE) | st.integers(0, (1 << 20) - 1),
            st.lists(WORDS, max_size=12),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_a_guest_has_left_is_events_in_its_pages_or_an_error(
    pages: list[tuple[int, int, list[int]]],
) -> None:
    raw = b"".join(
        (struct.pack("<QI", 1, size | flags) + struct.pack(f"<{len(words)}I", *words) * 90)[:PAGE]
        .ljust(PAGE, b"\0")
        for flags, size, words in pages
    )  # fmt: skip
    try:
        found = decoded(raw)
    except GuestError:
        return
    for _, at, size in found:
        assert 4 <= size <= PAGE
        assert at // PAGE == (at + size - 1) // PAGE


def test_no_pages_and_empty_pages_hold_nothing() -> None:
    assert decoded() == []
    assert decoded(page(5, b""), page(6, entry(1, 1, 1))) == [(7, PAGE + 16, 4)]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, (1 << 27) - 1), st.integers(1, 60)), max_size=20),
        max_size=6,
    )
)
def test_any_pages_decode_to_what_was_written(pages: list[list[tuple[int, int]]]) -> None:
    """Pages of different fill, side by side."""
    expected, raw = [], []
    for number, events in enumerate(pages):
        data, time = b"", number << 40
        for delta, words in events:
            body = [0] * words
            time += delta
            head = 4 if words <= 28 else 8
            at = number * PAGE + 12 + len(data) + head
            packed = (
                entry(words, delta, *body) if head == 4 else entry(0, delta, 4 * words + 4, *body)
            )
            if len(data) + len(packed) > PAGE - 12:
                time -= delta
                break
            data += packed
            expected.append((time, at, 4 * words))
        raw.append(page(number << 40, data))
    assert decoded(*raw) == expected


def test_a_kernel_with_other_pages_is_refused() -> None:
    with pytest.raises(GuestError, match="another form"):
        check_header_page("\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n")
