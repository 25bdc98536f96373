# SPDX-License-Identifier: MIT
"""32-bit T32 encodings (DDI 0406C, A6.3) in terms of `orchestrator.probe.emulation`.

A word has the first halfword in its upper half. What A32 has too is decoded there; here is what
differs: constants, and the order of fields. Loads and stores are `t32_loads`'.
"""

from dataclasses import replace
from typing import Final

from orchestrator.probe.a32 import branch
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
    NO_REG,
    NOWHERE,
    PC,
    REGISTER_INDEX,
    SP,
    Access,
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
    Table,
    immediate_shift,
    refuse,
    rotated_carry,
    row,
    sign_extend,
)
from orchestrator.probe.system import (
    coprocessor,
    cps,
    hint,
    nop,
    other_coprocessor,
    read_psr,
    write_psr,
)
from orchestrator.probe.t32_loads import (
    access_far,
    access_literal,
    access_near,
    access_register,
    dual,
    multiple_registers,
    pc_base,
)

_WORD: Final = 0xFFFF_FFFF
# By the opcode field: as it is, and where Rd (with S) or Rn is 15.
_ALU: Final = {
    0: "and", 1: "bic", 2: "orr", 3: "orn", 4: "eor", 8: "add", 10: "adc", 11: "sbc",
    13: "sub", 14: "rsb",
}  # fmt: skip
_ALU_TESTS: Final = {0: "tst", 4: "teq", 8: "cmn", 13: "cmp"}
_ALU_MOVES: Final = {2: "mov", 3: "mvn"}


def _alu(f: Fields, operation: Operation) -> Decoded:
    op, d, n = f["o"], f["d"], f["n"]
    if op not in _ALU:
        return UNKNOWN
    if d == PC:
        if not f["S"] or op not in _ALU_TESTS or n == PC:
            return UNPREDICTABLE
        name, d = _ALU_TESTS[op], NOWHERE
    elif n == PC:
        if op not in _ALU_MOVES:
            return UNPREDICTABLE
        name, n = _ALU_MOVES[op], 0
    else:
        name = _ALU[op]
    flags = operation.flags | (Flag.SET_FLAGS if f["S"] else NO_FLAGS)
    return replace(operation, op=ALU_INDEX[name], rd=d, rn=n, flags=flags)


def _alu_immediate(f: Fields, context: Context) -> Decoded:
    code = f["i"]
    byte = code & 0xFF
    rotated = code >> 10 != 0
    if rotated:
        turn, low = code >> 7, code & 0x7F | 0x80
        value = (low >> turn | low << (32 - turn)) & _WORD
    else:
        value = byte * (0x1, 0x10001, 0x1000100, 0x1010101)[code >> 8]
    flags = rotated_carry(value=value, rotated=rotated)
    operation = Operation(emulation=Emulation.ALU_IMM, cond=context.cond, value=value, flags=flags)
    return _alu(f, operation)


def _alu_shift(f: Fields, context: Context) -> Decoded:
    if f["m"] == PC:
        return UNPREDICTABLE
    shift, amount = immediate_shift(f["t"], f["i"])
    operation = Operation(
        emulation=Emulation.ALU_SHIFT, cond=context.cond, shift=shift, rm=f["m"], value=amount
    )
    return _alu(f, operation)


def _move_shifted(f: Fields, context: Context) -> Decoded:
    if PC in (f["d"], f["n"], f["m"]):
        return UNPREDICTABLE
    return Operation(
        emulation=Emulation.ALU_SHIFT_REG,
        cond=context.cond,
        op=ALU_INDEX["mov"],
        flags=Flag.SET_FLAGS if f["S"] else NO_FLAGS,
        shift=f["t"],
        rd=f["d"],
        rn=0,
        rm=f["n"],
        ra=f["m"],
    )


def _pkh(f: Fields, context: Context) -> Decoded:
    if PC in (f["d"], f["n"], f["m"]):
        return UNPREDICTABLE
    kind, amount = immediate_shift(Shift.ASR if f["t"] else Shift.LSL, f["i"])
    return Operation(
        emulation=Emulation.REGISTER,
        cond=context.cond,
        op=REGISTER_INDEX["pkhtb" if f["t"] else "pkhbt"],
        shift=kind,
        rd=f["d"],
        rn=f["n"],
        rm=f["m"],
        ra=0,
        value=amount,
    )


def _constant(rd: int, value: int, context: Context) -> Operation:
    return Operation(
        emulation=Emulation.ALU_IMM,
        cond=context.cond,
        op=ALU_INDEX["mov"],
        rd=rd,
        rn=0,
        value=value & _WORD,
    )


