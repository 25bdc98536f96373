# SPDX-License-Identifier: MIT
"""The keys of the config file, their types and their limits; one class a table.

What must hold between keys is in `checks`. To add a key: a line in the class of its table here,
an attribute with its default in `model`, a line in `dual.toml`.

Every key is optional here, so that one wrong value does not hide the next fault: a table is read
without its wrong keys, and `checks` asks for those that must be there.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
)

from orchestrator.config import files
from orchestrator.config.faults import Faults, KeyPath, did_you_mean, nearest
from orchestrator.config.model import BLOCK_BYTES
from orchestrator.config.probes import split_place
from orchestrator.units import parse_duration_ns, parse_size_bytes

_INT64_MAX: Final = (1 << 63) - 1  # what C code and QEMU hold times and sizes in
_UINT32_MAX: Final = (1 << 32) - 1


def _by(parse: Callable[[str], int], example: str) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, str):
            raise ValueError(f'must be a string such as "{example}", not {_shown(value)}')  # noqa: TRY004 - pydantic takes ValueError only
        return parse(value)

    return read


def _at_least(least: int, told: str) -> AfterValidator:
    def check(value: int) -> int:
        if value < least:
            raise ValueError(f"must be {told} or more")
        if value > _INT64_MAX:
            raise ValueError("is too large")
        return value

    return AfterValidator(check)


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    return value


def _counting(value: str) -> str:
    if "count" not in re.compile(_regex(value)).groupindex:
        raise ValueError('has no group "count", such as (?P<count>[0-9]+)')
    return value


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _word_or_file(*words: str, kind: Callable[[Path], Path] = lambda path: path) -> PlainValidator:
    def read(value: object, info: ValidationInfo) -> Path | str:
        if not isinstance(value, str):
            raise ValueError(f"must be a string, not {_shown(value)}")  # noqa: TRY004 - as above
        if value in words:
            return value
        return kind(files.existing_file(value, _base(info), words=words))

    return PlainValidator(read)


def _guest_path(value: str) -> str:
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or str(path) != value or value == "/":
        raise ValueError("is not a plain absolute path of a file in the guest")
    return value


def _base(info: ValidationInfo) -> Path:
    base = info.context
    if not isinstance(base, Path):
        raise TypeError("tables are read with the config file's folder as context")
    return base


Duration = Annotated[int, BeforeValidator(_by(parse_duration_ns, "20us"))]
Timeout = Annotated[Duration, _at_least(1_000_000, "1ms")]
TimeoutSeconds = Annotated[Timeout, AfterValidator(lambda timeout_ns: timeout_ns / 1e9)]
Size = Annotated[int, BeforeValidator(_by(parse_size_bytes, "256M")), _at_least(BLOCK_BYTES, "2M")]


def _place(value: str) -> str:
    split_place(value)
    return value


GuestPath = Annotated[str, AfterValidator(_guest_path)]
HostFile = Annotated[Path, _word_or_file()]


def _host_then_guest(files: dict[str, Path]) -> tuple[tuple[Path, str], ...]:
    return tuple((host, guest) for guest, host in files.items())


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class MachineTable(_Table):
    """``[machine]``."""

    cores: Annotated[int, Field(ge=1, le=8)] | None = None
    ram_bytes: Size | None = Field(None, alias="ram")
    hypervisor: (
        Annotated[Path | str, _word_or_file("builtin", "none", kind=files.arm_elf)] | None
    ) = None
    # Below this a core would do nothing but switch.
    time_slice_ns: Annotated[Duration, _at_least(10_000, "10us")] | None = Field(
        None, alias="time_slice"
    )
    qemu: Annotated[str, Field(min_length=1)] | None = None


class ClockTable(_Table):
    """``[clock]``."""

    mode: Literal["deterministic", "realtime"] | None = None
    shift: Annotated[int, Field(ge=0, le=10)] | None = None
    quantum_ns: Annotated[Duration, _at_least(1_000, "1us")] | None = Field(None, alias="quantum")
    epoch: Annotated[datetime, AfterValidator(_utc)] | None = None


class TimeoutsTable(_Table):
    """``[timeouts]``."""

    start_s: TimeoutSeconds | None = Field(None, alias="start")
    ready_s: TimeoutSeconds | None = Field(None, alias="ready")
    command_s: TimeoutSeconds | None = Field(None, alias="command")
    silence_s: TimeoutSeconds | None = Field(None, alias="silence")


class TraceTable(_Table):
    """``[trace]``."""

    arm_at: Annotated[str, AfterValidator(_place)] | None = None
    hypervisor: bool | None = None


Buffer = Annotated[int, BeforeValidator(_by(parse_size_bytes, "8M")), _at_least(64 << 10, "64K")]


def _kibibytes(value: int) -> int:
    if value % 1024:
        raise ValueError("must be a multiple of 1K")
    return value


def _matching(pattern: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{_shown(value)} is not {what}")
        return value

    return AfterValidator(check)


def _filters(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError(f'must be a table of "system:event" = "filter", not {_shown(value)}')  # noqa: TRY004 - as above
    return value


Event = Annotated[
    str, _matching(r"\w+(:\w+)?", 'an event such as "sched" or "irq:irq_handler_entry"')
]
Filter = Annotated[str, _matching(r"[ -~]{1,512}", "a filter: one line of printable ASCII")]


class LinuxTraceTable(_Table):
    """``[trace.linux]``."""

    events: Annotated[list[Event], AfterValidator(tuple)] | None = None
    filters: Annotated[dict[Event, Filter], BeforeValidator(_filters)] | None = None
    tracer: Annotated[str, _matching(r"\w+", 'a tracer such as "function"')] | None = None
    clock: Literal["local", "global", "mono", "mono_raw", "boot", "perf"] | None = None
    buffer_bytes: Annotated[Buffer, AfterValidator(_kibibytes)] | None = Field(None, alias="buffer")
    instance: Annotated[str, _matching(r"[\w-]{0,32}", "a plain name")] | None = None


class ProbeTable(_Table):
    """``[[probe]]``."""

    at: Annotated[str, AfterValidator(_place)] | None = None
    name: Annotated[str, Field(min_length=1, pattern=r"^[ -~]*$", max_length=64)] | None = None
    fetch: Annotated[list[Annotated[str, Field(min_length=1)]], AfterValidator(tuple)] | None = None
    mode: Literal["hvc", "shadow"] | None = None
    limit: Annotated[int, Field(ge=1, le=_UINT32_MAX)] | None = None
    from_ns: Duration | None = Field(None, alias="from")
    until_ns: Duration | None = Field(None, alias="until")
    tasks: bool | None = None
    record: Literal["plugin", "both"] | None = None


class BenchTable(_Table):
    """``[bench.NAME]``."""

    path: HostFile | None = None
    args: Annotated[list[str], AfterValidator(tuple)] | None = None
    unit: Annotated[str, Field(min_length=1, pattern=r"^[ -~]*$", max_length=64)] | None = None
    count: Annotated[str, Field(min_length=1), AfterValidator(_counting)] | None = None


class _VmTable(_Table):
    ram_bytes: Size | None = Field(None, alias="ram")
    vcpus: Annotated[int, Field(ge=1, le=8)] | None = None
    pin: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    priority: Annotated[int, Field(ge=0, le=255)] | None = None
    ready: Annotated[str, Field(min_length=1), AfterValidator(_regex)] | None = None
    silence_ns: Timeout | None = Field(None, alias="silence")


class LinuxTable(_VmTable):
    """``[vm.NAME]`` with type = "linux"."""

    type: Literal["linux"] | None = None
    kernel: (
        Annotated[Path | str, _word_or_file("armmp", "armmp-lpae", kind=files.arm_kernel)] | None
    ) = None
    initramfs: Annotated[Path | str, _word_or_file("default", kind=files.cpio_archive)] | None = (
        None
    )
    append: Annotated[str, Field(pattern=r"^[ -~]*$", max_length=512)] | None = None
    files: Annotated[dict[GuestPath, HostFile], AfterValidator(_host_then_guest)] | None = None


class ElfTable(_VmTable):
    """``[vm.NAME]`` with type = "elf"."""

    type: Literal["elf"] | None = None
    image: Annotated[Path | str, _word_or_file("rtos", kind=files.arm_elf)] | None = None
    ram_ipa: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    console: bool | None = None


TABLES: Final[Mapping[str, type[_Table]]] = {
    "machine": MachineTable,
    "clock": ClockTable,
    "timeouts": TimeoutsTable,
    "trace": TraceTable,
}
VM_TYPES: Final[Mapping[str, type[_VmTable]]] = {"linux": LinuxTable, "elf": ElfTable}

_EXPECTED: Final = {
    "string_type": "a string",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": 'a table of "/path/in/the/guest" = "file on the host"',
    "list_type": "a list such as [0, 1]",
    "datetime_type": "a date and time such as 2026-01-01T00:00:00Z",
}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One table as far as it can be read.

    Attributes:
        key: The table's path in the file.
        values: By attribute of the model; what is absent was not given or is wrong.
        wrong: Attributes that were given and are wrong; their fault is already noted.
    """

    key: KeyPath
    values: Mapping[str, Any]
    wrong: frozenset[str]


