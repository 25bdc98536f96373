/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of a VM: state, and the way into the list registers (Arm IHI 0048B, chapter 5).
 *
 * An interrupt that stands for one of the board is put into a list register with its physical id:
 * the guest's end-of-interrupt then deactivates it in hardware, so it costs one trap. All others
 * are latched in `pending`, marked in the vCPU's `waiting` map, and flushed into list registers
 * before the guest goes on. When they do not fit, the underflow interrupt asks for the rest.
 *
 * State of a VM's interrupts is under its lock; list registers belong to the vCPU's core.
 */
#include "hypervisor.h"

#define GICH_PA 0x08030000u
#define GICH_HCR 0x000u
#define GICH_VMCR 0x008u
#define GICH_APR 0x0f0u
#define GICH_LR 0x100u

#define HCR_EN 1u
#define HCR_UIE 2u

#define LR_PENDING (1u << 28)
#define LR_ACTIVE (2u << 28)
#define LR_STATE (3u << 28)
#define LR_HW (1u << 31)
#define LR_EOI (1u << 19)
#define LR_PRIORITY_SHIFT 20 /* five bits from bit 23: the upper five of eight */

struct virq *vgic_irq(struct vm *vm, struct vcpu *vcpu, uint32_t irq)
{
    return irq < PRIVATE_IRQS ? &vcpu->vgic.irq[irq] : &vm->spi[irq - PRIVATE_IRQS];
}

/* SPIs go to the lowest-numbered target that exists, as one-of-n allows. */
struct vcpu *vgic_target(struct vm *vm, const struct virq *virq)
{
    uint32_t targets = virq->targets & ((1u << vm->config->vcpu_count) - 1);

    return &vm->vcpu[targets ? __builtin_ctz(targets) : 0];
}

static bool deliverable(const struct vm *vm, const struct virq *virq)
{
    return virq->enabled && (virq->pending || virq->sources) && (vm->gicd_ctlr & 1);
}

/* Recompute whether `irq` waits for a list register of `owner`. Under the VM's lock. */
void vgic_update(struct vm *vm, struct vcpu *owner, uint32_t irq)
{
    const struct virq *virq = vgic_irq(vm, owner, irq);
    uint32_t bit = 1u << irq % 32;

    if (deliverable(vm, virq)) {
        owner->vgic.waiting[irq / 32] |= bit;
        owner->vgic.any_waiting = true;
        sched_kick(owner);
    } else {
        owner->vgic.waiting[irq / 32] &= ~bit;
    }
}

static uint32_t lr_read(struct vcpu *vcpu, uint32_t i)
{
    return vcpu->loaded ? mmio_read(GICH_PA + GICH_LR + 4 * i) : vcpu->vgic.lr[i];
}

static void lr_write(struct vcpu *vcpu, uint32_t i, uint32_t value)
{
    if (vcpu->loaded)
        mmio_write(GICH_PA + GICH_LR + 4 * i, value);
    else
        vcpu->vgic.lr[i] = value;
}

/* Free list registers whose interrupt the guest has finished; a line still high is taken again. */
void vgic_collect(struct vcpu *vcpu)
{
    struct vgic_cpu *vgic = &vcpu->vgic;

    for (uint32_t i = 0; i < LR_COUNT; i++) {
        uint32_t irq = vgic->lr_irq[i];
        struct virq *virq;

        if (irq == IRQ_SPURIOUS || lr_read(vcpu, i) & LR_STATE)
            continue;
        virq = vgic_irq(vcpu->vm, vcpu, irq);
        virq->lr = LR_NONE;
        vgic->lr_irq[i] = IRQ_SPURIOUS;
        lr_write(vcpu, i, 0);
        if (virq->line && !virq->edge)
            virq->pending = true;
        vgic_update(vcpu->vm, vcpu, irq); /* the line is still up, or another SGI waited */
    }
}

static uint32_t lr_value(const struct virq *virq, uint32_t irq, uint32_t source)
{
    uint32_t lr = irq | LR_PENDING | (uint32_t)(virq->priority >> 3) << (LR_PRIORITY_SHIFT + 3);

    if (virq->phys)
        return lr | LR_HW | (uint32_t)virq->phys << 10;
    return lr | source << 10 | (virq->edge && !virq->sources ? 0 : LR_EOI);
}

