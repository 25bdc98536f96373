/* SPDX-License-Identifier: MIT */
/*
 * Exceptions from a guest (DDI 0406C, B3.13.6): decide by the class in HSR, act, go on.
 *
 * To add a class: one function here, one line in trap_sync.
 */
#include "hypervisor.h"

enum {
    EC_WFX = 0x01, EC_CP15_32 = 0x03, EC_CP15_64 = 0x04, EC_CP14_32 = 0x05, EC_CP14_LDC = 0x06,
    EC_VFP = 0x07, EC_CP10_ID = 0x08, EC_CP14_64 = 0x0c, EC_HVC = 0x12, EC_SMC = 0x13,
    EC_PREFETCH = 0x20, EC_DATA = 0x24,
};

#define HSR_EC(hsr) ((hsr) >> 26)
#define HSR_IL (1u << 25)
#define HSR_ISV (1u << 24)
#define HSR_S1PTW (1u << 7)
#define HSR_WNR (1u << 6)
#define HSR_READ 1u
#define HSR_TRANSLATION(hsr) (((hsr) & 0x3c) == 0x04)

#define GICD_IPA 0x08000000u
#define PL011_BYTES 0x1000u

/* Opc1, CRn, CRm, Opc2 of a 32-bit coprocessor access, as they lie in HSR. */
#define CP(opc1, crn, crm, opc2) ((opc2) << 17 | (opc1) << 14 | (crn) << 10 | (crm) << 1)
#define CP_FIELDS CP(7u, 15u, 15u, 7u)
#define CP_CRN(hsr) ((hsr) >> 10 & 15)
#define CP_CRM(hsr) ((hsr) >> 1 & 15)
#define CP_RT(hsr) ((hsr) >> 5 & 15)

#define ACTLR CP(0u, 1u, 0u, 1u)
#define L2CTLR CP(1u, 9u, 0u, 2u)
#define L2ECTLR CP(1u, 9u, 0u, 3u)
#define ACTLR_SMP 0x40u

/* Step over the trapped instruction. */
static void skip(struct vcpu *vcpu, uint32_t hsr)
{
    vcpu->pc += hsr & HSR_IL ? 4 : 2;
    vcpu_it_advance(vcpu);
}

static void coprocessor_result(struct vcpu *vcpu, uint32_t hsr, uint32_t value)
{
    if (hsr & HSR_READ)
        reg_write(vcpu, CP_RT(hsr), value);
    skip(vcpu, hsr);
}

/* ACTLR, L2 control, performance monitors; every other trapped register does not exist. */
static void trap_cp15(struct vcpu *vcpu, uint32_t hsr)
{
    uint32_t reg = hsr & CP_FIELDS;

    if (reg == ACTLR)
        coprocessor_result(vcpu, hsr, ACTLR_SMP);
    else if (reg == L2CTLR)
        coprocessor_result(vcpu, hsr, (vcpu->vm->config->vcpu_count - 1) << 24);
    else if (reg == L2ECTLR || (CP_CRN(hsr) == 9 && CP_CRM(hsr) >= 12 && CP_CRM(hsr) <= 14))
        coprocessor_result(vcpu, hsr, 0);
    else
        inject_undefined(vcpu);
}

void device_abort(struct vcpu *vcpu, uint32_t va, uint32_t ipa, bool write)
{
    log_line("hv: vm %s: vcpu %u: %s of 0x%x (va 0x%x) at pc 0x%x: data abort",
             vcpu->vm->config->name, vcpu->index, write ? "write" : "read", ipa, va, vcpu->pc);
    inject_data_abort(vcpu, va, write);
}

/* An access to what is not the VM's memory: an emulated device, or an abort and false. */
bool device_access(struct vcpu *vcpu, uint32_t va, uint32_t ipa, uint32_t bytes, bool write,
                   uint32_t *value)
{
    struct vm *vm = vcpu->vm;
    const struct hv_device *uart = vm->uart.device;
    uint32_t mask = bytes == 4 ? ~0u : (1u << 8 * bytes) - 1;
    bool done = false;

    *value &= mask;
    if (ipa - GICD_IPA < PAGE_BYTES)
        done = gicd_access(vcpu, ipa - GICD_IPA, bytes, write, value);
    else if (uart && ipa - (uint32_t)uart->ipa < PL011_BYTES)
        done = pl011_access(vm, ipa - (uint32_t)uart->ipa, write, value);
    *value &= mask;
    if (!done)
        device_abort(vcpu, va, ipa, write);
    return done;
}

