# SPDX-License-Identifier: MIT
"""A32 encodings (DDI 0406C, A5): what each does in terms of `orchestrator.probe.emulation`.

To add an instruction that a class of the hypervisor can do: a row in `TABLE`, and a decoder if none
fits. What is not in the table is refused.
"""

from dataclasses import replace
from typing import Final

from orchestrator.probe.emulation import (
    ALU_INDEX,
    CP15_INDEX,
    LONG_INDEX,
    NO_FLAGS,
    PARALLEL,
    PC,
    REGISTER_INDEX,
    Bitfield,
    Emulation,
    Flag,
    Operation,
    Saturate,
    Shift,
)
from orchestrator.probe.encoding import (
    UNKNOWN,
    UNPREDICTABLE,
    Context,
    Decoded,
    Decoder,
    Fields,
    Reason,
    Refusal,
    Table,
    immediate_shift,
    refuse,
    rotated_carry,
    row,
    sign_extend,
)
from orchestrator.probe.loads import extra_access, load_store_multiple, word_or_byte

_WORD: Final = 0xFFFF_FFFF
_WORD_BITS: Final = 32
_TESTS: Final = range(ALU_INDEX["tst"], ALU_INDEX["cmn"] + 1)
_MOVES: Final = (ALU_INDEX["mov"], ALU_INDEX["mvn"])


# Data processing.


def _alu_registers(f: Fields) -> tuple[int, int] | None:
    """Rd and Rn by the fields; None: bits that should be zero are not."""
    op = f["o"]
    if op in _TESTS:
        return (0, f["n"]) if f["d"] == 0 else None
    if op in _MOVES:
        return (f["d"], 0) if f["n"] == 0 else None
    return f["d"], f["n"]


def _alu(f: Fields, operation: Operation) -> Decoded:
    if f["S"] and operation.rd == PC and f["o"] not in _TESTS:
        return Refusal(reason=Reason.RETURN)
    return operation


def _alu_immediate(f: Fields, context: Context) -> Decoded:
    registers = _alu_registers(f)
    if registers is None:
        return UNPREDICTABLE
    turn = 2 * f["r"]
    value = (f["i"] >> turn | f["i"] << (32 - turn)) & _WORD
    flags = rotated_carry(value=value, rotated=turn != 0)
    return _alu(
        f,
        Operation(
            emulation=Emulation.ALU_IMM,
            cond=context.cond,
            op=f["o"],
            flags=flags | (Flag.SET_FLAGS if f["S"] else NO_FLAGS),
            rd=registers[0],
            rn=registers[1],
            value=value,
        ),
    )


def _alu_shift(f: Fields, context: Context) -> Decoded:
    registers = _alu_registers(f)
    if registers is None:
        return UNPREDICTABLE
    shift, amount = immediate_shift(f["t"], f["i"])
    return _alu(
        f,
        Operation(
            emulation=Emulation.ALU_SHIFT,
            cond=context.cond,
            op=f["o"],
            flags=Flag.SET_FLAGS if f["S"] else NO_FLAGS,
            shift=shift,
            rd=registers[0],
            rn=registers[1],
            rm=f["m"],
            value=amount,
        ),
    )


def _alu_shift_register(f: Fields, context: Context) -> Decoded:
    registers = _alu_registers(f)
    if registers is None or PC in (*registers, f["m"], f["s"]):
        return UNPREDICTABLE
    return Operation(
        emulation=Emulation.ALU_SHIFT_REG,
        cond=context.cond,
        op=f["o"],
        flags=Flag.SET_FLAGS if f["S"] else NO_FLAGS,
        shift=f["t"],
        rd=registers[0],
        rn=registers[1],
        rm=f["m"],
        ra=f["s"],
    )


def _movw(f: Fields, context: Context) -> Decoded:
    if f["d"] == PC:
        return UNPREDICTABLE
    return Operation(
        emulation=Emulation.ALU_IMM,
        cond=context.cond,
        op=ALU_INDEX["mov"],
        rd=f["d"],
        rn=0,
        value=f["i"],
    )


def _movt(f: Fields, context: Context) -> Decoded:
    if f["d"] == PC:
        return UNPREDICTABLE
    return Operation(
        emulation=Emulation.BITFIELD,
        cond=context.cond,
        op=Bitfield.INSERT,
        shift=16,
        rd=f["d"],
        value=f["i"],
        extra=0xFFFF,
    )


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


# Multiplies and what else works on registers alone.


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


# Branches.


