# SPDX-License-Identifier: MIT
"""`orchestrate console`: attach to a guest of a running system."""

import argparse
from pathlib import Path

from orchestrator.commands import Commands, add_command


def add(commands: Commands) -> None:
    """Describes the command."""
    console = add_command(commands, "console", _console, "attach to a guest of a running system")
    console.epilog = (
        "Ctrl-] detaches; the guest runs on. Whatever is typed arrives on host time, so that the "
        "run is no longer the same as another of its config."
    )
    console.add_argument(
        "--run",
        dest="run_dir",
        type=Path,
        metavar="DIR",
        help="run directory of the system; needed when several run, or after --out",
    )
    console.add_argument("vm", metavar="VM", help="the VM's name in the config, or hypervisor")


def _console(args: argparse.Namespace) -> int:
    from orchestrator import rundir, terminal

    return terminal.attach(rundir.find_console(args.run_dir, args.vm), name=args.vm)
