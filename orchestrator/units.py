# SPDX-License-Identifier: MIT
"""Durations and sizes as people write them: ``20us``, ``1.5s``, ``256M``.

Everything inside the package is a whole number of nanoseconds or bytes; only this module knows
the spelling.
"""

import re
from decimal import Decimal
from typing import Final

_LONGEST_NS: Final = 4_000_000_000_000_000_000
"""QEMU holds times in 63 bits; the plugin takes as much."""
_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_BYTES: Final = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# "KiB" and "K" are the same thing here; "KB" is not offered because it means two things.
_SIZE_SUFFIX: Final = {
    **_BYTES,
    **{f"{unit}iB": factor for unit, factor in _BYTES.items() if unit != "B"},
}
_NUMBER_UNIT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]*)", re.ASCII)


def _split(text: str, *, example: str) -> tuple[Decimal, str]:
    match = _NUMBER_UNIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is not a number with a unit, such as {example}')
    return Decimal(match[1]), match[2]


def _scale(text: str, units: dict[str, int], *, what: str, example: str) -> int:
    number, unit = _split(text, example=example)
    if unit not in units:
        known = ", ".join(units)
        told = f'the unknown unit "{unit}"' if unit else "no unit"
        raise ValueError(f'"{text}" has {told}; a {what} ends in one of {known}')
    scaled = number * units[unit]
    if scaled != int(scaled):
        raise ValueError(f'"{text}" is not a whole number of {next(iter(units))}')
    return int(scaled)


def parse_duration_ns(text: str) -> int:
    """Reads a duration such as ``20us``, ``1.5s`` or ``2min``.

    Returns:
        Nanoseconds, zero or more.

    Raises:
        ValueError: Not a number with a known unit, finer than a nanosecond, or over a century.
    """
    time_ns = _scale(text.replace("µ", "u"), _NS, what="duration", example="20us or 5s")
    if time_ns > _LONGEST_NS:
        raise ValueError(f'"{text}" is too long; at most {_LONGEST_NS // _NS["h"]}h')
    return time_ns


def parse_size_bytes(text: str) -> int:
    """Reads a size such as ``256M``, ``64KiB`` or ``1G``; units are powers of 1024.

    Returns:
        Bytes, zero or more.

    Raises:
        ValueError: Not a number with a known unit, or not a whole number of bytes.
    """
    return _scale(text, _SIZE_SUFFIX, what="size", example="16M or 1G")


def format_size(size_bytes: int) -> str:
    """Writes bytes with the largest unit that keeps a whole number: ``256M``."""
    for unit, factor in reversed(_BYTES.items()):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return "0B"


def format_rough_size(size_bytes: int) -> str:
    """Writes bytes for reading, not for exactness: ``31.4M``."""
    for unit, factor in reversed(_BYTES.items()):
        if size_bytes >= factor > 1:
            return f"{size_bytes / factor:.1f}{unit}"
    return f"{size_bytes}B"
