# SPDX-License-Identifier: MIT
"""Loads and stores: addressing modes, and lists of registers. For `a32` and `t32`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from orchestrator.probe.emulation import (
    FIRST_AT,
    LR,
    MAX_ROW,
    NO_FLAGS,
    NO_REG,
    PC,
    SCATTERED,
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

_WORD: Final = 0xFFFF_FFFF
_MOST_ROWS: Final = 3
_BYTES: Final = {
    Access.WORD: 4,
    Access.BYTE: 1,
    Access.HALF: 2,
    Access.SIGNED_BYTE: 1,
    Access.SIGNED_HALF: 2,
}


def alignment(op: Access) -> int:
    """`extra` of a load or store: the bits of an aligned address that are 0."""
    return _BYTES[op] - 1


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
        extra=alignment(op),
    )
    return _offset(f, operation, context)


def _list_offsets(first: int, moved: int) -> int:
    return (moved & 0xFFFF) << 16 | (first & 0xFFFF)


def _in_rows(o: Operation) -> Operation:
    """Tells the hypervisor of the rows in a list, by which it moves them."""
    load = o.emulation is Emulation.LOAD_MULTIPLE
    stores_base = not load and o.flags & Flag.MOVES_BASE and o.value >> o.rn & 1
    if stores_base or (o.value >> PC and not load):
        return replace(o, flags=o.flags | Flag.ONE_BY_ONE)
    flags = o.flags
    flags |= Flag.LINK if o.value >> LR & 1 else NO_FLAGS
    flags |= Flag.LOADS_PC if o.value >> PC else NO_FLAGS
    # Behind r12 the hypervisor has another register; sp and lr follow each other again.
    rows = list(_rows(o.value & (1 << SP) - 1))
    rows += [(SP, 1)] if o.value >> SP & 1 else []
    if len(rows) > _MOST_ROWS and o.value >> SP & 1:
        return replace(o, flags=o.flags | Flag.ONE_BY_ONE)
    if len(rows) > _MOST_ROWS:
        return replace(o, flags=flags, rd=0, shift=SCATTERED)
    first, count = rows[0] if rows else (0, 0)
    second, third = ([(at if at < SP else FIRST_AT) | n << 4 for at, n in rows[1:]] + [0, 0])[:2]
    later = max(len(rows) - 1, 0)
    return replace(o, flags=flags, rd=first, shift=MAX_ROW * later + count, op=second, last=third)


def _rows(registers: int) -> Iterator[tuple[int, int]]:
    """First register and number of each row."""
    while registers:
        first = (registers & -registers).bit_length() - 1
        row = registers >> first
        count = min((row ^ row + 1).bit_length() - 1, MAX_ROW)
        yield first, count
        registers &= ~((1 << count) - 1 << first)


def _offset(f: Fields, operation: Operation, context: Context) -> Decoded:
    if "m" not in f:
        offset = f["i"] if f["u"] else -f["i"]
        if operation.rn == PC:
            return replace(operation, rn=NO_REG, value=(context.va + 8 + offset) & _WORD)
        return replace(operation, value=offset)
    if f["m"] == PC or (operation.flags & Flag.WRITEBACK and f["m"] == f["n"]):
        return UNPREDICTABLE
    shift, amount = immediate_shift(f.get("t", 0), f.get("i", 0))
    flags = operation.flags | Flag.INDEXED | (NO_FLAGS if f["u"] else Flag.SUBTRACT)
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
        extra=alignment(Access.WORD),
    )
    return _offset(f, operation, context)


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
        flags=Flag.MOVES_BASE if writeback else NO_FLAGS,
        rn=rn,
        ra=4 * count - 1,
        value=registers,
        extra=_list_offsets(first, moved),
    )
    return _in_rows(operation)


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
