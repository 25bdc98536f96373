# SPDX-License-Identifier: MIT
"""Hints, barriers, program status and coprocessors. For `a32` and `t32`.

Decoders of `orchestrator.probe.encoding`. What is not emulated, since it waits or belongs to more than
the guest, is refused with its reason.
"""

from typing import Final

from orchestrator.probe.emulation import CP15_INDEX, PC, Emulation, Operation
from orchestrator.probe.encoding import (
    UNKNOWN,
    UNPREDICTABLE,
    Context,
    Decoded,
    Fields,
    Reason,
    Refusal,
)

_WORD: Final = 0xFFFF_FFFF
_HINT_NAMES_REFUSED: Final = {2, 3}  # WFE, WFI


def hint(f: Fields, context: Context) -> Decoded:
    """NOP, YIELD, SEV and debug hints; those that wait are refused. Field h."""
    if f["h"] in _HINT_NAMES_REFUSED:
        return Refusal(reason=Reason.WAITS)
    return Operation(emulation=Emulation.NOP, cond=context.cond)


def nop(_f: Fields, context: Context) -> Decoded:
    """Barriers and preloads."""
    return Operation(emulation=Emulation.NOP, cond=context.cond)


_RESERVED: Final = (0x00F0_0000, 0x00E0_0000)
"""Of CPSR and SPSR: bits that a write does not change on the board."""


def psr_mask(fields: int, *, spsr: int) -> int:
    """The bits of CPSR or SPSR that the four bits of MSR's mask let change."""
    return sum(0xFF << 8 * byte for byte in range(4) if fields >> byte & 1) & ~_RESERVED[spsr]


def read_psr(f: Fields, context: Context) -> Decoded:
    """MRS: fields d, R."""
    if f["d"] == PC:
        return UNPREDICTABLE
    return Operation(emulation=Emulation.READ_PSR, cond=context.cond, op=f["R"], rd=f["d"])


def write_psr(f: Fields, context: Context) -> Decoded:
    """MSR of a register: fields m, k (mask), R."""
    if f["m"] == PC or f["k"] == 0:
        return UNPREDICTABLE
    mask = psr_mask(f["k"], spsr=f["R"])
    return Operation(
        emulation=Emulation.WRITE_PSR, cond=context.cond, op=f["R"], rm=f["m"], value=mask
    )


def write_psr_immediate(f: Fields, context: Context) -> Decoded:
    """MSR of a constant: fields i, r (its rotation, halved), k (mask), R."""
    if f["k"] == 0:
        return UNKNOWN
    turn = 2 * f["r"]
    value = (f["i"] >> turn | f["i"] << (32 - turn)) & _WORD
    return Operation(
        emulation=Emulation.WRITE_PSR,
        cond=context.cond,
        op=f["R"],
        value=psr_mask(f["k"], spsr=f["R"]),
        extra=value,
    )


_ENABLE: Final = 2
_DISABLE: Final = 3


def cps(f: Fields, context: Context) -> Decoded:
    """CPS: fields i (imod), M, f (A, I, F), m (mode)."""
    imod, changes = f["i"], f["f"] << 6
    masks, sets_mode = imod in (_ENABLE, _DISABLE), bool(f["M"])
    if imod == 1 or masks != bool(changes) or not (masks or sets_mode):
        return UNPREDICTABLE
    if f["m"] and not sets_mode:
        return UNPREDICTABLE
    value = changes if imod == _DISABLE else 0
    return Operation(
        emulation=Emulation.WRITE_PSR,
        cond=context.cond,
        value=changes | (0x1F if f["M"] else 0),
        extra=value | f["m"],
    )


def setend(f: Fields, context: Context) -> Decoded:
    """SETEND: field E."""
    return Operation(
        emulation=Emulation.WRITE_PSR, cond=context.cond, value=1 << 9, extra=f["E"] << 9
    )


# opc1, CRn, CRm, opc2
SYSTEM_REGISTERS: Final = {
    (0, 13, 0, 2): "TPIDRURW",
    (0, 13, 0, 3): "TPIDRURO",
    (0, 13, 0, 4): "TPIDRPRW",
    (0, 13, 0, 1): "CONTEXTIDR",
    (0, 5, 0, 0): "DFSR",
    (0, 5, 0, 1): "IFSR",
    (0, 6, 0, 0): "DFAR",
    (0, 6, 0, 2): "IFAR",
    (0, 1, 0, 0): "SCTLR",
    (0, 1, 0, 2): "CPACR",
    (0, 2, 0, 2): "TTBCR",
    (0, 3, 0, 0): "DACR",
    (0, 12, 0, 0): "VBAR",
}
_WRITABLE: Final = ("TPIDRURW", "TPIDRURO", "TPIDRPRW")
_CP15: Final = 15
_VFP: Final = (10, 11)


def coprocessor(f: Fields, context: Context) -> Decoded:
    """MRC and MCR: fields p, o, n, m, q, d (register), l (read)."""
    if f["p"] in _VFP:
        return Refusal(reason=Reason.VFP)
    name = SYSTEM_REGISTERS.get((f["o"], f["n"], f["m"], f["q"])) if f["p"] == _CP15 else None
    if name is None or not (f["l"] or name in _WRITABLE):
        return Refusal(reason=Reason.COPROCESSOR)
    if f["d"] == PC:
        return UNPREDICTABLE
    emulation = Emulation.READ_CP15 if f["l"] else Emulation.WRITE_CP15
    return Operation(emulation=emulation, cond=context.cond, op=CP15_INDEX[name], rd=f["d"])


def other_coprocessor(f: Fields, _context: Context) -> Decoded:
    """What else a coprocessor does; cp10 and cp11 are VFP. Field p."""
    return Refusal(reason=Reason.VFP if f["p"] in _VFP else Reason.COPROCESSOR)
