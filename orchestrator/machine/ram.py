# SPDX-License-Identifier: MIT
"""The board's RAM, mapped from QEMU's memfd: reading it costs the guests nothing.

Writing is for data that a guest reads, such as the hypervisor's table of probes. Code is written by
`channel.PluginChannel.write_physical`, which also throws away what QEMU has translated from it.
Virtual addresses are `orchestrator.mmu`'s.
"""

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import MachineError
from orchestrator.machine.board import RAM_PA

_MEMFD: Final = "memory-backend-memfd"


class GuestRam:
    """RAM of one QEMU, shared with it.

    Made by `of_process`; to be closed by `close`, or used as a context manager. Views stay good:
    the memory is unmapped when the last of them is gone.

    Attributes:
        bytes: Its size; it begins at `board.RAM_PA`.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self.bytes = len(memory)
        self._memory = memory

    @classmethod
    def of_process(cls, pid: int) -> Self:
        """Maps the RAM of a QEMU that was started by `command.qemu_command`.

        Raises:
            MachineError: The process is gone, is somebody else's, or has no such RAM.
        """
        folder = Path(f"/proc/{pid}/fd")
        try:
            found = [path for path in folder.iterdir() if _MEMFD in _target(path)]
            if len(found) != 1:
                raise MachineError(f"QEMU {pid} has {len(found)} files of RAM ({_MEMFD}), not one")
            descriptor = os.open(found[0], os.O_RDWR | os.O_CLOEXEC)
            try:
                return cls(mmap.mmap(descriptor, 0))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise MachineError(f"RAM of QEMU {pid}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmaps it, once the last view is gone. Safe to call at any time."""
        with suppress(BufferError):
            self._memory.close()

    def read(self, pa: int, size: int) -> bytes:
        """A copy of some bytes.

        Args:
            pa: Physical address of the first one.
            size: How many.

        Raises:
            MachineError: Not all of it is RAM.
        """
        start = self._offset(pa, size)
        return self._memory[start : start + size]

    def write(self, pa: int, data: bytes) -> None:
        """Writes data; code that was executed before is not to be written so.

        Raises:
            MachineError: Not all of it is RAM; nothing was written.
        """
        start = self._offset(pa, len(data))
        self._memory[start : start + len(data)] = data

    def view(self, pa: int, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """An array that is RAM itself: what a guest writes is seen, what is written a guest sees.

        Args:
            pa: Physical address of its first element.
            dtype: Little-endian, as the guests are.
            count: Number of elements.

        Raises:
            MachineError: Not all of it is RAM.
        """
        start = self._offset(pa, dtype.itemsize * count)
        return np.frombuffer(self._memory, dtype, count, start)

    def _offset(self, pa: int, size: int) -> int:
        start = pa - RAM_PA
        if not (start >= 0 and size >= 0 and start + size <= self.bytes):
            end_pa = RAM_PA + self.bytes
            raise MachineError(f"{pa:#x}, {size} bytes: RAM is from {RAM_PA:#x} to {end_pa:#x}")
        return start


def _target(link: Path) -> str:
    """Where a link leads; "" if it has gone meanwhile, as descriptors do."""
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""