def _add_wide(name: str) -> Decoder:
    def decode(f: Fields, context: Context) -> Decoded:
        if f["d"] == PC:
            return UNPREDICTABLE
        if f["n"] == PC:
            offset = f["i"] if name == "add" else -f["i"]
            return _constant(f["d"], pc_base(context) + offset, context)
        return replace(_constant(f["d"], f["i"], context), op=ALU_INDEX[name], rn=f["n"])

    return decode


def _movw(f: Fields, context: Context) -> Decoded:
    return UNPREDICTABLE if f["d"] == PC else _constant(f["d"], f["i"], context)


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


def _far(f: Fields) -> int:
    """The offset of B.W and BL: bits J1 and J2 are stored against the sign (A8.8.18)."""
    sign = f["S"]
    high = sign << 2 | (1 ^ f["j"] ^ sign) << 1 | (1 ^ f["k"] ^ sign)
    return sign_extend((high << 21 | f["i"]) << 1, 25)


def _branch(f: Fields, context: Context) -> Decoded:
    return branch(context.va + 4 + _far(f) | 1, context)


def _branch_if(f: Fields, context: Context) -> Decoded:
    offset = sign_extend((f["S"] << 19 | f["k"] << 18 | f["j"] << 17 | f["i"]) << 1, 21)
    return branch(context.va + 4 + offset | 1, replace(context, cond=f["c"]))


def _bl(f: Fields, context: Context) -> Decoded:
    return branch(context.va + 4 + _far(f) | 1, context, link=(context.va + 4 | 1) & _WORD)


def _blx(f: Fields, context: Context) -> Decoded:
    return branch(pc_base(context) + _far(f), context, link=(context.va + 4 | 1) & _WORD)


def _table_branch(f: Fields, context: Context) -> Decoded:
    if f["n"] == SP or f["m"] in (SP, PC):
        return UNPREDICTABLE
    return Operation(
        emulation=Emulation.TABLE_BRANCH,
        cond=context.cond,
        op=Access.HALF if f["h"] else Access.BYTE,
        rn=NO_REG if f["n"] == PC else f["n"],
        rm=f["m"],
        value=context.va + 4 if f["n"] == PC else 0,
    )


_PREFIX: Final = {(0, 0): "s", (0, 1): "q", (0, 2): "sh", (1, 0): "u", (1, 1): "uq", (1, 2): "uh"}
_PARALLEL: Final = {1: "add16", 2: "asx", 6: "sax", 5: "sub16", 0: "add8", 4: "sub8"}


def _parallel(f: Fields, context: Context) -> Decoded:
    prefix, name = _PREFIX.get((f["u"], f["q"])), _PARALLEL.get(f["o"])
    if prefix is None or name is None:
        return UNKNOWN
    return register_op(prefix + name)(f, context)


def _one(name: str) -> Decoder:
    """An operation of one register, which stands in both operand fields."""
    operation = register_op(name)

    def decode(f: Fields, context: Context) -> Decoded:
        if f["n"] != f["m"]:
            return UNPREDICTABLE
        return operation(f, context)

    return decode


def _extend(name: str) -> Decoder:
    return register_op(f"{name[0]}xta{name[3:]}", without=name, shift=Shift.ROR, scale=8)


_COPROCESSOR: Final = "coprocessors"

