# SPDX-License-Identifier: MIT
"""What a benchmark's run has measured, as plain data with a file format.

Knows neither machines nor how a figure came about; `run` makes results, `compare`, `figures` and
`report` read them. Everything in a result follows from the inputs of its run: two runs of one
system, benchmark and variant give equal results, and equal files to the byte.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import StorageError

FORMAT: Final = 1
"""Version of the file's form; raised when the meaning of a field changes."""

RESULTS_NAME: Final = "bench.json"
"""Name of the file in the directory that `orchestrate bench` leaves."""

REFERENCE: Final = "none"
"""The variant that overheads are stated against."""


@dataclass(frozen=True, kw_only=True)
class Instructions:
    """Instructions executed on all cores within the measured window.

    Attributes:
        guest: Of the VM that ran the benchmark, in all its modes.
        hypervisor: In Hyp mode on the cores of that VM.
        other: Of everybody else.
    """

    guest: int
    hypervisor: int = 0
    other: int = 0


@dataclass(frozen=True, kw_only=True)
class ProbeCost:
    """One probe's part in the measured window.

    Attributes:
        name: As the variant calls it.
        hits: How often it was hit.
        instructions: From the trap until the guest went on, all hits together.
    """

    name: str
    hits: int
    instructions: int


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """One benchmark in one variant.

    Attributes:
        bench: Name of the benchmark.
        variant: Name of the variant.
        vm: The VM that ran it.
        unit: What one operation is: "switch", "process", ...
        operations: Operations in the measured window.
        elapsed_ns: Guest time of the window, the guest's own idle time included.
        instructions: Those of the window; None: nobody counted.
        events: Events that the guest's own tracer recorded.
        probes: The orchestrator's probes.
        figures: What else the benchmark says of itself, by a name that ends in its unit.
        system: What ran: versions, kernel, clock, digest of all inputs.
    """

    bench: str
    variant: str
    vm: str
    unit: str
    operations: int
    elapsed_ns: int
    instructions: Instructions | None = None
    events: int = 0
    probes: tuple[ProbeCost, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    system: Mapping[str, str] = field(default_factory=dict)

    @property
    def ns_per_operation(self) -> float:
        """Guest time of one operation."""
        return self.elapsed_ns / self.operations

    @property
    def instructions_per_operation(self) -> float | None:
        """Instructions of one operation, in the guest and on its behalf in the hypervisor."""
        if self.instructions is None:
            return None
        return (self.instructions.guest + self.instructions.hypervisor) / self.operations


def overhead(result: BenchResult, reference: BenchResult) -> float:
    """How much more an operation costs than in the reference: 0.03 for 3 %.

    In instructions, which idle time and other VMs do not touch, where both were counted; else in
    guest time.
    """
    mine, others = result.instructions_per_operation, reference.instructions_per_operation
    if mine is None or others is None:
        mine, others = result.ns_per_operation, reference.ns_per_operation
    return mine / others - 1


def by_bench(results: Iterable[BenchResult]) -> dict[str, dict[str, BenchResult]]:
    """Results by benchmark and then by variant, both in order of appearance."""
    table: dict[str, dict[str, BenchResult]] = {}
    for result in results:
        table.setdefault(result.bench, {})[result.variant] = result
    return table


def to_json(results: Iterable[BenchResult]) -> bytes:
    """The content of a results file."""
    document = {"format": FORMAT, "results": [asdict(result) for result in results]}
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def from_json(text: str | bytes, *, place: str) -> tuple[BenchResult, ...]:
    """Reads the content of a results file.

    Args:
        text: The content.
        place: What error messages call it.

    Raises:
        StorageError: It is no results file, or of another version.
    """
    try:
        document: Any = json.loads(text)
        version = document["format"]
        if version == FORMAT:
            return _RESULTS.validate_python(document["results"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StorageError(f"{place}: results.{where}: {first['msg']}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{place}: holds no benchmark results") from error
    raise StorageError(
        f"{place}: results of format {version}; this orchestrate reads format {FORMAT}"
    )


def from_tables(tables: Iterable[Any]) -> tuple[BenchResult, ...]:
    """Results from what `dataclasses.asdict` has made of them, which JSON may have carried.

    Raises:
        pydantic.ValidationError: That is not what they are.
    """
    return _RESULTS.validate_python(tuple(tables))


def load(path: Path) -> tuple[BenchResult, ...]:
    """All results of a file, or of all results files in and below a directory, in order of path.

    Raises:
        StorageError: A file cannot be read, or there is none.
    """
    paths = sorted(path.rglob(RESULTS_NAME)) if path.is_dir() else [path]
    if not paths:
        raise StorageError(f"{path}: no {RESULTS_NAME} in or below it; see orchestrate bench --out")
    results: list[BenchResult] = []
    for each in paths:
        try:
            text = each.read_bytes()
        except OSError as error:
            raise StorageError(f"{each}: {error.strerror or error}") from error
        results += from_json(text, place=str(each))
    return tuple(results)


_RESULTS: Final = TypeAdapter(tuple[BenchResult, ...])