def branch(target: int, context: Context, *, link: int | None = None) -> Operation:
    """To `target`, bit 0 telling the instruction set; `link` goes to lr."""
    return Operation(
        emulation=Emulation.BRANCH,
        cond=context.cond,
        flags=NO_FLAGS if link is None else Flag.LINK,
        value=target & _WORD,
        extra=link or 0,
    )


def _branch(f: Fields, context: Context) -> Decoded:
    target = context.va + 8 + sign_extend(f["i"] << 2, 26)
    return branch(target, context, link=(context.va + 4) & _WORD if f["l"] else None)


def _blx(f: Fields, context: Context) -> Decoded:
    target = context.va + 8 + sign_extend(f["i"] << 2, 26) + 2 * f["h"]
    return branch(target | 1, context, link=(context.va + 4) & _WORD)


def _branch_register(f: Fields, context: Context) -> Decoded:
    link = f["l"]
    if link and f["m"] == PC:
        return UNPREDICTABLE
    return Operation(
        emulation=Emulation.BRANCH_REG,
        cond=context.cond,
        flags=Flag.LINK if link else NO_FLAGS,
        rm=f["m"],
        extra=(context.va + 4) & _WORD if link else 0,
    )


# The system.

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


def _write_psr_immediate(f: Fields, context: Context) -> Decoded:
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


def _setend(f: Fields, context: Context) -> Decoded:
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


def _parallel(f: Fields, context: Context) -> Decoded:
    prefix = {1: "s", 2: "q", 3: "sh", 5: "u", 6: "uq", 7: "uh"}.get(f["p"])
    name = {0: "add16", 1: "asx", 2: "sax", 3: "sub16", 4: "add8", 7: "sub8"}.get(f["o"])
    if prefix is None or name not in PARALLEL:
        return UNKNOWN
    return register_op(prefix + name)(f, context)


def _word(name: str, kind: str) -> tuple[str, ...]:
    return tuple(name + half for half in kind.split())


HALVES: Final = "bb bt tb tt"
"""Which halves of two operands: index x (first is the top half) and y (second)."""


def halves(name: str) -> tuple[str, ...]:
    """The four forms of a multiply of halfwords."""
    return _word(name, HALVES)


