# SPDX-License-Identifier: MIT
"""`orchestrate compare` and `orchestrate baseline`: is this run as good as that one."""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.commands import Commands, add_command
from orchestrator.errors import CheckFailed

if TYPE_CHECKING:
    from orchestrator.bench.compare import Row

_SHOWN_DIFFERENCES = 3


def add(commands: Commands) -> None:
    """Describes the commands."""
    compare = add_command(
        commands, "compare", _compare, "hold a run's figures against those of a baseline"
    )
    compare.epilog = (
        "RUN and BASELINE are directories of orchestrate bench or boot, results files, or "
        "directories with any number of them; BASELINE may be a name of orchestrate baseline. "
        "Without tolerances figures must be equal, as they are in the deterministic clock. Exit "
        "code 1: a figure is worse than allowed, or missing."
    )
    compare.add_argument("run_path", type=Path, metavar="RUN", help="what was measured now")
    compare.add_argument("baseline", metavar="BASELINE", help="what it is held against")
    compare.add_argument(
        "-t", "--tolerances", type=Path, metavar="FILE", help="how far figures may be apart (TOML)"
    )
    compare.add_argument(
        "--exact",
        action="store_true",
        help="console logs and event streams must be equal, too; else a difference is only shown",
    )
    compare.add_argument("--all", action="store_true", help="show figures that are equal, too")
    baseline = add_command(commands, "baseline", None, "keep runs as baselines")
    actions = baseline.add_subparsers(required=True, metavar="ACTION", dest="action")
    save = add_command(actions, "save", _save, "keep what compare needs of a run")
    save.add_argument("run_path", type=Path, metavar="RUN", help="directory or results file")
    save.add_argument(
        "name", metavar="NAME", help="a name, or a path such as tests/baselines/board"
    )
    show = add_command(actions, "show", _show, "list baselines, or the figures of one")
    show.add_argument("name", nargs="?", metavar="NAME", help="name or path; without it: all")


def _compare(args: argparse.Namespace) -> int:
    from orchestrator.bench import stored
    from orchestrator.bench.compare import compare, load_tolerances

    tolerances = load_tolerances(args.tolerances) if args.tolerances else ()
    run = stored.find(args.run_path)
    baseline = stored.find(stored.baseline_path(args.baseline))
    rows = compare(run.figures(), baseline.figures(), tolerances)
    shown = [row for row in rows if args.all or row.verdict != "same"]
    _print_rows(shown)
    counts = {
        verdict: sum(row.verdict == verdict for row in rows)
        for verdict in ("same", "within", "better", "worse", "missing", "new")
    }
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    print(f"{len(rows)} figures: {told}" if rows else "no figures")
    found = list(stored.differences(run, baseline))
    common = stored.common_files(run, baseline)
    if common:
        print(f"{common} logs, streams and timelines: {common - len(found)} identical")
    for difference in itertools.islice(found, _SHOWN_DIFFERENCES):
        print(f"\n{difference.what} differs first at {difference.position + 1}:")
        print("\n".join(difference.lines))
    if len(found) > _SHOWN_DIFFERENCES:
        print(f"\n{len(found) - _SHOWN_DIFFERENCES} more differ")
    fails = any(row.fails for row in rows) or (args.exact and bool(found))
    return CheckFailed.exit_code if fails else 0


def _print_rows(rows: "Sequence[Row]") -> None:
    if not rows:
        return
    width = max(len(row.name) for row in rows)
    for row in rows:
        change = "" if row.change is None else f"{row.change:+.3%}"
        print(
            f"{row.verdict:8} {row.name:{width}} {_number(row.value):>14} "
            f"{_number(row.baseline):>14} {row.unit:12} {change}".rstrip()
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def _save(args: argparse.Namespace) -> int:
    from orchestrator.bench import stored

    run = stored.find(args.run_path)
    run.figures()  # a damaged file is told now
    target = stored.baseline_path(args.name)
    stored.save_baseline(run, target)
    print(target)
    return 0


def _show(args: argparse.Namespace) -> int:
    from orchestrator.bench import stored

    if args.name:
        baseline = stored.find(stored.baseline_path(args.name))
        for figure in baseline.figures():
            print(f"{figure.name}  {figure.value:,.2f} {figure.unit}".rstrip())
        print(f"{len(baseline.logs)} logs, {len(baseline.streams)} streams")
        return 0
    folder = stored.baselines_folder()
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if not path.name.startswith("."):
            found = stored.find(path)
            print(
                f"{path.name:24} {len(found.figures()):6} figures  {len(found.logs):4} logs  "
                f"{len(found.streams):4} streams"
            )
    return 0
