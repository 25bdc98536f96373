# SPDX-License-Identifier: MIT
"""Bit fields, multiplies and what else works on registers alone. For `a32` and `t32`.

Decoders of `orchestrator.probe.encoding`: fields of a row in, what the hypervisor shall do out. Data
processing, whose constants differ between the two, is theirs.
"""

from dataclasses import replace
from typing import Final

from orchestrator.probe.emulation import (
    LONG_INDEX,
    PC,
    REGISTER_INDEX,
    Bitfield,
    Emulation,
    Operation,
    Saturate,
    Shift,
)
from orchestrator.probe.encoding import (
    UNPREDICTABLE,
    Context,
    Decoded,
    Decoder,
    Fields,
    immediate_shift,
)

_WORD_BITS: Final = 32


def forms(name: str, kind: str) -> tuple[str, ...]:
    """A name with each of some endings, which `kind` has with spaces between."""
    return tuple(name + half for half in kind.split())


def bitfield_insert(f: Fields, context: Context) -> Decoded:
    """BFI and BFC: fields d, n (15: zeros), l (first bit), m (last bit)."""
    if f["d"] == PC or f["m"] < f["l"]:
        return UNPREDICTABLE
    operation = Operation(
        emulation=Emulation.BITFIELD,
        cond=context.cond,
        op=Bitfield.INSERT,
        shift=f["l"],
        rd=f["d"],
        extra=(2 << (f["m"] - f["l"])) - 1,
    )
    return operation if f["n"] == PC else replace(operation, rn=f["n"])


def bitfield_extract(op: Bitfield) -> Decoder:
    """SBFX and UBFX: fields d, n, l (first bit), w (width - 1)."""

    def decode(f: Fields, context: Context) -> Decoded:
        if PC in (f["d"], f["n"]) or f["l"] + f["w"] >= _WORD_BITS:
            return UNPREDICTABLE
        return Operation(
            emulation=Emulation.BITFIELD,
            cond=context.cond,
            op=op,
            shift=f["l"],
            rd=f["d"],
            rn=f["n"],
            extra=(2 << f["w"]) - 1,
        )

    return decode


def _choice(f: Fields) -> int:
    """The fields S, x, y as the bits of an index, those that a row has."""
    index = 0
    for letter in "Sxy":
        index = index << 1 | f[letter] if letter in f else index
    return index


def register_op(
    name: str | tuple[str, ...],
    *,
    without: str | tuple[str, ...] = (),
    shift: Shift = Shift.LSL,
    scale: int = 1,
) -> Decoder:
    """An operation of `enum register_op`: fields d, and n, m, a where the row has them.

    Args:
        name: Its name; several: chosen by the fields `x` and `y`, the bits of an index.
        without: Its names where the accumulator (a, or n of an extension) is 15: another instruction.
        shift: Of rm by the field `i`, times `scale`.
        scale: Bits that a step of the field is.
    """
    names = (name,) if isinstance(name, str) else name
    bare = (without,) if isinstance(without, str) else without

    def decode(f: Fields, context: Context) -> Decoded:
        index = _choice(f)
        chosen, rn, ra = names[index], f.get("n"), f.get("a")
        if bare and ra == PC:
            chosen, ra = bare[index], None
        elif bare and ra is None and rn == PC:
            chosen, rn = bare[index], None
        if PC in (f["d"], f["m"], rn, ra):
            return UNPREDICTABLE
        kind, amount = int(shift), f.get("i", 0) * scale
        if scale == 1:
            kind, amount = immediate_shift(shift, amount)
        return Operation(
            emulation=Emulation.REGISTER,
            cond=context.cond,
            op=REGISTER_INDEX[chosen],
            shift=kind,
            rd=f["d"],
            rn=0 if rn is None else rn,
            rm=f["m"],
            ra=0 if ra is None else ra,
            value=amount,
        )

    return decode


def long_op(*names: str) -> Decoder:
    """An operation of `enum long_op`: fields l, h, n, m; x, y or S choose among several."""

    def decode(f: Fields, context: Context) -> Decoded:
        index = _choice(f)
        if PC in (f["l"], f["h"], f["n"], f["m"]) or f["l"] == f["h"]:
            return UNPREDICTABLE
        return Operation(
            emulation=Emulation.LONG,
            cond=context.cond,
            op=LONG_INDEX[names[index]],
            rd=f["l"],
            ra=f["h"],
            rn=f["n"],
            rm=f["m"],
        )

    return decode


def saturate(op: Saturate) -> Decoder:
    """SSAT, USAT and those of halfwords: fields d, m, s, and i with t (0: LSL, 1: ASR)."""
    is_signed = op in (Saturate.SIGNED, Saturate.SIGNED16)

    def decode(f: Fields, context: Context) -> Decoded:
        if PC in (f["d"], f["m"]):
            return UNPREDICTABLE
        kind, amount = immediate_shift(Shift.ASR if f.get("t") else Shift.LSL, f.get("i", 0))
        return Operation(
            emulation=Emulation.SATURATE,
            cond=context.cond,
            op=op,
            shift=kind,
            rd=f["d"],
            rm=f["m"],
            value=amount,
            extra=f["s"] + is_signed,
        )

    return decode


HALVES: Final = "bb bt tb tt"
"""Which halves of two operands: index x (first is the top half) and y (second)."""


def halves(name: str) -> tuple[str, ...]:
    """The four forms of a multiply of halfwords."""
    return forms(name, HALVES)
