# SPDX-License-Identifier: MIT
"""The command `orchestrate`: parse, call, print; nothing else.

Everything that does the work is imported when its command runs, so that help and completion come
at once. `main` is the one place where failures turn into messages and exit codes; the table of
codes is in `errors`. To add a command: see `orchestrator.commands`.
"""

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, NoReturn, cast

from orchestrator import __version__
from orchestrator.commands import (
    Commands,
    Run,
    bench,
    boot,
    compare,
    completion,
    console,
    export,
    images,
    probe,
    sweep,
    trace,
    walk,
)
from orchestrator.errors import Interrupted, OrchestrateError, StorageError, UsageError
from orchestrator.signals import Signals

_EXIT_CODES: Final = """\
exit codes:
  0    fine
  1    a check ran to its end and failed
  2    wrong usage or config
  3    a tool, package or kernel is missing
  4    a guest or QEMU failed
  5    a phase ran out of time
  6    a file cannot be read or written
  70   a fault of orchestrate itself
  130  interrupted by Ctrl-C (143: by SIGTERM, 129: by SIGHUP)
  A command given after -- passes its own code through. Failures of this tool are then told
  apart by "orchestrate: error:" on stderr, or by the field "error" with --json.
"""
_INTERNAL_ERROR: Final = 70  # EX_SOFTWARE of sysexits.h: a fault of this program
_DEBUG_VARIABLE: Final = "ORCHESTRATE_DEBUG"

COMMANDS: Final = (
    *(boot, trace, console, probe, walk),
    *(export, bench, compare),
    *(sweep, images, completion),
)
"""In the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: Arguments without the program's name; None: those of this process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    own, command = _split_command(arguments)
    with Signals(ends_process=argv is None) as signals:
        try:
            code = _run(own, command)
            sys.stdout.flush()
        except SystemExit as parsed:
            # argparse ends this way after --help and --version.
            return parsed.code if isinstance(parsed.code, int) else 0
        except KeyboardInterrupt:
            return signals.told()
        except Exception as error:  # the last resort of the program
            signals.hold()
            if os.environ.get(_DEBUG_VARIABLE):
                raise
            if signals.caused(error):
                return signals.told()
            # Looked for before parsing, so that wrong usage is told as JSON too.
            code = _failed(error, as_json="--json" in own)
            return 128 + signals.received if signals.received else code
        return code


def _run(own: list[str], command: list[str] | None) -> int:
    args = build_parser().parse_args(own)
    args.command = command
    if command is not None and not args.takes_command:
        raise UsageError(f'"{args.subcommand}" takes no command after --')
    return cast("Run", args.run)(args)


def _failed(error: Exception, *, as_json: bool) -> int:
    """Tells what failed. Returns the exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader went away; keep the interpreter's last flush from failing again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    if isinstance(error, OrchestrateError):
        _tell(error, as_json=as_json, code=error.status)
        return error.status
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        told: OrchestrateError = StorageError(f"{place}{error.strerror or error}")
        _tell(told, as_json=as_json, code=told.status)
        return told.status
    told = OrchestrateError(
        f"internal error: {type(error).__name__}: {error}; this is a fault of orchestrate "
        f"itself. {_DEBUG_VARIABLE}=1 shows where"
    )
    _tell(told, as_json=as_json, code=_INTERNAL_ERROR)
    return _INTERNAL_ERROR


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage as this package's own error, in the name of the command it was meant for.

    argparse itself has a command's unknown words told by the program, which knows no better, and
    only when nothing else is wrong: of ``boot --confg F`` it would say that --config is missing.
    """

    def parse_known_args(  # type: ignore[override] # typeshed has it overloaded by `namespace`
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        given = sys.argv[1:] if args is None else list(args)
        if self.get_default("run") is not None:  # what follows is no other parser's
            self._refuse([word for word in given if self._is_unknown(word)])
        parsed, unknown = super().parse_known_args(given, namespace)
        self._refuse(unknown)
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")

    def _is_unknown(self, word: str) -> bool:
        """Whether argparse takes a word for a long option, and this command has none such."""
        is_option = word.startswith("--") and " " not in word
        return is_option and word.partition("=")[0] not in self._option_string_actions

    def _refuse(self, words: Sequence[str]) -> None:
        if not words:
            return
        word = words[0].partition("=")[0]
        options = [each.lstrip("-") for each in self._option_string_actions]
        near = difflib.get_close_matches(word.lstrip("-"), options, n=1)
        if near and word.startswith("--"):
            hint = f" (did you mean --{near[0]}?)"
        elif self.get_default("takes_command") and not word.startswith("-"):
            hint = ' (a command for the guest comes after "--")'
        else:
            hint = ""
        self.error(f"unrecognized arguments: {' '.join(words)}{hint}")


def build_parser() -> argparse.ArgumentParser:
    """Describes the whole command line; the shell completions are made from it, too."""
    parser = _Parser(
        prog="orchestrate",
        description="Boots a hypervisor with Linux and real-time guests on an emulated ARM board.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"orchestrate {__version__}")
    commands: Commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="subcommand", parser_class=_Parser
    )
    parser.set_defaults(parser=parser)
    for command in COMMANDS:
        command.add(commands)
    return parser


def _split_command(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Cuts at the first ``--``: argparse would drop any further one from the guest's command."""
    if "--" not in arguments:
        return arguments, None
    cut = arguments.index("--")
    return arguments[:cut], arguments[cut + 1 :]


def _tell(error: OrchestrateError, *, as_json: bool, code: int) -> None:
    from orchestrator import terminal

    for line in error.details:
        print(f"  {terminal.printable(line)}", file=sys.stderr)
    # An interruption is what the user wanted, so no error.
    kind = "" if isinstance(error, Interrupted) else "error: "
    for line in error.message.splitlines():
        print(f"orchestrate: {kind}{terminal.printable(line)}", file=sys.stderr)
    if as_json:
        print(terminal.error_json(error, exit_code=code))


if __name__ == "__main__":
    sys.exit(main())
