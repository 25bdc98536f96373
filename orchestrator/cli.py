# SPDX-License-Identifier: MIT
"""The command `orchestrate`: parse, call, print; nothing else.

Everything that does the work is imported when its command runs, so that help and completion come
at once. `main` is the one place where failures turn into messages and exit codes; the table of
codes is in `errors`. To add a command: a function ``_add_…`` that describes it and names the
function that runs it, and a line in `build_parser`.
"""

import argparse
import difflib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn, cast

from orchestrator import __version__
from orchestrator.errors import Interrupted, OrchestrateError, StorageError, UsageError
from orchestrator.units import parse_duration_ns

if TYPE_CHECKING:
    from orchestrator.config import Config
    from orchestrator.options import BootOptions

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no public name

_EXIT_CODES: Final = """\
exit codes:
  0    fine
  1    a check ran to its end and failed
  2    wrong usage or config
  3    a tool, package or kernel is missing
  4    a guest or QEMU failed
  5    a phase ran out of time
  6    a file cannot be read or written
  130  interrupted by Ctrl-C (143: by SIGTERM)
  A command given after -- passes its own code through. Failures of this tool are then told
  apart by "orchestrate: error:" on stderr, or by the field "error" with --json.
"""
_INTERNAL_ERROR: Final = 70  # EX_SOFTWARE of sysexits.h: a fault of this program
_DEBUG_VARIABLE: Final = "ORCHESTRATE_DEBUG"

Run = Callable[[argparse.Namespace], int]


class _SignalledError(KeyboardInterrupt):
    """SIGTERM or SIGHUP: unwinds everything exactly as Ctrl-C does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: Arguments without the program's name; None: those of this process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    own, command = _split_command(arguments)
    received: list[int] = []
    try:
        with _ends_on_signals(received):
            code = _run(own, command)
            sys.stdout.flush()
            return code
    except SystemExit as parsed:
        # argparse ends this way after --help and --version.
        return parsed.code if isinstance(parsed.code, int) else 0
    except KeyboardInterrupt:
        print("orchestrate: interrupted", file=sys.stderr)
        return 128 + (received[-1] if received else signal.SIGINT)
    except Exception as error:  # the last resort of the program
        if os.environ.get(_DEBUG_VARIABLE):
            raise
        # Looked for before parsing, so that wrong usage is told as JSON too.
        code = _failed(error, as_json="--json" in own)
        return 128 + received[-1] if received else code


def _run(own: list[str], command: list[str] | None) -> int:
    args = build_parser().parse_args(own)
    args.command = command
    if command is not None and args.run is not _boot:
        raise UsageError('only "boot" takes a command after --')
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
    """Reports wrong usage as this package's own error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


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
    commands: _Commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="subcommand", parser_class=_Parser
    )
    for add in (_add_boot, _add_console, _add_images, _add_completion):
        add(commands)
    return parser


def _add(commands: "_Commands", name: str, run: Run | None, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=about, description=about[0].upper() + about[1:] + ".", allow_abbrev=False
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def _add_boot(commands: "_Commands") -> None:
    boot = _add(commands, "boot", _boot, "boot the system that a config file describes")
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
        type=_guest_time,
        metavar="TIME",
        help="stop at exactly this guest time, such as 5s",
    )
    boot.add_argument("--dry-run", action="store_true", help="only print QEMU's command line")
    boot.add_argument("--json", action="store_true", help="print one JSON object at the end")
    boot.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="keep logs and run.json in this directory"
    )
    for phase, about in (
        ("start", "QEMU may take to answer"),
        ("ready", "the guests may take to be ready"),
        ("command", "COMMAND may take"),
    ):
        boot.add_argument(
            f"--timeout-{phase}",
            type=_host_seconds,
            metavar="S",
            help=f"host seconds {about}; overrides the config",
        )


def _add_console(commands: "_Commands") -> None:
    console = _add(commands, "console", _console, "attach to a guest of a running system")
    console.epilog = (
        "Ctrl-] detaches; the guest runs on. Whatever is typed arrives on host time, so that the "
        "run is no longer the same as another of its config."
    )
    console.add_argument(
        "--run",
        dest="run_dir",
        type=Path,
        metavar="DIR",
        help="run directory of the system; needed only when several run",
    )
    console.add_argument("vm", metavar="VM", help="the VM's name in the config, or hypervisor")


def _add_images(commands: "_Commands") -> None:
    images = _add(commands, "images", None, "build, list or remove what guests start from")
    actions = images.add_subparsers(required=True, metavar="ACTION", dest="action")
    build = _add(actions, "build", _images_build, "build or fetch images; what is there is kept")
    build.add_argument("names", nargs="*", metavar="IMAGE", help="without a name: all")
    _add(actions, "list", _images_list, "list what is in the cache and what has been built")
    _add(
        actions,
        "clean",
        _images_clean,
        "remove everything from the cache; it is made again on demand",
    )


