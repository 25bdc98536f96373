# SPDX-License-Identifier: MIT
"""One sweep, run in several ways: equal results, and two jobs at once nearly twice as fast."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from orchestrator.bench.printed import Figure
from orchestrator.bench.study.sweeps import (
    Cost,
    busy_host,
    cluster,
    rows,
    run_sweep,
    write_sweep,
)
from orchestrator.bench.sweep.table import to_csv

LEAST_SPEEDUP: Final = 1.8


def measure(
    folder: Path,
    config: Path,
    benches: Sequence[str],
    variants: Sequence[str],
    repeats: int,
    tell: Callable[[str], None],
) -> Iterator[Figure]:
    """Runs the sweep with one job at a time, with two, by Dask, and on a loaded host.

    Args:
        folder: Of the study.
        config: The system.
        benches: Of the sweep.
        variants: Of the sweep.
        repeats: Of the sweep; they must not differ either.
        tell: Hears which way comes next.

    Raises:
        OrchestrateError: A run failed.
    """
    file = write_sweep(
        folder / "ways.toml", config=config, benches=benches, variants=variants, repeats=repeats
    )
    ways: dict[str, Callable[[Path], Cost]] = {
        "-j 1": lambda out: run_sweep(file, out, "-j", 1),
        "-j 2": lambda out: run_sweep(file, out, "-j", 2),
        "Dask": lambda out: _through_dask(file, out),
        "-j 2 on a loaded host": lambda out: _beside_others(file, out),
    }
    cost, tables = {}, {}
    for name, run in ways.items():
        tell(f"the same sweep: {name}")
        out = folder / name.replace(" ", "").strip("-").lower()
        cost[name] = run(out)
        tables[name] = to_csv(rows(out))
    first, *others = ways
    for name in others:
        lines = zip(tables[first].splitlines(), tables[name].splitlines(), strict=True)
        different = [one for one, other in lines if one != other]
        yield Figure(
            name=f"{name}: of {_runs(tables[first])}, differ from {first}",
            value=len(different),
            unit="runs",
            most=0,
        )
    by_point: dict[tuple[str, str], set[str]] = {}
    for row in rows(folder / "j1"):
        by_point.setdefault((row.bench, row.variant), set()).add(str(row.result))
    uneven = [each for each in by_point.values() if len(each) > 1]
    yield Figure(name="repeats that differ", value=len(uneven), unit="jobs", most=0)
    yield Figure(
        name=f"throughput of -j 2 against -j 1 ({cost['-j 1'].wall_s:.1f} s, {cost['-j 2'].wall_s:.1f} s)",
        value=cost["-j 1"].wall_s / cost["-j 2"].wall_s,
        unit="x",
        least=LEAST_SPEEDUP,
    )


def _runs(table: bytes) -> int:
    return table.count(b"\n") - 1  # the first line has the columns' names


def _through_dask(file: Path, out: Path) -> Cost:
    out.mkdir()
    with cluster(out, workers=2) as address:
        return run_sweep(file, out, "--scheduler", address)


def _beside_others(file: Path, out: Path) -> Cost:
    with busy_host(2):
        return run_sweep(file, out, "-j", 2)
