# SPDX-License-Identifier: MIT
"""The paper's table: each test of UnixBench's index in each variant, as one sweep."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from orchestrator.bench import figures, limits, report
from orchestrator.bench.model import (
    REFERENCE,
    RESULTS_NAME,
    BenchResult,
    by_bench,
    from_tables,
    to_json,
)
from orchestrator.bench.printed import Figure
from orchestrator.bench.registry import BENCHMARKS
from orchestrator.bench.study.sweeps import rows, run_sweep, write_sweep
from orchestrator.rundir import write_atomically

VARIANTS: Final = ("none", "off", "hvc", "shadow", "event", "kprobe", "function")
_FREE: Final = ("off", "shadow")
"""In these the guest executes what it executes unobserved, instruction by instruction."""
_LIMITS: Final = tuple(map(limits.parse_limit, ("hvc=1%", "context1:hvc=3%")))


def measure(
    folder: Path, config: Path, benches: Sequence[str], variants: Sequence[str], jobs: int
) -> Iterator[Figure | str]:
    """Runs the sweep and leaves table, results and figures beside it.

    Yields:
        The overview, then what must hold of it.

    Raises:
        OrchestrateError: A run failed.
    """
    file = write_sweep(folder / "table.toml", config=config, benches=benches, variants=variants)
    cost = run_sweep(file, folder / "table", "-j", jobs)
    found = from_tables([row.result for row in rows(folder / "table")])
    write(folder, found)
    yield report.overview(found)
    yield from claims(found)
    yield Figure(name="host time of the table", value=round(cost.wall_s, 1), unit="s")


def write(folder: Path, results: Sequence[BenchResult]) -> None:
    """Leaves what `orchestrate bench` leaves of such results."""
    about = {name: each.about for name, each in BENCHMARKS.items()}
    for name, content in (
        ("bench.txt", report.text_table(results, about).encode()),
        (figures.PERFORMANCE_NAME, figures.performance(results)),
        (figures.OVERHEAD_NAME, figures.overhead_figure(results)),
        (RESULTS_NAME, to_json(results)),
    ):
        write_atomically(folder / name, content)


def claims(results: Sequence[BenchResult]) -> Iterator[Figure]:
    """What must hold of the results: limits of the HVC, and nothing at all when it is off."""
    for verdict in limits.verdicts(results, _LIMITS):
        yield Figure(
            name=f"{verdict.result.bench}: overhead of the HVC on the context switch",
            value=100 * verdict.overhead,
            unit="%",
            most=100 * verdict.most,
        )
    for variant in _FREE:
        pairs = [
            (found[variant], found[REFERENCE])
            for found in by_bench(results).values()
            if variant in found
        ]
        changed = [one for one, other in pairs if _work(one) != _work(other)]
        yield Figure(
            name=f"{variant}: of {len(pairs)}, do not cost exactly the same as {REFERENCE}",
            value=len(changed),
            unit="tests",
            most=0,
        )


def _work(result: BenchResult) -> object:
    return result.operations, result.instructions, result.elapsed_ns
