# SPDX-License-Identifier: MIT
"""Drains the rings of both observers into stream files while the guests run.

One thread takes records out of the plugin's rings (a file) and the hypervisor's (guest RAM), appends
them to a file for each ring, and hands them on to whoever looks at them live. In the deterministic
clock a full ring holds the guests, so none is lost however slow the disk is.

The form of such a file is `orchestrator.streamfile`'s; what the records mean, `orchestrator.trace`'s.
"""

import mmap
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import MachineError
from orchestrator.images.store import storage_errors
from orchestrator.machine.ram import GuestRam
from orchestrator.records import (
    HV_TRACE_PA,
    HV_TRACE_RING_RECORDS,
    HV_TRACE_RING_STRIDE,
    HV_TRACE_RINGS,
    MAGIC,
    RECORD,
    RING,
    RING_HEADER_BYTES,
    VERSION,
)
from orchestrator.streamfile import SUFFIX, StreamWriter

PLUGIN_RING: Final = "plugin-"
"""Of the plugin's rings' names; the core comes behind it."""

_SHORTEST_NAP_S: Final = 0.0005
_LONGEST_NAP_S: Final = 0.008
"""A ring lasts twice as long at a million records a second."""

OnRecords = Callable[[str, NDArray[np.void]], None]
"""Gets a stream's name and its next records, an array of `records.RECORD` that it may keep."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ring:
    """One ring in shared memory.

    Attributes:
        name: Of its stream, such as "plugin-0".
        header: One `records.RING`; `tail` is ours.
        records: All of its `records.RECORD`.
    """

    name: str
    header: NDArray[np.void]
    records: NDArray[np.void]


@dataclass(frozen=True, kw_only=True)
class StreamSummary:
    """A complete stream.

    Attributes:
        path: Its file.
        records: Number of records in it.
        lost: Records that the observer could not keep.
    """

    path: Path
    records: int
    lost: int


def plugin_rings(path: Path, cores: int) -> list[Ring]:
    """The rings in the file that the plugin made.

    Args:
        path: The plugin's argument `ring`.
        cores: Number of cores of the board.

    Raises:
        MachineError: There is no such file, or it does not hold that many rings of this version.
    """
    try:
        with path.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
    except (OSError, ValueError) as error:
        raise MachineError(f"{path}: the plugin's rings cannot be mapped: {error}") from error
    stride = len(memory) // cores
    capacity = (stride - RING_HEADER_BYTES) // RECORD.itemsize
    rings = []
    for core in range(cores):
        start = core * stride
        header = np.frombuffer(memory, RING, 1, start)
        if not _is_ring(header) or int(header["capacity"][0]) != capacity:
            raise MachineError(f"{path}: no ring of core {core} in it; rebuild the plugin")
        records = np.frombuffer(memory, RECORD, capacity, start + RING_HEADER_BYTES)
        rings.append(Ring(name=f"{PLUGIN_RING}{core}", header=header, records=records))
    return rings


def hypervisor_rings(ram: GuestRam, cores: int) -> list[Ring]:
    """The rings in the hypervisor's trace region; it makes them when it boots.

    Raises:
        MachineError: The board has too little RAM for them.
    """
    rings = []
    for core in range(cores):
        pa = HV_TRACE_PA + HV_TRACE_RINGS + core * HV_TRACE_RING_STRIDE
        rings.append(
            Ring(
                name=f"hypervisor-{core}",
                header=ram.view(pa, RING, 1),
                records=ram.view(pa + RING_HEADER_BYTES, RECORD, HV_TRACE_RING_RECORDS),
            )
        )
    return rings


def _is_ring(header: NDArray[np.void]) -> bool:
    (row,) = header
    found = (int(row["magic"]), int(row["version"]), int(row["record_bytes"]))
    return found == (MAGIC, VERSION, RECORD.itemsize)


class _Stream:
    """One ring's way into its file. Only the reader's thread uses it while that lives."""

    def __init__(self, ring: Ring, folder: Path) -> None:
        self.ring = ring
        self.path = folder / f"{ring.name}{SUFFIX}"
        self.taken = 0
        self._is_known = False
        self._writer = StreamWriter(self.path)

    def take(self) -> list[NDArray[np.void]]:
        """The records that are there now, in one piece or two; they are in the ring still.

        Raises:
            MachineError: The ring is damaged.
        """
        header = self.ring.header
        if int(header["magic"][0]) != MAGIC:
            return []  # the hypervisor has not come to it yet
        if not self._is_known:
            if not _is_ring(header):
                raise MachineError(f"{self.ring.name}: a ring of another version")
            # A board that goes on from a saved state has records behind it.
            self.taken = int(header["tail"][0])
            self._is_known = True
        tail, head = self.taken, int(header["head"][0])
        capacity = len(self.ring.records)
        if not 0 <= head - tail <= capacity:
            raise MachineError(f"{self.ring.name}: head {head} does not fit tail {tail}")
        first, count = tail % capacity, head - tail
        pieces = [self.ring.records[first : first + count]]
        if first + count > capacity:
            pieces.append(self.ring.records[: first + count - capacity])
        pieces = [piece for piece in pieces if len(piece)]
        for piece in pieces:
            expected = np.arange(tail, tail + len(piece), dtype=np.uint64)
            if not np.array_equal(piece["seq"], expected):
                raise MachineError(f"{self.ring.name}: records behind {tail} are out of sequence")
            tail += len(piece)
        return pieces

    def store(self, piece: NDArray[np.void]) -> None:
        """Appends records to the file.

        Raises:
            StorageError: They cannot be written.
        """
        with storage_errors(f"{self._writer.part}: cannot be written"):
            self._writer.append(piece)

    def release(self, count: int) -> None:
        """Gives the room of records back to the observer."""
        self.taken += count
        self.ring.header["tail"] = self.taken

    def finish(self) -> StreamSummary | None:
        """Completes the file and gives it its name; None: the ring was never used."""
        if int(self.ring.header["magic"][0]) != MAGIC:
            return None
        header = self.ring.header
        with storage_errors(f"{self._writer.part}: cannot be completed"):
            records = self._writer.finish(header)
        return StreamSummary(path=self.path, records=records, lost=int(header["lost"][0]))

    def discard(self) -> None:
        self._writer.discard()


class RingReader:
    """The thread that drains.

    When a file cannot be written, a ring is damaged or `on_records` raises, the reader goes on to empty the rings, so
    that QEMU can be ended, calls `on_failure`, and `finish` raises.

    Args:
        rings: What to drain.
        folder: Where the streams go; made if it is not there.
        on_records: Called in the reader's thread.
        on_failure: Called once, in the reader's thread.
    """

    def __init__(
        self,
        rings: list[Ring],
        folder: Path,
        *,
        on_records: OnRecords | None = None,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        self._streams = [_Stream(ring, folder) for ring in rings]
        self._folder = folder
        self._on_records = on_records
        self._on_failure = on_failure
        self._failure: Exception | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ring-reader", daemon=True)

    def start(self) -> None:
        """Begins to drain.

        Raises:
            StorageError: The folder cannot be made.
        """
        with storage_errors(f"{self._folder}: cannot be made"):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def finish(self) -> Mapping[str, StreamSummary]:
        """Drains what is left and completes the files. The machine must be stopped or gone.

        Returns:
            By its ring's name, each stream whose observer was there.

        Raises:
            MachineError: A ring was damaged.
            StorageError: A file could not be written.
            Exception: What `on_records` raised. No `.part` is left after any of them.
        """
        self._stop()
        summaries = {}
        try:
            if self._failure is not None:
                raise self._failure
            for stream in self._streams:
                if (summary := stream.finish()) is not None:
                    summaries[stream.ring.name] = summary
        finally:
            self._drop()
        return summaries

    def discard(self) -> None:
        """Ends without a result: what is not complete is removed. Safe to call at any time."""
        self._stop()
        self._drop()

    def _stop(self) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _drop(self) -> None:
        for stream in self._streams:
            stream.discard()
        self._streams = []  # and with them the views that keep guest RAM mapped

    def _run(self) -> None:
        nap_s = _SHORTEST_NAP_S
        while True:
            # Looked at before draining: whatever was written by then is drained below.
            ending = self._ending.is_set()
            drained = [self._drain(stream) for stream in self._streams]
            if any(drained):
                nap_s = _SHORTEST_NAP_S
            elif ending:
                return
            else:
                nap_s = min(2 * nap_s, _LONGEST_NAP_S)
            if not ending:
                self._ending.wait(nap_s)

    def _drain(self, stream: _Stream) -> bool:
        """Whether there was something."""
        try:
            pieces = stream.take()
            for piece in pieces:
                stream.store(piece)
                if self._on_records is not None:
                    self._on_records(stream.ring.name, piece.copy())
                stream.release(len(piece))
        except Exception as error:  # noqa: BLE001 - finish() raises it; without a reader guests hang
            self._fail(error)
            pieces = []
        if self._failure is not None:
            self._pour_away(stream)
        return bool(pieces)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
            if self._on_failure is not None:
                self._on_failure()

    @staticmethod
    def _pour_away(stream: _Stream) -> None:
        head = int(stream.ring.header["head"][0])
        stream.release(head - stream.taken)
