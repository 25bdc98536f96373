/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the emulation share: a guest's registers as the displaced instruction sees them.
 * Interface to the rest: emulate() in hypervisor.h; probe.S calls the functions of `emulations`, too.
 */
#ifndef EMULATE_H
#define EMULATE_H

#include "emulation.h"
#include "hypervisor.h"

/* What an instruction costs is counted in instructions, and a call is not the least of them. */
#define INLINE __attribute__((always_inline))

#define CPSR_N (1u << 31)
#define CPSR_Z (1u << 30)
#define CPSR_C (1u << 29)
#define CPSR_V (1u << 28)
#define CPSR_NZCV 0xf0000000u
#define CPSR_APSR 0xf80f0000u /* with Q and GE */

enum outcome {
    OUTCOME_NEXT,      /* the guest goes on behind the instruction */
    OUTCOME_BRANCH,    /* at vcpu->pc */
    OUTCOME_EXCEPTION, /* at vcpu->pc, in the mode of an exception: it may be the same one */
};

/* Does an instruction of one class; the registers of the guest's mode are in the vCPU by then. */
typedef enum outcome emulation(struct vcpu *vcpu, const struct emulation_operand *o);

extern emulation *const emulations[EMULATE_CLASSES];

/* n: enum emulate_register */
static inline uint32_t reg(const struct vcpu *vcpu, uint32_t n)
{
    return ((const uint32_t *)vcpu)[n];
}

static inline void set_reg(struct vcpu *vcpu, uint32_t n, uint32_t value)
{
    ((uint32_t *)vcpu)[n] = value;
}

/* BXWritePC (A2.3.1) */
static inline enum outcome branch(struct vcpu *vcpu, uint32_t target)
{
    vcpu->cpsr = (vcpu->cpsr & ~CPSR_T) | (target & 1 ? CPSR_T : 0);
    vcpu->pc = target & ~1u;
    return OUTCOME_BRANCH;
}

static inline enum outcome write_rd(struct vcpu *vcpu, uint32_t rd, uint32_t value)
{
    if (__builtin_expect(rd == EMULATE_PC, 0))
        return branch(vcpu, value);
    set_reg(vcpu, rd, value);
    return OUTCOME_NEXT;
}

/* Run `text`, which may name its operands, on the flags and keep what they become. */
#define ON_FLAGS(text, flags, ...)                                                 \
    __asm__("msr cpsr_fs, %[f]\n " text "\n mrs %[f], cpsr" : [f] "+r"(flags), __VA_ARGS__ : "cc")

/* A shift by 0 to 255, as one by a register; its carry in `flags`, N and Z as of the result. */
static inline INLINE uint32_t shift(uint32_t type, uint32_t value, uint32_t amount, uint32_t *flags)
{
    uint32_t f = *flags;

#define SHIFT(text) ON_FLAGS(text, f, [v] "+r"(value) : [a] "r"(amount))
    switch (type) {
    case SHIFT_LSL: SHIFT("lsls %[v], %[v], %[a]"); break;
    case SHIFT_LSR: SHIFT("lsrs %[v], %[v], %[a]"); break;
    case SHIFT_ASR: SHIFT("asrs %[v], %[v], %[a]"); break;
    case SHIFT_ROR: SHIFT("rors %[v], %[v], %[a]"); break;
    default: SHIFT("rrxs %[v], %[v]"); break;
    }
#undef SHIFT
    *flags = f;
    return value;
}

/* The operand rm, shifted by a constant. */
static inline INLINE uint32_t shifted_rm(const struct vcpu *vcpu, const struct emulation_operand *o,
                                         uint32_t *flags)
{
    uint32_t value = reg(vcpu, o->rm);

    return o->value || o->shift ? shift(o->shift, value, o->value, flags) : value;
}

/* emulate_memory.c */
emulation emulate_load, emulate_store, emulate_load_dual, emulate_store_dual;
emulation emulate_load_multiple, emulate_store_multiple, emulate_table_branch;

#endif
