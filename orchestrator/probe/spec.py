# SPDX-License-Identifier: MIT
"""A probe as the user asked for it, resolved in its guest: addresses, names, programs.

The grammar is in docs/probes.md; places and options are read by `orchestrator.config.probes`, the
fetch arguments by `fetch`. Nothing here looks at the guest's memory.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from orchestrator import records
from orchestrator.config import ProbeConfig
from orchestrator.config.probes import PLACE, is_glob
from orchestrator.errors import UsageError
from orchestrator.guest.rtos import RtosProfile
from orchestrator.probe.fetch import Fetch, compile_fetch
from orchestrator.probe.guest import Guest

_TASK_FACTS: Final = ("id", "priority", "state", "name")
_SWITCH_FACTS: Final = ("id", "priority", "state", "delay", "name")
_CURRENT: Final = ("task_id", "prev_id")
_NEEDED_FACTS: Final = ("priority", "name")
READY: Final = "ready"
"""Role of a place at which an RTOS tells which tasks could run, and name of what tells it."""
GONE: Final = "is only there while Linux boots; its memory is used for other things afterwards"
_KINDS: Final = {"object": "data", "absolute": "a number"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One place to probe.

    Attributes:
        config: What was asked for; a glob is one for each function.
        name: Of the probe in all that shows it.
        label: The place as "function+offset".
        va: Of the instruction.
        thumb: Whether it was told to be T32, by an odd address as in ELF; else nothing was said.
        role: "switch" at the place where an RTOS changes tasks, "tick" where it counts time, "ready"
            where it tells which of them could run, "".
        fetches: In the order of the record's words.
        current: Name of the fetch that is the number of the running task; "": none is.
    """

    config: ProbeConfig
    name: str
    label: str
    va: int
    thumb: bool
    role: str
    fetches: tuple[Fetch, ...]
    current: str


def resolve(probe: ProbeConfig, guest: Guest) -> tuple[Wanted, ...]:
    """Finds the places of a probe and compiles its fetches.

    Raises:
        UsageError: No such place, or a fetch that cannot be done; the message says what is near.
    """
    vas = _addresses(probe, guest)
    user = tuple(
        compile_fetch(text, symbols=guest.symbols, types=guest.types) for text in probe.fetch
    )
    out = []
    for va in vas:
        label = guest.symbols.name_of(va)
        profile = guest.profile if probe.tasks else None
        is_switch = profile is not None and label == profile.switch_at
        role = "switch" if is_switch else _role(guest.profile, label)
        ready = _ready_set(guest, guest.profile) if role == READY else ()
        tasks = _task_fetches(guest, profile, va, is_switch=is_switch)
        if guest.is_linux:  # it traces its switches itself; an RTOS's are read by these names
            role, named = "", {each.name for each in user}
            tasks = tuple(each for each in tasks if each.name not in named)
        fetches = (*ready, *tasks, *user)
        _check_fetches(fetches, f"{probe.vm}:{label}")
        name = probe.name if probe.name and len(vas) == 1 else f"{probe.vm}:{label}"
        out.append(
            Wanted(
                config=probe,
                name=name,
                label=label,
                va=va,
                thumb=_is_odd(probe.place),
                role=role,
                fetches=fetches,
                current=next((each.name for each in tasks if each.name in _CURRENT), ""),
            )
        )
    return tuple(out)


def possible(fetches: Iterable[str], guest: Guest) -> tuple[str, ...]:
    """Those of some fetches that a guest's symbols and types have."""
    out = []
    for text in fetches:
        with contextlib.suppress(UsageError):
            compile_fetch(text, symbols=guest.symbols, types=guest.types)
            out.append(text)
    return tuple(out)


def _role(profile: RtosProfile | None, label: str) -> str:
    if profile is None:
        return ""
    if label == profile.tick_at:
        return "tick"
    return READY if label in profile.ready_at else ""


def _ready_set(guest: Guest, profile: RtosProfile | None) -> tuple[Fetch, ...]:
    if profile is None or profile.ready_set is None:
        return ()
    return (compile_fetch(profile.ready_set, symbols=guest.symbols, types=guest.types, name=READY),)


def address(place: str, guest: Guest, *, any_kind: bool = False) -> int:
    """The address of a place that is no pattern, without the Thumb bit.

    `any_kind`: it need not be code, and so every bit counts.

    Raises:
        UsageError: No such symbol.
    """
    match = PLACE.fullmatch(place)
    if match is None or is_glob(place):
        raise UsageError(
            f"{guest.name}:{place} is a pattern of names; one place is needed here, such as one of "
            f"`orchestrate probe symbols '{guest.name}:{place}'`"
        )
    if match["address"]:
        return int(match["address"], 16) & (~0 if any_kind else ~1)
    symbol = guest.symbols.find(match["symbol"])
    if any_kind and symbol.kind == "object":
        return symbol.va + int(match["offset"] or "0", 0)
    if symbol.kind == "init":
        raise UsageError(f"{guest.name}:{symbol.name}: {GONE}")
    if symbol.kind != "function":
        raise UsageError(
            f"{guest.name}:{symbol.name} is {_KINDS[symbol.kind]}, no code; to see its value fetch "
            "it at a probe elsewhere"
        )
    offset = int(match["offset"] or "0", 0)
    end = guest.symbols.end_of(symbol)
    if symbol.va + offset >= end:
        raise UsageError(
            f"{guest.name}:{place}: {symbol.name} has {end - symbol.va:#x} bytes; choose an offset "
            "below that"
        )
    return symbol.va + offset


def _is_odd(place: str) -> bool:
    match = PLACE.fullmatch(place)
    return match is not None and match["address"] is not None and int(match["address"], 16) % 2 == 1


def _addresses(probe: ProbeConfig, guest: Guest) -> tuple[int, ...]:
    if not is_glob(probe.place):
        return (address(probe.place, guest),)
    return tuple(symbol.va for symbol in guest.symbols.matching(probe.place))


def _task_fetches(
    guest: Guest, profile: RtosProfile | None, va: int, *, is_switch: bool
) -> tuple[Fetch, ...]:
    if profile is None or not (is_switch or guest.has_current(va)):
        return ()
    if not is_switch:
        return _facts(guest, profile, "task", profile.current, _TASK_FACTS)
    out = _facts(guest, profile, "prev", profile.switch_prev, _SWITCH_FACTS)
    if profile.switch_next is not None:
        out += _facts(guest, profile, "next", profile.switch_next, _TASK_FACTS)
    return out


def _facts(
    guest: Guest, profile: RtosProfile, prefix: str, pointer: str, keys: tuple[str, ...]
) -> tuple[Fetch, ...]:
    def compiled(text: str, name: str) -> Fetch:
        return compile_fetch(text, symbols=guest.symbols, types=guest.types, name=name)

    out = [compiled(pointer, prefix)]
    for key in (key for key in keys if key in profile.task):
        # A kernel may be built without the others.
        optional = key not in _NEEDED_FACTS
        with contextlib.suppress(*(UsageError,) if optional else ()):
            out.append(compiled(profile.of_task(pointer, key), f"{prefix}_{key}"))
    return tuple(out)


def _check_fetches(fetches: tuple[Fetch, ...], where: str) -> None:
    words = sum(each.words for each in fetches)
    if words > records.WORDS:
        raise UsageError(
            f"{where}: the fetches take {words} words, a record holds {records.WORDS}; fetch less, "
            "or do without the tasks: tasks=no"
        )
    names = [each.name for each in fetches]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{where}: two fetches are called {name!r}; give yours another name, as in "
                f"my_{name}=..., or do without the tasks: tasks=no"
            )
