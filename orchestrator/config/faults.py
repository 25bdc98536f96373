# SPDX-License-Identifier: MIT
"""Collects the faults of one config file, each with its line and the nearest valid name."""

import difflib
import re
from collections.abc import Collection
from typing import Final

from orchestrator.errors import ConfigError

# One part of a key: bare, or in either kind of quotes (the TOML specification, section Keys).
_PART: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER: Final = re.compile(rf"\s*\[\[?\s*({_KEY})\s*\]")
_ASSIGNMENT: Final = re.compile(rf"\s*({_KEY})\s*=")
_STRING_OR_COMMENT: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|#.*""")

KeyPath = tuple[str, ...]


def _split_key(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))


def key_lines(text: str) -> dict[KeyPath, int]:
    """Finds the line of each table header and key.

    This is a scan, not a parser: it is only asked about files that `tomllib` has accepted, and a
    key that it misses (inside an inline table) is reported with the line of the key around it.

    Returns:
        Line numbers from 1, by key path.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    arrays: dict[KeyPath, int] = {}
    depth = 0
    quote = ""  # the delimiter of the multi-line string that the scan is inside of
    for number, line in enumerate(text.splitlines(), start=1):
        if quote:
            if quote not in line:
                continue
            rest = line.split(quote, 1)[1]
            quote = ""
        elif depth == 0 and (header := _HEADER.match(line)):
            table = _split_key(header[1])
            if line.lstrip().startswith("[["):
                # Each table of an array has its own lines: "probe[0]", "probe[1]", ...
                index = arrays[table] = arrays.get(table, -1) + 1
                table = (*table[:-1], f"{table[-1]}[{index}]")
            lines.setdefault(table, number)
            continue
        else:
            rest = line
            if depth == 0 and (assignment := _ASSIGNMENT.match(line)):
                lines.setdefault(table + _split_key(assignment[1]), number)
                rest = line[assignment.end() :]
        for delimiter in ('"""', "'''"):
            if rest.count(delimiter) % 2:
                quote = delimiter
                rest = rest.split(delimiter, 1)[0]
        bare = _STRING_OR_COMMENT.sub("", rest)
        depth += sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}")
    return lines


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Ends a message about a wrong name: the nearest valid one, else all of them."""
    if near := nearest(name, known):
        return f'; did you mean "{near}"?'
    return "; valid: " + ", ".join(sorted(known))


class Faults:
    """The faults of one file, in any order while they are found and by line when told.

    Args:
        file: The file's name as the user gave it.
        text: The file's text, to find the lines of keys in.
    """

    def __init__(self, *, file: str, text: str) -> None:
        self._file = file
        self._lines = key_lines(text)
        self._found: list[tuple[int, str]] = []

    def add(self, key: KeyPath, what: str) -> None:
        """Notes one fault.

        Args:
            key: The path of the key that is wrong or missing.
            what: What is wrong and what to do.
        """
        # "pin[0]" is on the line of "pin"; an array's tables have lines of their own.
        where = key if key in self._lines else (*key[:-1], key[-1].split("[", 1)[0])
        while where and where not in self._lines:
            where = where[:-1]
        line = self._lines.get(where, 0)
        place = f"{self._file}:{line}" if line else self._file
        self._found.append((line, f"{place}: {'.'.join(key)}: {what}"))

    def raise_if_any(self) -> None:
        """Tells every fault at once.

        Raises:
            ConfigError: At least one fault was noted.
        """
        if self._found:
            # sorted() keeps the order of finding among the faults of one line.
            raise ConfigError([told for _, told in sorted(self._found, key=lambda f: f[0])])
