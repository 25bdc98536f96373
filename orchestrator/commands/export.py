# SPDX-License-Identifier: MIT
"""`orchestrate export` and `orchestrate report`: a run's timeline as files for other tools."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.commands import Commands, add_command
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.trace.timeline import Timeline


def add(commands: Commands) -> None:
    """Describes both commands."""
    export = add_command(commands, "export", _export, "write a traced run's timeline for a viewer")
    export.epilog = (
        "Formats: ctf (babeltrace2, Trace Compass), parquet (notebooks), perfetto "
        "(ui.perfetto.dev), report (a page for any browser), text (as ftrace prints it), trace.dat "
        "(trace-cmd, KernelShark). Without --out the files go into RUN. Exit code 2: RUN is no run "
        "that was traced; 3: a format needs a package that is not here; 6: a file cannot be "
        "written, and what was there is still there."
    )
    export.add_argument("run_dir", type=Path, metavar="DIR", help="the run's directory")
    export.add_argument(
        "-f",
        "--format",
        dest="formats",
        required=True,
        metavar="NAME[,NAME]",
        help="what to write, such as perfetto,text",
    )
    export.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="where to; only with a single format"
    )
    report = add_command(commands, "report", _report, "write a traced run's report, a single page")
    report.epilog = "The same as: export DIR --format report. It opens offline in any browser."
    report.add_argument("run_dir", type=Path, metavar="DIR", help="the run's directory")
    report.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="where to; without it DIR/report.html"
    )


def _export(args: argparse.Namespace) -> int:
    from orchestrator.export import FORMATS

    names = list(dict.fromkeys(args.formats.split(",")))
    for name in names:
        if name not in FORMATS:
            raise UsageError(f'there is no format "{name}"; valid: {", ".join(sorted(FORMATS))}')
    if args.out is not None and len(names) > 1:
        raise UsageError(f"--out names one file, but --format asks for {len(names)}")
    _write(args.run_dir, names, args.out)
    return 0


def _report(args: argparse.Namespace) -> int:
    _write(args.run_dir, ["report"], args.out)
    return 0


def _write(run_dir: Path, names: list[str], out: Path | None) -> None:
    from orchestrator.export import FORMATS, write

    timeline = _load(run_dir)
    for name in names:
        path = out or run_dir / FORMATS[name].file
        write(timeline, name, path)
        print(f"{name:10} {path}", flush=True)


def _load(run_dir: Path) -> "Timeline":
    from orchestrator.trace.run import merge_run

    return merge_run(run_dir)