def _add_completion(commands: "_Commands") -> None:
    completion = _add(commands, "completion", _completion, "print the completion script of a shell")
    completion.epilog = 'For bash, put eval "$(orchestrate completion bash)" into ~/.bashrc.'
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])


def _boot(args: argparse.Namespace) -> int:
    from orchestrator import config, session, terminal

    options = _boot_options(args)
    loaded = config.load(args.config)
    _check_command(options, loaded)
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
        out=args.out,
        command=command,
        timeouts=TimeoutOverrides(
            start_s=args.timeout_start,
            ready_s=args.timeout_ready,
            command_s=args.timeout_command,
        ),
        json=args.json,
    )


def _check_command(options: "BootOptions", config: "Config") -> None:
    if options.command is not None and not config.linux_vms:
        raise UsageError(f"{config.path.name} has no Linux VM that could run the command")
    if options.for_ns is not None and config.clock.mode != "deterministic":
        raise UsageError(
            '--for stops at an exact guest time; that needs clock.mode = "deterministic"'
        )


def _console(args: argparse.Namespace) -> int:
    from orchestrator import session, terminal

    return terminal.attach(session.find_console(args.run_dir, args.vm), name=args.vm)


def _images_build(args: argparse.Namespace) -> int:
    from orchestrator.images import initramfs, kernel, sources
    from orchestrator.images.store import Store

    known = (*sources.PARTS, *kernel.FLAVOURS)
    for name in args.names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else "valid: " + ", ".join(known)
            raise UsageError(f'there is no image "{name}"; {hint}')
    store = Store()
    for name in args.names or known:
        if name in sources.PARTS:
            print(f"{name:12} {sources.build(name)}", flush=True)
        else:
            image = kernel.linux_kernel(store, name)
            print(f"{name:12} {image.path}", flush=True)
            print(f"{'':12} {initramfs.base_initramfs(store, image)}", flush=True)
    return 0


def _images_list(_args: argparse.Namespace) -> int:
    from orchestrator.images import sources
    from orchestrator.images.store import Store
    from orchestrator.units import format_rough_size

    for entry in Store().list():
        print(f"{format_rough_size(entry.size_bytes):>8}  {entry.key:48}  {entry.path}")
    for name, part in sources.PARTS.items():
        path = sources.root() / "build" / name / part.artefact
        if path.exists():
            size = sum(f.stat().st_size for f in (path, *path.rglob("*")) if f.is_file())
            print(f"{format_rough_size(size):>8}  {name:48}  {path}")
    return 0


def _images_clean(_args: argparse.Namespace) -> int:
    from orchestrator.images.store import Store
    from orchestrator.units import format_rough_size

    store = Store()
    print(f"{format_rough_size(store.clean())} freed in {store.root}")
    return 0


def _completion(args: argparse.Namespace) -> int:
    import shtab

    from orchestrator.images import kernel, sources

    parser = build_parser()
    for action in _all_actions(parser):
        if action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab's documented way
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined] # the same
        elif action.metavar == "IMAGE":
            action.choices = (*sources.PARTS, *kernel.FLAVOURS)
    print(shtab.complete(parser, shell=args.shell))
    return 0


def _all_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to walk its tree
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            for child in action.choices.values():
                yield from _all_actions(child)


def _split_command(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """Cuts at the first ``--``: argparse would drop any further one from the guest's command."""
    if "--" not in arguments:
        return arguments, None
    cut = arguments.index("--")
    return arguments[:cut], arguments[cut + 1 :]


def _guest_time(text: str) -> int:
    try:
        time_ns = parse_duration_ns(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if time_ns == 0:
        raise argparse.ArgumentTypeError("must be more than zero")
    return time_ns


def _host_seconds(text: str) -> float:
    """Seconds as a plain number, or a duration with a unit."""
    is_number = text.replace(".", "", 1).isdecimal()
    return _guest_time(text + "s" if is_number else text) / 1e9


@contextmanager
def _ends_on_signals(received: list[int]) -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like Ctrl-C; `received` tells afterwards which signal came."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise _SignalledError

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, end) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _tell(error: OrchestrateError, *, as_json: bool, code: int) -> None:
    for line in error.details:
        print(f"  {line}", file=sys.stderr)
    # An interruption is what the user wanted, so no error.
    kind = "" if isinstance(error, Interrupted) else "error: "
    for line in error.message.splitlines():
        print(f"orchestrate: {kind}{line}", file=sys.stderr)
    if as_json:
        from orchestrator import terminal

        print(terminal.error_json(error, exit_code=code))


if __name__ == "__main__":
    sys.exit(main())
