# SPDX-License-Identifier: MIT
"""TOML file -> frozen, typed `Config`; every fault at once. Nothing else reads the file.

Reading order: `model` (what comes out), `schema` (the keys and their types), `files` (what a named
file must be), `checks` (what must hold between keys), `probes` (probes as text), `faults` (how
faults are told). This module only puts them together.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from orchestrator.config.checks import ProbeDraft, VmDraft, check, check_probes
from orchestrator.config.faults import Faults, did_you_mean
from orchestrator.config.model import (
    BenchConfig,
    ClockConfig,
    Config,
    ElfVm,
    LinuxTraceConfig,
    LinuxVm,
    MachineConfig,
    ProbeConfig,
    Timeouts,
    TraceConfig,
    VmConfig,
)
from orchestrator.config.probes import split_place
from orchestrator.config.schema import (
    TABLES,
    VM_TYPES,
    BenchTable,
    Draft,
    LinuxTraceTable,
    ProbeTable,
    read_table,
)
from orchestrator.errors import ConfigError

__all__ = [
    "BenchConfig",
    "ClockConfig",
    "Config",
    "ElfVm",
    "LinuxTraceConfig",
    "LinuxVm",
    "MachineConfig",
    "ProbeConfig",
    "Timeouts",
    "TraceConfig",
    "VmConfig",
    "build",
    "load",
    "read_raw",
]


def load(path: Path) -> Config:
    """Reads and checks a config file.

    Args:
        path: The file; relative paths in it start from its folder.

    Raises:
        ConfigError: The file cannot be read, or is wrong; every fault is in it.
    """
    text = _read(path)
    return build(_parse(text, path), path=path, text=text)


def read_raw(path: Path) -> dict[str, Any]:
    """The tables of a config file as they are, for `build` with some of them changed.

    Raises:
        ConfigError: The file cannot be read or is not TOML; nothing else was checked.
    """
    return dict(_parse(_read(path), path))


def build(raw: Mapping[str, Any], *, path: Path, text: str = "") -> Config:
    """Checks tables that come from a config file, or are like those of one.

    Args:
        raw: The tables.
        path: The file; relative paths start from its folder, and faults name it.
        text: Its text, to find the lines of faults in.

    Raises:
        ConfigError: Something is wrong; every fault is in it.
    """
    faults = Faults(file=str(path), text=text)
    base = path.absolute().parent
    for name in raw:
        if name not in _TOP_LEVEL:
            faults.add((name,), "is not a table of this file" + did_you_mean(name, _TOP_LEVEL))
    raw_linux_trace = {}
    if isinstance(raw.get("trace"), Mapping):
        raw = {**raw, "trace": dict(raw["trace"])}
        raw_linux_trace = raw["trace"].pop("linux", {})
    drafts = {
        name: read_table(table, raw.get(name, {}), key=(name,), base=base, faults=faults)
        for name, table in TABLES.items()
    }
    linux_trace = read_table(
        LinuxTraceTable, raw_linux_trace, key=("trace", "linux"), base=base, faults=faults
    )
    machine = MachineConfig(**drafts["machine"].values)
    clock = ClockConfig(**drafts["clock"].values)
    timeouts = Timeouts(**drafts["timeouts"].values)
    vms = _read_vms(
        raw.get("vm", {}), base=base, direct=machine.hypervisor == "none", faults=faults
    )
    probes = _read_probes(raw.get("probe", []), base=base, faults=faults)
    benches = _read_benches(raw.get("bench", {}), base=base, faults=faults)
    trace = TraceConfig(**drafts["trace"].values, linux=LinuxTraceConfig(**linux_trace.values))
    check(machine=machine, machine_wrong=drafts["machine"].wrong, vms=vms, faults=faults)
    check_probes(machine=machine, trace=trace, vms=vms, probes=probes, faults=faults)
    faults.raise_if_any()
    return Config(
        path=path.absolute(),
        machine=machine,
        clock=clock,
        vms=tuple(draft.vm for draft in vms),
        timeouts=timeouts,
        trace=trace,
        probes=tuple(draft.probe for draft in probes),
        benches=benches,
    )


_BENCH_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}")
_TOP_LEVEL = (*TABLES, "vm", "probe", "bench")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error


def _parse(text: str, path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def _read_vms(raw: object, *, base: Path, direct: bool, faults: Faults) -> list[VmDraft]:
    if not isinstance(raw, Mapping):
        faults.add(("vm",), "must hold one table a VM: [vm.NAME]")
        return []
    return [
        _read_vm(str(name), table, base=base, direct=direct, faults=faults)
        for name, table in raw.items()
    ]


def _read_probes(raw: object, *, base: Path, faults: Faults) -> list[ProbeDraft]:
    if not isinstance(raw, list):
        faults.add(("probe",), "must be a table for each probe: [[probe]]")
        return []
    drafts = []
    for index, table in enumerate(raw):
        key = (f"probe[{index}]",)
        draft = read_table(ProbeTable, table, key=key, base=base, faults=faults)
        values = dict(draft.values)
        at = values.pop("at", None)
        if at is None and "at" not in draft.wrong:
            faults.add((*key, "at"), 'is missing; give a place such as at = "rtos:OSTaskSwHook"')
        vm, place = ("", "") if at is None else split_place(at)
        probe = ProbeConfig(vm=vm, place=place, **values)
        drafts.append(
            ProbeDraft(key=key, probe=probe, given=frozenset(draft.values), wrong=draft.wrong)
        )
    return drafts


def _read_benches(raw: object, *, base: Path, faults: Faults) -> tuple[BenchConfig, ...]:
    if not isinstance(raw, Mapping):
        faults.add(("bench",), "must hold one table a benchmark: [bench.NAME]")
        return ()
    benches = []
    for name, table in raw.items():
        key = ("bench", str(name))
        if not _BENCH_NAME.fullmatch(name):
            faults.add(key, "a benchmark's name is 1 to 32 characters of a-z, 0-9, _ and -")
        draft = read_table(BenchTable, table, key=key, base=base, faults=faults)
        if "path" in draft.values:
            benches.append(BenchConfig(name=str(name), **draft.values))
        elif "path" not in draft.wrong:
            faults.add((*key, "path"), "is missing; name a program for ARM, or a script")
    return tuple(benches)


def _read_vm(name: str, raw: object, *, base: Path, direct: bool, faults: Faults) -> VmDraft:
    key = ("vm", name)
    given = raw.get("type") if isinstance(raw, Mapping) else None
    if isinstance(given, str) and given in VM_TYPES:
        kind = given
    else:
        # Guess, so that the other keys are checked too.
        kind = "elf" if isinstance(raw, Mapping) and "image" in raw else "linux"
        if isinstance(raw, Mapping):
            _tell_type(given, key, faults)
            raw = {name: value for name, value in raw.items() if name != "type"}
    draft = read_table(VM_TYPES[kind], raw, key=key, base=base, faults=faults)
    return VmDraft(
        key=key,
        vm=_build_vm(name, kind, draft, direct=direct),
        given=frozenset(draft.values),
        wrong=draft.wrong,
    )


def _tell_type(given: object, key: tuple[str, ...], faults: Faults) -> None:
    words = ", ".join(f'"{word}"' for word in VM_TYPES)
    if given is None:
        faults.add((*key, "type"), f"is missing; valid: {words}")
    else:
        hint = did_you_mean(given, VM_TYPES) if isinstance(given, str) else f"; valid: {words}"
        faults.add((*key, "type"), f'"{given}" is not a type of VM{hint}')


def _build_vm(name: str, kind: str, draft: Draft, *, direct: bool) -> VmConfig:
    values = {k: v for k, v in draft.values.items() if k not in ("type", "pin")}
    values.setdefault("ram_bytes", 0)
    pin = draft.values.get("pin")
    if pin is None:
        vcpus = values.get("vcpus", 1)
        pin = range(vcpus) if direct else (0,) * vcpus
    elif "vcpus" not in values:
        values["vcpus"] = len(pin)
    build = LinuxVm if kind == "linux" else ElfVm
    return build(name=name, pin=tuple(pin), **values)
