# SPDX-License-Identifier: MIT
"""Can this instruction be displaced by an HVC, and what must the hypervisor do in its place?

`decode` looks at one instruction, `check` also at its neighbourhood: an IT block, an exclusive pair,
data between code. The encodings are tables (`a32`, `t32`; `loads`, `arithmetic` and `system` have
what both decode alike); to add an instruction to a class that the hypervisor has, add a row there. To
add a class: `enum emulation` in images/abi/emulation.h and its mirror in `emulation`, one function in
images/hypervisor/emulate.c, rows that make it; the differential test takes it up from the rows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from orchestrator.probe import a32, t32
from orchestrator.probe.emulation import AL, ALU_INDEX, NO_FLAGS, Emulation, Flag, Operation
from orchestrator.probe.encoding import (
    UNKNOWN,
    UNPREDICTABLE,
    Context,
    Decoded,
    Reason,
    Refusal,
)

__all__ = ["Coverage", "Decoded", "Operation", "Reason", "Refusal", "check", "coverage", "decode"]

_FIRST_BANKED: Final = 8
_UNCONDITIONAL: Final = 15
_LONG_T32: Final = 0b11101
_EXCLUSIVE_REACH: Final = 16
"""Instructions between LDREX and STREX that are looked through; in practice a handful."""


def is_long(first: int) -> bool:
    """Whether a T32 instruction that begins with this halfword has 32 bits."""
    return first >> 11 >= _LONG_T32


def word_at(code: bytes, offset: int = 0, *, thumb: bool) -> int:
    """The instruction at an offset, a long T32 one with its first halfword in the upper half.

    Args:
        code: Little-endian instructions.
        offset: In bytes.
        thumb: T32.

    Returns:
        A short T32 instruction in the lower 16 bits.
    """
    if not thumb:
        return int.from_bytes(code[offset : offset + 4], "little")
    first = int.from_bytes(code[offset : offset + 2], "little")
    if not is_long(first):
        return first
    return first << 16 | int.from_bytes(code[offset + 2 : offset + 4], "little")


def decode(word: int, *, va: int, thumb: bool, data: bool = False) -> Decoded:
    """What an instruction does, or why it can't be displaced.

    Args:
        word: As `word_at` gives it.
        va: Its address; branches and literals of T32 are folded by it.
        thumb: T32.
        data: The caller knows that it is no code: a mapping symbol `$d`, or a literal pool.
    """
    if data:
        return Refusal(reason=Reason.LITERAL)
    if thumb:
        if not is_long(word >> 16):
            return Refusal(reason=Reason.SHORT)
        row, cond = t32.TABLE.find(word), AL
    else:
        cond = word >> 28
        row = (a32.UNCONDITIONAL if cond == _UNCONDITIONAL else a32.CONDITIONAL).find(word)
        cond = AL if cond == _UNCONDITIONAL else cond
    if row is None:
        return UNPREDICTABLE if not thumb and cond != AL else UNKNOWN
    decoded = row.decode(row.read(word), Context(va=va, cond=cond))
    return _short_way(decoded) if isinstance(decoded, Operation) else decoded


def _short_way(o: Operation) -> Operation:
    """A move of a constant is of a class of its own, where it can be nothing else."""
    is_move = (o.emulation, o.op, o.cond) == (Emulation.ALU_IMM, ALU_INDEX["mov"], AL)
    if not is_move or o.flags & Flag.SET_FLAGS or o.rd >= _FIRST_BANKED:
        return o
    return replace(o, emulation=Emulation.MOVE, flags=NO_FLAGS)


def check(code: bytes, at: int, *, va: int, thumb: bool, data: Sequence[range] = ()) -> Decoded:
    """As `decode`, with a look at what is around.

    Args:
        code: From an instruction's start, best a function's, to some way past the place.
        at: Offset of the place in it.
        va: Address of the place.
        thumb: T32.
        data: Offsets that are known to be literals.
    """
    starts = _starts(code, thumb=thumb)
    if any(at in literals for literals in data) or at not in starts:
        return Refusal(reason=Reason.LITERAL)
    decoded = decode(word_at(code, at, thumb=thumb), va=va, thumb=thumb)
    index = starts.index(at)
    if isinstance(decoded, Refusal):
        if decoded.reason is Reason.SHORT and _is_it(word_at(code, at, thumb=True)):
            return Refusal(reason=Reason.IT_BLOCK)
        return decoded
    if thumb and _in_it_block(code, starts, index):
        return Refusal(reason=Reason.IT_BLOCK)
    if _in_exclusive_pair(code, starts, index, thumb=thumb):
        return Refusal(reason=Reason.EXCLUSIVE)
    return decoded


def _starts(code: bytes, *, thumb: bool) -> list[int]:
    """Where instructions begin."""
    if not thumb:
        return list(range(0, len(code) - 3, 4))
    starts, offset = [], 0
    while offset + 2 <= len(code):
        starts.append(offset)
        long = is_long(int.from_bytes(code[offset : offset + 2], "little"))
        offset += 4 if long else 2
    return starts


def _is_it(halfword: int) -> bool:
    return halfword >> 8 == 0xBF and halfword & 0xF != 0  # noqa: PLR2004 -- IT (A8.8.54)


def _in_it_block(code: bytes, starts: Sequence[int], index: int) -> bool:
    """IT governs one to four instructions: its mask's lowest set bit tells how many."""
    for distance in range(1, min(index, 4) + 1):
        halfword = int.from_bytes(code[starts[index - distance] :][:2], "little")
        if _is_it(halfword):
            mask = halfword & 0xF
            return distance <= 4 - ((mask & -mask).bit_length() - 1)
    return False


