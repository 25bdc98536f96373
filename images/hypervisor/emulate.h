/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the emulation share: a guest's registers and memory as the displaced instruction
 * sees them. Interface to the rest: emulate() in hypervisor.h.
 *
 * A function that does an instruction answers true if the guest goes on behind it, false if the
 * guest's pc is set: a branch was taken, or an exception.
 */
#ifndef EMULATE_H
#define EMULATE_H

#include "emulation.h"
#include "hypervisor.h"

#define CPSR_N (1u << 31)
#define CPSR_Z (1u << 30)
#define CPSR_C (1u << 29)
#define CPSR_V (1u << 28)
#define CPSR_NZCV 0xf0000000u
#define CPSR_APSR 0xf80f0000u /* with Q and GE */
#define MODE_FIQ 0x11u

/* In the vCPU itself; the others are banked, or none. */
static inline bool in_frame(const struct vcpu *vcpu, uint32_t n)
{
    return n < 8 || (n < 13 && (vcpu->cpsr & CPSR_MODE) != MODE_FIQ);
}

static inline uint32_t reg(struct vcpu *vcpu, uint32_t n)
{
    return in_frame(vcpu, n) ? vcpu->r[n] : reg_read(vcpu, n);
}

static inline void set_reg(struct vcpu *vcpu, uint32_t n, uint32_t value)
{
    if (in_frame(vcpu, n))
        vcpu->r[n] = value;
    else
        reg_write(vcpu, n, value);
}

/* BXWritePC (A2.3.1) */
static inline bool branch(struct vcpu *vcpu, uint32_t target)
{
    vcpu->cpsr = (vcpu->cpsr & ~CPSR_T) | (target & 1 ? CPSR_T : 0);
    vcpu->pc = target & ~1u;
    return false;
}

static inline bool write_rd(struct vcpu *vcpu, uint32_t rd, uint32_t value)
{
    if (rd == 15)
        return branch(vcpu, value);
    set_reg(vcpu, rd, value);
    return true;
}

/* A shift by 0 to 255, as one by a register; its carry in `flags`, N and Z as of the result. */
uint32_t shift(uint32_t type, uint32_t value, uint32_t amount, uint32_t *flags);

/* emulate_memory.c */
bool emulate_access(struct vcpu *vcpu, uint32_t class, const struct emulation_operand *o);
bool emulate_multiple(struct vcpu *vcpu, bool load, const struct emulation_operand *o);

#endif
