# SPDX-License-Identifier: MIT
"""Saved starts: how long it takes to go on from one, and whether that changes a result."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator import config as configs
from orchestrator.bench.model import to_json
from orchestrator.bench.printed import Figure
from orchestrator.bench.registry import BENCHMARKS
from orchestrator.bench.run import run_bench
from orchestrator.bench.variants import VARIANTS
from orchestrator.rundir import RUN_JSON

MOST_S: Final = 0.5
_TIMES: Final = 3
_BENCH: Final = "syscall"


def measure(folder: Path, config: Path) -> Iterator[Figure]:
    """Runs one benchmark by a whole boot and from the saved start.

    Args:
        folder: Of the study; the last run stays in its `run`.
        config: The system.

    Raises:
        OrchestrateError: A run failed.
    """
    system, bench = configs.load(config), BENCHMARKS[_BENCH]
    out = folder / "run"

    def run(*, saved: bool) -> bytes:
        shutil.rmtree(out, ignore_errors=True)
        result = run_bench(system, bench, VARIANTS["none"], out=out, saved_start=saved)
        return to_json([result])

    whole = run(saved=False)
    run(saved=True)  # makes the start if there is none
    results, taken_s = [], []
    for _ in range(_TIMES):
        results.append(run(saved=True))
        # From QEMU's start until all of the state is there and every console is connected.
        taken_s.append(json.loads((out / RUN_JSON).read_text())["host"]["phases_s"]["start"])
    different = [each for each in results if each != whole]
    yield Figure(
        name="saved start: different from a whole boot", value=len(different), unit="runs", most=0
    )
    yield Figure(name=f"saved start, least of {_TIMES}", value=min(taken_s), unit="s", most=MOST_S)
