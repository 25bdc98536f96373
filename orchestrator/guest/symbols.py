# SPDX-License-Identifier: MIT
"""Names of places in a guest, wherever they were read from.

Who reads them: `symbols_elf` (an ELF file) and `symbols_kallsyms` (a Linux kernel's own tables).
Types are not here but in `dwarf`.
"""

import difflib
import enum
import fnmatch
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from orchestrator.errors import UsageError

_CLOSEST: Final = 5


class Encoding(enum.Enum):
    """What lies at an address in a code section."""

    A32 = "A32"
    T32 = "T32"
    DATA = "data"


@dataclass(frozen=True, kw_only=True)
class Symbol:
    """A name of an address.

    Attributes:
        name: As in the symbol table.
        va: Its address, without the Thumb bit.
        bytes: Size; 0: not known (assembly, kallsyms).
        kind: "absolute" is a number with a name, not a place; "init" is code that is gone when the
            guest has booted.
    """

    name: str
    va: int
    bytes: int
    kind: Literal["function", "object", "absolute", "init"]


class SymbolTable:
    """All symbols of one guest.

    Args:
        symbols: In any order.
        source: Where they come from, for messages.
        encodings: Address from which on an encoding holds, ascending; empty: not known.
        end_va: One past the last byte of code; 0: not known.
        init: Where code lies that is gone when the guest has booted.
        lacks: What has no name in it, as the end of a message; empty: nothing is known to.
    """

    def __init__(
        self,
        symbols: Sequence[Symbol],
        *,
        source: str,
        encodings: Sequence[tuple[int, Encoding]] = (),
        end_va: int = 0,
        init: range = range(0),
        lacks: str = "",
    ) -> None:
        self.source = source
        self.init = init
        self.lacks = lacks
        self.symbols = tuple(sorted(symbols, key=lambda symbol: symbol.va))
        self._by_name: dict[str, list[Symbol]] = {}
        for symbol in self.symbols:
            self._by_name.setdefault(symbol.name, []).append(symbol)
        self._functions = tuple(each for each in self.symbols if each.kind == "function")
        self._function_vas = [each.va for each in self._functions]
        self._encodings = tuple(encodings)
        self._encoding_vas = [va for va, _ in self._encodings]
        self._end_va = end_va

    def find(self, name: str) -> Symbol:
        """The symbol of that name.

        Raises:
            UsageError: None, or several: the message has the nearest names or all addresses.
        """
        found = self._by_name.get(name, [])
        places = sorted({each.va for each in found})
        if len(places) > 1:
            told = ", ".join(f"{va:#x}" for va in places)
            raise UsageError(
                f"{self.source}: {name!r} names {len(places)} places; choose one by its address: "
                f"{told}"
            )
        if not found:
            raise UsageError(
                f"{self.source}: no symbol {name!r}{self._closest(name)}{self._lacking()}"
            )
        return found[0]

    def get(self, name: str) -> Symbol | None:
        """The first symbol of that name; None: there is none."""
        return next(iter(self._by_name.get(name, ())), None)

    def _lacking(self) -> str:
        return f"; {self.lacks}" if self.lacks else ""

    def _closest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._by_name, n=_CLOSEST, cutoff=0.7)
        if not near:
            folded = name.lower()
            near = sorted(each for each in self._by_name if folded in each.lower())[:_CLOSEST]
        return "; the closest are " + ", ".join(near) if near else ""

    def matching(self, pattern: str) -> tuple[Symbol, ...]:
        """All functions whose names match a glob, one for each address, in ascending order.

        Raises:
            UsageError: None matches.
        """
        found: dict[int, Symbol] = {}
        for each in self._functions:
            if fnmatch.fnmatchcase(each.name, pattern):
                found.setdefault(each.va, each)
        if not found:
            lacking = "" if self._functions else self._lacking()
            raise UsageError(f"{self.source}: no function matches {pattern!r}{lacking}")
        return tuple(found.values())

    @property
    def functions(self) -> tuple[Symbol, ...]:
        """All functions, ascending; several names of one address each for itself."""
        return self._functions

    def at(self, va: int) -> tuple[Symbol, int] | None:
        """The function that holds an address, and the offset in it; None: none does."""
        index = bisect_right(self._function_vas, va) - 1
        if index < 0:
            return None
        # Of several names of one place the first in the table.
        first = self._function_vas.index(self._function_vas[index], max(0, index - 16))
        symbol = self._functions[first]
        if va >= self.end_of(symbol):
            return None
        return symbol, va - symbol.va

    def end_of(self, symbol: Symbol) -> int:
        """One past the last byte of a function: by its size, else where the next one begins."""
        if symbol.bytes:
            return symbol.va + symbol.bytes
        index = bisect_right(self._function_vas, symbol.va)
        if index < len(self._function_vas):
            return self._function_vas[index]
        return max(self._end_va, symbol.va + 4)

    def name_of(self, va: int) -> str:
        """An address as people read it: "name+offset", or the number."""
        found = self.at(va)
        if found is None:
            return f"{va:#x}"
        symbol, offset = found
        return f"{symbol.name}+{offset:#x}" if offset else symbol.name

    def encoding(self, va: int) -> Encoding | None:
        """What is encoded at an address; None: the table does not know."""
        index = bisect_right(self._encoding_vas, va) - 1
        return self._encodings[index][1] if index >= 0 else None
