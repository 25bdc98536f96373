# SPDX-License-Identifier: MIT
"""The mapped RAM, on a memfd of this very process that has the name QEMU gives its own."""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from orchestrator.errors import MachineError
from orchestrator.machine.board import RAM_PA
from orchestrator.machine.ram import GuestRam

SIZE = 0x4000


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = os.memfd_create("memory-backend-memfd")
    os.ftruncate(made, SIZE)
    yield made
    os.close(made)


def test_both_sides_see_what_the_other_writes(descriptor: int) -> None:
    os.pwrite(descriptor, b"guest", 0x1000)
    with GuestRam.of_process(os.getpid()) as ram:
        assert ram.bytes == SIZE
        assert ram.read(RAM_PA + 0x1000, 5) == b"guest"
        ram.write(RAM_PA + SIZE - 4, b"host")
        assert os.pread(descriptor, 4, SIZE - 4) == b"host"
        view = ram.view(RAM_PA + 8, np.dtype("<u4"), 2)
        os.pwrite(descriptor, (7).to_bytes(4, "little"), 12)
        assert view.tolist() == [0, 7]
        view[0] = 0x01020304
        assert os.pread(descriptor, 4, 8) == b"\x04\x03\x02\x01"
    assert view.tolist() == [0x01020304, 7], "a view outlives the mapping's owner"


@pytest.mark.parametrize(
    ("pa", "size"),
    [(RAM_PA - 1, 1), (RAM_PA + SIZE, 1), (RAM_PA, SIZE + 1), (RAM_PA + SIZE - 1, 2), (0, 4)],
)
def test_what_is_not_ram_is_an_error(descriptor: int, pa: int, size: int) -> None:
    assert descriptor
    with GuestRam.of_process(os.getpid()) as ram:
        with pytest.raises(MachineError, match="RAM is from 0x40000000 to 0x40004000"):
            ram.read(pa, size)
        with pytest.raises(MachineError, match="RAM is from"):
            ram.write(pa, bytes(size))
        with pytest.raises(MachineError, match="RAM is from"):
            ram.view(pa, np.dtype("u1"), size)


def test_a_process_without_such_ram_is_an_error() -> None:
    with pytest.raises(MachineError, match="has 0 files of RAM"):
        GuestRam.of_process(os.getpid())
    with pytest.raises(MachineError, match="No such file"):
        GuestRam.of_process(1 << 22)
