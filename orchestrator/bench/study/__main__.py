# SPDX-License-Identifier: MIT
"""`python -m orchestrator.bench.study`: see the package."""

import signal
import sys

if __name__ == "__main__":
    # Loading takes a moment, in which Ctrl-C ends the program as SIGTERM does: without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from orchestrator import config
from orchestrator.bench.printed import Figure, exit_code
from orchestrator.bench.registry import UNIXBENCH
from orchestrator.bench.study import start, sweeps, table, thousand, ways
from orchestrator.errors import CheckFailed, UsageError
from orchestrator.images import sources
from orchestrator.rundir import default_root, storage_errors

_WAYS_BENCHES: Final = ("context1", "syscall", "pipe")
_WAYS_VARIANTS: Final = ("none", "hvc", "shadow", "event", "kprobe")
_WAYS_REPEATS: Final = 2
_QUICK_BENCHES: Final = ("context1", "syscall")
_QUICK_VARIANTS: Final = ("none", "off", "hvc", "shadow", "event")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures everything, prints it, and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.bench.study",
        description=(
            "The paper's overhead study and what sweeps promise: the table of UnixBench's tests in "
            "all variants, nothing at all when a probe is off, equal results with -j 1, -j 2, Dask "
            "and a loaded host, the throughput of -j 2, saved starts, and a thousand stored runs."
        ),
        epilog=(
            "Takes about ten minutes on two cores with nothing else to do; host times are only "
            "worth something there. Exit code 1: a limit was exceeded."
        ),
    )
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="the system (default: dual.toml)"
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="folder to make for all that is measured"
    )
    parser.add_argument(
        "--quick", action="store_true", help="two tests only: to see that it works here"
    )
    args = parser.parse_args(arguments)
    return exit_code(lambda: _study(args), ends_process=arguments is None)


def _study(args: argparse.Namespace) -> int:
    system = args.config or sources.root() / "dual.toml"
    config.load(system)
    folder = args.out or default_root().parent / "study" / time.strftime("%Y%m%d-%H%M%S")
    with storage_errors(folder):
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"--out {folder}: holds files already; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for each in _measure(folder.absolute(), system, quick=args.quick):
        print(each, flush=True)
        if isinstance(each, Figure) and not each.holds:
            failed.append(each)
    print(f"\ntable, figures and sweeps: {folder}")
    if failed:
        print(f"{len(failed)} beyond the limit:", *(each.name for each in failed), sep="\n  ")
        return CheckFailed.exit_code
    print("every limit is kept")
    return 0


def _measure(folder: Path, system: Path, *, quick: bool) -> Iterator[Figure | str]:
    benches, variants = (_QUICK_BENCHES, _QUICK_VARIANTS) if quick else (UNIXBENCH, table.VARIANTS)
    _tell(f"{len(benches)} tests, each in {len(variants)} variants, two runs at once")
    yield from table.measure(folder, system, benches, variants, jobs=2)
    if quick:
        yield from ways.measure(folder, system, _QUICK_BENCHES, ("none", "hvc"), 1, _tell)
    else:
        repeats = _WAYS_REPEATS
        yield from ways.measure(folder, system, _WAYS_BENCHES, _WAYS_VARIANTS, repeats, _tell)
    _tell("saved starts")
    yield from start.measure(folder, system)
    _tell("a thousand stored runs")
    yield from thousand.measure(folder, folder / "run", sweeps.rows(folder / "table"))


def _tell(what: str) -> None:
    print(f"\n{what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
