# SPDX-License-Identifier: MIT
"""`orchestrate trace`: run a command in Linux and record what all guests do meanwhile."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from orchestrator.commands import (
    Commands,
    add_command,
    add_probes,
    add_saved_start,
    check_probes,
    check_saved_start,
    host_seconds,
)
from orchestrator.errors import UsageError


def add(commands: Commands) -> None:
    """Describes the command."""
    parser = add_command(
        commands,
        "trace",
        _trace,
        "record a command and all guests on one clock",
        takes_command=True,
    )
    parser.usage = "orchestrate trace --config FILE [options] [-- COMMAND ...]"
    parser.epilog = (
        "COMMAND runs in the first Linux guest; without one, a short workload does. What was "
        "recorded is in the run directory: trace.dat for trace-cmd and KernelShark, and so on."
    )
    parser.add_argument(
        "-c", "--config", type=Path, required=True, metavar="FILE", help="the system to trace"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", help="the run directory")
    add_probes(parser)
    add_saved_start(parser)
    parser.add_argument(
        "-f",
        "--format",
        dest="formats",
        metavar="NAME[,NAME]",
        help="write only these formats; without it all that this machine can write",
    )
    parser.add_argument(
        "--live", action="store_true", help="show what all guests do as text while they run"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument(
        "--timeout-command",
        type=host_seconds,
        metavar="S",
        help="host seconds COMMAND may take; overrides the config",
    )


def _trace(args: argparse.Namespace) -> int:
    from orchestrator import config, export, terminal, tracing
    from orchestrator.options import BootOptions, TimeoutOverrides

    if args.live and args.json:
        raise UsageError("--live prints lines and --json one object; choose one of them")
    formats = list(export.available()) if args.formats is None else args.formats.split(",")
    for name in formats:
        if name not in export.FORMATS:
            raise UsageError(f"there is no format {name!r}; there are {', '.join(export.FORMATS)}")
    loaded = config.load(args.config)
    command = None if args.command is None else tuple(args.command)
    if command is not None and not loaded.linux_vms:
        raise UsageError(f"{loaded.path.name} has no Linux VM that could run the command")
    if not loaded.linux_vms:
        raise UsageError(
            f"{loaded.path.name} has no Linux VM whose command would end the run; use orchestrate "
            "boot --for with --probe, and orchestrate export"
        )
    check_probes(args, loaded)
    check_saved_start(args, loaded)
    options = BootOptions(
        out=args.out,
        saved_start=args.saved_start,
        command=command,
        probes=tuple(args.probes),
        timeouts=TimeoutOverrides(command_s=args.timeout_command),
        json=args.json,
    )
    reporter = terminal.JsonReporter() if args.json else terminal.TextReporter(show_consoles=False)
    live = _show if args.live else None
    result = tracing.trace(loaded, options, reporter, formats=formats, live=live)
    if isinstance(reporter, terminal.JsonReporter):
        document = json.loads(reporter.result(result.boot))
        document["trace"] = {
            "events": len(result.timeline),
            **{
                why: [dataclasses.asdict(each) for each in gaps]
                for why, gaps in result.timeline.gaps().items()
            },
            "contradictions": list(result.timeline.contradictions),
            "files": {name: str(path) for name, path in result.files.items()},
        }
        print(json.dumps(document, indent=2))
        return result.boot.exit_code
    if loaded.clock.mode != "deterministic":
        reporter.note("real time: times are those of this run alone; see docs/tracing.md")
    for line in tracing.summary(result.timeline):
        reporter.note(line)
    for path in result.files.values():
        reporter.note(f"wrote {path}")
    return result.boot.exit_code


def _show(line: str) -> None:
    """In one piece: lines come from several threads."""
    from orchestrator.terminal import printable

    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()
