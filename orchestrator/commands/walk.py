# SPDX-License-Identifier: MIT
"""`orchestrate walk`: show how an address of a running guest is translated, step by step."""

import argparse
from pathlib import Path

from orchestrator.commands import Commands, add_command
from orchestrator.errors import UsageError


def add(commands: Commands) -> None:
    """Describes the command."""
    walk = add_command(commands, "walk", _walk, "show how a guest's address is translated")
    walk.epilog = (
        "The tables are those in use at this instant, of one of the VM's vCPUs whose MMU is on. "
        "Each descriptor of the guest's own tables is itself fetched through stage 2."
    )
    walk.add_argument("place", metavar="PLACE", help="such as linux:__schedule or linux:0xc0008000")
    walk.add_argument(
        "--run",
        dest="run_dir",
        type=Path,
        metavar="DIR",
        help="run directory of the system; needed when several run, or after --out",
    )


def _walk(args: argparse.Namespace) -> int:
    from orchestrator import control, rundir
    from orchestrator.config.probes import split_place

    try:
        split_place(args.place)
    except ValueError as error:
        raise UsageError(str(error)) from error
    path = rundir.find_control(args.run_dir)
    found = control.ask(path, {"do": "walk", "place": args.place})
    for line in found["steps"]:
        print(line)
    print(f"VA {found['va']:#010x} -> IPA {found['ipa']:#010x} -> PA {found['pa']:#010x}")
    return 0
