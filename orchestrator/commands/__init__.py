# SPDX-License-Identifier: MIT
"""The commands of `orchestrate`, one module each: what it takes, and the call that does the work.

A command's module describes its arguments in ``add`` and imports what does the work only when it
runs, so that help and completion come at once. To add a command: such a module, and a line in
`orchestrator.cli.COMMANDS`. What fails is raised; `orchestrator.cli.main` tells it.
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.errors import UsageError
from orchestrator.units import parse_duration_ns

if TYPE_CHECKING:
    from orchestrator.config import Config, ProbeConfig

Run = Callable[[argparse.Namespace], int]
# argparse has no public name for it, and at run time it is no generic class.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def add_command(
    commands: Commands, name: str, run: Run | None, about: str, *, takes_command: bool = False
) -> argparse.ArgumentParser:
    """Adds a command, or an action of one.

    Args:
        commands: Where it is added.
        name: What the user types.
        run: Does the work and returns the exit code; None: its own actions do.
        about: One line in lower case, without a full stop.
        takes_command: Whether ``-- COMMAND`` may follow; it is then in ``args.command``.
    """
    parser = commands.add_parser(
        name, help=about, description=about[0].upper() + about[1:] + ".", allow_abbrev=False
    )
    if run is not None:
        parser.set_defaults(run=run, takes_command=takes_command)
    return parser


def add_probes(parser: argparse.ArgumentParser) -> None:
    """Adds the option that asks for a probe, into ``args.probes``."""
    parser.add_argument(
        "-p",
        "--probe",
        dest="probes",
        type=probe_spec,
        action="append",
        default=[],
        metavar="SPEC",
        help="a probe such as 'rtos:OSTaskSwHook'; more in docs/probes.md; may be given again",
    )


def check_probes(args: argparse.Namespace, config: "Config") -> None:
    """Whether the VMs of the probes of the command line are those of the config.

    Raises:
        UsageError: There is no such VM.
    """
    names = [vm.name for vm in config.vms]
    for each in args.probes:
        if each.vm not in names:
            raise UsageError(f"--probe: there is no VM {each.vm!r}; there are {', '.join(names)}")


def add_saved_start(parser: argparse.ArgumentParser) -> None:
    """Adds the option that leaves out the boot, into ``args.saved_start``."""
    parser.add_argument(
        "--saved-start",
        action="store_true",
        help="go on from the saved state of the booted system, made once; the results are the same",
    )


def check_saved_start(args: argparse.Namespace, config: "Config") -> None:
    """Whether a saved start, if one is asked for, can be.

    Raises:
        UsageError: It cannot.
    """
    if args.saved_start and config.clock.mode != "deterministic":
        raise UsageError('--saved-start needs clock.mode = "deterministic"')


def guest_time(text: str) -> int:
    """A duration of guest time such as "5s", in nanoseconds; for argparse."""
    try:
        time_ns = parse_duration_ns(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if time_ns == 0:
        raise argparse.ArgumentTypeError("must be more than zero")
    return time_ns


def host_seconds(text: str) -> float:
    """Seconds as a plain number, or a duration with a unit."""
    is_number = text.replace(".", "", 1).isdecimal()
    return guest_time(text + "s" if is_number else text) / 1e9


def probe_spec(text: str) -> "ProbeConfig":
    """A probe as text; for argparse."""
    from orchestrator.config.probes import parse_probe

    try:
        return parse_probe(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