/* A list register for an interrupt of this priority, or LR_COUNT. */
static uint32_t lr_allocate(struct vcpu *vcpu, uint8_t priority)
{
    struct vgic_cpu *vgic = &vcpu->vgic;
    uint32_t victim = LR_COUNT;
    uint8_t lowest = priority;

    for (uint32_t i = 0; i < LR_COUNT; i++)
        if (vgic->lr_irq[i] == IRQ_SPURIOUS)
            return i;
    /* All in use: one that is only pending, and matters less, waits instead. */
    for (uint32_t i = 0; i < LR_COUNT; i++) {
        const struct virq *virq = vgic_irq(vcpu->vm, vcpu, vgic->lr_irq[i]);

        if ((lr_read(vcpu, i) & LR_STATE) == LR_PENDING && virq->priority > lowest) {
            lowest = virq->priority;
            victim = i;
        }
    }
    if (victim < LR_COUNT) {
        uint32_t irq = vgic->lr_irq[victim];
        struct virq *virq = vgic_irq(vcpu->vm, vcpu, irq);

        if (irq < 16)
            virq->sources |= (uint8_t)(1u << ((lr_read(vcpu, victim) >> 10) & 7));
        else
            virq->pending = true;
        virq->lr = LR_NONE;
        vgic->lr_irq[victim] = IRQ_SPURIOUS;
        vgic_update(vcpu->vm, vcpu, irq);
    }
    return victim;
}

/* Put one interrupt into a list register; false when none is left. */
static bool deliver(struct vcpu *vcpu, struct virq *virq, uint32_t irq)
{
    uint32_t source = 0;
    uint32_t i = virq->lr;

    if (i != LR_NONE) {
        uint32_t lr = lr_read(vcpu, i);

        if (irq < 16 && lr & LR_STATE) { /* the next sender's turn comes at the end of this */
            lr_write(vcpu, i, lr | LR_EOI);
            return true;
        }
        if ((lr & LR_STATE) == LR_ACTIVE && !virq->phys) {
            virq->pending = false;
            lr_write(vcpu, i, lr | LR_PENDING);
            return true;
        }
        if (lr & LR_STATE) {
            virq->pending = false;
            return true;
        }
    } else {
        i = lr_allocate(vcpu, virq->priority);
        if (i == LR_COUNT)
            return false;
    }
    if (irq < 16) {
        source = (uint32_t)__builtin_ctz(virq->sources);
        virq->sources &= (uint8_t)~(1u << source);
    }
    virq->pending = false;
    virq->lr = (uint8_t)i;
    vcpu->vgic.lr_irq[i] = (uint16_t)irq;
    lr_write(vcpu, i, lr_value(virq, irq, source));
    return true;
}

static uint32_t next_waiting(struct vcpu *vcpu)
{
    uint32_t best = IRQ_SPURIOUS;
    uint32_t best_priority = 256;

    for (uint32_t w = 0; w < MAX_IRQS / 32; w++) {
        for (uint32_t bits = vcpu->vgic.waiting[w]; bits; bits &= bits - 1) {
            uint32_t irq = w * 32 + (uint32_t)__builtin_ctz(bits);
            const struct virq *virq = vgic_irq(vcpu->vm, vcpu, irq);

            if (virq->priority < best_priority) {
                best_priority = virq->priority;
                best = irq;
            }
        }
    }
    return best;
}

/* What waits goes into list registers, most urgent first. For the vCPU that is about to run. */
void vgic_flush(struct vcpu *vcpu)
{
    struct vgic_cpu *vgic = &vcpu->vgic;
    bool overflow = false;
    uint32_t irq;

    if (!vgic->any_waiting)
        return;
    lock(&vcpu->vm->lock);
    vgic_collect(vcpu);
    vgic->any_waiting = false;
    while ((irq = next_waiting(vcpu)) != IRQ_SPURIOUS) {
        struct virq *virq = vgic_irq(vcpu->vm, vcpu, irq);

        vgic->waiting[irq / 32] &= ~(1u << irq % 32);
        if (!deliver(vcpu, virq, irq)) {
            overflow = true; /* the underflow interrupt brings it back here */
            vgic->waiting[irq / 32] |= 1u << irq % 32;
            vgic->any_waiting = true;
            break;
        }
    }
    mmio_write(GICH_PA + GICH_HCR, HCR_EN | (overflow ? HCR_UIE : 0));
    unlock(&vcpu->vm->lock);
}

