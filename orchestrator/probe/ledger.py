# SPDX-License-Identifier: MIT
"""What becomes of each probe of a run: placed, left out, counted, removed. docs/probes.md.

It keeps what is known and tells it as plain data; `orchestrator.probe.arm` does what it books, and
whoever owns the run writes it to a file.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.machine.rings import PLUGIN_RING
from orchestrator.probe.arm import Hits, Placed, Probes
from orchestrator.probe.document import document, profiles_of
from orchestrator.probe.guest import Guest
from orchestrator.probe.place import Refusal
from orchestrator.records import PROBES_FORMAT, Kind
from orchestrator.streamfile import read_stream


class Ledger:
    """The probes of one run.

    Args:
        probes: Those that are in place.
        guests: By VM.

    Attributes:
        armed_ns: Guest time at which the probes of the config were placed; None: not yet.
        executed: By core, the instructions executed, by whose they were.
    """

    def __init__(self, probes: Probes, guests: Mapping[str, Guest]) -> None:
        self._probes = probes
        self._guests = guests
        self._counted: dict[int, tuple[Placed, Hits]] = {}
        self._skipped: list[Refusal] = []
        self.armed_ns: int | None = None
        self.executed: list[dict[str, int]] = []

    def skip(self, refusals: Iterable[Refusal]) -> None:
        """These were wanted and left out."""
        self._skipped += refusals

    def count(self, placed: Placed, hits: Hits) -> None:
        """That probe has counted so much, and counts no more."""
        self._counted[placed.id] = (placed, hits)

    def count_records(self, streams: Mapping[str, Path]) -> None:
        """The machine is gone, so nobody can be asked: what is in place has counted its records.

        Args:
            streams: By its ring's name, each complete stream file; the plugin's are looked at.
        """
        names = sorted(name for name in streams if name.startswith(PLUGIN_RING))
        counts = []
        for name in names:
            records = read_stream(streams[name]).records
            ids = records["id"][records["kind"] == Kind.PROBE]
            counts.append(np.bincount(ids, minlength=1))
        for number, placed in self._probes.placed.items():
            by_core = [int(each[number]) if number < len(each) else 0 for each in counts]
            self.count(placed, self._probes.hits_of_records(number, by_core))

    def document(self, placed: Placed, hits: Hits | None = None) -> dict[str, Any]:
        """One probe, as it is now."""
        profile = self._guests[placed.wanted.config.vm].profile
        return document(
            placed,
            hits,
            removed=placed.id not in self._probes.placed,
            profile=profile.key if profile is not None else None,
        )

    def content(self) -> dict[str, Any] | None:
        """All of them: what is in probes.json. None: no probe was wanted so far."""
        live = {number: (each, None) for number, each in self._probes.placed.items()}
        known: dict[int, tuple[Placed, Hits | None]] = {**live, **self._counted}
        if not known and self.armed_ns is None:
            return None
        return {
            "format": PROBES_FORMAT,
            "armed_ns": self.armed_ns,
            "probes": [self.document(placed, hits) for _, (placed, hits) in sorted(known.items())],
            "skipped": [skip_document(each) for each in self._skipped],
            "profiles": profiles_of(self._guests.values()),
            "instructions": self.executed,
        }


def skip_document(refusal: Refusal) -> dict[str, str]:
    """A place that was left out, and why."""
    return {"place": refusal.where, "reason": refusal.reason}
