# SPDX-License-Identifier: MIT
"""Loads and stores of T32 (DDI 0406C, A6.3.5 to A6.3.10): their fields, and what must not be.

Their table is in `t32`; addressing modes and lists of registers, which A32 has too, are in `loads`.
"""

from dataclasses import replace
from typing import Final

from orchestrator.probe.emulation import NO_FLAGS, PC, SP, Access, Emulation, Flag, Operation
from orchestrator.probe.encoding import UNKNOWN, UNPREDICTABLE, Context, Decoded, Fields, Refusal
from orchestrator.probe.loads import alignment, multiple
from orchestrator.probe.system import nop

_WORD: Final = 0xFFFF_FFFF

_LOADS: Final = {
    (0, 0): Access.BYTE, (0, 1): Access.HALF, (0, 2): Access.WORD,
    (1, 0): Access.SIGNED_BYTE, (1, 1): Access.SIGNED_HALF,
}  # fmt: skip


def pc_base(context: Context) -> int:
    """The program counter as a base: word-aligned."""
    return (context.va + 4) & ~3


def _access(f: Fields, context: Context) -> Operation | Refusal:
    """What all forms share: fields S (signed), s (size), l (load), n, d."""
    op = _LOADS.get((f["S"], f["s"]))
    load = bool(f["l"])
    if op is None or (not load and (f["S"] or f["n"] == PC)):
        return UNKNOWN
    if f["d"] == PC and not (load and op is Access.WORD):
        return UNPREDICTABLE
    return Operation(
        emulation=Emulation.LOAD if load else Emulation.STORE,
        cond=context.cond,
        op=op,
        flags=Flag.PRE,
        rd=f["d"],
        rn=f["n"],
        extra=alignment(op),
    )


def _preload(f: Fields) -> bool:
    """A load of less than a word into register 15 is a hint."""
    return f["l"] == 1 and f["d"] == PC and (f["s"] == 0 or (f["s"] == 1 and f["S"] == 0))


def access_literal(f: Fields, context: Context) -> Decoded:
    """Relative to the program counter, by up to 12 bits either way."""
    if _preload(f) and f["s"] == 0:
        return nop(f, context)
    operation = _access(f, context)
    if isinstance(operation, Refusal):
        return operation
    address = pc_base(context) + (f["i"] if f["u"] else -f["i"])
    return replace(operation, rn=Operation.rn, value=address & _WORD)


def access_far(f: Fields, context: Context) -> Decoded:
    """An offset of 12 bits, upwards."""
    if _preload(f):
        return nop(f, context)
    operation = _access(f, context)
    return operation if isinstance(operation, Refusal) else replace(operation, value=f["i"])


def access_near(f: Fields, context: Context) -> Decoded:
    """Offsets of 8 bits: indexed, unprivileged, or down."""
    p, u, w = f["p"], f["u"], f["w"]
    if not p and not w:
        return UNKNOWN
    if p and not u and not w and _preload(f):
        return nop(f, context)
    operation = _access(f, context)
    if isinstance(operation, Refusal):
        return operation
    unprivileged = p and u and not w
    if (unprivileged and f["d"] == PC) or (w and f["n"] == f["d"]):
        return UNPREDICTABLE
    flags = (Flag.PRE if p else NO_FLAGS) | (Flag.WRITEBACK if w else NO_FLAGS)
    if unprivileged:
        flags |= Flag.UNPRIVILEGED
    return replace(operation, value=f["i"] if u else -f["i"], flags=flags)


def access_register(f: Fields, context: Context) -> Decoded:
    """An offset from a register, shifted left by up to 3."""
    if _preload(f):
        return nop(f, context)
    operation = _access(f, context)
    if isinstance(operation, Refusal):
        return operation
    if f["m"] in (SP, PC):
        return UNPREDICTABLE
    flags = operation.flags | Flag.INDEXED
    return replace(operation, rm=f["m"], value=f["i"], flags=flags)


def dual(f: Fields, context: Context) -> Decoded:
    """LDRD and STRD, literals too: the offset is in words."""
    p, w, load = f["p"], f["w"], bool(f["l"])
    rt, rt2, rn = f["d"], f["e"], f["n"]
    if PC in (rt, rt2) or (load and rt == rt2):
        return UNPREDICTABLE
    if (w or not load) and (rn == PC or (w and rn in (rt, rt2))):
        return UNPREDICTABLE
    offset = 4 * f["i"] if f["u"] else -4 * f["i"]
    operation = Operation(
        emulation=Emulation.LOAD_DUAL if load else Emulation.STORE_DUAL,
        cond=context.cond,
        flags=(Flag.PRE if p else NO_FLAGS) | (Flag.WRITEBACK if w else NO_FLAGS),
        rd=rt,
        ra=rt2,
        rn=rn,
        value=offset,
        extra=alignment(Access.WORD),
    )
    if rn == PC:
        return replace(operation, rn=Operation.rn, value=(pc_base(context) + offset) & _WORD)
    return operation


def multiple_registers(f: Fields, context: Context) -> Decoded:
    """LDM and STM, which go up from the base (IA) or down to it (DB)."""
    registers, load, up = f["r"], bool(f["l"]), bool(f["u"])
    loads_lr_and_pc = registers >> 14 == 3  # noqa: PLR2004 -- both bits
    if registers >> SP & 1 or loads_lr_and_pc or registers.bit_count() == 1:
        return UNPREDICTABLE
    if not load and (registers >> PC or (f["w"] and registers >> f["n"] & 1)):
        return UNPREDICTABLE
    return multiple(
        context,
        load=load,
        rn=f["n"],
        registers=registers,
        up=up,
        before=not up,
        writeback=bool(f["w"]),
    )