# A row's order matters only where one encoding is a special case of another: that stands first.
# fmt: off
CONDITIONAL: Final = Table(
    (
        row("cccc 0011 0000 iiii dddd iiii iiii iiii", "MOVW", _movw),
        row("cccc 0011 0100 iiii dddd iiii iiii iiii", "MOVT", _movt),
        row("cccc 0011 0010 0000 1111 0000 hhhh hhhh", "hints", hint),
        row("cccc 0011 0R10 kkkk 1111 rrrr iiii iiii", "MSR", _write_psr_immediate),
        row("cccc 0011 0..0 .... .... .... .... ....", "none", refuse(Reason.UNKNOWN)),
        row("cccc 001o oooS nnnn dddd rrrr iiii iiii", "ALU immediate", _alu_immediate),
        # Multiplies, exclusives, and halfword and dual accesses: bits 7 and 4 set.
        row("cccc 0000 0000 dddd 0000 mmmm 1001 nnnn", "MUL", register_op("mul")),
        row("cccc 0000 0001 dddd 0000 mmmm 1001 nnnn", "MULS", register_op("muls")),
        row("cccc 0000 0010 dddd aaaa mmmm 1001 nnnn", "MLA", register_op("mla")),
        row("cccc 0000 0011 dddd aaaa mmmm 1001 nnnn", "MLAS", register_op("mlas")),
        row("cccc 0000 0100 hhhh llll mmmm 1001 nnnn", "UMAAL", long_op("umaal")),
        row("cccc 0000 0110 dddd aaaa mmmm 1001 nnnn", "MLS", register_op("mls")),
        row("cccc 0000 100S hhhh llll mmmm 1001 nnnn", "UMULL", long_op("umull", "umulls")),
        row("cccc 0000 101S hhhh llll mmmm 1001 nnnn", "UMLAL", long_op("umlal", "umlals")),
        row("cccc 0000 110S hhhh llll mmmm 1001 nnnn", "SMULL", long_op("smull", "smulls")),
        row("cccc 0000 111S hhhh llll mmmm 1001 nnnn", "SMLAL", long_op("smlal", "smlals")),
        row("cccc 0001 .... .... .... .... 1001 ....", "exclusives, SWP", refuse(Reason.EXCLUSIVE)),
        row("cccc 0000 .... .... .... .... 1001 ....", "none", refuse(Reason.UNKNOWN)),
        row("cccc 000p u1wl nnnn dddd iiii 1oo1 iiii", "halfwords, LDRD, STRD", extra_access),
        row("cccc 000p u0wl nnnn dddd 0000 1oo1 mmmm", "halfwords, LDRD, STRD", extra_access),
        row("cccc 000. .... .... .... .... 1..1 ....", "none", refuse(Reason.UNKNOWN)),
        # What takes the place of the tests without flags.
        row("cccc 0001 0R00 1111 dddd 0000 0000 0000", "MRS", read_psr),
        row("cccc 0001 0R10 kkkk 1111 0000 0000 mmmm", "MSR", write_psr),
        row("cccc 0001 0010 1111 1111 1111 00l1 mmmm", "BX, BLX", _branch_register),
        row("cccc 0001 0110 1111 dddd 1111 0001 mmmm", "CLZ", register_op("clz")),
        row("cccc 0001 0xy0 mmmm dddd 0000 0101 nnnn", "QADD to QDSUB",
            register_op(("qadd", "qsub", "qdadd", "qdsub"))),
        row("cccc 0001 0110 0000 0000 0000 0110 1110", "ERET", refuse(Reason.RETURN)),
        row("cccc 0001 0..0 .... .... .... 0111 ....", "BKPT, HVC, SMC", refuse(Reason.CALL)),
        row("cccc 0001 0000 dddd aaaa mmmm 1yx0 nnnn", "SMLAxy", register_op(halves("smla"))),
        row("cccc 0001 0010 dddd aaaa mmmm 1y00 nnnn", "SMLAWy", register_op(("smlawb", "smlawt"))),
        row("cccc 0001 0010 dddd 0000 mmmm 1y10 nnnn", "SMULWy", register_op(("smulwb", "smulwt"))),
        row("cccc 0001 0100 hhhh llll mmmm 1yx0 nnnn", "SMLALxy", long_op(*halves("smlal"))),
        row("cccc 0001 0110 dddd 0000 mmmm 1yx0 nnnn", "SMULxy", register_op(halves("smul"))),
        row("cccc 0001 0..0 .... .... .... .... ....", "none", refuse(Reason.UNKNOWN)),
        row("cccc 000o oooS nnnn dddd iiii itt0 mmmm", "ALU register", _alu_shift),
        row("cccc 000o oooS nnnn dddd ssss 0tt1 mmmm", "ALU shifted register", _alu_shift_register),
        row("cccc 010p ubwl nnnn dddd iiii iiii iiii", "LDR, STR immediate", word_or_byte),
        row("cccc 011p ubwl nnnn dddd iiii itt0 mmmm", "LDR, STR register", word_or_byte),
        # Media.
        row("cccc 0110 0ppp nnnn dddd 1111 ooo1 mmmm", "parallel add and subtract", _parallel),
        row("cccc 0110 1000 nnnn dddd iiii i001 mmmm", "PKHBT", register_op("pkhbt")),
        row("cccc 0110 1000 nnnn dddd iiii i101 mmmm", "PKHTB",
            register_op("pkhtb", shift=Shift.ASR)),
        row("cccc 0110 101s ssss dddd iiii it01 mmmm", "SSAT", saturate(Saturate.SIGNED)),
        row("cccc 0110 111s ssss dddd iiii it01 mmmm", "USAT", saturate(Saturate.UNSIGNED)),
        row("cccc 0110 1010 ssss dddd 1111 0011 mmmm", "SSAT16", saturate(Saturate.SIGNED16)),
        row("cccc 0110 1110 ssss dddd 1111 0011 mmmm", "USAT16", saturate(Saturate.UNSIGNED16)),
        row("cccc 0110 1000 nnnn dddd ii00 0111 mmmm", "SXTAB16",
            register_op("sxtab16", without="sxtb16", shift=Shift.ROR, scale=8)),
        row("cccc 0110 1010 nnnn dddd ii00 0111 mmmm", "SXTAB",
            register_op("sxtab", without="sxtb", shift=Shift.ROR, scale=8)),
        row("cccc 0110 1011 nnnn dddd ii00 0111 mmmm", "SXTAH",
            register_op("sxtah", without="sxth", shift=Shift.ROR, scale=8)),
        row("cccc 0110 1100 nnnn dddd ii00 0111 mmmm", "UXTAB16",
            register_op("uxtab16", without="uxtb16", shift=Shift.ROR, scale=8)),
        row("cccc 0110 1110 nnnn dddd ii00 0111 mmmm", "UXTAB",
            register_op("uxtab", without="uxtb", shift=Shift.ROR, scale=8)),
        row("cccc 0110 1111 nnnn dddd ii00 0111 mmmm", "UXTAH",
            register_op("uxtah", without="uxth", shift=Shift.ROR, scale=8)),
        row("cccc 0110 1000 nnnn dddd 1111 1011 mmmm", "SEL", register_op("sel")),
        row("cccc 0110 1011 1111 dddd 1111 0011 mmmm", "REV", register_op("rev")),
        row("cccc 0110 1011 1111 dddd 1111 1011 mmmm", "REV16", register_op("rev16")),
        row("cccc 0110 1111 1111 dddd 1111 0011 mmmm", "RBIT", register_op("rbit")),
        row("cccc 0110 1111 1111 dddd 1111 1011 mmmm", "REVSH", register_op("revsh")),
        row("cccc 0111 0000 dddd aaaa mmmm 00x1 nnnn", "SMLAD",
            register_op(("smlad", "smladx"), without=("smuad", "smuadx"))),
        row("cccc 0111 0000 dddd aaaa mmmm 01x1 nnnn", "SMLSD",
            register_op(("smlsd", "smlsdx"), without=("smusd", "smusdx"))),
        row("cccc 0111 0001 dddd 1111 mmmm 0001 nnnn", "SDIV", register_op("sdiv")),
        row("cccc 0111 0011 dddd 1111 mmmm 0001 nnnn", "UDIV", register_op("udiv")),
        row("cccc 0111 0100 hhhh llll mmmm 00x1 nnnn", "SMLALD", long_op("smlald", "smlaldx")),
        row("cccc 0111 0100 hhhh llll mmmm 01x1 nnnn", "SMLSLD", long_op("smlsld", "smlsldx")),
        row("cccc 0111 0101 dddd aaaa mmmm 00x1 nnnn", "SMMLA",
            register_op(("smmla", "smmlar"), without=("smmul", "smmulr"))),
        row("cccc 0111 0101 dddd aaaa mmmm 11x1 nnnn", "SMMLS", register_op(("smmls", "smmlsr"))),
        row("cccc 0111 1000 dddd aaaa mmmm 0001 nnnn", "USADA8",
            register_op("usada8", without="usad8")),
        row("cccc 0111 101w wwww dddd llll l101 nnnn", "SBFX", bitfield_extract(Bitfield.SIGNED)),
        row("cccc 0111 111w wwww dddd llll l101 nnnn", "UBFX", bitfield_extract(Bitfield.UNSIGNED)),
        row("cccc 0111 110m mmmm dddd llll l001 nnnn", "BFI, BFC", bitfield_insert),
        row("cccc 0111 1111 .... .... .... 1111 ....", "UDF", refuse(Reason.CALL)),
        row("cccc 011. .... .... .... .... ...1 ....", "none", refuse(Reason.UNKNOWN)),
        row("cccc 100p uswl nnnn rrrr rrrr rrrr rrrr", "LDM, STM", load_store_multiple),
        row("cccc 101l iiii iiii iiii iiii iiii iiii", "B, BL", _branch),
        row("cccc 1110 oool nnnn dddd pppp qqq1 mmmm", "MRC, MCR", coprocessor),
        row("cccc 1111 .... .... .... .... .... ....", "SVC", refuse(Reason.CALL)),
        row("cccc 11.. .... .... .... pppp .... ....", "coprocessors", other_coprocessor),
    )
)
# fmt: on