/* The end of a level interrupt whose line is up, or list registers ran empty. */
void vgic_maintenance(struct vcpu *vcpu)
{
    lock(&vcpu->vm->lock);
    vgic_collect(vcpu);
    mmio_write(GICH_PA + GICH_HCR, HCR_EN);
    unlock(&vcpu->vm->lock);
}

/* Would a WFI of this vCPU return at once? Called on its core. */
bool vgic_has_work(struct vcpu *vcpu)
{
    if (vcpu->vgic.any_waiting)
        return true;
    for (uint32_t i = 0; i < LR_COUNT; i++)
        if (vcpu->vgic.lr_irq[i] != IRQ_SPURIOUS && lr_read(vcpu, i) & LR_PENDING)
            return true;
    return false;
}

/* A private interrupt of the board for the vCPU that runs here: its timer. The fast path. */
void vgic_inject_private(struct vcpu *vcpu, uint32_t irq)
{
    struct virq *virq = &vcpu->vgic.irq[irq];

    if (tracing(TRACE_VIRQ))
        trace_event(TRACE_VIRQ, vcpu, irq, irq);
    lock(&vcpu->vm->lock);
    if (virq->enabled && vcpu->vm->gicd_ctlr & 1 && virq->lr != LR_NONE &&
        !(lr_read(vcpu, virq->lr) & LR_STATE)) {
        lr_write(vcpu, virq->lr, lr_value(virq, irq, 0));
    } else {
        virq->pending = true;
        vgic_update(vcpu->vm, vcpu, irq);
    }
    unlock(&vcpu->vm->lock);
}

/* Who owns a shared interrupt of the board: filled in at boot, read-only afterwards. */
static struct {
    struct vm *vm;
    uint16_t irq;
} owners[MAX_IRQS];

void vgic_own(struct vm *vm, uint32_t irq, uint32_t phys)
{
    if (phys < PRIVATE_IRQS || phys >= MAX_IRQS || irq < PRIVATE_IRQS || irq >= MAX_IRQS ||
        owners[phys].vm)
        panic("vm %s: interrupt %u can't be given away", vm->config->name, phys);
    owners[phys].vm = vm;
    owners[phys].irq = (uint16_t)irq;
    vm->spi[irq - PRIVATE_IRQS].phys = (uint16_t)phys;
}

bool vgic_inject_physical(uint32_t phys)
{
    struct vm *vm = phys < MAX_IRQS ? owners[phys].vm : NULL;
    struct virq *virq;

    if (!vm)
        return false;
    virq = &vm->spi[owners[phys].irq - PRIVATE_IRQS];
    lock(&vm->lock);
    if (tracing(TRACE_VIRQ))
        trace_event(TRACE_VIRQ, vgic_target(vm, virq), owners[phys].irq, phys);
    virq->pending = true;
    vgic_update(vm, vgic_target(vm, virq), owners[phys].irq);
    unlock(&vm->lock);
    return true;
}

/* The output of an emulated device. */
void vgic_set_line(struct vm *vm, uint32_t irq, bool high)
{
    struct virq *virq = &vm->spi[irq - PRIVATE_IRQS];

    lock(&vm->lock);
    if (high != virq->line) {
        if (high && tracing(TRACE_VIRQ))
            trace_event(TRACE_VIRQ, vgic_target(vm, virq), irq, 0);
        virq->line = high;
        if (high || !virq->edge)
            virq->pending = high;
        vgic_update(vm, vgic_target(vm, virq), irq);
    }
    unlock(&vm->lock);
}

/* GICD_ISPENDR / GICD_ISACTIVER as the guest should read them: bit 0 pending, bit 1 active. */
uint32_t vgic_lr_state(struct vcpu *vcpu, const struct virq *virq, uint32_t irq)
{
    (void)irq;
    if (virq->lr == LR_NONE)
        return 0;
    return (lr_read(vcpu, virq->lr) & LR_STATE) >> 28;
}

