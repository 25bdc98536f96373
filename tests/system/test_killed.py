# SPDX-License-Identifier: MIT
"""QEMU dies while probes are hit: what was recorded and counted by then is kept."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator import config, session
from orchestrator.config.probes import parse_probe
from orchestrator.errors import MachineError
from orchestrator.options import BootOptions
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

RTOS = '[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [1]\n'
ENOUGH = 2000
PROBES = ("rtos:OS[A-R]* record=both", "rtos:OST* mode=shadow", "rtos:OS_Sched limit=7 record=both")


class Heard:
    """A reporter that keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def phase(self, name: str) -> None: ...
    def vm_state(self, vm: str, state: str) -> None: ...
    def console(self, vm: str, line: str) -> None: ...
    def note(self, text: str) -> None:
        self.notes.append(text)

    def command_output(self, stream: str, data: bytes) -> None: ...


def test_counts_are_taken_from_the_rings_if_qemu_is_killed(tmp_path: Path) -> None:
    """Killed by whoever reads the records; both observers' counts are what the streams hold."""
    path = tmp_path / "test.toml"
    path.write_text(RTOS)
    seen = 0

    def kill_at_enough(_name: str, records: NDArray[np.void]) -> None:
        nonlocal seen
        before, seen = seen, seen + len(records)
        if before < ENOUGH <= seen:
            live = json.loads((tmp_path / "run/live.json").read_text())
            os.kill(live["qemu_pid"], signal.SIGKILL)

    heard = Heard()
    options = BootOptions(
        out=tmp_path / "run",
        probes=tuple(parse_probe(text) for text in PROBES),
        for_ns=60_000_000_000,
        on_records=kill_at_enough,
    )
    with pytest.raises(MachineError, match="SIGKILL"):
        session.boot(config.load(path), options, heard)

    assert any("taken from the records" in each for each in heard.notes), heard.notes
    streams = {
        each.stem: read_stream(each).records for each in (tmp_path / "run/trace").glob("*.rec")
    }
    hits = Counter(streams["plugin-1"]["id"].tolist())
    both = Counter(streams["hypervisor-1"]["id"].tolist())
    probes: list[dict[str, Any]] = json.loads((tmp_path / "run/trace/probes.json").read_text())[
        "probes"
    ]
    assert all(each["of_records"] and not each["removed"] for each in probes)
    assert {each["id"]: each["hits"][1] for each in probes if any(each["hits"])} == hits
    assert all(sum(each["hits"]) == each["recorded"] for each in probes)
    unlike = 0
    for each in probes:
        if each["mode"] == "shadow":
            assert "hypervisor_hits" not in each
        elif "limit=" in each["spec"]:
            assert each["recorded"] == 7 < sum(each["hypervisor_hits"])
        else:
            # The trap that QEMU died in was perhaps seen by one of them only.
            counted = each["hypervisor_hits"][1]
            unlike += abs(counted - hits[each["id"]]) + abs(counted - both[each["id"]])
    assert unlike <= 2
    assert sum(hits.values()) > ENOUGH / 2
