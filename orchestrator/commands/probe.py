# SPDX-License-Identifier: MIT
"""`orchestrate probe`: place, list and remove probes in a running system; look where they can be."""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.commands import Commands, add_command, probe_spec
from orchestrator.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from orchestrator.config import ProbeConfig

_SPEC_HELP: Final = "a probe such as 'linux:ksys_read fd=%%r0 mode=shadow'; see docs/probes.md"
_COVERED_PERCENT: Final = 99.0


def add(commands: Commands) -> None:
    """Describes the command."""
    parser = add_command(commands, "probe", None, "place, list and remove probes")
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    adding = add_command(actions, "add", _add, "place probes in a running system")
    adding.add_argument("specs", nargs="+", type=probe_spec, metavar="SPEC", help=_SPEC_HELP)
    adding.add_argument(
        "--dry-run",
        action="store_true",
        help="only show address, walk, and the instruction with the way it is emulated",
    )
    _running(adding)
    listing = add_command(actions, "list", _list, "list the probes of a running system")
    _running(listing)
    removing = add_command(actions, "remove", _remove, "remove probes; tells what they counted")
    removing.add_argument("ids", nargs="+", metavar="ID", help="as `list` shows them, or all")
    _running(removing)
    check = add_command(actions, "check", _check, "tell where probes could be, and why not")
    check.add_argument("place", metavar="SPEC", help="a probe, or a VM with --all")
    check.add_argument("--all", action="store_true", help="every function of the VM")
    check.add_argument("--mode", choices=["hvc", "shadow"], help="default: as SPEC says, else hvc")
    _running(check, or_config=True)
    symbols = add_command(actions, "symbols", _symbols, "list functions by a pattern")
    symbols.add_argument("place", metavar="VM:PATTERN", help="such as 'rtos:OSQ*'")
    _running(symbols, or_config=True)


def _running(parser: argparse.ArgumentParser, *, or_config: bool = False) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--run",
        dest="run_dir",
        type=Path,
        metavar="DIR",
        help="run directory of the system; needed when several run, or after --out",
    )
    if or_config:
        where.add_argument(
            *("-c", "--config"),
            type=Path,
            metavar="FILE",
            help="look into the images of this config; nothing needs to run",
        )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def _ask(args: argparse.Namespace, **request: Any) -> Any:
    from orchestrator import control, rundir

    return control.ask(rundir.find_control(args.run_dir), request)


def _texts(specs: Sequence["ProbeConfig"]) -> list[str]:
    from orchestrator.config.probes import probe_text

    return [probe_text(each) for each in specs]


def _add(args: argparse.Namespace) -> int:
    if args.dry_run:
        planned = _ask(args, do="plan", probes=_texts(args.specs))
        if not _print_json(args, planned):
            for each in planned["places"]:
                _show_plan(each)
            _show_skipped(planned["skipped"])
        return 0
    added = _ask(args, do="add", probes=_texts(args.specs))
    if not _print_json(args, added):
        for each in added["placed"]:
            print(_line(each))
        _show_skipped(added["skipped"])
    return 0


def _list(args: argparse.Namespace) -> int:
    listed = _ask(args, do="list")
    if not _print_json(args, listed):
        for each in listed:
            print(_line(each))
    return 0


def _remove(args: argparse.Namespace) -> int:
    if args.ids == ["all"]:
        ids = [each["id"] for each in _ask(args, do="list")]
    elif all(word.isdecimal() for word in args.ids):
        ids = [int(word) for word in args.ids]
    else:
        raise UsageError(
            "probes are removed by their numbers, or all; see `orchestrate probe list`"
        )
    removed = _ask(args, do="remove", ids=ids)
    if not _print_json(args, removed):
        for each in removed:
            print(_line(each))
    return 0


def _check(args: argparse.Namespace) -> int:
    place = f"{args.place}:*" if args.all and ":" not in args.place else args.place
    try:
        spec = probe_spec(place)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{error}, nor a VM with --all") from error
    spec = dataclasses.replace(spec, mode=args.mode or spec.mode, tasks=False)
    if args.config is not None:
        from orchestrator import config
        from orchestrator.probe.guest import find_guest
        from orchestrator.probe.offline import guests_of, image_views
        from orchestrator.probe.spec import resolve
        from orchestrator.probe.survey import survey

        guests = guests_of(config.load(args.config))
        guest = find_guest(guests, spec.vm)
        found = survey(image_views(guests)[spec.vm], resolve(spec, guest)).document()
    else:
        found = _ask(args, do="check", probe=_texts([spec])[0])
    shown = _print_json(args, found)
    if found["places"] == 1 and found["refused"]:
        ((reason, which),) = found["refused"].items()
        near = "".join(_near(places) for places in which["nearest"].values())
        raise CheckFailed(f"{place}: no probe can be placed: {reason}{near}")
    if not shown:
        _show_survey(found)
    percent = 100 * found["possible"] / found["places"]
    if percent < _COVERED_PERCENT:
        raise CheckFailed(f"{place}: probes are possible at {percent:.2f} % of the places")
    return 0


def _symbols(args: argparse.Namespace) -> int:
    vm, _, pattern = args.place.partition(":")
    if args.config is not None:
        from orchestrator import config
        from orchestrator.probe.guest import find_guest
        from orchestrator.probe.offline import guests_of

        guest = find_guest(guests_of(config.load(args.config)), vm)
        found = [[each.va, each.name] for each in guest.symbols.matching(pattern or "*")]
    else:
        found = _ask(args, do="symbols", vm=vm, pattern=pattern or "*")
    if not _print_json(args, found):
        for va, name in found:
            print(f"{va:08x} {name}")
    return 0


def _print_json(args: argparse.Namespace, answer: Any) -> bool:
    if args.json:
        print(json.dumps(answer, indent=1, ensure_ascii=False))
    return bool(args.json)


def _line(each: Mapping[str, Any]) -> str:
    line = f"{each['id']:5}  {each['mode']:6}  {each['va']:08x}  {each['name']}"
    if "hits" in each:
        line += f"  hits {sum(each['hits'])}, recorded {each['recorded']}"
    return line


def _show_plan(each: Mapping[str, Any]) -> None:
    print(f"{each['name']}: VA {each['va']:#x}, PA {each['pa']:#x}")
    for step in each["walk"]:
        print(f"  {step}")
    print(f"  {each['encoding']} {each['word']}: {each['instruction']}")
    how = f"emulated as {each['emulation']}" if each["emulation"] else "stays as it is"
    print(f"  {how}")
    for fetch in each["fetch"]:
        print(f"  fetches {fetch['name']}: {fetch['text']} ({fetch['type']})")


def _show_skipped(skipped: Sequence[Mapping[str, str]]) -> None:
    for each in skipped:
        print(f"left out: {each['place']}: {each['reason']}")


def _show_survey(found: Mapping[str, Any]) -> None:
    places, possible = found["places"], found["possible"]
    print(f"{possible} of {places} places can have a probe ({100 * possible / places:.2f} %)")
    for name, count in found["classes"].items():
        print(f"{count:8}  {name}")
    for reason, which in found["refused"].items():
        print(f"{which['count']:8}  refused: {reason}, such as {', '.join(which['such_as'])}")
        for where, places in which["nearest"].items():
            print(f"{'':8}  {where}{_near(places)}")


def _near(places: Sequence[str]) -> str:
    return f"; the nearest that work: {', '.join(places)}"
