# SPDX-License-Identifier: MIT
"""A thousand stored runs: how long it takes to compare them and to report on them.

The runs are copies of one that was made, and of the results that the table has; what is measured
are whole commands, the start of Python included.
"""

import dataclasses
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from orchestrator.bench.model import RESULTS_NAME, from_tables, to_json
from orchestrator.bench.printed import Figure
from orchestrator.bench.study.sweeps import Cost, orchestrate
from orchestrator.bench.sweep.book import Row, open_book
from orchestrator.bench.sweep.job import Outcome, Task
from orchestrator.bench.sweep.plan import Job

RUNS: Final = 1000
MOST_S: Final = 2.0


def measure(folder: Path, run: Path, rows: Sequence[Row]) -> Iterator[Figure]:
    """Compares a thousand runs with a thousand others, and reports on a sweep of a thousand.

    Args:
        folder: Of the study.
        run: The run that is stored so often.
        rows: Jobs with results.

    Raises:
        OrchestrateError: A command failed.
    """
    place = folder / "thousand"
    shutil.rmtree(place, ignore_errors=True)
    for side in ("now", "then"):
        _store(place / side, run, rows)
    yield from _claims(
        f"compare {RUNS:,} runs",
        orchestrate("compare", place / "now", place / "then", "--exact", quiet=True),
    )
    _book(place / "sweep", rows)
    yield from _claims(
        f"report on {RUNS:,} runs", orchestrate("sweep", "report", place / "sweep", quiet=True)
    )
    shutil.rmtree(place)


def _claims(name: str, cost: Cost) -> Iterator[Figure]:
    yield Figure(name=f"{name}, wall clock", value=cost.wall_s, unit="s", most=MOST_S)
    yield Figure(name=f"{name}, processor", value=cost.cpu_s, unit="s", most=MOST_S)


def _store(side: Path, run: Path, rows: Sequence[Row]) -> None:
    for number, row in zip(range(RUNS), itertools.cycle(rows), strict=False):
        copy = side / f"run-{number:04}"
        shutil.copytree(run, copy, copy_function=os.link)
        (result,) = from_tables([row.result])
        named = dataclasses.replace(result, bench=f"{result.bench}-{number}")
        (copy / RESULTS_NAME).write_bytes(to_json([named]))


def _book(folder: Path, rows: Sequence[Row]) -> None:
    tasks, outcomes = [], []
    for number, row in zip(range(RUNS), itertools.cycle(rows), strict=False):
        job = Job(
            point={"machine.time_slice": f"{200 + number // len(rows)}us"},
            bench=row.bench,
            variant=row.variant,
            repeat=0,
            tables={},
            config_path=folder,
        )
        tasks.append(Task(job=job, inputs="", key=str(number), kept=folder))
        result = json.dumps(row.result)
        outcomes.append(Outcome(key=str(number), result=result, error="", host_s=row.host_s or 0))
    with open_book(folder, make=True) as book:
        book.plan(tasks)
        for outcome in outcomes:
            book.record(outcome)
