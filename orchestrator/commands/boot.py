# SPDX-License-Identifier: MIT
"""`orchestrate boot`: boot the system of a config file and watch it."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.commands import (
    Commands,
    add_command,
    add_probes,
    add_saved_start,
    check_probes,
    check_saved_start,
    guest_time,
    host_seconds,
)
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.config import Config
    from orchestrator.options import BootOptions


def add(commands: Commands) -> None:
    """Describes the command."""
    boot = add_command(
        commands, "boot", _boot, "boot the system that a config file describes", takes_command=True
    )
    boot.usage = "orchestrate boot --config FILE [options] [-- COMMAND ...]"
    boot.epilog = (
        "Without --until, --for and COMMAND the system boots and then runs, showing what the "
        "guests say, until Ctrl-C. COMMAND runs in the first Linux guest; its output and exit "
        "code are passed through."
    )
    boot.add_argument(
        "-c", "--config", type=Path, required=True, metavar="FILE", help="the system to boot"
    )
    end = boot.add_mutually_exclusive_group()
    end.add_argument("--until", choices=["ready"], help="stop when every guest is ready")
    end.add_argument(
        "--for",
        dest="for_ns",
        type=guest_time,
        metavar="TIME",
        help="stop at exactly this guest time, such as 5s",
    )
    add_saved_start(boot)
    boot.add_argument("--dry-run", action="store_true", help="only print QEMU's command line")
    boot.add_argument("--json", action="store_true", help="print one JSON object at the end")
    boot.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="keep logs and run.json in this directory"
    )
    add_probes(boot)
    for phase, about in (
        ("start", "QEMU may take to answer"),
        ("ready", "the guests may take to be ready"),
        ("command", "COMMAND may take"),
    ):
        boot.add_argument(
            f"--timeout-{phase}",
            type=host_seconds,
            metavar="S",
            help=f"host seconds {about}; overrides the config",
        )


def _boot(args: argparse.Namespace) -> int:
    from orchestrator import config, session, terminal

    options = _boot_options(args)
    loaded = config.load(args.config)
    _check_command(options, loaded)
    check_probes(args, loaded)
    check_saved_start(args, loaded)
    if options.json:
        collector = terminal.JsonReporter()
        result = session.boot(loaded, options, collector)
        print(collector.result(result))
        return result.exit_code
    reporter = terminal.TextReporter(show_consoles=options.command is None)
    result = session.boot(loaded, options, reporter)
    if options.dry_run:
        print(shlex.join(result.qemu_command))
    else:
        reporter.summary(result)
    return result.exit_code


def _boot_options(args: argparse.Namespace) -> "BootOptions":
    from orchestrator.options import BootOptions, TimeoutOverrides

    command = None if args.command is None else tuple(args.command)
    if command == ():
        raise UsageError("-- is not followed by a command")
    if command is not None and (args.until or args.for_ns is not None):
        raise UsageError("a command ends the run by itself; remove --until and --for")
    return BootOptions(
        until_ready=args.until == "ready",
        for_ns=args.for_ns,
        dry_run=args.dry_run,
        saved_start=args.saved_start,
        out=args.out,
        command=command,
        timeouts=TimeoutOverrides(
            start_s=args.timeout_start,
            ready_s=args.timeout_ready,
            command_s=args.timeout_command,
        ),
        probes=tuple(args.probes),
        json=args.json,
    )


def _check_command(options: "BootOptions", config: "Config") -> None:
    if options.command is not None and not config.linux_vms:
        raise UsageError(f"{config.path.name} has no Linux VM that could run the command")
    if options.for_ns is not None and config.clock.mode != "deterministic":
        raise UsageError(
            '--for stops at an exact guest time; that needs clock.mode = "deterministic"'
        )
