# SPDX-License-Identifier: MIT
"""A Linux kernel's symbols from its own compressed tables, without the kernel's help.

They are found in the bytes of a kernel image, or of a running guest's memory, by their form
(kernel: scripts/kallsyms.c, kernel/kallsyms.c). `kallsyms_token_table` holds 256 NUL-terminated
strings, and `kallsyms_token_index` right behind it the offset of each: nothing else in a kernel
looks like that. Before it come `kallsyms_num_syms`, `kallsyms_names` and `kallsyms_markers`, which
tells where every 256th name begins, and before those the addresses; since 6.4 behind the index.

/proc/kallsyms in the guest shows the same list; a system test compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import UsageError
from orchestrator.guest.symbols import Symbol, SymbolTable

_TOKENS: Final = 256
_DIGITS: Final = b"".join(b"%c\0" % digit for digit in b"0123456789")
_MARKED: Final = 256  # kallsyms_markers has the position of each 256th name
_MAX_TABLE_BYTES: Final = 1 << 24
_FEWEST_NAMES: Final = 100
_LEAST_BYTES_EACH: Final = 3
_MOST_BYTES_EACH: Final = 64
_CODE_TYPES: Final = frozenset("tTwW")
_DATA_TYPES: Final = frozenset("bB")
"""Every kernel that names its data has some that begins as zero; `_etext` alone is a "D"."""
_LACKS: Final = (
    "data that is not exported has none (the kernel lacks CONFIG_KALLSYMS_ALL): give its address"
)
_INIT_BOUNDS: Final = ("_sinittext", "_einittext")
"""Between them lies what runs once; its memory is then given away (free_initmem)."""
_PAGE_OFFSET_MASK: Final = 0xF000_0000
"""A kernel's text begins in the first 16 MiB of its linear map, at 2, 2.75 or 3 GiB."""


def page_offset(symbols: SymbolTable) -> int:
    """Where a Linux kernel's linear map begins: the virtual address of the first byte of RAM."""
    return symbols.symbols[0].va & _PAGE_OFFSET_MASK


def parse_kallsyms(image: bytes, *, source: str) -> tuple[tuple[int, str, str], ...]:
    """All symbols that a kernel knows of itself.

    Args:
        image: The kernel, uncompressed, or the memory that it lies in.
        source: Of the bytes, for messages.

    Returns:
        Address, type letter and name of each, in the order of /proc/kallsyms.

    Raises:
        UsageError: No such tables, or of a form that is not known.
    """
    for start, tokens in _token_tables(image):
        names = _find_names(image, start, tokens)
        if names is None:
            continue
        vas = _find_addresses(image, names, tokens)
        if vas is not None:
            return tuple(
                (int(va), text[0], text[1:]) for va, text in zip(vas, names.texts, strict=True)
            )
    raise UsageError(
        f"{source}: no kallsyms tables in it; is it an uncompressed Linux kernel with "
        "CONFIG_KALLSYMS?"
    )


def read_kallsyms(image: bytes, *, source: str) -> SymbolTable:
    """The functions of a kernel as a symbol table.

    Raises:
        UsageError: As `parse_kallsyms`.
    """
    rows = parse_kallsyms(image, source=source)
    bounds = {name: va for va, _, name in rows if name in _INIT_BOUNDS}
    first, last = (bounds.get(name, 0) for name in _INIT_BOUNDS)
    init = range(first, last)

    def kind(va: int, letter: str) -> Literal["function", "object", "init"]:
        if letter not in _CODE_TYPES:
            return "object"
        return "init" if first <= va <= last else "function"

    symbols = [
        Symbol(name=name, va=va, bytes=0, kind=kind(va, letter)) for va, letter, name in rows
    ]
    has_data = any(letter in _DATA_TYPES for _, letter, _ in rows)
    return SymbolTable(symbols, source=source, init=init, lacks="" if has_data else _LACKS)


@dataclass(frozen=True, kw_only=True)
class _Tokens:
    texts: list[bytes]
    index_end: int