# fmt: off
UNCONDITIONAL: Final = Table(
    (
        row("1111 0001 0000 iiM0 0000 000f ff0m mmmm", "CPS", cps),
        row("1111 0001 0000 0001 0000 00E0 0000 0000", "SETEND", _setend),
        row("1111 0101 0111 1111 1111 0000 0001 1111", "CLREX", refuse(Reason.EXCLUSIVE)),
        row("1111 0101 0111 1111 1111 0000 010. ....", "DSB, DMB", nop),
        row("1111 0101 0111 1111 1111 0000 0110 ....", "ISB", nop),
        row("1111 0101 ..01 .... 1111 .... .... ....", "PLD, PLDW", nop),
        row("1111 0100 .101 .... 1111 .... .... ....", "PLI", nop),
        row("1111 0111 ..01 .... 1111 .... ...0 ....", "PLD, PLDW register", nop),
        row("1111 0110 .101 .... 1111 .... ...0 ....", "PLI register", nop),
        row("1111 001. .... .... .... .... .... ....", "Advanced SIMD", refuse(Reason.VFP)),
        row("1111 0100 ...0 .... .... .... .... ....", "Advanced SIMD", refuse(Reason.VFP)),
        row("1111 100. .... .... .... .... .... ....", "SRS, RFE", refuse(Reason.RETURN)),
        row("1111 101h iiii iiii iiii iiii iiii iiii", "BLX", _blx),
        row("1111 11.. .... .... .... pppp .... ....", "coprocessors", other_coprocessor),
    )
)
# fmt: on
