# SPDX-License-Identifier: MIT
"""What happened between two marks of a run: instructions by who executed them, and probes' hits.

Reads what the run has left (trace/marks.json, the plugin's event streams); runs nothing. Between the
marks lie, besides the work itself, the way back from the first marking call and the way into the
second, some hundred instructions that are the same in every variant.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from orchestrator.bench.model import Instructions, ProbeCost
from orchestrator.errors import CheckFailed, StorageError
from orchestrator.trace.streams import read_streams

_TRACE: Final = "trace"
_MARKS_JSON: Final = "marks.json"


@dataclass(frozen=True, kw_only=True)
class Window:
    """One window.

    Attributes:
        instructions: By who executed them.
        probes: The probes that were hit in it.
    """

    instructions: Instructions
    probes: tuple[ProbeCost, ...]


def window(run_dir: Path, *, number: int, vm: int, pin: Sequence[int]) -> Window:
    """Takes one window out of a run's marks.

    Args:
        run_dir: The run.
        number: Which window, from 0: its marks are 2 number and 2 number + 1.
        vm: Position of the VM that is measured.
        pin: The cores that this VM's vCPUs run on.

    Raises:
        CheckFailed: The guest has not come by both marks.
        StorageError: What the run has left cannot be read.
    """
    path = run_dir / _TRACE / _MARKS_JSON
    try:
        marks: list[dict[str, Any]] = json.loads(path.read_text())["marks"]
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    if len(marks) < 2 * number + 2:
        raise CheckFailed(
            f"{path}: the guest came by {len(marks)} marks, needed are {2 * number + 2}"
        )
    first, last = marks[2 * number : 2 * number + 2]
    guests, hypervisor, others = (
        np.array([core[who] for core in last["cores"]], np.int64)
        - np.array([core[who] for core in first["cores"]], np.int64)
        for who in ("vm", "hypervisor", "other")
    )
    mine, ours = int(guests[:, vm].sum()), int(hypervisor[sorted(set(pin))].sum())
    total = int(guests.sum() + hypervisor.sum() + others.sum())
    return Window(
        instructions=Instructions(guest=mine, hypervisor=ours, other=total - mine - ours),
        probes=_probes(run_dir, first["time_ns"], last["time_ns"]),
    )


def _probes(run_dir: Path, start_ns: int, end_ns: int) -> tuple[ProbeCost, ...]:
    observed = read_streams(run_dir / _TRACE)
    hits = observed.hits
    within = hits[(hits["time_ns"] >= start_ns) & (hits["time_ns"] < end_ns)]
    return tuple(
        ProbeCost(
            name=observed.probes[number].name,
            hits=int(np.count_nonzero(within["id"] == number)),
            instructions=int(within["cost"][within["id"] == number].sum(dtype=np.int64)),
        )
        for number in np.unique(within["id"]).tolist()
    )
