# SPDX-License-Identifier: MIT
"""The file of a stream: a header page and the records behind it (docs/record-format.md).

Written while guests run, by whoever drains a ring (`orchestrator.machine.rings`); read by whoever
counts or explains what is in it (`orchestrator.trace.streams`). What the records mean is theirs.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import StorageError
from orchestrator.records import MAGIC, RECORD, RING, RING_HEADER_BYTES, VERSION, Observer

SUFFIX: Final = ".rec"
"""Of a complete file's name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """A complete stream.

    Attributes:
        observer: Who has seen all that.
        cpu: The core.
        records: Array of `records.RECORD`, mapped; their numbers follow one another.
    """

    observer: Observer
    cpu: int
    records: NDArray[np.void]


class StreamWriter:
    """Writes one stream's file, which is called `.part` until it is complete.

    Methods raise OSError; the file is then not complete, and can be discarded.

    Args:
        path: Of the complete file.

    Attributes:
        part: Of the file until then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.part = path.with_name(f"{path.name}.part")
        self._file: int | None = None
        self._records = 0

    def append(self, records: NDArray[np.void]) -> None:
        """Writes records; the first ones make the file.

        Args:
            records: Array of `records.RECORD`.
        """
        file = self._opened()
        left = records.view(np.uint8).data
        while left:
            left = left[os.write(file, left) :]
        self._records += len(records)

    def finish(self, ring: NDArray[np.void]) -> int:
        """Completes the file and gives it its name.

        Args:
            ring: One `records.RING`: the header of the ring that the records were in.

        Returns:
            Number of records in it.
        """
        page = np.zeros(1, RING)  # not a copy: that would leave the gaps to chance
        for name in RING.names or ():
            page[name] = ring[name]
        page["head"] = page["tail"] = self._records
        file = self._opened()
        os.pwrite(file, page.tobytes(), 0)
        self._file = None
        os.close(file)
        self.part.replace(self._path)
        return self._records

    def discard(self) -> None:
        """Removes what is not complete. Safe to call at any time."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self.part.unlink(missing_ok=True)

    def _opened(self) -> int:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._file = os.open(self.part, flags, 0o644)
            # Zeros are no header: a file that nobody completes is not taken for a stream.
            os.pwrite(self._file, bytes(RING_HEADER_BYTES), 0)
            os.lseek(self._file, RING_HEADER_BYTES, os.SEEK_SET)
        return self._file


def read_stream(path: Path) -> Stream:
    """Reads a complete stream.

    Raises:
        StorageError: It cannot be read, is of another version, damaged or not complete.
    """
    try:
        with path.open("rb") as file:
            page = file.read(RING_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size - RING_HEADER_BYTES
            if size < 0:
                raise StorageError(f"{path}: is shorter than the header of a stream")
            head = np.frombuffer(page, RING, 1)[0]
            count = _checked(path, head, size)
            # Nothing cannot be mapped.
            records = np.memmap(file, RECORD, "r", RING_HEADER_BYTES, count) if count else None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    found = np.empty(0, RECORD) if records is None else records
    # A board that goes on from a saved state has records behind it: numbers need not begin at 0.
    row = np.arange(count, dtype=np.uint64)
    if not np.array_equal(found["seq"], row + found["seq"][:1]):
        raise StorageError(f"{path}: is damaged: its records are not in a row; make the run again")
    try:
        observer = Observer(int(head["observer"]))
    except ValueError as error:
        raise StorageError(f"{path}: is damaged: {error}; make the run again") from error
    return Stream(observer=observer, cpu=int(head["cpu"]), records=found)


def _checked(path: Path, head: np.void, size: int) -> int:
    """The number of records that a header tells, if they are all there, in `size` bytes.

    Raises:
        StorageError: They are not, or it is no header of this version.
    """
    if head["magic"] != MAGIC:
        raise StorageError(f"{path}: is not a stream of records")
    if head["version"] != VERSION:
        raise StorageError(
            f"{path}: is of format {head['version']}, of another version; this orchestrate reads "
            f"format {VERSION}: make the run again"
        )
    count = int(head["head"])
    if size != count * RECORD.itemsize:
        raise StorageError(
            f"{path}: is not a whole stream: it holds {size} bytes of records instead of "
            f"{count * RECORD.itemsize}; make the run again"
        )
    return count
