# SPDX-License-Identifier: MIT
"""`orchestrate sweep`: many runs of one system with some of its keys varied."""

import argparse
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.commands import Commands, add_command
from orchestrator.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from orchestrator.bench.sweep.book import Row

_ADDRESS: Final = re.compile(r"(?:[a-z]+://)?(?:\[[0-9a-fA-F:.]+\]|[\w.-]+):([0-9]{1,5})")
_LAST_PORT: Final = 65535


def add(commands: Commands) -> None:
    """Describes the command."""
    sweep = add_command(commands, "sweep", None, "run benchmarks over many variants of a system")
    actions = sweep.add_subparsers(required=True, metavar="ACTION", dest="action")

    run = add_command(actions, "run", _run, "run what is not done yet of a sweep")
    run.epilog = (
        "A sweep that was stopped, however that happened, goes on where it was; a change of the "
        "file, of an image or of QEMU runs just the jobs that it touches. Jobs that failed run "
        "again. Exit code 1 if any failed."
    )
    run.add_argument("file", type=Path, metavar="FILE", help="the sweep, see docs/sweeps.md")
    run.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the sweep; by default it has its own",
    )
    where = run.add_mutually_exclusive_group()
    where.add_argument(
        "-j", "--jobs", type=_count, default=os.cpu_count() or 1, metavar="N", help="runs at once"
    )
    where.add_argument(
        "--scheduler",
        type=_address,
        metavar="ADDRESS",
        help="run on the workers of this Dask scheduler, such as tcp://127.0.0.1:8786",
    )

    status = add_command(actions, "status", _status, "tell what is done, what failed, what waits")
    report = add_command(actions, "report", _report, "write an HTML page with figures")
    export = add_command(actions, "export", _export, "write all figures as a table")
    for action in (status, report, export):
        action.add_argument(
            "folder", type=Path, metavar="DIR", help="the folder, or the sweep's file"
        )
    report.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="instead of report.html in the folder"
    )
    export.add_argument("out", type=Path, metavar="TABLE", help="a new .csv or .parquet file")


def _address(text: str) -> str:
    """Told here: Dask's client would not end before its own time is out."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match[1]) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f'"{text}" is no address such as tcp://127.0.0.1:8786')
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from orchestrator.bench.sweep import book, job, plan, run

    folder = args.out or _folder(args.file)
    jobs = plan.load(args.file)
    with book.open_book(folder, make=True) as found, _cleaned(folder):
        tasks = job.tasks(jobs, folder.absolute() / "failed")
        left = found.plan(tasks)
        make = run.dask(args.scheduler) if args.scheduler else run.processes(args.jobs)
        with tqdm(total=len(tasks), initial=len(tasks) - len(left), unit="run") as bar:
            run.run(found, left, make, lambda _outcome: bar.update())
        rows = found.rows()
    _tell(rows)
    print(f"sweep: {folder}")
    failed = sum(row.state == "failed" for row in rows)
    return CheckFailed.exit_code if failed else 0


@contextmanager
def _cleaned(folder: Path) -> Iterator[None]:
    """Removes what an earlier run's jobs have left, and at the end what this one's have."""
    from orchestrator.bench.sweep.job import remove_leftovers

    remove_leftovers(folder)
    try:
        yield
    finally:
        remove_leftovers(folder)


def _status(args: argparse.Namespace) -> int:
    _tell(_rows(args.folder))
    return 0


def _report(args: argparse.Namespace) -> int:
    from orchestrator.bench.sweep import report
    from orchestrator.rundir import write_atomically

    folder = _folder(args.folder)
    out = args.out or folder / "report.html"
    write_atomically(out, report.page(_rows(args.folder), title=folder.name))
    print(out)
    return 0


def _export(args: argparse.Namespace) -> int:
    from orchestrator.bench.sweep import table
    from orchestrator.rundir import write_atomically

    writers = {".csv": table.to_csv, ".parquet": table.to_parquet}
    writer = writers.get(args.out.suffix)
    if writer is None:
        raise UsageError(f"{args.out}: the name must end in {' or '.join(writers)}")
    write_atomically(args.out, writer(_rows(args.folder)))
    return 0


def _folder(path: Path) -> Path:
    """The folder of a sweep, which may be named by its file."""
    if path.is_dir():
        return path
    from orchestrator.rundir import default_root

    digest = hashlib.sha256(str(path.absolute()).encode()).hexdigest()
    return default_root().parent / "sweeps" / f"{path.stem}-{digest[:8]}"


def _rows(path: Path) -> "list[Row]":
    from orchestrator.bench.sweep.book import open_book

    with open_book(_folder(path)) as book:
        return book.rows()


def _tell(rows: "list[Row]") -> None:
    from orchestrator.bench.sweep.plan import label
    from orchestrator.bench.sweep.report import different_repeats

    for row in rows:
        if row.state == "failed":
            print(f"failed: {row.bench} {row.variant} {label(row.point)}")
            print("".join(f"  {line}\n" for line in row.error.splitlines()), end="")
    for name in different_repeats(rows):
        print(f"repeats differ: {name}")
    host_s = sum(row.host_s or 0 for row in rows)
    counts = (f"{sum(row.state == s for row in rows)} {s}" for s in ("done", "failed", "waiting"))
    print(f"{', '.join(counts)}; {host_s:.0f} s of host time")
