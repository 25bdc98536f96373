# SPDX-License-Identifier: MIT
"""Loads and stores: addressing modes, and those that begin a stack frame. For `a32` and `t32`."""

from dataclasses import replace
from typing import Final

from orchestrator.probe.emulation import (
    LR,
    MAX_ROW,
    NO_FLAGS,
    NO_REG,
    PC,
    SP,
    Access,
    Emulation,
    Flag,
    Operation,
)
from orchestrator.probe.encoding import (
    UNPREDICTABLE,
    Context,
    Decoded,
    Fields,
    Reason,
    Refusal,
    immediate_shift,
)

_WORD_BYTES: Final = 4
_DUAL_BYTES: Final = 8


def _indexing(f: Fields) -> tuple[Flag, bool]:
    """The flags by p and w; whether it is an unprivileged access."""
    if f["p"]:
        return Flag.PRE | (Flag.WRITEBACK if f["w"] else NO_FLAGS), False
    return Flag.WRITEBACK | (Flag.UNPRIVILEGED if f["w"] else NO_FLAGS), bool(f["w"])


def _access(f: Fields, context: Context, *, load: bool, op: Access) -> Decoded:
    flags, unprivileged = _indexing(f)
    rt, rn = f["d"], f["n"]
    if flags & Flag.WRITEBACK and rn in (PC, rt):
        return UNPREDICTABLE
    if rt == PC and (op is not Access.WORD or unprivileged):
        return UNPREDICTABLE
    operation = Operation(
        emulation=Emulation.LOAD if load else Emulation.STORE,
        cond=context.cond,
        op=op,
        flags=flags,
        rd=rt,
        rn=rn,
    )
    return _offset(f, operation)


def _list_offsets(first: int, moved: int) -> int:
    return (moved & 0xFFFF) << 16 | (first & 0xFFFF)


def push(operation: Operation) -> Operation:
    """A store that begins a stack frame gets a class of its own, which takes a shorter way."""
    o = operation
    if o.rn != SP or not o.flags & Flag.WRITEBACK or o.flags & Flag.UNPRIVILEGED:
        return o
    if o.emulation is Emulation.STORE_MULTIPLE:
        return _push_list(o)
    if not o.flags & Flag.PRE or o.rm != NO_REG or o.value >= 0:
        return o
    extra = _list_offsets(o.value, o.value)
    if o.emulation is Emulation.STORE_DUAL and o.ra == o.rd + 1 < SP and o.value <= -_DUAL_BYTES:
        return replace(o, emulation=Emulation.PUSH_DUAL, shift=2, extra=extra)
    is_word = o.emulation is Emulation.STORE and o.op == Access.WORD and o.value <= -_WORD_BYTES
    if is_word and o.rd in (*range(SP), LR):
        link = Flag.LINK if o.rd == LR else NO_FLAGS
        count = 0 if o.rd == LR else 1
        flags = o.flags | link
        return replace(o, emulation=Emulation.PUSH_ONE, flags=flags, shift=count, extra=extra)
    return o


def _push_list(o: Operation) -> Operation:
    """Registers in a row, or in two, and lr, below sp."""
    low = o.value & ~(1 << LR)
    first, count = _lowest_row(low)
    second, second_count = _lowest_row(low >> first + count << first + count)
    in_rows = count + second_count == low.bit_count() and max(count, second_count) <= MAX_ROW
    if not in_rows or low >> SP or o.extra != _list_offsets(-4 * o.ra, -4 * o.ra):
        return o
    flags = o.flags | (Flag.LINK if o.value >> LR & 1 else NO_FLAGS)
    o = replace(o, emulation=Emulation.PUSH, flags=flags, rd=first, shift=count)
    if second_count:
        o = replace(o, shift=MAX_ROW + count, op=second | second_count << 4)
    return o


