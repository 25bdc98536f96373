# SPDX-License-Identifier: MIT
"""What a path holds that can be compared, and baselines: such paths under a name.

A path is a results file, a run directory, or a directory with any number of either below it. A
baseline is a copy of the files that a comparison reads, and of nothing else.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.bench import difference, measures
from orchestrator.bench.compare import Figure
from orchestrator.bench.difference import Difference
from orchestrator.bench.model import RESULTS_NAME, from_json
from orchestrator.errors import StorageError, UsageError
from orchestrator.records import RECORD, RING_HEADER_BYTES
from orchestrator.rundir import RUN_JSON, default_root, storage_errors, swap_in
from orchestrator.trace.memory import PAGES_FOLDER
from orchestrator.trace.run import LINUX_FOLDER, STREAMS_FOLDER, merge_run

STREAM_SUFFIX: Final = ".rec"
_LOG_SUFFIX: Final = ".log"
PROBES_JSON: Final = "probes.json"
_HOST_LOG: Final = "qemu.log"
"""What QEMU says is the host's business and no part of a run's identity."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What was found.

    Attributes:
        path: Where.
        results: Results files.
        logs: Console logs of runs.
        streams: Event streams of runs.
        traced: Whether `path` is itself the directory of a run that was traced: its timeline is
            compared then, too. Of many runs below it only logs and streams are.
    """

    path: Path
    results: tuple[Path, ...]
    logs: tuple[Path, ...]
    streams: tuple[Path, ...]
    traced: bool = False

    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (*self.results, *self.logs, *self.streams)

    def name(self, path: Path) -> str:
        """A file's name in messages and in the other of two runs."""
        return path.name if path == self.path else str(path.relative_to(self.path))

    def figures(self) -> list[Figure]:
        """Figures of all benchmark results, and of the run's own trace.

        Raises:
            OrchestrateError: A file cannot be read or is damaged.
        """
        figures: list[Figure] = []
        for path in self.results:
            with storage_errors(path):
                text = path.read_bytes()
            figures += measures.of_results(from_json(text, place=str(path)))
        if self.traced:
            figures += measures.of_timeline(merge_run(self.path))
        return figures


def find(path: Path) -> Stored:
    """Looks what a path holds.

    Raises:
        UsageError: There is no such path, or nothing that could be compared.
    """
    if path.is_file():
        return Stored(path=path, results=(path,), logs=(), streams=())
    if not path.is_dir():
        raise UsageError(f"{path}: no such run, results file or baseline")
    results: list[Path] = []
    logs: list[Path] = []
    streams: list[Path] = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        here = Path(folder)
        is_run = RUN_JSON in names
        is_trace = here.name == STREAMS_FOLDER
        for name in sorted(names):
            if name == RESULTS_NAME:
                results.append(here / name)
            elif is_run and name.endswith(_LOG_SUFFIX) and name != _HOST_LOG:
                logs.append(here / name)
            elif is_trace and name.endswith(STREAM_SUFFIX):
                streams.append(here / name)
    if not (results or logs or streams):
        raise UsageError(f"{path}: neither a run nor benchmark results are in or below it")
    return Stored(
        path=path,
        results=tuple(results),
        logs=tuple(logs),
        streams=tuple(streams),
        traced=(path / RUN_JSON).exists()
        and (
            (path / LINUX_FOLDER).is_dir()
            or any(s.stat().st_size > RING_HEADER_BYTES for s in streams)
        ),
    )


def differences(run: Stored, baseline: Stored) -> Iterator[Difference]:
    """The first difference of each log, stream and timeline that both have.

    That of the timelines comes first: it has all guests, in the order in which things happened.

    Raises:
        StorageError: A file cannot be read.
    """
    if run.traced and baseline.traced:
        timelines = merge_run(run.path), merge_run(baseline.path)
        if different := difference.of_timelines("timeline", *timelines):
            yield different
    others = {baseline.name(path): path for path in (*baseline.logs, *baseline.streams)}
    for path in (*run.logs, *run.streams):
        name = run.name(path)
        other = others.get(name)
        if other is None:
            continue
        with storage_errors(path):
            mine, theirs = path.read_bytes(), other.read_bytes()
        if path.suffix == STREAM_SUFFIX:
            # The header page has what the reader did on the host, such as how far it has come.
            found = difference.of_streams(name, _records(mine, path), _records(theirs, other))
        elif mine != theirs:
            found = difference.of_texts(
                name, mine.decode(errors="replace"), theirs.decode(errors="replace")
            )
        else:
            found = None
        if found is not None:
            yield found


def common_files(run: Stored, baseline: Stored) -> int:
    """How many logs, streams and timelines `differences` has compared."""
    others = {baseline.name(path) for path in (*baseline.logs, *baseline.streams)}
    files = sum(run.name(path) in others for path in (*run.logs, *run.streams))
    return files + (run.traced and baseline.traced)


def _records(content: bytes, path: Path) -> NDArray[np.void]:
    body = content[RING_HEADER_BYTES:]
    if len(content) < RING_HEADER_BYTES or len(body) % RECORD.itemsize:
        raise StorageError(f"{path}: no whole event stream; see docs/record-format.md")
    return np.frombuffer(body, RECORD)


def baselines_folder() -> Path:
    """Where baselines without a path of their own are kept."""
    return default_root().parent / "baselines"


def baseline_path(name: str) -> Path:
    """A baseline by name, or by path where there is something at that path."""
    path = Path(name)
    return path if path.exists() or "/" in name else baselines_folder() / name


def save_baseline(run: Stored, target: Path) -> None:
    """Copies what comparisons read, in one step; what was there before is replaced.

    Raises:
        StorageError: It cannot be written; what was there before still is.
        UsageError: There is something that is no baseline or run.
    """
    if target.exists():
        find(target)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            made = place / "made"
            for path in (*run.files(), *_beside(run)):
                copy = made / (RESULTS_NAME if path == run.path else run.name(path))
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            swap_in(made, target, place / "old")
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _beside(run: Stored) -> Sequence[Path]:
    """What the figures of runs need besides: run.json, the probes, what Linux left of its trace."""
    wanted = [path.with_name(RUN_JSON) for path in run.logs]
    wanted += [path.with_name(PROBES_JSON) for path in run.streams]
    if run.traced:
        for folder in (LINUX_FOLDER, f"{STREAMS_FOLDER}/{PAGES_FOLDER}"):
            wanted += sorted((run.path / folder).rglob("*"))
    return tuple(path for path in dict.fromkeys(wanted) if path.is_file())