def keys_of(table: type[_Table]) -> dict[str, str]:
    """The attribute of each key of a table."""
    return {info.alias or name: name for name, info in table.model_fields.items()}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)


def _unknown_key(key: str, table: type[_Table]) -> str:
    known = keys_of(table)
    near = nearest(key, known)
    if near is None:
        for name, other in TABLES.items():
            if key in keys_of(other):
                return f"is not a key of this table; it belongs in [{name}]"
        for name, vm_table in VM_TYPES.items():
            if key in keys_of(vm_table):
                return f'is only a key of a VM of type "{name}"'
    return "is not a key of this table" + did_you_mean(key, known)


def _unknown_word(value: object, expected: str) -> str:
    words = re.findall(r"'([^']*)'", expected)
    hint = did_you_mean(value, words) if isinstance(value, str) else "; valid: " + ", ".join(words)
    return f"{_shown(value)} is not known{hint}"


# How each kind of pydantic error is told: from the wrong value and the error's context.
_TOLD: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], str]]] = {
    "value_error": lambda _value, context: str(context["error"]),
    "literal_error": lambda value, context: _unknown_word(value, context["expected"]),
    "greater_than_equal": lambda value, context: f"must be {context['ge']} or more, not {value}",
    "less_than_equal": lambda value, context: f"must be {context['le']} or less, not {value}",
    "less_than": lambda value, context: f"must be less than {context['lt']:#x}, not {value:#x}",
    "string_pattern_mismatch": lambda _value, _context: (
        "may only hold printable ASCII characters on one line"
    ),
    "string_too_long": lambda value, context: (
        f"is {len(value)} characters long; at most {context['max_length']}"
    ),
    "too_short": lambda _value, _context: "must not be empty; name the core of each vCPU",
    "string_too_short": lambda _value, _context: "must not be empty; remove the key instead",
}


