# SPDX-License-Identifier: MIT
"""What is known of real-time kernels: where the current task is, and what a task is like.

Each kernel is a file in `rtos_profiles`, and nothing else: to add one, write such a file; the keys
are explained in ucos2.toml. Its expressions are those of fetch arguments (`orchestrator.probe`).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import ConfigError
from orchestrator.guest.symbols import SymbolTable

_FOLDER: Final = Path(__file__).parent / "rtos_profiles"
_KEYS: Final = {"name", "detect", "current", "task", "ready", "states", "switch", "tick", "calls"}
_TASK_KEYS: Final = ("id", "priority", "state", "delay", "name", "stack")
_SWITCH_KEYS: Final = {"at", "prev", "next"}
_READY_KEYS: Final = {"zero", "within", "set", "at"}
_CALL_KEYS: Final = {"at", "fetch"}


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Functions of a kernel's API whose calls tell of tasks, and what each call is about.

    Attributes:
        at: The functions; a kernel may be built without some.
        fetch: What to fetch at their entry; a kernel may have no such member.
    """

    at: tuple[str, ...]
    fetch: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RtosProfile:
    """One kernel.

    Attributes:
        key: Name of the profile's file.
        name: Of the kernel, for people.
        detect: Symbols that its ELF files have.
        current: A pointer to the running task.
        task: By what it tells ("id", "priority", "state", "delay", "name", "stack"), an
            expression with ``{task}`` for a pointer to the task.
        tick_at: The function that the kernel runs at each tick; None: not known.
        ready_zero: Keys of `task` that are 0 in a task that could run on, of "state" the bits that
            `states` has; empty: not known.
        ready_within: Keys of `task` -> the variable into which they point in such a task.
        ready_set: The priorities that have a task which could run, a bit for each; None: not known.
        ready_at: Functions at whose entry `ready_set` holds whatever has changed before.
        calls: What is of interest in its API.
        states: Bit of `state` -> what such a task waits for.
        switch_at: The function at whose entry a task gives the core to another.
        switch_prev: The one that leaves.
        switch_next: The one that comes; None: not known there, it leaves at the next hit.
    """

    key: str
    name: str
    detect: tuple[str, ...]
    current: str
    task: Mapping[str, str]
    switch_at: str
    switch_prev: str
    switch_next: str | None = None
    tick_at: str | None = None
    ready_zero: tuple[str, ...] = ()
    ready_within: Mapping[str, str] = field(default_factory=dict)
    ready_set: str | None = None
    ready_at: tuple[str, ...] = ()
    calls: tuple[Calls, ...] = ()
    states: Mapping[int, str] = field(default_factory=dict)

    def of_task(self, pointer: str, key: str) -> str:
        """The expression for one thing that a task tells of itself."""
        return self.task[key].replace("{task}", pointer)


def load_profile(path: Path) -> RtosProfile:
    """Reads a profile.

    Raises:
        ConfigError: It cannot be read or is wrong; every fault at once.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    faults = [f"{path}: {what}" for what in _faults(raw)]
    if faults:
        raise ConfigError(faults)
    switch, ready = raw["switch"], raw.get("ready", {})
    return RtosProfile(
        key=path.stem,
        name=raw["name"],
        detect=tuple(raw["detect"]),
        current=raw["current"],
        task={key: raw["task"][key] for key in _TASK_KEYS if key in raw["task"]},
        switch_at=switch["at"],
        switch_prev=switch["prev"],
        switch_next=switch.get("next"),
        tick_at=raw.get("tick", {}).get("at"),
        ready_zero=tuple(ready.get("zero", ())),
        ready_within=ready.get("within", {}),
        ready_set=ready.get("set"),
        ready_at=tuple(ready.get("at", ())),
        calls=tuple(
            Calls(at=tuple(each["at"]), fetch=tuple(each["fetch"])) for each in raw.get("calls", ())
        ),
        states={int(bit, 0): what for bit, what in raw.get("states", {}).items()},
    )


def _faults(raw: Mapping[str, Any]) -> list[str]:
    found = [f"{key} is missing" for key in ("name", "current", "detect") if not raw.get(key)]
    found += [f"{key} is not a key of a profile" for key in raw if key not in _KEYS]
    task, switch = raw.get("task", {}), raw.get("switch", {})
    found += [f"task.{key} is missing" for key in ("priority", "name") if key not in task]
    found += [f"task.{key} is not known" for key in task if key not in _TASK_KEYS]
    found += [f"switch.{key} is missing" for key in ("at", "prev") if key not in switch]
    found += [f"tick.{key} is not known" for key in raw.get("tick", {}) if key != "at"]
    found += [f"switch.{key} is not known" for key in switch if key not in _SWITCH_KEYS]
    ready = raw.get("ready", {})
    found += [f"ready.{key} is not known" for key in ready if key not in _READY_KEYS]
    zero = ready.get("zero", ())
    found += [f"ready.zero: task.{key} is not there" for key in zero if key not in task]
    within = ready.get("within", {})
    found += [f"ready.within: task.{key} is not there" for key in within if key not in task]
    if ("set" in ready) != ("at" in ready):
        found.append("ready.set and ready.at need each other")
    found += [
        f"calls: at and fetch are needed, and nothing else: {sorted(each)}"
        for each in raw.get("calls", ())
        if set(each) != _CALL_KEYS
    ]
    return found


@cache
def linux() -> RtosProfile:
    """Linux, whose tasks are told in the same way."""
    return load_profile(_FOLDER.parent / "linux.toml")


@cache
def profiles() -> tuple[RtosProfile, ...]:
    """All real-time kernels that are known."""
    return tuple(load_profile(path) for path in sorted(_FOLDER.glob("*.toml")))


def detect(symbols: SymbolTable) -> RtosProfile | None:
    """The kernel that an ELF file is made of; None: none that is known."""
    for each in profiles():
        if all(symbols.get(name) is not None for name in each.detect):
            return each
    return None