static void trap_data(struct vcpu *vcpu, uint32_t hsr)
{
    uint32_t va = read_HDFAR();
    uint32_t ipa = (read_HPFAR() & ~0xfu) << 8 | (va & 0xfff);
    bool write = hsr & HSR_WNR;
    uint32_t bytes = 1u << (hsr >> 22 & 3);
    uint32_t rt = hsr >> 16 & 15;
    uint32_t value;

    if (!(hsr & HSR_ISV) || !HSR_TRANSLATION(hsr) || hsr & HSR_S1PTW) {
        device_abort(vcpu, va, ipa, write);
        return;
    }
    value = write ? reg_read(vcpu, rt) : 0;
    if (!device_access(vcpu, va, ipa, bytes, write, &value))
        return;
    if (!write)
        reg_write(vcpu, rt, value);
    skip(vcpu, hsr);
}

static void trap_prefetch(struct vcpu *vcpu)
{
    uint32_t va = read_HIFAR();

    log_line("hv: vm %s: vcpu %u: fetch of 0x%x (va 0x%x): prefetch abort",
             vcpu->vm->config->name, vcpu->index, (read_HPFAR() & ~0xfu) << 8 | (va & 0xfff), va);
    inject_prefetch_abort(vcpu, va);
}

static struct vcpu *resume(struct vcpu *vcpu)
{
    if (this_core()->resched)
        return schedule();
    if (vcpu->vgic.any_waiting)
        vgic_flush(vcpu);
    return vcpu;
}

struct vcpu *trap_sync(struct vcpu *vcpu)
{
    uint32_t hsr = read_HSR();

    switch (HSR_EC(hsr)) {
    case EC_HVC:
        if (hsr & 0xffff)
            return trace_hvc(vcpu, hsr & 0xffff);
        smccc_call(vcpu);
        break;
    case EC_SMC:
        skip(vcpu, hsr);
        smccc_call(vcpu);
        break;
    case EC_WFX:
        skip(vcpu, hsr);
        if (hsr & 1) /* WFE */
            sched_yield();
        else if (!vgic_has_work(vcpu))
            sched_block(vcpu);
        break;
    case EC_VFP:
        vcpu_vfp_trap(vcpu);
        break;
    case EC_CP15_32:
        trap_cp15(vcpu, hsr);
        break;
    case EC_CP14_32: /* debug registers: there are none, they read as zero */
        coprocessor_result(vcpu, hsr, 0);
        break;
    case EC_DATA:
        trap_data(vcpu, hsr);
        break;
    case EC_PREFETCH:
        trap_prefetch(vcpu);
        break;
    default:
        inject_undefined(vcpu);
        break;
    }
    return resume(vcpu);
}

/* One interrupt of the board; vcpu is the one that runs, or NULL. */
void irq_handle(struct vcpu *vcpu)
{
    uint32_t iar = gic_acknowledge();
    uint32_t irq = iar & 0x3ff;

    if (irq >= MAX_IRQS)
        return;
    gic_drop(iar);
    if (vcpu && (irq == PPI_VTIMER || irq == PPI_PTIMER)) {
        vgic_inject_private(vcpu, irq);
        return;
    }
    if (irq >= PRIVATE_IRQS && vgic_inject_physical(irq))
        return; /* the guest's end of interrupt deactivates it */
    gic_deactivate(iar);
    if (irq == IPI_KICK)
        this_core()->resched = true;
    else if (irq == PPI_HYP_TIMER)
        sched_tick();
    else if (irq == PPI_MAINTENANCE && vcpu)
        vgic_maintenance(vcpu);
    else if (irq == serial_irq())
        pl011_poll();
}

struct vcpu *trap_irq(struct vcpu *vcpu)
{
    irq_handle(vcpu);
    return resume(vcpu);
}

/* The same two where entries and exits are to be recorded: entry.S chooses. */
static struct vcpu *traced(struct vcpu *vcpu, uint32_t id, uint32_t hsr,
                           struct vcpu *(*trap)(struct vcpu *))
{
    if (tracing(TRACE_VM_EXIT))
        trace_event(TRACE_VM_EXIT, vcpu, id, hsr);
    vcpu = trap(vcpu);
    if (tracing(TRACE_VM_ENTRY))
        trace_event(TRACE_VM_ENTRY, vcpu, 0, 0);
    return vcpu;
}

struct vcpu *trap_sync_traced(struct vcpu *vcpu)
{
    uint32_t hsr = read_HSR();

    return traced(vcpu, HSR_EC(hsr), hsr, trap_sync);
}

struct vcpu *trap_irq_traced(struct vcpu *vcpu)
{
    return traced(vcpu, TRACE_EXIT_IRQ, 0, trap_irq);
}
