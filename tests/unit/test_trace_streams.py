# SPDX-License-Identifier: MIT
"""What probes.json says of a run's probes: whose they are, and in which form it is said."""

import json
from pathlib import Path

import pytest

from orchestrator.errors import StorageError
from orchestrator.trace.streams import CLOCK_PLACE, Probe, read_probes


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
