# SPDX-License-Identifier: MIT
"""Probes as text: the places of a config file, and whole probes of the command line.

What the parts mean is in docs/probes.md. Whether the place is there, and what a fetch finds, is
known only when the guest's symbols are: `orchestrator.probe`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.config.model import ProbeConfig
from orchestrator.units import parse_duration_ns

PLACE: Final = re.compile(
    r"(?P<address>0x[0-9a-fA-F]{1,8})"
    r"|(?P<symbol>[A-Za-z_.*?\[][\w.$*?\[\]!-]*)(?:\+(?P<offset>0x[0-9a-fA-F]+|\d+))?"
)
_VM: Final = re.compile(r"[a-z0-9_-]+")
_GLOB: Final = re.compile(r"[*?\[]")
_LIMIT_MAX: Final = (1 << 32) - 1
_OPEN, _CLOSE = "([", ")]"


def is_glob(place: str) -> bool:
    """Whether a place stands for several functions."""
    return _GLOB.search(place) is not None


def split_place(text: str) -> tuple[str, str]:
    """Splits "VM:PLACE".

    Raises:
        ValueError: It is not of that form.
    """
    vm, colon, place = text.partition(":")
    match = PLACE.fullmatch(place)
    if not colon or not _VM.fullmatch(vm) or match is None:
        raise ValueError(f'"{text}" is not a place such as linux:__switch_to+8 or rtos:0x40008000')
    if match["offset"] and is_glob(match["symbol"]):
        raise ValueError(f'"{text}": a pattern of names cannot have an offset')
    return vm, place


def parse_probe(text: str) -> ProbeConfig:
    """Reads a probe of the command line: a place, then fetches and options in any order.

    Raises:
        ValueError: It cannot be read.
    """
    words = _words(text)
    if not words:
        raise ValueError("a probe needs a place such as rtos:OSTaskSwHook")
    vm, place = split_place(words[0])
    options: dict[str, Any] = {}
    fetch = []
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if equals and key in _OPTIONS:
            attribute, read = _OPTIONS[key]
            if attribute in options:
                raise ValueError(f"{key}= is given twice")
            options[attribute] = read(value)
        else:
            fetch.append(word)
    probe = ProbeConfig(vm=vm, place=place, fetch=tuple(fetch), **options)
    if probe.until_ns and probe.until_ns <= probe.from_ns:
        raise ValueError("until= must be later than from=")
    return probe


def probe_text(probe: ProbeConfig) -> str:
    """The probe as `parse_probe` reads it; options that have their default are left out."""
    words = [f"{probe.vm}:{probe.place}", *probe.fetch]
    words += [f"name={probe.name}"] if probe.name else []
    words += [f"mode={probe.mode}"] if probe.mode != "hvc" else []
    words += [f"limit={probe.limit}"] if probe.limit else []
    words += [f"from={probe.from_ns}ns"] if probe.from_ns else []
    words += [f"until={probe.until_ns}ns"] if probe.until_ns else []
    words += [] if probe.tasks else ["tasks=no"]
    words += [f"record={probe.record}"] if probe.record != "plugin" else []
    return " ".join(words)


def _words(text: str) -> list[str]:
    """Splits at spaces outside of parentheses, since a C type has some."""
    words = [""]
    depth = 0
    for char in text:
        depth += (char in _OPEN) - (char in _CLOSE)
        if char.isspace() and depth <= 0:
            words.append("")
        else:
            words[-1] += char
    return [word for word in words if word]


def _one_of(key: str, *words: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f'{key}="{value}" is not known; valid: {", ".join(words)}')
        return value

    return read


def _limit(value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) <= _LIMIT_MAX:
        raise ValueError(f'limit="{value}" is not a number from 1 to {_LIMIT_MAX}')
    return int(value)


def _yes(value: str) -> bool:
    return _one_of("tasks", "yes", "no")(value) == "yes"


_OPTIONS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "name": ("name", str),
    "mode": ("mode", _one_of("mode", "hvc", "shadow")),
    "record": ("record", _one_of("record", "plugin", "both")),
    "limit": ("limit", _limit),
    "from": ("from_ns", parse_duration_ns),
    "until": ("until_ns", parse_duration_ns),
    "tasks": ("tasks", _yes),
}
