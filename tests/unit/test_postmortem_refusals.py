# SPDX-License-Identifier: MIT
"""A kernel that is not as expected is refused with what was looked for; nothing is guessed."""

import re

import pytest

from orchestrator.errors import GuestError
from orchestrator.trace.postmortem import ring_pages

RETURN = b"\x1e\xff\x2f\xe1" * 64  # bx lr


def test_a_kernel_without_ftrace_is_told() -> None:
    with pytest.raises(GuestError, match="no function tracing_on; is it built with CONFIG_TRACING"):
        ring_pages(lambda _va, size: bytes(size), {}, cpus=1)


def test_code_that_loads_no_buffer_is_told() -> None:
    with pytest.raises(GuestError, match=re.escape("tracing_on() does not load the buffer")):
        ring_pages(lambda _va, size: RETURN[:size], {"tracing_on": 0xC0100000}, cpus=1)


def test_memory_that_cannot_be_read_is_told() -> None:
    def read(va: int, _size: int) -> bytes:
        raise LookupError(f"{va:#x} is not mapped")

    with pytest.raises(GuestError, match="0xc0100000 is not mapped"):
        ring_pages(read, {"tracing_on": 0xC0100000}, cpus=1)
