/* SPDX-License-Identifier: MIT */
/*
 * What a displaced instruction does, decoded by the host (orchestrator/probe/instruction.py) so that
 * the hypervisor need not: trace_probe.emulation is the class, trace_probe.operand the structure
 * below. images/hypervisor/emulate.c does it; a test holds the host's copy of the names against this.
 *
 * The host refuses what is not here, and folds all that depends on the address alone: a literal's
 * address, a branch's target. HVC is undefined at PL0, so that the guest is privileged at each hit.
 */
#ifndef ABI_EMULATION_H
#define ABI_EMULATION_H

#include <stdint.h>

enum emulation {
    EMULATE_NONE = 0, /* not filled in: the HVC stays undefined */
    EMULATE_NOP,      /* hints, barriers, preloads */
    /* op: enum alu. rd = op(rn, second operand): */
    EMULATE_ALU_IMM,       /* value; its carry by flags */
    EMULATE_ALU_SHIFT,     /* rm shifted by `value`, 0 to 32 */
    EMULATE_ALU_SHIFT_REG, /* rm shifted by ra */
    EMULATE_BITFIELD,      /* op: enum bitfield, of rn or of value without rn; see below */
    EMULATE_REGISTER,      /* op: enum register_op. rd = op(rn, rm shifted by value, ra) */
    EMULATE_LONG,          /* op: enum long_op. ra:rd = op(ra:rd, rn, rm) */
    EMULATE_SATURATE,      /* op: enum saturate. rd = rm shifted by value, to `extra` bits */
    EMULATE_BRANCH,        /* to value, bit 0: Thumb; LINK: lr = extra */
    EMULATE_BRANCH_REG,    /* to rm; LINK: lr = extra */
    EMULATE_TABLE_BRANCH,  /* op: enum access (byte or half). To pc + 2 * table [rn + value][rm] */
    /* op: enum access. At rn + value or, INDEXED, at rn +- (rm shifted by value). extra: bytes - 1. */
    EMULATE_LOAD,
    EMULATE_STORE,
    EMULATE_LOAD_DUAL, /* rd, ra; extra: 3 */
    EMULATE_STORE_DUAL,
    /*
     * value: list, ra: its bytes - 1. extra: first address - rn, and in the high half writeback - rn.
     * LINK: lr is one of them; LOADS_PC: pc. The others are `shift` registers in a row, from the byte
     * `rd` of struct vcpu on. More than EMULATE_MAX_ROW: so many less in a row, then a second one, from
     * op & 15 on, of op >> 4; more than twice that: so many less, and a third one, told so by `last`.
     * EMULATE_SCATTERED: there are more rows than that.
     */
    EMULATE_LOAD_MULTIPLE,
    EMULATE_STORE_MULTIPLE,
    EMULATE_READ_PSR,  /* rd = PSR; op 0: CPSR, 1: SPSR */
    EMULATE_WRITE_PSR, /* its bits `value` from rm, or from extra without rm */
    EMULATE_READ_CP15, /* op: enum cp15_register, rd */
    EMULATE_WRITE_CP15,
    EMULATE_MOVE, /* ALU_IMM with mov, always, without flags, to r0 to r7: for probe.S */
    EMULATE_CLASSES
};

enum emulate_flags {
    EMULATE_SET_FLAGS = 1,
    EMULATE_CARRY_CLEAR = 2, /* of a rotated constant */
    EMULATE_CARRY_SET = 4,
    EMULATE_LINK = 8,
    EMULATE_PRE = 16, /* the offset counts for this access, not only for the writeback */
    EMULATE_WRITEBACK = 32,
    EMULATE_SUBTRACT = 64,
    EMULATE_UNPRIVILEGED = 128,
    EMULATE_INDEXED = EMULATE_SET_FLAGS, /* of loads and stores, which have no flags to set */
    EMULATE_ONE_BY_ONE = EMULATE_SET_FLAGS, /* of lists that are not so simple */
    EMULATE_MOVES_BASE = EMULATE_CARRY_CLEAR,
    EMULATE_LOADS_PC = EMULATE_CARRY_SET,
};

/* rd, rn, rm, ra: words from the start of the hypervisor's struct vcpu on. 0 to 12: r0 to r12. */
enum emulate_register {
    EMULATE_SP = 14, /* of the guest's current mode, as is lr */
    EMULATE_LR,
    EMULATE_PC,      /* as an operand; as rd: a branch */
    EMULATE_NO_REG,  /* reads as 0 */
    EMULATE_NOWHERE, /* rd of what has no result */
};

