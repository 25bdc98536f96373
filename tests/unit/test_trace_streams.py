# SPDX-License-Identifier: MIT
"""What a run's streams and probes.json say: values, whose the probes are, and in which form it is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import StorageError
from orchestrator.records import RECORD
from orchestrator.trace.streams import CLOCK_PLACE, Fetched, Probe, read_probes


def probe(place: str, *, own: bool, role: str = "") -> Probe:
    return Probe(id=1, vm="v", name=f"v:{place}", place=place, role=role, own=own, fetched=())


def test_only_the_traces_own_probe_tells_the_clock() -> None:
    """A user's may be an HVC, which comes later than the instruction, or have a limit."""
    assert probe(CLOCK_PLACE, own=True).is_clock
    assert not probe(CLOCK_PLACE, own=True).is_event
    assert not probe(CLOCK_PLACE, own=False).is_clock
    assert probe(CLOCK_PLACE, own=False).is_event


@pytest.mark.parametrize("role", ["switch", "ready", "tick", ""])
def test_what_a_user_has_asked_for_is_an_event(role: str) -> None:
    assert probe("f", own=False, role=role).is_event
    assert probe("f", own=True, role=role).is_event == (role in ("tick", ""))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (json.dumps({"format": 1, "probes": []}), "is of format 1, of another version"),
        (json.dumps({"format": 99}), "is of format 99, of another version"),
        ('{"format": 2, "pro', "is damaged"),
        ("[]", "is damaged"),
        ("{}", "is damaged"),
    ],
)
def test_probes_of_another_version_are_not_guessed_at(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "probes.json").write_text(text)
    with pytest.raises(StorageError, match=f"probes.json: {what}.*make the run again"):
        read_probes(tmp_path)


@pytest.mark.parametrize(
    ("raw", "size", "expected"),
    [
        (b"idle\0\xffrest of it", 16, b"idle"),
        (b"\0never mind", 16, b""),
        (b"sixteen bytes, 1", 16, b"sixteen bytes, 1"),
        (b"RTOS-Task1\0\0\0\0\0\0", 5, b"RTOS-"),
        (b"\x80\xffab\0b\0b", 8, b"\x80\xffab"),
    ],
)
def test_a_string_ends_at_its_nul(raw: bytes, size: int, expected: bytes) -> None:
    hits = np.zeros(2, RECORD)
    words = np.frombuffer(raw.ljust(16, b"\xee"), "<u4")
    hits["word"][:, 3 : 3 + len(words)] = words
    value = Fetched(name="name", type="string", word=3, bytes=size)
    assert value.values(hits).tolist() == [expected] * 2


def test_numbers_are_what_they_are() -> None:
    hits = np.zeros(1, RECORD)
    hits["word"][:, :2] = (0x0100_00FF, 0xFFFF_FFFF)
    for kind, size, expected in (("u32", 4, 0x0100_00FF), ("s8", 1, -1), ("u16", 2, 0xFF)):
        value = Fetched(name="n", type=kind, word=0, bytes=size)
        assert value.values(hits).tolist() == [expected]
    value = Fetched(name="n", type="s64", word=0, bytes=8)
    assert value.values(hits).tolist() == [0x0100_00FF - (1 << 32)]