# Mask and value: A32 LDREX to STREXH (DDI 0406C, A5.2.10); T32 LDREX, STREX and their kin (A6.3.6).
_EXCLUSIVE_A32: Final = ((0x0F80_00F0, 0x0180_0090),)
_EXCLUSIVE_T32: Final = ((0xFFE0_0000, 0xE840_0000), (0xFFE0_00C0, 0xE8C0_0040))


def _exclusive(word: int, *, thumb: bool) -> str:
    """What an exclusive does, "load" or "store"; "": it is none."""
    encodings = _EXCLUSIVE_T32 if thumb else _EXCLUSIVE_A32
    if not any(word & mask == value for mask, value in encodings):
        return ""
    return "load" if word >> 20 & 1 else "store"


def _in_exclusive_pair(code: bytes, starts: Sequence[int], index: int, *, thumb: bool) -> bool:
    """A load-exclusive before and its store behind, with nothing of the kind between."""

    def nearest(indices: Iterable[int]) -> str:
        words = (word_at(code, starts[i], thumb=thumb) for i in indices)
        return next((kind for word in words if (kind := _exclusive(word, thumb=thumb))), "")

    before = nearest(range(index - 1, max(index - _EXCLUSIVE_REACH, 0) - 1, -1))
    after = nearest(range(index + 1, min(index + _EXCLUSIVE_REACH, len(starts))))
    return before == "load" and after == "store"


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many of some places can take an HVC.

    Attributes:
        by_class: Those that can, by what the hypervisor does.
        by_reason: Those that can't.
        refused: Address and reason of each that can't.
    """

    by_class: Counter[Emulation] = field(default_factory=Counter)
    by_reason: Counter[Reason] = field(default_factory=Counter)
    refused: list[tuple[int, Reason]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All places."""
        return self.by_class.total() + self.by_reason.total()

    @property
    def share(self) -> float:
        """Of those that can, 0 to 1; of no place at all 1."""
        return self.by_class.total() / self.total if self.total else 1.0


def coverage(places: Iterable[tuple[int, int]], *, thumb: bool = False) -> Coverage:
    """Counts what `decode` says of many places.

    Args:
        places: Address and word of each.
        thumb: T32.
    """
    result = Coverage()
    for va, word in places:
        decoded = decode(word, va=va, thumb=thumb)
        if isinstance(decoded, Refusal):
            result.by_reason[decoded.reason] += 1
            result.refused.append((va, decoded.reason))
        else:
            result.by_class[decoded.emulation] += 1
    return result
