# SPDX-License-Identifier: MIT
"""Data that a Linux kernel exports to its modules, by name, from the bytes of its image.

A kernel without CONFIG_KALLSYMS_ALL, such as Debian's, has only code in its kallsyms. What modules
may use is in two more tables that lie side by side, `__ksymtab` and `__ksymtab_gpl` (kernel:
include/linux/export.h, struct kernel_symbol): address, pointer to the name, pointer to the namespace.
They too are found by their form; that they are these tables is known from the functions in them,
which must be where kallsyms says. Who adds the names to the others: `orchestrator.probe.guest`.
"""

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.guest.symbols import Symbol, SymbolTable

_ENTRY_WORDS: Final = 3
_FEWEST_ENTRIES: Final = 100
_MOST_BYTES: Final = 1 << 26
"""Of a kernel's code and data; module addresses are further away."""
_NAME: Final = re.compile(rb"[A-Za-z_]\w*(?=\0)")
_MAY_BEGIN: Final = np.array([chr(byte).isalpha() or byte == ord("_") for byte in range(128)])


def with_exported_data(known: SymbolTable, image: bytes, *, image_va: int) -> SymbolTable:
    """A kernel's symbols and those that it exports; the same, if it exports nothing.

    Args:
        known: Its kallsyms.
        image: The kernel, uncompressed.
        image_va: Of its first byte.
    """
    more = _exported_data(image, image_va, known)
    return SymbolTable(
        (*known.symbols, *more), source=known.source, init=known.init, lacks=known.lacks
    )


def _exported_data(image: bytes, image_va: int, known: SymbolTable) -> tuple[Symbol, ...]:
    words = np.frombuffer(image[: len(image) & ~3], "<u4").astype(np.int64) - image_va
    for first, count in _tables(image, words):
        rows = words[first : first + _ENTRY_WORDS * count].reshape(count, _ENTRY_WORDS)
        found = {}
        for offset, name_at in rows[:, :2].tolist():
            if match := _NAME.match(image, name_at):
                found[match[0].decode()] = offset + image_va
        is_code = {name for name, va in found.items() if _has(known, name, va)}
        if len(is_code) > len(found) // 2:
            return tuple(
                Symbol(name=name, va=va, bytes=0, kind="object")
                for name, va in found.items()
                if known.get(name) is None
            )
    return ()


def _has(known: SymbolTable, name: str, va: int) -> bool:
    symbol = known.get(name)
    return symbol is not None and symbol.va == va


def _tables(image: bytes, words: NDArray[np.int64]) -> list[tuple[int, int]]:
    """First word and number of entries of all that has the form, the longest first.

    Args:
        image: The kernel.
        words: Its words, as offsets into it if they are pointers.
    """
    inside = (words > 0) & (words < len(image))
    letters = np.frombuffer(image, "u1")[np.where(inside, words, 0)]
    is_name = inside & (letters < len(_MAY_BEGIN)) & _MAY_BEGIN[letters & (len(_MAY_BEGIN) - 1)]
    is_address = (words > 0) & (words < _MOST_BYTES)
    is_entry = is_address[:-2] & is_name[1:-1] & inside[2:]
    out = []
    for phase in range(_ENTRY_WORDS):
        edges = np.diff(np.concatenate([[0], is_entry[phase::_ENTRY_WORDS].astype(np.int8), [0]]))
        starts, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if end - start >= _FEWEST_ENTRIES:
                out.append((phase + _ENTRY_WORDS * start, end - start))
    return sorted(out, key=lambda each: -each[1])
