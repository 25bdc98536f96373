# SPDX-License-Identifier: MIT
"""A32 encodings (DDI 0406C, A5): what each does in terms of `orchestrator.probe.emulation`.

To add an instruction that a class of the hypervisor can do: a row in `TABLE`, and a decoder if none
fits. What is not in the table is refused.
"""

from typing import Final

from orchestrator.probe.arithmetic import (
    bitfield_extract,
    bitfield_insert,
    halves,
    long_op,
    register_op,
    saturate,
)
from orchestrator.probe.emulation import (
    ALU_INDEX,
    NO_FLAGS,
    NOWHERE,
    PARALLEL,
    PC,
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
from orchestrator.probe.system import (
    coprocessor,
    cps,
    hint,
    nop,
    other_coprocessor,
    read_psr,
    setend,
    write_psr,
    write_psr_immediate,
)

_WORD: Final = 0xFFFF_FFFF
_TESTS: Final = range(ALU_INDEX["tst"], ALU_INDEX["cmn"] + 1)
_MOVES: Final = (ALU_INDEX["mov"], ALU_INDEX["mvn"])


# Data processing.


def _alu_registers(f: Fields) -> tuple[int, int] | None:
    """Rd and Rn by the fields; None: bits that should be zero are not."""
    op = f["o"]
    if op in _TESTS:
        return (NOWHERE, f["n"]) if f["d"] == 0 else None
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


def _parallel(f: Fields, context: Context) -> Decoded:
    prefix = {1: "s", 2: "q", 3: "sh", 5: "u", 6: "uq", 7: "uh"}.get(f["p"])
    name = {0: "add16", 1: "asx", 2: "sax", 3: "sub16", 4: "add8", 7: "sub8"}.get(f["o"])
    if prefix is None or name not in PARALLEL:
        return UNKNOWN
    return register_op(prefix + name)(f, context)


# A row's order matters only where one encoding is a special case of another: that stands first.
# fmt: off
CONDITIONAL: Final = Table(
    (
        row("cccc 0011 0000 iiii dddd iiii iiii iiii", "MOVW", _movw),
        row("cccc 0011 0100 iiii dddd iiii iiii iiii", "MOVT", _movt),
        row("cccc 0011 0010 0000 1111 0000 hhhh hhhh", "hints", hint),
        row("cccc 0011 0R10 kkkk 1111 rrrr iiii iiii", "MSR", write_psr_immediate),
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
        row("1111 0001 0000 0001 0000 00E0 0000 0000", "SETEND", setend),
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