#define EMULATE_MAX_ROW 9u     /* registers in a row */
#define EMULATE_SCATTERED 28u /* instead of their number */
#define EMULATE_AL 14u         /* trace_probe.cond: always */

struct emulation_operand {
    uint8_t last;
    uint8_t op;
    uint8_t flags;
    uint8_t shift; /* enum shift */
    uint8_t rd, rn, rm, ra;
    uint32_t value;
    uint32_t extra;
};
_Static_assert(sizeof(struct emulation_operand) == 16, "trace_probe.operand");

enum shift { SHIFT_LSL, SHIFT_LSR, SHIFT_ASR, SHIFT_ROR, SHIFT_RRX };
/* The field begins at bit `shift` of rd (INSERT) or of rn; extra: its mask, before the shift. */
enum bitfield { BITFIELD_INSERT, BITFIELD_UNSIGNED, BITFIELD_SIGNED };
enum saturate { SATURATE_SIGNED, SATURATE_UNSIGNED, SATURATE_SIGNED16, SATURATE_UNSIGNED16 };
enum access { ACCESS_WORD, ACCESS_BYTE, ACCESS_HALF, ACCESS_SIGNED_BYTE, ACCESS_SIGNED_HALF };

/* Each name is that of the instruction. In the first table, by the A32 opcode field; ORN is T32's. */
#define EMULATE_ALU_OPS(X)                                                                  \
    X(and) X(eor) X(sub) X(rsb) X(add) X(adc) X(sbc) X(rsc) X(tst) X(teq) X(cmp) X(cmn)     \
    X(orr) X(mov) X(bic) X(mvn) X(orn)

/* rd = op(rm) */
#define EMULATE_OPS_1(X)                                                                    \
    X(clz) X(rev) X(rev16) X(revsh) X(rbit) X(sxtb) X(sxth) X(uxtb) X(uxth) X(sxtb16) X(uxtb16)

/* rd = op(rn, rm) */
#define EMULATE_OPS_2(X)                                                                    \
    X(mul) X(muls) X(sdiv) X(udiv) X(qadd) X(qsub) X(qdadd) X(qdsub) X(smulbb) X(smulbt)    \
    X(smultb) X(smultt) X(smulwb) X(smulwt) X(smuad) X(smuadx) X(smusd) X(smusdx) X(smmul)  \
    X(smmulr) X(usad8) X(sel) X(sxtab) X(sxtah) X(uxtab) X(uxtah) X(sxtab16) X(uxtab16)     \
    X(pkhbt) X(pkhtb)                                                                       \
    EMULATE_PARALLEL(X, s) EMULATE_PARALLEL(X, q) EMULATE_PARALLEL(X, sh)                   \
    EMULATE_PARALLEL(X, u) EMULATE_PARALLEL(X, uq) EMULATE_PARALLEL(X, uh)
#define EMULATE_PARALLEL(X, p)                                                              \
    X(p##add16) X(p##asx) X(p##sax) X(p##sub16) X(p##add8) X(p##sub8)

/* rd = op(rn, rm, ra) */
#define EMULATE_OPS_3(X)                                                                    \
    X(mla) X(mlas) X(mls) X(smlabb) X(smlabt) X(smlatb) X(smlatt) X(smlawb) X(smlawt)       \
    X(smlad) X(smladx) X(smlsd) X(smlsdx) X(smmla) X(smmlar) X(smmls) X(smmlsr) X(usada8)

#define EMULATE_LONG_OPS(X)                                                                 \
    X(umull) X(umulls) X(smull) X(smulls) X(umlal) X(umlals) X(smlal) X(smlals) X(umaal)    \
    X(smlalbb) X(smlalbt) X(smlaltb) X(smlaltt) X(smlald) X(smlaldx) X(smlsld) X(smlsldx)

/* Those that belong to the guest alone, and what reading them does not change. */
#define EMULATE_CP15_REGISTERS(X)                                                           \
    X(TPIDRURW) X(TPIDRURO) X(TPIDRPRW) X(CONTEXTIDR) X(DFSR) X(IFSR) X(DFAR) X(IFAR)       \
    X(SCTLR) X(CPACR) X(TTBCR) X(DACR) X(VBAR)

enum alu {
#define X(name) ALU_##name,
    EMULATE_ALU_OPS(X)
#undef X
};

enum register_op {
#define X(name) OP_##name,
    EMULATE_OPS_1(X) EMULATE_OPS_2(X) EMULATE_OPS_3(X)
#undef X
};

enum long_op {
#define X(name) LONG_##name,
    EMULATE_LONG_OPS(X)
#undef X
};

enum cp15_register {
#define X(name) CP15_##name,
    EMULATE_CP15_REGISTERS(X)
#undef X
};

#endif