# fmt: off
TABLE: Final = Table(
    (
        row("1110 1000 10wl nnnn rrrr rrrr rrrr rrrr", "LDM, STM",
            lambda f, c: multiple_registers({**f, "u": 1}, c)),
        row("1110 1001 00wl nnnn rrrr rrrr rrrr rrrr", "LDMDB, STMDB",
            lambda f, c: multiple_registers({**f, "u": 0}, c)),
        row("1110 1000 1101 nnnn 1111 0000 000h mmmm", "TBB, TBH", _table_branch),
        row("1110 1000 010. .... .... .... .... ....", "LDREX, STREX", refuse(Reason.EXCLUSIVE)),
        row("1110 1000 110. .... .... .... 01.. ....", "LDREXB to STREXD",
            refuse(Reason.EXCLUSIVE)),
        row("1110 1000 00.. .... .... .... .... ....", "SRS, RFE", refuse(Reason.RETURN)),
        row("1110 1001 10.. .... .... .... .... ....", "SRS, RFE", refuse(Reason.RETURN)),
        row("1110 1000 110. .... .... .... .... ....", "none", refuse(Reason.UNKNOWN)),
        row("1110 100p u1wl nnnn dddd eeee iiii iiii", "LDRD, STRD", dual),
        row("1110 1010 1100 nnnn 0iii dddd iit0 mmmm", "PKHBT, PKHTB", _pkh),
        row("1110 101o oooS nnnn 0iii dddd iitt mmmm", "ALU register", _alu_shift),
        row("1110 1110 oool nnnn dddd pppp qqq1 mmmm", "MRC, MCR", coprocessor),
        row("111. 1111 .... .... .... .... .... ....", "Advanced SIMD", refuse(Reason.VFP)),
        row("1110 11.. .... .... .... pppp .... ....", _COPROCESSOR, other_coprocessor),
        row("1111 0i0o oooS nnnn 0iii dddd iiii iiii", "ALU immediate", _alu_immediate),
        row("1111 0i10 0000 nnnn 0iii dddd iiii iiii", "ADDW, ADR", _add_wide("add")),
        row("1111 0i10 1010 nnnn 0iii dddd iiii iiii", "SUBW, ADR", _add_wide("sub")),
        # The first four bits of the constant stand between its others in the encoding.
        row("1111 0j10 0100 iiii 0kkk dddd llll llll", "MOVW",
            lambda f, c: _movw({**f, "i": _imm16(f)}, c)),
        row("1111 0j10 1100 iiii 0kkk dddd llll llll", "MOVT",
            lambda f, c: _movt({**f, "i": _imm16(f)}, c)),
        row("1111 0011 0010 mmmm 0000 dddd 0000 ssss", "SSAT16", saturate(Saturate.SIGNED16)),
        row("1111 0011 1010 mmmm 0000 dddd 0000 ssss", "USAT16", saturate(Saturate.UNSIGNED16)),
        row("1111 0011 .010 .... 0000 .... 000. ....", "none", refuse(Reason.UNKNOWN)),
        row("1111 0011 00t0 mmmm 0iii dddd ii0s ssss", "SSAT", saturate(Saturate.SIGNED)),
        row("1111 0011 10t0 mmmm 0iii dddd ii0s ssss", "USAT", saturate(Saturate.UNSIGNED)),
        row("1111 0011 0100 nnnn 0lll dddd ll0w wwww", "SBFX", bitfield_extract(Bitfield.SIGNED)),
        row("1111 0011 1100 nnnn 0lll dddd ll0w wwww", "UBFX", bitfield_extract(Bitfield.UNSIGNED)),
        row("1111 0011 0110 nnnn 0lll dddd ll0m mmmm", "BFI, BFC", bitfield_insert),
        row("1111 0011 100R mmmm 1000 kkkk 0000 0000", "MSR", write_psr),
        row("1111 0011 1010 1111 1000 0000 hhhh hhhh", "hints", hint),
        row("1111 0011 1010 1111 1000 0iiM ffff ffff", "CPS",
            lambda f, c: cps({**f, "f": f["f"] >> 5, "m": f["f"] & 31}, c)),
        row("1111 0011 1011 1111 1000 1111 0010 1111", "CLREX", refuse(Reason.EXCLUSIVE)),
        row("1111 0011 1011 1111 1000 1111 010. ....", "DSB, DMB", nop),
        row("1111 0011 1011 1111 1000 1111 0110 ....", "ISB", nop),
        row("1111 0011 1101 1110 1000 1111 .... ....", "SUBS PC, LR; ERET", refuse(Reason.RETURN)),
        row("1111 0011 111R 1111 1000 dddd 0000 0000", "MRS", read_psr),
        row("1111 0111 111. .... 10.0 .... .... ....", "HVC, SMC, UDF", refuse(Reason.CALL)),
        row("1111 0.11 1... .... 10.0 .... .... ....", "none", refuse(Reason.UNKNOWN)),
        row("1111 0Scc ccii iiii 10j0 kiii iiii iiii", "B conditional", _branch_if),
        row("1111 0Sii iiii iiii 10j1 kiii iiii iiii", "B", _branch),
        row("1111 0Sii iiii iiii 11j1 kiii iiii iiii", "BL", _bl),
        row("1111 0Sii iiii iiii 11j0 kiii iiii iii0", "BLX",
            lambda f, c: _blx({**f, "i": f["i"] << 1}, c)),
        row("1111 100S uss1 1111 dddd iiii iiii iiii", "LDR literal",
            lambda f, c: access_literal({**f, "l": 1, "n": PC}, c)),
        row("1111 1001 ...0 .... .... .... .... ....", "Advanced SIMD", refuse(Reason.VFP)),
        row("1111 100S 1ssl nnnn dddd iiii iiii iiii", "LDR, STR immediate", access_far),
        row("1111 100S 0ssl nnnn dddd 1puw iiii iiii", "LDR, STR indexed", access_near),
        row("1111 100S 0ssl nnnn dddd 0000 00ii mmmm", "LDR, STR register", access_register),
        row("1111 1010 0ttS nnnn 1111 dddd 0000 mmmm", "shifts", _move_shifted),
        row("1111 1010 0000 nnnn 1111 dddd 10ii mmmm", "SXTAH", _extend("sxth")),
        row("1111 1010 0001 nnnn 1111 dddd 10ii mmmm", "UXTAH", _extend("uxth")),
        row("1111 1010 0010 nnnn 1111 dddd 10ii mmmm", "SXTAB16", _extend("sxtb16")),
        row("1111 1010 0011 nnnn 1111 dddd 10ii mmmm", "UXTAB16", _extend("uxtb16")),
        row("1111 1010 0100 nnnn 1111 dddd 10ii mmmm", "SXTAB", _extend("sxtb")),
        row("1111 1010 0101 nnnn 1111 dddd 10ii mmmm", "UXTAB", _extend("uxtb")),
        row("1111 1010 1ooo nnnn 1111 dddd 0uqq mmmm", "parallel add and subtract", _parallel),
        row("1111 1010 1000 mmmm 1111 dddd 10yx nnnn", "QADD to QDSUB",
            register_op(("qadd", "qsub", "qdadd", "qdsub"))),
        row("1111 1010 1001 nnnn 1111 dddd 1000 mmmm", "REV", _one("rev")),
        row("1111 1010 1001 nnnn 1111 dddd 1001 mmmm", "REV16", _one("rev16")),
        row("1111 1010 1001 nnnn 1111 dddd 1010 mmmm", "RBIT", _one("rbit")),
        row("1111 1010 1001 nnnn 1111 dddd 1011 mmmm", "REVSH", _one("revsh")),
        row("1111 1010 1010 nnnn 1111 dddd 1000 mmmm", "SEL", register_op("sel")),
        row("1111 1010 1011 nnnn 1111 dddd 1000 mmmm", "CLZ", _one("clz")),
        row("1111 1011 0000 nnnn aaaa dddd 0000 mmmm", "MLA", register_op("mla", without="mul")),
        row("1111 1011 0000 nnnn aaaa dddd 0001 mmmm", "MLS", register_op("mls")),
        row("1111 1011 0001 nnnn aaaa dddd 00xy mmmm", "SMLAxy",
            register_op(halves("smla"), without=halves("smul"))),
        row("1111 1011 0010 nnnn aaaa dddd 000x mmmm", "SMLAD",
            register_op(("smlad", "smladx"), without=("smuad", "smuadx"))),
        row("1111 1011 0011 nnnn aaaa dddd 000y mmmm", "SMLAWy",
            register_op(("smlawb", "smlawt"), without=("smulwb", "smulwt"))),
        row("1111 1011 0100 nnnn aaaa dddd 000x mmmm", "SMLSD",
            register_op(("smlsd", "smlsdx"), without=("smusd", "smusdx"))),
        row("1111 1011 0101 nnnn aaaa dddd 000x mmmm", "SMMLA",
            register_op(("smmla", "smmlar"), without=("smmul", "smmulr"))),
        row("1111 1011 0110 nnnn aaaa dddd 000x mmmm", "SMMLS", register_op(("smmls", "smmlsr"))),
        row("1111 1011 0111 nnnn aaaa dddd 0000 mmmm", "USADA8",
            register_op("usada8", without="usad8")),
        row("1111 1011 1000 nnnn llll hhhh 0000 mmmm", "SMULL", long_op("smull")),
        row("1111 1011 1001 nnnn 1111 dddd 1111 mmmm", "SDIV", register_op("sdiv")),
        row("1111 1011 1010 nnnn llll hhhh 0000 mmmm", "UMULL", long_op("umull")),
        row("1111 1011 1011 nnnn 1111 dddd 1111 mmmm", "UDIV", register_op("udiv")),
        row("1111 1011 1100 nnnn llll hhhh 0000 mmmm", "SMLAL", long_op("smlal")),
        row("1111 1011 1100 nnnn llll hhhh 10xy mmmm", "SMLALxy", long_op(*halves("smlal"))),
        row("1111 1011 1100 nnnn llll hhhh 110x mmmm", "SMLALD", long_op("smlald", "smlaldx")),
        row("1111 1011 1101 nnnn llll hhhh 110x mmmm", "SMLSLD", long_op("smlsld", "smlsldx")),
        row("1111 1011 1110 nnnn llll hhhh 0000 mmmm", "UMLAL", long_op("umlal")),
        row("1111 1011 1110 nnnn llll hhhh 0110 mmmm", "UMAAL", long_op("umaal")),
        row("1111 11.. .... .... .... pppp .... ....", _COPROCESSOR, other_coprocessor),
    )
)
# fmt: on


def _imm16(f: Fields) -> int:
    return f["i"] << 12 | f["j"] << 11 | f["k"] << 8 | f["l"]
