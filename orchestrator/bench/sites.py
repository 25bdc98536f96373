# SPDX-License-Identifier: MIT
"""Places of a guest for probes that shall show what each class of instruction costs.

At the entries of functions and within them, so many of each class, spread over all that there are.
Not where Linux itself writes its code while it works: a probe there would be overwritten. What a kernel
changes while it boots is not known here: the run itself tells what its probes have displaced.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from orchestrator.config import ProbeConfig
from orchestrator.guest.symbols import Encoding
from orchestrator.mmu import TranslationFault
from orchestrator.probe.emulation import AL, MAX_ROW, SCATTERED, Emulation, Flag, Operation
from orchestrator.probe.guest import Guest, View
from orchestrator.probe.instruction import decode, is_long, word_at
from orchestrator.probe.place import Place, class_name, find
from orchestrator.probe.spec import resolve

_ENTRIES: Final = 300
"""At most so many function entries of a class, and so many places within functions."""
_WITHIN: Final = 120
_TRACER: Final = "__gnu_mcount_nc"
"""A kernel's compiler has put a call of it into each function, and Linux takes it out again."""
_ANY_VA: Final = 0x1000_0000


@dataclass(frozen=True, kw_only=True)
class Sites:
    """What is to be probed in a guest.

    Attributes:
        entries: By class, how many of all functions begin so, of those that can have a probe.
        functions: Their number.
        chosen: Addresses.
    """

    entries: dict[str, int]
    functions: int
    chosen: tuple[int, ...]


def kind_of(word: int, *, thumb: bool) -> str | None:
    """Class of an instruction, as it is told; None: it cannot be displaced."""
    decoded = _decoded(word, thumb=thumb)
    if decoded is None:
        return None
    conditional = ", conditional" if decoded.conditional else ""
    return f"{'T32' if thumb else 'A32'} {class_name(decoded)}{_rows(decoded)}{conditional}"


def _rows(decoded: Operation) -> str:
    if decoded.emulation not in (Emulation.LOAD_MULTIPLE, Emulation.STORE_MULTIPLE):
        return ""
    if decoded.flags & Flag.ONE_BY_ONE:
        return ", one by one"
    if decoded.shift == SCATTERED:
        return ", more rows"
    return ("", ", two rows", ", three rows")[max(decoded.shift - 1, 0) // MAX_ROW]


def condition_of(word: int, *, thumb: bool) -> int:
    """Condition of an instruction that can be displaced."""
    decoded = _decoded(word, thumb=thumb)
    return AL if decoded is None else decoded.cond


@cache
def _decoded(word: int, *, thumb: bool) -> Operation | None:
    # No class depends on the address.
    decoded = decode(word, va=_ANY_VA, thumb=thumb)
    return decoded if isinstance(decoded, Operation) else None


def choose(guest: Guest, view: View, executed: Collection[int] | None = None) -> Sites:
    """Chooses places.

    Args:
        guest: Whose.
        view: Its image.
        executed: Functions that are worth a probe, with all that they call; None: all of them.
    """
    entries: dict[str, list[int]] = defaultdict(list)
    within: dict[str, list[int]] = defaultdict(list)
    functions = sorted({each.va for each in guest.symbols.functions})
    rewritten = guest.static_branches
    for va in functions:
        kind = _kind_at(view, va)
        if kind is not None:
            entries[kind].append(va)
    worthy = None if executed is None else _with_called(guest, view, executed)
    for va in functions:
        if worthy is None or va in worthy:
            for place, kind in _kinds_within(guest, view, va):
                if place not in rewritten:
                    within[kind].append(place)
    chosen: set[int] = set()
    for each in entries.values():
        hit = [va for va in each if va not in rewritten and (worthy is None or va in worthy)]
        chosen.update(_possible(guest, view, _spread(hit, _ENTRIES)))
    for each in within.values():
        chosen.update(_possible(guest, view, _spread(each, _WITHIN)))
    return Sites(
        entries={kind: len(each) for kind, each in entries.items()},
        functions=sum(map(len, entries.values())),
        chosen=tuple(sorted(chosen)),
    )


def _kind_at(view: View, va: int) -> str | None:
    """Class of what a function begins with; None: it is no code, or gone, or cannot be displaced."""
    if va in view.guest.symbols.init or view.guest.is_user(va):
        return None
    try:
        code = view.code(va, size=4)
    except TranslationFault:
        return None
    if code.encoding is Encoding.DATA:
        return None
    thumb = code.encoding is Encoding.T32
    return kind_of(word_at(code.data, thumb=thumb), thumb=thumb)


def _words(guest: Guest, view: View, va: int) -> Iterator[tuple[int, int, bool]]:
    """Address, word and instruction set of each word of a function that may be an instruction."""
    symbol = guest.symbols.at(va)
    if symbol is None:
        return
    end = guest.symbols.end_of(symbol[0])
    code = view.mmu.read(va, end - va)
    offset = 0
    while offset + 4 <= len(code):
        thumb = guest.symbols.encoding(va + offset) is Encoding.T32
        word = word_at(code, offset, thumb=thumb)
        yield va + offset, word, thumb
        offset += (
            4 if not thumb or is_long(int.from_bytes(code[offset : offset + 2], "little")) else 2
        )


def _kinds_within(guest: Guest, view: View, va: int) -> Iterator[tuple[int, str]]:
    tracer = guest.symbols.get(_TRACER)
    for at, word, thumb in _words(guest, view, va):
        if at == va or (tracer is not None and _call(at, word) == tracer.va):
            continue
        kind = kind_of(word, thumb=thumb)
        if kind is not None:
            yield at, kind


def _with_called(guest: Guest, view: View, functions: Iterable[int]) -> frozenset[int]:
    """Functions and what they call: those that are closed to a tracer are among these."""
    found = set(functions)
    for va in tuple(found):
        found.update(_call(at, word) for at, word, _ in _words(guest, view, va))
    return frozenset(found)


def _call(va: int, word: int) -> int:
    """Target of an A32 BL; 0: it is none."""
    if word >> 24 != 0xEB:  # noqa: PLR2004 -- BL (A8.8.25), always
        return 0
    return va + 8 + 4 * ((word & 0xFF_FFFF ^ 0x80_0000) - 0x80_0000) & 0xFFFF_FFFF


def _possible(guest: Guest, view: View, places: Iterable[int]) -> Iterator[int]:
    """Those where a user may put a probe: not a literal, nor between LDREX and STREX."""
    for va in places:
        (wanted,) = resolve(ProbeConfig(vm=guest.name, place=f"{va:#x}", tasks=False), guest)
        if isinstance(find(wanted, view, near=False), Place):
            yield va


def _spread(addresses: list[int], count: int) -> list[int]:
    """So many of them, equally far apart."""
    return addresses[:: max(1, -(-len(addresses) // count))]
