# SPDX-License-Identifier: MIT
"""A kernel that is not as expected is refused with what was looked for; nothing is guessed."""

import re
import struct

import numpy as np
import pytest

from orchestrator.errors import GuestError
from orchestrator.trace.memory import KernelMemory, _cpu_pages, ring_pages

RETURN = b"\x1e\xff\x2f\xe1" * 64  # bx lr
BASE = 0xC0100000


def memory(content: bytes) -> KernelMemory:
    """A kernel whose linear map begins at BASE, with this in it."""
    ram = np.frombuffer(content.ljust(1 << 20, b"\0"), np.uint8)
    return KernelMemory(ram, lambda va: va - BASE)


def test_a_kernel_without_ftrace_is_told() -> None:
    with pytest.raises(GuestError, match="no function tracing_on; is it built with CONFIG_TRACING"):
        ring_pages(memory(b""), {}, cpus=1)


def test_code_that_loads_no_buffer_is_told() -> None:
    with pytest.raises(GuestError, match=re.escape("tracing_on() does not load the buffer")):
        ring_pages(memory(RETURN), {"tracing_on": BASE}, cpus=1)


def test_memory_that_cannot_be_read_is_told() -> None:
    with pytest.raises(GuestError, match="0xbff00000 is not in RAM"):
        ring_pages(memory(b""), {"tracing_on": BASE - (2 << 20)}, cpus=1)


# Rings, built here by the kernel's header files.

CPU_BUFFER, STRUCTURES, PAGES = 0x1000, 0x2000, 0x10000


def ring(
    counts: list[int], *, head: int, commit: int, read: int = 0, data_word: int = 6
) -> KernelMemory:
    """struct ring_buffer_per_cpu with a page for each count of events; the first is the reader's.

    Args:
        counts: Events of each page, all of one word of data.
        head: Page whose predecessor marks it.
        commit: Page being written.
        read: Bytes of the reader's page that were read already.
        data_word: Of struct buffer_page: 6 up to Linux 6.7, 8 since.
    """
    image = bytearray(1 << 20)
    at = [BASE + STRUCTURES + 64 * number for number in range(len(counts))]
    around = list(range(1, len(counts)))
    for number, count in enumerate(counts):
        where = around.index(number) if number else 0
        following, before = around[(where + 1) % len(around)], around[where - 1]
        words = [0] * 9
        words[0] = at[following] | (1 if number and following == head else 0)
        words[1] = at[before]
        words[3] = read if number == 0 else 0
        words[4] = count | 0x100000  # RB_WRITE_INTCNT
        words[data_word] = BASE + PAGES + 4096 * number
        struct.pack_into("<9I", image, STRUCTURES + 64 * number, *words)
        struct.pack_into("<QI", image, PAGES + 4096 * number, 1000 * number, 8 * count)
    pointers = (at[1], at[head], at[commit], at[commit], at[0])
    struct.pack_into("<5I", image, CPU_BUFFER + 40, *pointers)
    return memory(bytes(image))


def pages_of(kernel: KernelMemory) -> tuple[list[int], int]:
    found = _cpu_pages(kernel, 0, BASE + CPU_BUFFER)
    return [(int(each) - PAGES) // 4096 for each in found.offsets], found.entries


@pytest.mark.parametrize("data_word", [6, 8])
def test_pages_are_in_the_order_of_recording(data_word: int) -> None:
    """The reader's, then from the marked head around to the page being written, in both layouts."""
    kernel = ring([5, 10, 20, 30, 40], head=3, commit=2, data_word=data_word)
    assert pages_of(kernel) == ([0, 3, 4, 1, 2], 105)
    kernel = ring([5, 10, 20, 30, 40], head=3, commit=4, data_word=data_word)
    assert pages_of(kernel) == ([0, 3, 4], 75)


def test_a_page_that_was_read_and_empty_ones_are_left_out() -> None:
    assert pages_of(ring([5, 10, 0, 30], head=1, commit=2, read=40)) == ([1], 10)


def test_a_reader_on_the_writers_page_has_all() -> None:
    assert pages_of(ring([5, 10, 20], head=1, commit=0)) == ([0], 5)


def test_a_torn_list_is_told() -> None:
    kernel = ring([5, 10, 20, 30], head=1, commit=3)
    image = kernel.ram.copy()
    image[STRUCTURES + 64 * 2 + 4] ^= 0x40  # the second page's link back
    with pytest.raises(LookupError, match="the list of pages is torn behind"):
        pages_of(memory(image.tobytes()))


def test_a_ring_without_a_head_is_told() -> None:
    kernel = ring([5, 10, 20, 30], head=1, commit=3)
    image = kernel.ram.copy()
    image[STRUCTURES + 64 * 3] &= 0xFC
    with pytest.raises(LookupError, match="marked as its head"):
        pages_of(memory(image.tobytes()))


def test_pages_that_share_their_data_are_told() -> None:
    """Else a guest could have as much written as it likes."""
    kernel = ring([5, 10, 20, 30], head=1, commit=3)
    image = kernel.ram.copy()
    of_second, of_third = (STRUCTURES + 64 * number + 4 * 6 for number in (2, 3))
    image[of_third : of_third + 4] = image[of_second : of_second + 4]
    with pytest.raises(LookupError, match="two pages of CPU 0 have the same data"):
        pages_of(memory(image.tobytes()))