/* Remove `state` (bit 0 pending, bit 1 active) from the list register that holds it, if any. */
void vgic_clear_lr(struct vcpu *vcpu, struct virq *virq, uint32_t irq, uint32_t state)
{
    uint32_t lr;

    (void)irq;
    if (virq->lr == LR_NONE)
        return;
    lr = lr_read(vcpu, virq->lr);
    lr_write(vcpu, virq->lr, lr & ~(state << 28));
    if (virq->phys && !(lr & LR_STATE & ~(state << 28)) && lr & LR_STATE)
        gic_set_active(virq->phys, false);
}

/* Take a pending interrupt out of its list register; the board's stays active behind it. */
bool vgic_recall(struct vcpu *vcpu, struct virq *virq)
{
    lr_write(vcpu, virq->lr, 0);
    vcpu->vgic.lr_irq[virq->lr] = IRQ_SPURIOUS;
    virq->lr = LR_NONE;
    return true;
}

static void timer_active(struct vcpu *vcpu, bool load)
{
    static const uint8_t timers[] = {PPI_VTIMER, PPI_PTIMER};

    for (uint32_t t = 0; t < ARRAY_LEN(timers); t++) {
        const struct virq *virq = &vcpu->vgic.irq[timers[t]];
        bool active = virq->pending ||
                      (virq->lr != LR_NONE && vcpu->vgic.lr[virq->lr] & LR_STATE);

        if (!load && active)
            gic_set_active(timers[t], false);
        if (load && active)
            gic_set_active(timers[t], true);
        if (load && virq->enabled)
            gic_enable(timers[t], vcpu->core);
        else
            gic_disable(timers[t]);
    }
}

/* The timers' interrupts are the core's: their active state moves with the vCPU. */
void vgic_save(struct vcpu *vcpu)
{
    struct vgic_cpu *vgic = &vcpu->vgic;

    for (uint32_t i = 0; i < LR_COUNT; i++)
        if (vgic->lr_irq[i] != IRQ_SPURIOUS) {
            vgic->lr[i] = mmio_read(GICH_PA + GICH_LR + 4 * i);
            mmio_write(GICH_PA + GICH_LR + 4 * i, 0);
        }
    vgic->apr = mmio_read(GICH_PA + GICH_APR);
    vgic->vmcr = mmio_read(GICH_PA + GICH_VMCR);
    mmio_write(GICH_PA + GICH_HCR, 0);
    timer_active(vcpu, false);
}

void vgic_load(struct vcpu *vcpu)
{
    struct vgic_cpu *vgic = &vcpu->vgic;

    timer_active(vcpu, true);
    for (uint32_t i = 0; i < LR_COUNT; i++)
        if (vgic->lr_irq[i] != IRQ_SPURIOUS)
            mmio_write(GICH_PA + GICH_LR + 4 * i, vgic->lr[i]);
    mmio_write(GICH_PA + GICH_APR, vgic->apr);
    mmio_write(GICH_PA + GICH_VMCR, vgic->vmcr);
    mmio_write(GICH_PA + GICH_HCR, HCR_EN);
}

/* Power-on state of all interrupts of a VM; interrupts of the board go quiet. */
void vgic_reset(struct vm *vm)
{
    vm->gicd_ctlr = 0;
    for (uint32_t i = 0; i < MAX_IRQS - PRIVATE_IRQS; i++) {
        uint16_t phys = vm->spi[i].phys;

        if (phys) {
            gic_disable(phys);
            gic_set_active(phys, false);
        }
        memset(&vm->spi[i], 0, sizeof(vm->spi[i]));
        vm->spi[i].phys = phys;
        vm->spi[i].lr = LR_NONE;
    }
    for (uint32_t c = 0; c < vm->config->vcpu_count; c++) {
        struct vgic_cpu *vgic = &vm->vcpu[c].vgic;

        memset(vgic, 0, sizeof(*vgic));
        for (uint32_t i = 0; i < LR_COUNT; i++)
            vgic->lr_irq[i] = IRQ_SPURIOUS;
        for (uint32_t i = 0; i < PRIVATE_IRQS; i++) {
            vgic->irq[i].lr = LR_NONE;
            vgic->irq[i].edge = i < 16;
            vgic->irq[i].enabled = i < 16;
        }
        vgic->irq[PPI_VTIMER].phys = PPI_VTIMER;
        vgic->irq[PPI_PTIMER].phys = PPI_PTIMER;
    }
}
