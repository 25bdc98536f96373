# SPDX-License-Identifier: MIT
"""The kernel's `format` files of trace events, read and written.

How a print format is filled in is the exporters' business.
"""

import re
from collections.abc import Sequence
from typing import Final

from orchestrator.errors import GuestError
from orchestrator.trace.pages import PAGE_BYTES
from orchestrator.trace.timeline import EventFormat, Field

_FIELD: Final = re.compile(
    r"\tfield:(?P<declaration>[^;]+);\toffset:(?P<offset>\d+);\tsize:(?P<bytes>\d+);"
    r"\tsigned:(?P<signed>[01]);"
)
_DECLARATION: Final = re.compile(r"(?P<type>.*?)\s*(?P<name>\w+)(?P<array>\[[^\]]*\])?$")
_DATA_LOC: Final = "__data_loc "

COMMON_BYTES: Final = 8
_COMMON: Final = (
    ("unsigned short", "common_type", 0, 2, False),
    ("unsigned char", "common_flags", 2, 1, False),
    ("unsigned char", "common_preempt_count", 3, 1, False),
    ("int", "common_pid", 4, 4, True),
)


def parse_format(text: str, *, system: str) -> EventFormat:
    """Reads one file.

    Args:
        text: Its content.
        system: The event's system, which the file does not name.

    Raises:
        GuestError: It is not such a file.
    """
    name = re.search(r"^name: (\S+)$", text, re.MULTILINE)
    number = re.search(r"^ID: (\d{1,5})$", text, re.MULTILINE)
    if name is None or number is None:
        raise GuestError(f"the format of an event of {system} has no name or ID: {text[:60]!r}")
    fields = tuple(_field(match) for match in _FIELD.finditer(text))
    common = tuple((each.name, each.offset, each.bytes) for each in fields[: len(_COMMON)])
    is_wild = any(each.offset + each.bytes > PAGE_BYTES for each in fields)
    if is_wild or common != tuple(each[1:4] for each in _COMMON):
        raise GuestError(f"{system}:{name[1]}: its format is not that of a record of ftrace's")
    return EventFormat(id=int(number[1]), system=system, name=name[1], fields=fields, text=text)


def _field(match: re.Match[str]) -> Field:
    declaration = match["declaration"]
    dynamic = declaration.startswith(_DATA_LOC)
    parts = _DECLARATION.match(declaration.removeprefix(_DATA_LOC))
    if parts is None:
        raise GuestError(f"the declaration {declaration!r} of an event's field cannot be read")
    return Field(
        name=parts["name"],
        c_type=parts["type"] + (parts["array"] or ""),
        offset=int(match["offset"]),
        bytes=int(match["bytes"]),
        signed=match["signed"] == "1",
        dynamic=dynamic,
    )


def make_format(
    *, number: int, system: str, name: str, fields: Sequence[Field], print_format: str
) -> EventFormat:
    """Makes the format of an event that no kernel knows.

    Args:
        number: Its id.
        system: Its system.
        name: Its name.
        fields: Without the common ones; offsets are ignored, they follow one another.
        print_format: As in the kernel's files, from the quoted text on.
    """
    own, at = [], COMMON_BYTES
    for each in fields:
        at = -(-at // min(each.bytes, 4)) * min(each.bytes, 4)
        own.append(
            Field(
                name=each.name, c_type=each.c_type, offset=at, bytes=each.bytes, signed=each.signed
            )
        )
        at += each.bytes
    common = [
        Field(name=name, c_type=c_type, offset=offset, bytes=size, signed=signed)
        for c_type, name, offset, size, signed in _COMMON
    ]
    lines = [f"name: {name}", f"ID: {number}", "format:"]
    lines += [*map(_line, common), "", *map(_line, own), "", f"print fmt: {print_format}"]
    text = "\n".join(lines) + "\n"
    return EventFormat(id=number, system=system, name=name, fields=(*common, *own), text=text)


def _line(field: Field) -> str:
    base, bracket, length = field.c_type.partition("[")
    declaration = f"{base} {field.name}{bracket}{length}"
    return (
        f"\tfield:{declaration};\toffset:{field.offset};\tsize:{field.bytes};"
        f"\tsigned:{field.signed:d};"
    )