def _told(error: Mapping[str, Any], table: type[_Table]) -> str:
    """One pydantic error in the words of this file's users."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return _unknown_key(str(error["loc"][0]), table)
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, not {_shown(value)}"
    if tell := _TOLD.get(kind):
        return tell(value, error.get("ctx", {}))
    return f"{error['msg']}, not {_shown(value)}"


def _path(location: tuple[int | str, ...]) -> KeyPath:
    path: list[str] = []
    for part in location:
        if isinstance(part, int):
            path[-1] += f"[{part}]"
        elif part != "[key]":  # pydantic's mark that a key, not its value, is wrong
            path.append(part)
    return tuple(path)


def read_table(
    table: type[_Table], raw: object, *, key: KeyPath, base: Path, faults: Faults
) -> Draft:
    """Reads one table; notes its faults and leaves the wrong keys out.

    Args:
        table: The class that knows the keys.
        raw: What the TOML file holds there.
        key: The table's path in the file.
        base: Folder that relative paths start from.
        faults: Collects what is wrong.
    """
    if not isinstance(raw, Mapping):
        faults.add(key, f"must be a table, not {_shown(raw)}")
        return Draft(key=key, values={}, wrong=frozenset(keys_of(table).values()))
    wrong_keys: set[str] = set()
    try:
        read = table.model_validate(dict(raw), context=base)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            wrong_keys.add(str(error["loc"][0]))
            faults.add((*key, *_path(error["loc"])), _told(error, table))
        sound = {name: value for name, value in raw.items() if name not in wrong_keys}
        read = table.model_validate(sound, context=base)
    attributes = keys_of(table)
    return Draft(
        key=key,
        # Not model_dump(): it would turn values such as paths into copies of its own choosing.
        values={name: getattr(read, name) for name in read.model_fields_set},
        wrong=frozenset(attributes[name] for name in wrong_keys if name in attributes),
    )
