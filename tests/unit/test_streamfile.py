# SPDX-License-Identifier: MIT
"""A stream's file: whole or refused. Headers are made by hand, as docs/record-format.md has them."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator.errors import StorageError
from orchestrator.records import RECORD, RING, VERSION, Observer
from orchestrator.streamfile import StreamWriter, read_stream

HEADER_BYTES = 4096
RECORD_BYTES = 128
MAGIC = b"HVTR"


def header(*, records: int, version: int = VERSION, observer: int = 1, cpu: int = 3) -> bytes:
    """As images/abi/trace.h lays it out."""
    first = struct.pack("<4s5I", MAGIC, version, RECORD_BYTES, 16384, cpu, observer)
    return (first.ljust(64, b"\0") + struct.pack("<Q", records)).ljust(HEADER_BYTES, b"\0")


def rows(count: int, *, first: int = 0) -> NDArray[np.void]:
    made = np.zeros(count, RECORD)
    made["seq"] = np.arange(first, first + count)
    made["pc"] = 4 * made["seq"]
    return made


def test_a_stream_says_whose_it_is_and_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "plugin-3.rec"
    path.write_bytes(header(records=5) + rows(5).tobytes())
    stream = read_stream(path)
    assert (stream.observer, stream.cpu) == (Observer.PLUGIN, 3)
    assert stream.records["pc"].tolist() == [0, 4, 8, 12, 16]
    path.write_bytes(header(records=0, observer=0))
    stream = read_stream(path)
    assert (stream.observer, len(stream.records)) == (Observer.HYPERVISOR, 0)


def test_a_file_has_its_name_when_it_is_complete(tmp_path: Path) -> None:
    """Numbers go on where a saved state's ended; the ring's own counts are not the file's."""
    path = tmp_path / "plugin-3.rec"
    ring = np.frombuffer(header(records=155), RING, 1)
    writer = StreamWriter(path)
    writer.append(rows(3, first=150))
    writer.append(rows(2, first=153))
    assert [each.name for each in tmp_path.iterdir()] == ["plugin-3.rec.part"]
    with pytest.raises(StorageError, match="is not a stream"):
        read_stream(writer.part)
    assert writer.finish(ring) == 5
    writer.discard()
    assert [each.name for each in tmp_path.iterdir()] == ["plugin-3.rec"]
    assert path.read_bytes()[:64] == header(records=5)[:64]
    assert read_stream(path).records.tobytes() == rows(5, first=150).tobytes()


def test_nothing_is_left_of_a_file_that_was_given_up(tmp_path: Path) -> None:
    writer = StreamWriter(tmp_path / "plugin-0.rec")
    writer.append(rows(3))
    writer.discard()
    writer.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is shorter than the header of a stream"),
        (b"x" * 5000, "is not a stream of records"),
        (header(records=0, version=VERSION - 1), rf"of format {VERSION - 1}, of another version; "),
        (header(records=0, observer=2), r"is damaged: 2 is not a valid Observer; make the run ag"),
        (header(records=1) + bytes(127), r"holds 127 bytes of records instead of 128; make the"),
        (header(records=1) + bytes(256), r"holds 256 bytes of records instead of 128; make the"),
        (header(records=1 << 62), r"holds 0 bytes of records"),
        (
            header(records=3) + rows(3).tobytes()[:128] + bytes(range(128)) + bytes(128),
            r"is damaged: its records are not in a row; make the run again",
        ),
    ],
    ids=["empty", "other", "version", "observer", "short", "long", "wild", "row"],
)
def test_what_is_no_whole_stream_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "plugin-0.rec"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=message) as refused:
        read_stream(path)
    assert str(path) in refused.value.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.rec: cannot be read: No such file"):
        read_stream(tmp_path / "none.rec")