@dataclass(frozen=True, kw_only=True)
class _Names:
    """`at`: position of kallsyms_num_syms; `texts`: type letter and name of each symbol."""

    at: int
    texts: list[str]


def _align(at: int) -> int:
    return at + 3 & ~3


def _token_tables(image: bytes) -> Iterator[tuple[int, _Tokens]]:
    """Each place that has the form of token table and index: its start, and what is in it."""
    at = -1
    while (at := image.find(_DIGITS, at + 1)) >= 0:
        start = at
        for _ in range(ord("0") + 1):
            start = image.rfind(b"\0", 0, start)
        # Behind the NUL before it; padding before the table may be more NULs.
        for first in (start + 1, _align(start + 1)):
            texts = image[first : first + 64 * _TOKENS].split(b"\0", _TOKENS)[:_TOKENS]
            offsets = np.cumsum([0, *(len(text) + 1 for text in texts)])
            index = _align(first + int(offsets[-1]))
            found = np.frombuffer(image[index : index + 2 * _TOKENS], "<u2")
            if len(found) == _TOKENS and np.array_equal(found, offsets[:-1]):
                yield first, _Tokens(texts=texts, index_end=_align(index + 2 * _TOKENS))
                break


def _find_names(image: bytes, table: int, tokens: _Tokens) -> _Names | None:
    """Finds kallsyms_num_syms, the names right behind it, and checks both by the markers.

    Between markers and token table there may be kallsyms_seqs_of_names, 3 bytes a symbol. So all
    that is known beforehand is about how far from the token table a count of that size must be.
    """
    words = np.frombuffer(image[max(0, table - _MAX_TABLE_BYTES) & ~3 : table & ~3], "<u4")
    distance = 4 * np.arange(len(words), 0, -1, dtype=np.int64)
    low, high = distance // _MOST_BYTES_EACH, distance // _LEAST_BYTES_EACH
    likely = np.flatnonzero((words >= low) & (words <= high) & (words >= _FEWEST_NAMES))
    for at in likely[::-1]:
        start = (table & ~3) - int(distance[at])
        spans = _name_spans(image, start + 4, int(words[at]), table)
        if spans is not None:
            texts = [
                b"".join([tokens.texts[byte] for byte in image[first:end]]).decode("latin-1")
                for first, end in spans
            ]
            return _Names(at=start, texts=texts)
    return None


def _name_spans(image: bytes, start: int, count: int, limit: int) -> list[tuple[int, int]] | None:
    """Where each name's bytes are; None: these are no names, or their markers contradict."""
    spans = []
    marks = []
    at = start
    for number in range(count):
        if number % _MARKED == 0:
            marks.append(at - start)
        length = image[at]
        at += 1
        if length & 0x80:  # long names, since 6.1
            length = length & 0x7F | image[at] << 7
            at += 1
        if length == 0 or at + length > limit:
            return None
        spans.append((at, at + length))
        at += length
    markers = np.frombuffer(image[_align(at) : _align(at) + 4 * len(marks)], "<u4")
    return spans if np.array_equal(markers, marks) else None


def _find_addresses(image: bytes, names: _Names, tokens: _Tokens) -> NDArray[np.uint32] | None:
    """Offsets and their base, before the names or (since 6.4) behind the index; else addresses."""
    count = len(names.texts)
    for base_at, offsets_at in (
        (names.at - 4, names.at - 4 - 4 * count),
        (tokens.index_end + 4 * count, tokens.index_end),
        (None, names.at - 4 * count),
    ):
        if offsets_at < 0 or offsets_at + 4 * count > len(image):
            continue
        base = 0
        if base_at is not None:
            base = int.from_bytes(image[base_at : base_at + 4], "little")
        found = np.frombuffer(image[offsets_at : offsets_at + 4 * count], "<u4").astype(np.uint64)
        ascending = found[0] < found[-1] and bool(np.all(found[:-1] <= found[1:]))
        if ascending and base + int(found[-1]) < 1 << 32:
            return (found + np.uint64(base)).astype(np.uint32)
    return None
