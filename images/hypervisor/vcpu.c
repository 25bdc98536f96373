/* SPDX-License-Identifier: MIT */
/* A vCPU's registers: reset state, and the way into and out of the core. */
#include "hypervisor.h"

_Static_assert(offsetof(struct vcpu, lr_usr) == 52, "entry.S pushes r0-r12, lr");
_Static_assert(offsetof(struct vcpu, pc) == 76, "entry.S");
_Static_assert(offsetof(struct vcpu, cpsr) == 80, "entry.S");

#define MPIDR_V7MP (1u << 31)
#define MPIDR_U (1u << 30) /* uniprocessor: Linux then leaves out what only several cores need */

#define SCTLR_RESET 0x00c50078u /* Cortex-A15: MMU and caches off */

/* The state that Linux and bare-metal code expect: SVC, interrupts masked, MMU off. */
void vcpu_reset(struct vcpu *vcpu)
{
    struct core *core = this_core();

    if (core->vfp_owner == vcpu)
        core->vfp_owner = NULL;
    memset(vcpu->r, 0, sizeof(vcpu->r));
    memset(&vcpu->regs, 0, sizeof(vcpu->regs));
    memset(&vcpu->vfp, 0, sizeof(vcpu->vfp));
    memcpy(vcpu->r, vcpu->entry_r, sizeof(vcpu->entry_r));
    vcpu->lr_usr = 0;
    vcpu->pc = vcpu->entry_pc & ~1u;
    vcpu->cpsr = MODE_SVC | CPSR_A | CPSR_I | CPSR_F | (vcpu->entry_pc & 1 ? CPSR_T : 0);
    vcpu->regs.SCTLR = SCTLR_RESET;
    vcpu->blocked = false;
    vcpu->fresh = false;
}

void vcpu_save(struct vcpu *vcpu)
{
    struct guest_regs *regs = &vcpu->regs;

#define X(name, ...) regs->name = read_##name();
    GUEST_REGS32(X)
    GUEST_REGS64(X)
    GUEST_BANKED(X)
#undef X
    regs->cntv_ctl = read_CNTV_CTL();
    regs->cntp_ctl = read_CNTP_CTL();
    regs->cntv_cval = read_CNTV_CVAL();
    regs->cntp_cval = read_CNTP_CVAL();
    write_CNTV_CTL(0);
    write_CNTP_CTL(0);
    vgic_save(vcpu);
    vcpu->loaded = false;
}

void vcpu_load(struct vcpu *vcpu)
{
    const struct guest_regs *regs = &vcpu->regs;
    struct core *core = this_core();

    write_VTTBR(vcpu->vm->vttbr);
    write_VMPIDR(MPIDR_V7MP | (vcpu->vm->config->vcpu_count == 1 ? MPIDR_U : 0) | vcpu->index);
#define X(name, ...) write_##name(regs->name);
    GUEST_REGS32(X)
    GUEST_REGS64(X)
    GUEST_BANKED(X)
#undef X
    vgic_load(vcpu);
    write_CNTV_CVAL(regs->cntv_cval);
    write_CNTP_CVAL(regs->cntp_cval);
    write_CNTV_CTL(regs->cntv_ctl);
    write_CNTP_CTL(regs->cntp_ctl);
    write_HCR(core->hcr);
    write_HCPTR(HCPTR_OTHERS | (core->vfp_owner == vcpu ? 0 : HCPTR_VFP));
    isb();
    vcpu->loaded = true;
}

/* First use of VFP or NEON since another vCPU of this core used it. */
void vcpu_vfp_trap(struct vcpu *vcpu)
{
    struct core *core = this_core();

    write_HCPTR(HCPTR_OTHERS);
    isb();
    if (core->vfp_owner != vcpu) {
        if (core->vfp_owner)
            vfp_save(&core->vfp_owner->vfp);
        vfp_load(&vcpu->vfp);
        core->vfp_owner = vcpu;
    }
}

static uint64_t timer_deadline(uint32_t ctl, uint64_t cval, bool irq_enabled)
{
    return (ctl & (TIMER_ENABLE | TIMER_IMASK)) == TIMER_ENABLE && irq_enabled ? cval
                                                                               : NO_DEADLINE;
}

/* Counter value at which a timer of this switched-out vCPU fires, or NO_DEADLINE. */
uint64_t vcpu_deadline(const struct vcpu *vcpu)
{
    const struct guest_regs *regs = &vcpu->regs;
    uint64_t v = timer_deadline(regs->cntv_ctl, regs->cntv_cval,
                                vcpu->vgic.irq[PPI_VTIMER].enabled);
    uint64_t p = timer_deadline(regs->cntp_ctl, regs->cntp_cval,
                                vcpu->vgic.irq[PPI_PTIMER].enabled);

    return v < p ? v : p;
}

/* A general register of the guest in its current mode; 15: as an operand; above: 0. */
uint32_t reg_read(struct vcpu *vcpu, uint32_t n)
{
    if (n >= 8 && n < 13 && (vcpu->cpsr & CPSR_MODE) == 0x11) {
        uint32_t fiq[] = {read_r8_fiq(), read_r9_fiq(), read_r10_fiq(), read_r11_fiq(),
                          read_r12_fiq()};

        return fiq[n - 8];
    }
    if (n < 13)
        return vcpu->r[n];
    if (n >= 15)
        return n == 15 ? vcpu->pc + (vcpu->cpsr & CPSR_T ? 4 : 8) : 0;
#define READ(mode) return n == 13 ? read_sp_##mode() : read_lr_##mode()
    BY_MODE(vcpu->cpsr, READ)
#undef READ
    return n == 13 ? read_sp_usr() : vcpu->lr_usr;
}

void reg_write(struct vcpu *vcpu, uint32_t n, uint32_t value)
{
    if (n >= 8 && n < 13 && (vcpu->cpsr & CPSR_MODE) == 0x11) {
        static void (*const fiq[])(uint32_t) = {write_r8_fiq, write_r9_fiq, write_r10_fiq,
                                                write_r11_fiq, write_r12_fiq};

        fiq[n - 8](value);
        return;
    }
    if (n < 13) {
        vcpu->r[n] = value;
        return;
    }
#define WRITE(mode)                 \
    if (n == 13)                    \
        write_sp_##mode(value);     \
    else                            \
        write_lr_##mode(value);     \
    return
    BY_MODE(vcpu->cpsr, WRITE)
#undef WRITE
    if (n == 13)
        write_sp_usr(value);
    else
        vcpu->lr_usr = value;
}

/* Behind an instruction in a Thumb IT block, ITSTATE moves on (A2.5.2). */
void vcpu_it_advance(struct vcpu *vcpu)
{
    uint32_t it = (vcpu->cpsr >> 8 & 0xfc) | (vcpu->cpsr >> 25 & 3);

    if (!(vcpu->cpsr & CPSR_T) || !it)
        return;
    it = it & 7 ? (it & 0xe0) | (it << 1 & 0x1f) : 0;
    vcpu->cpsr = (vcpu->cpsr & ~CPSR_IT) | (it & 0xfc) << 8 | (it & 3) << 25;
}
