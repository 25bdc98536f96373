/* SPDX-License-Identifier: MIT */
/* Exceptions given to the guest that runs on this core, as the architecture takes them (B1.8). */
#include "hypervisor.h"

#define SCTLR_V (1u << 13)
#define SCTLR_EE (1u << 25)
#define SCTLR_TE (1u << 30)
#define TTBCR_EAE (1u << 31)

#define VECTOR_UNDEFINED 0x04u
#define VECTOR_PREFETCH 0x0cu
#define VECTOR_DATA 0x10u

/* Synchronous external abort in both fault status formats. */
#define FSR_SHORT_EXTERNAL 0x008u
#define FSR_LONG_EXTERNAL 0x210u

static uint32_t vectors(void)
{
    return read_SCTLR() & SCTLR_V ? 0xffff0000u : read_VBAR();
}

static void take(struct vcpu *vcpu, uint32_t mode, uint32_t vector, uint32_t mask)
{
    uint32_t sctlr = read_SCTLR();
    uint32_t cpsr = vcpu->cpsr & ~(CPSR_MODE | CPSR_T | CPSR_J | CPSR_IT | CPSR_E);

    cpsr |= mode | CPSR_I | mask;
    if (sctlr & SCTLR_TE)
        cpsr |= CPSR_T;
    if (sctlr & SCTLR_EE)
        cpsr |= CPSR_E;
    vcpu->cpsr = cpsr;
    vcpu->pc = vectors() + vector;
}

static uint32_t external_abort(void)
{
    return read_TTBCR() & TTBCR_EAE ? FSR_LONG_EXTERNAL : FSR_SHORT_EXTERNAL;
}

/* vcpu->pc is the instruction that is undefined. */
void inject_undefined(struct vcpu *vcpu)
{
    write_lr_und(vcpu->pc + (vcpu->cpsr & CPSR_T ? 2 : 4));
    write_spsr_und(vcpu->cpsr);
    take(vcpu, MODE_UND, VECTOR_UNDEFINED, 0);
}

void inject_data_abort(struct vcpu *vcpu, uint32_t va, bool write)
{
    inject_data_fault(vcpu, va, external_abort() | (uint32_t)write << 11);
}

void inject_data_fault(struct vcpu *vcpu, uint32_t va, uint32_t dfsr)
{
    write_DFAR(va);
    write_DFSR(dfsr);
    write_lr_abt(vcpu->pc + 8);
    write_spsr_abt(vcpu->cpsr);
    take(vcpu, MODE_ABT, VECTOR_DATA, CPSR_A);
}

/* A guest whose vectors can't be fetched would abort for ever: it is stopped. */
void inject_prefetch_abort(struct vcpu *vcpu, uint32_t va)
{
    if (va - vectors() < 0x20) {
        log_line("hv: vm %s: vcpu %u pc 0x%x lr_abt 0x%x spsr_abt 0x%x cpsr 0x%x",
                 vcpu->vm->config->name, vcpu->index, vcpu->pc, read_lr_abt(), read_spsr_abt(),
                 vcpu->cpsr);
        vm_stop(vcpu->vm, "fault: its exception vectors can't be fetched");
        return;
    }
    write_IFAR(va);
    write_IFSR(external_abort());
    write_lr_abt(vcpu->pc + 4);
    write_spsr_abt(vcpu->cpsr);
    take(vcpu, MODE_ABT, VECTOR_PREFETCH, CPSR_A);
}
