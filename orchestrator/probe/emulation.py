# SPDX-License-Identifier: MIT
"""What a displaced instruction does, in the hypervisor's terms: the mirror of images/abi/emulation.h.

The header is the authority and says what each class and each field means; a test compiles it and
compares the numbers. Who decodes: `orchestrator.probe.instruction`.
"""

import enum
import struct
from dataclasses import dataclass
from typing import Final

AL: Final = 14
"""Condition: always."""
NO_REG: Final = 16
"""Reads as 0."""
NOWHERE: Final = 17
"""Where a comparison's result goes."""
SP: Final = 13
LR: Final = 14
PC: Final = 15
MAX_ROW: Final = 9
"""Registers of a list in a row."""
SCATTERED: Final = 28
"""Instead of their number: they are in more than three rows."""


class Emulation(enum.IntEnum):
    """`enum emulation`."""

    NONE = 0
    NOP = 1
    ALU_IMM = 2
    ALU_SHIFT = 3
    ALU_SHIFT_REG = 4
    BITFIELD = 5
    REGISTER = 6
    LONG = 7
    SATURATE = 8
    BRANCH = 9
    BRANCH_REG = 10
    TABLE_BRANCH = 11
    LOAD = 12
    STORE = 13
    LOAD_DUAL = 14
    STORE_DUAL = 15
    LOAD_MULTIPLE = 16
    STORE_MULTIPLE = 17
    READ_PSR = 18
    WRITE_PSR = 19
    READ_CP15 = 20
    WRITE_CP15 = 21
    MOVE = 22


class Flag(enum.IntFlag):
    """`enum emulate_flags`."""

    SET_FLAGS = 1
    CARRY_CLEAR = 2
    CARRY_SET = 4
    LINK = 8
    PRE = 16
    WRITEBACK = 32
    SUBTRACT = 64
    UNPRIVILEGED = 128
    INDEXED = 1
    ONE_BY_ONE = 1
    MOVES_BASE = 2
    LOADS_PC = 4


class Shift(enum.IntEnum):
    """`enum shift`."""

    LSL = 0
    LSR = 1
    ASR = 2
    ROR = 3
    RRX = 4


class Bitfield(enum.IntEnum):
    """`enum bitfield`."""

    INSERT = 0
    UNSIGNED = 1
    SIGNED = 2


class Saturate(enum.IntEnum):
    """`enum saturate`."""

    SIGNED = 0
    UNSIGNED = 1
    SIGNED16 = 2
    UNSIGNED16 = 3


class Access(enum.IntEnum):
    """`enum access`."""

    WORD = 0
    BYTE = 1
    HALF = 2
    SIGNED_BYTE = 3
    SIGNED_HALF = 4


ALU: Final = (
    *("and", "eor", "sub", "rsb", "add", "adc", "sbc", "rsc"),
    *("tst", "teq", "cmp", "cmn", "orr", "mov", "bic", "mvn", "orn"),
)
"""`enum alu`: by the A32 opcode field, and ORN."""

PARALLEL: Final = ("add16", "asx", "sax", "sub16", "add8", "sub8")
REGISTER: Final = (
    *("clz", "rev", "rev16", "revsh", "rbit", "sxtb", "sxth", "uxtb", "uxth", "sxtb16", "uxtb16"),
    *("mul", "muls", "sdiv", "udiv", "qadd", "qsub", "qdadd", "qdsub"),
    *("smulbb", "smulbt", "smultb", "smultt", "smulwb", "smulwt", "smuad", "smuadx"),
    *("smusd", "smusdx", "smmul", "smmulr", "usad8", "sel"),
    *("sxtab", "sxtah", "uxtab", "uxtah", "sxtab16", "uxtab16"),
    *("pkhbt", "pkhtb"),
    *(prefix + name for prefix in ("s", "q", "sh", "u", "uq", "uh") for name in PARALLEL),
    *("mla", "mlas", "mls", "smlabb", "smlabt", "smlatb", "smlatt", "smlawb", "smlawt"),
    *("smlad", "smladx", "smlsd", "smlsdx", "smmla", "smmlar", "smmls", "smmlsr", "usada8"),
)
"""`enum register_op`."""

LONG: Final = (
    *("umull", "umulls", "smull", "smulls", "umlal", "umlals", "smlal", "smlals", "umaal"),
    *("smlalbb", "smlalbt", "smlaltb", "smlaltt", "smlald", "smlaldx", "smlsld", "smlsldx"),
)
"""`enum long_op`."""

CP15: Final = (
    *("TPIDRURW", "TPIDRURO", "TPIDRPRW", "CONTEXTIDR", "DFSR", "IFSR", "DFAR", "IFAR"),
    *("SCTLR", "CPACR", "TTBCR", "DACR", "VBAR"),
)
"""`enum cp15_register`."""

ALU_INDEX: Final = {name: index for index, name in enumerate(ALU)}
REGISTER_INDEX: Final = {name: index for index, name in enumerate(REGISTER)}
LONG_INDEX: Final = {name: index for index, name in enumerate(LONG)}
CP15_INDEX: Final = {name: index for index, name in enumerate(CP15)}

NO_FLAGS: Final = Flag(0)
_OPERAND: Final = struct.Struct("<8B2I")
_WORDS: Final = struct.Struct("<4I")
_MASK: Final = 0xFFFF_FFFF
FIRST_AT: Final = 14
"""Where the hypervisor has sp, lr, pc, zeros and what goes nowhere: `enum emulate_register`."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A displaced instruction, decoded: the class and `struct emulation_operand`.

    Attributes:
        emulation: The class.
        cond: 0 to 14; `trace_probe.cond`.
        last: The third row of a list.
        op: By class.
        flags: What of it applies.
        shift: Of rm, or the first bit of a field, or registers in a row.
        rd: And the other registers: a number, `NO_REG` or `NOWHERE`.
        rn: See rd.
        rm: See rd.
        ra: See rd; the bytes of a list, less one.
        value: By class.
        extra: By class.
    """

    emulation: Emulation
    cond: int = AL
    last: int = 0
    op: int = 0
    flags: Flag = NO_FLAGS
    shift: int = 0
    rd: int = NO_REG
    rn: int = NO_REG
    rm: int = NO_REG
    ra: int = NO_REG
    value: int = 0
    extra: int = 0

    @property
    def conditional(self) -> bool:
        """Whether it is done only under a condition."""
        return self.cond != AL

    def packed(self) -> tuple[int, int, int, int]:
        """`trace_probe.operand`."""
        registers = (self.rd, self.rn, self.rm, self.ra)
        words = [each if each < SP else each - SP + FIRST_AT for each in registers]
        if self.emulation in (Emulation.LOAD_MULTIPLE, Emulation.STORE_MULTIPLE):
            words[0], words[3] = 4 * words[0], self.ra
        raw = _OPERAND.pack(
            *(self.last, self.op, self.flags, self.shift, *words),
            *(self.value & _MASK, self.extra & _MASK),
        )
        first, second, third, fourth = _WORDS.unpack(raw)
        return first, second, third, fourth