def _lowest_row(registers: int) -> tuple[int, int]:
    """The first of a list's registers, and how many follow each other from there on; (0, 0): none."""
    if not registers:
        return 0, 0
    first = (registers & -registers).bit_length() - 1
    row = registers >> first
    return first, (row ^ row + 1).bit_length() - 1


def _offset(f: Fields, operation: Operation) -> Decoded:
    if "m" not in f:
        return push(replace(operation, value=f["i"] if f["u"] else -f["i"]))
    if f["m"] == PC or (operation.flags & Flag.WRITEBACK and f["m"] == f["n"]):
        return UNPREDICTABLE
    shift, amount = immediate_shift(f.get("t", 0), f.get("i", 0))
    flags = operation.flags | (NO_FLAGS if f["u"] else Flag.SUBTRACT)
    return replace(operation, rm=f["m"], shift=shift, value=amount, flags=flags)


def word_or_byte(f: Fields, context: Context) -> Decoded:
    """LDR, STR, LDRB, STRB and their unprivileged forms."""
    op = Access.BYTE if f["b"] else Access.WORD
    return _access(f, context, load=bool(f["l"]), op=op)


_LDRD: Final = 2
_EXTRA_LOADS: Final = {1: Access.HALF, 2: Access.SIGNED_BYTE, 3: Access.SIGNED_HALF}


def extra_access(f: Fields, context: Context) -> Decoded:
    """Halfwords, signed bytes, LDRD and STRD."""
    if f["l"]:
        return _access(f, context, load=True, op=_EXTRA_LOADS[f["o"]])
    if f["o"] == 1:
        return _access(f, context, load=False, op=Access.HALF)
    return _dual(f, context)


def _dual(f: Fields, context: Context) -> Decoded:
    flags, unprivileged = _indexing(f)
    load = f["o"] == _LDRD
    rt, rn = f["d"], f["n"]
    if rt & 1 or rt == PC - 1 or unprivileged:
        return UNPREDICTABLE
    if flags & Flag.WRITEBACK and rn in (PC, rt, rt + 1):
        return UNPREDICTABLE
    if load and f.get("m") in (rt, rt + 1):
        return UNPREDICTABLE
    operation = Operation(
        emulation=Emulation.LOAD_DUAL if load else Emulation.STORE_DUAL,
        cond=context.cond,
        flags=flags,
        rd=rt,
        ra=rt + 1,
        rn=rn,
    )
    return _offset(f, operation)


def multiple(
    context: Context,
    *,
    load: bool,
    rn: int,
    registers: int,
    up: bool,
    before: bool,
    writeback: bool,
) -> Decoded:
    """LDM, STM, PUSH, POP of any addressing mode."""
    count = registers.bit_count()
    if count == 0 or rn == PC or (load and writeback and registers >> rn & 1):
        return UNPREDICTABLE
    # The base that is stored is the old one only where it is the first of the list.
    if not load and writeback and registers >> rn & 1 and registers & ((1 << rn) - 1):
        return UNPREDICTABLE
    first = (4 if before else 0) if up else (-4 * count if before else 4 - 4 * count)
    moved = 4 * count if up else -4 * count
    operation = Operation(
        emulation=Emulation.LOAD_MULTIPLE if load else Emulation.STORE_MULTIPLE,
        cond=context.cond,
        flags=Flag.WRITEBACK if writeback else NO_FLAGS,
        rn=rn,
        ra=count,
        value=registers,
        extra=_list_offsets(first, moved),
    )
    return push(operation)


def load_store_multiple(f: Fields, context: Context) -> Decoded:
    """LDM and STM of all modes but those of other banks."""
    if f["s"]:
        returns = f["l"] and f["r"] >> PC & 1
        return Refusal(reason=Reason.RETURN if returns else Reason.USER_BANK)
    return multiple(
        context,
        load=bool(f["l"]),
        rn=f["n"],
        registers=f["r"],
        up=bool(f["u"]),
        before=bool(f["p"]),
        writeback=bool(f["w"]),
    )
