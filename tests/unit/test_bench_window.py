# SPDX-License-Identifier: MIT
"""What lies between two marks, from what a run leaves; the numbers are made up here."""

import json
from pathlib import Path

import numpy as np
import pytest

from orchestrator.bench.model import Instructions, ProbeCost
from orchestrator.bench.window import window
from orchestrator.errors import CheckFailed, StorageError
from orchestrator.machine.channel import CoreCounters
from orchestrator.machine.marks import Mark, Marks
from orchestrator.records import (
    MAGIC,
    PROBES_FORMAT,
    RECORD,
    RING,
    RING_HEADER_BYTES,
    VERSION,
    Kind,
    Observer,
)


def counters(linux: int, rtos: int, hypervisor: int) -> CoreCounters:
    return CoreCounters(vm=(linux, rtos, 0, 0, 0, 0, 0, 0), other=0, hypervisor=hypervisor)


MARKS = [
    Mark(time_ns=1000, cores=(counters(100, 0, 10), counters(0, 500, 40))),
    Mark(time_ns=2000, cores=(counters(700, 0, 40), counters(0, 900, 45))),
    Mark(time_ns=3000, cores=(counters(701, 0, 41), counters(0, 901, 46))),
    Mark(time_ns=4000, cores=(counters(711, 0, 41), counters(0, 951, 66))),
]


def leave(run: Path, marks: list[Mark], hits: list[tuple[int, int]]) -> Path:
    """A run's `trace` with these marks, and hits of probe 1 (time, cost) on core 0."""
    folder = run / "trace"
    folder.mkdir(parents=True)
    taken = Marks(None, 0)  # type: ignore[arg-type] # a document needs no connection
    taken.taken = marks
    (folder / "marks.json").write_text(json.dumps(taken.document()))
    probe = {"id": 1, "vm": "linux", "name": "switch", "label": "x", "role": "", "fetch": []}
    document = {"format": PROBES_FORMAT, "probes": [probe | {"own": False}], "profiles": {}}
    (folder / "probes.json").write_text(json.dumps(document))
    records = np.zeros(len(hits), RECORD)
    records["kind"], records["id"], records["seq"] = Kind.PROBE, 1, np.arange(len(hits))
    for record, (time_ns, cost) in zip(records, hits, strict=True):
        record["time_ns"], record["cost"] = time_ns, cost
    page = np.zeros(RING_HEADER_BYTES, np.uint8)
    head = page[: RING.itemsize].view(RING)[0]
    head["magic"], head["version"], head["head"] = MAGIC, VERSION, len(hits)
    head["observer"] = Observer.PLUGIN
    (folder / "plugin-0.rec").write_bytes(page.tobytes() + records.tobytes())
    return run


def test_a_window_tells_who_executed_what_and_what_probes_cost(tmp_path: Path) -> None:
    """Linux on core 0: 600 of its own, 30 of the hypervisor there; 405 of all that is not it."""
    run = leave(tmp_path, MARKS, [(999, 7), (1000, 20), (1999, 22), (2000, 9)])
    found = window(run, number=0, vm=0, pin=(0,))
    assert found.instructions == Instructions(guest=600, hypervisor=30, other=400 + 5)
    assert found.probes == (ProbeCost(name="switch", hits=2, instructions=42),)


def test_windows_are_pairs_of_marks(tmp_path: Path) -> None:
    found = window(leave(tmp_path, MARKS, []), number=1, vm=1, pin=(1,))
    assert found.instructions == Instructions(guest=50, hypervisor=20, other=10)
    assert found.probes == ()


def test_a_vm_on_two_cores_has_the_hypervisor_of_both(tmp_path: Path) -> None:
    found = window(leave(tmp_path, MARKS, []), number=0, vm=0, pin=(0, 1, 1))
    assert found.instructions == Instructions(guest=600, hypervisor=35, other=400)


def test_a_guest_that_did_not_come_by_both_marks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="came by 3 marks, needed are 4"):
        window(leave(tmp_path, MARKS[:3], []), number=1, vm=0, pin=(0,))


def test_a_run_without_marks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"marks\.json"):
        window(tmp_path, number=0, vm=0, pin=(0,))
