/* SPDX-License-Identifier: MIT */
/* The emulated distributor: GICD registers of a GICv2 as its guest sees them (IHI 0048B, 4.3). */
#include "hypervisor.h"

#define GICD_CTLR 0x000u
#define GICD_TYPER 0x004u
#define GICD_IIDR 0x008u
#define GICD_ISENABLER 0x100u
#define GICD_ICENABLER 0x180u
#define GICD_ISPENDR 0x200u
#define GICD_ICPENDR 0x280u
#define GICD_ISACTIVER 0x300u
#define GICD_ICACTIVER 0x380u
#define GICD_IPRIORITYR 0x400u
#define GICD_ITARGETSR 0x800u
#define GICD_ICFGR 0xc00u
#define GICD_SGIR 0xf00u
#define GICD_ICPIDR2 0xfe8u
#define GICD_END 0x1000u

#define IIDR_ARM 0x0200043bu

enum { STATE_PENDING = 1, STATE_ACTIVE = 2 };

static void enable(struct vm *vm, struct vcpu *owner, struct virq *virq, uint32_t irq, bool on)
{
    bool was = virq->enabled;

    virq->enabled = on || irq < 16; /* SGIs are always on */
    if (was == on || irq < 16)
        return;
    if (!on && vgic_lr_state(owner, virq, irq) == STATE_PENDING)
        virq->pending = vgic_recall(owner, virq); /* stays pending, but is not taken */
    if (virq->phys && (irq >= PRIVATE_IRQS || owner->loaded)) {
        if (on)
            gic_enable(virq->phys, owner->core);
        else
            gic_disable(virq->phys);
    }
    vgic_update(vm, owner, irq);
}

/* One bit of the set/clear registers. `base` is the register file, `set` which of the pair. */
static void write_bit(struct vcpu *vcpu, uint32_t base, uint32_t irq)
{
    struct vm *vm = vcpu->vm;
    struct virq *virq = vgic_irq(vm, vcpu, irq);
    struct vcpu *owner = irq < PRIVATE_IRQS ? vcpu : vgic_target(vm, virq);

    switch (base) {
    case GICD_ISENABLER:
        enable(vm, owner, virq, irq, true);
        break;
    case GICD_ICENABLER:
        enable(vm, owner, virq, irq, false);
        break;
    case GICD_ISPENDR:
        if (irq < 16)
            return;
        if (virq->phys)
            gic_set_active(virq->phys, true); /* the end of it will deactivate */
        virq->pending = true;
        vgic_update(vm, owner, irq);
        break;
    case GICD_ICPENDR:
        if (irq < 16)
            return;
        if (virq->phys && virq->pending)
            gic_set_active(virq->phys, false);
        virq->pending = virq->line && !virq->edge;
        vgic_clear_lr(owner, virq, irq, STATE_PENDING);
        vgic_update(vm, owner, irq);
        break;
    case GICD_ICACTIVER:
        vgic_clear_lr(owner, virq, irq, STATE_ACTIVE);
        break;
    default: /* GICD_ISACTIVER: only used to restore a saved distributor */
        break;
    }
}

static bool read_bit(struct vcpu *vcpu, uint32_t base, uint32_t irq)
{
    struct virq *virq = vgic_irq(vcpu->vm, vcpu, irq);
    struct vcpu *owner = irq < PRIVATE_IRQS ? vcpu : vgic_target(vcpu->vm, virq);

    switch (base) {
    case GICD_ISENABLER:
    case GICD_ICENABLER:
        return virq->enabled;
    case GICD_ISPENDR:
    case GICD_ICPENDR:
        return virq->pending || virq->sources ||
               vgic_lr_state(owner, virq, irq) & STATE_PENDING;
    default:
        return vgic_lr_state(owner, virq, irq) & STATE_ACTIVE;
    }
}

static void send_sgi(struct vcpu *vcpu, uint32_t sgir)
{
    struct vm *vm = vcpu->vm;
    uint32_t all = (1u << vm->config->vcpu_count) - 1;
    uint32_t self = 1u << vcpu->index;
    uint32_t irq = sgir & 15;
    uint32_t targets;

    switch (sgir >> 24 & 3) {
    case 0:
        targets = sgir >> 16 & all;
        break;
    case 1:
        targets = all & ~self;
        break;
    default:
        targets = self;
        break;
    }
    for (; targets; targets &= targets - 1) {
        struct vcpu *to = &vm->vcpu[__builtin_ctz(targets)];

        if (tracing(TRACE_VIRQ))
            trace_event(TRACE_VIRQ, to, irq, 0);
        to->vgic.irq[irq].sources |= (uint8_t)self;
        vgic_update(vm, to, irq);
    }
}

static void retarget(struct vm *vm, struct vcpu *vcpu, uint32_t irq, uint8_t targets)
{
    struct virq *virq = vgic_irq(vm, vcpu, irq);
    struct vcpu *from = vgic_target(vm, virq);
    struct vcpu *to;

    virq->targets = targets;
    to = vgic_target(vm, virq);
    if (virq->phys && virq->enabled)
        gic_enable(virq->phys, to->core);
    if (to != from) {
        from->vgic.waiting[irq / 32] &= ~(1u << irq % 32);
        vgic_update(vm, to, irq);
    }
}

static void write_byte(struct vcpu *vcpu, uint32_t offset, uint8_t value)
{
    uint32_t irq;

    if (offset >= GICD_IPRIORITYR && offset < GICD_IPRIORITYR + MAX_IRQS) {
        irq = offset - GICD_IPRIORITYR;
        vgic_irq(vcpu->vm, vcpu, irq)->priority = value & 0xf8;
    } else if (offset >= GICD_ITARGETSR + PRIVATE_IRQS && offset < GICD_ITARGETSR + MAX_IRQS) {
        retarget(vcpu->vm, vcpu, offset - GICD_ITARGETSR, value);
    }
}

static uint8_t read_byte(struct vcpu *vcpu, uint32_t offset)
{
    if (offset >= GICD_IPRIORITYR && offset < GICD_IPRIORITYR + MAX_IRQS)
        return vgic_irq(vcpu->vm, vcpu, offset - GICD_IPRIORITYR)->priority;
    if (offset >= GICD_ITARGETSR && offset < GICD_ITARGETSR + PRIVATE_IRQS)
        return (uint8_t)(1u << vcpu->index);
    if (offset >= GICD_ITARGETSR && offset < GICD_ITARGETSR + MAX_IRQS)
        return vgic_irq(vcpu->vm, vcpu, offset - GICD_ITARGETSR)->targets;
    return 0;
}

static uint32_t read_config(struct vcpu *vcpu, uint32_t first)
{
    uint32_t value = 0;

    for (uint32_t i = 0; i < 16 && first + i < MAX_IRQS; i++)
        value |= (vgic_irq(vcpu->vm, vcpu, first + i)->edge ? 2u : 0u) << (2 * i);
    return value;
}

static void write_config(struct vcpu *vcpu, uint32_t first, uint32_t value)
{
    for (uint32_t i = 0; i < 16 && first + i < MAX_IRQS; i++)
        if (first + i >= PRIVATE_IRQS)
            vgic_irq(vcpu->vm, vcpu, first + i)->edge = value >> (2 * i) & 2;
}

static void write_word(struct vcpu *vcpu, uint32_t offset, uint32_t value)
{
    struct vm *vm = vcpu->vm;

    if (offset == GICD_CTLR) {
        vm->gicd_ctlr = value & 1;
        for (uint32_t c = 0; c < vm->config->vcpu_count; c++)
            for (uint32_t irq = 0; irq < MAX_IRQS; irq++)
                if (irq < PRIVATE_IRQS ||
                    vgic_target(vm, vgic_irq(vm, &vm->vcpu[c], irq)) == &vm->vcpu[c])
                    vgic_update(vm, &vm->vcpu[c], irq);
    } else if (offset >= GICD_ISENABLER && offset < GICD_IPRIORITYR) {
        uint32_t base = offset & ~0x7fu;
        uint32_t first = (offset & 0x7f) * 8;

        for (; value && first < MAX_IRQS; value &= value - 1)
            if (first + (uint32_t)__builtin_ctz(value) < MAX_IRQS)
                write_bit(vcpu, base, first + (uint32_t)__builtin_ctz(value));
    } else if (offset >= GICD_ICFGR && offset < GICD_ICFGR + MAX_IRQS / 4) {
        write_config(vcpu, (offset - GICD_ICFGR) * 4, value);
    } else if (offset == GICD_SGIR) {
        send_sgi(vcpu, value);
    } else {
        for (uint32_t i = 0; i < 4; i++)
            write_byte(vcpu, offset + i, (uint8_t)(value >> (8 * i)));
    }
}

static uint32_t read_word(struct vcpu *vcpu, uint32_t offset)
{
    uint32_t value = 0;

    if (offset == GICD_CTLR)
        return vcpu->vm->gicd_ctlr;
    if (offset == GICD_TYPER)
        return (vcpu->vm->config->vcpu_count - 1) << 5 | (MAX_IRQS / 32 - 1);
    if (offset == GICD_IIDR)
        return IIDR_ARM;
    if (offset == GICD_ICPIDR2)
        return 0x2b;
    if (offset >= GICD_ISENABLER && offset < GICD_IPRIORITYR) {
        uint32_t first = (offset & 0x7f) * 8;

        for (uint32_t i = 0; i < 32 && first + i < MAX_IRQS; i++)
            value |= (uint32_t)read_bit(vcpu, offset & ~0x7fu, first + i) << i;
        return value;
    }
    if (offset >= GICD_ICFGR && offset < GICD_ICFGR + MAX_IRQS / 4)
        return read_config(vcpu, (offset - GICD_ICFGR) * 4);
    for (uint32_t i = 0; i < 4; i++)
        value |= (uint32_t)read_byte(vcpu, offset + i) << (8 * i);
    return value;
}

/* One access of the guest. False: no such access exists (the guest gets an abort). */
bool gicd_access(struct vcpu *vcpu, uint32_t offset, uint32_t bytes, bool write, uint32_t *value)
{
    bool byte_wide = offset >= GICD_IPRIORITYR && offset < GICD_ICFGR;

    if (offset >= GICD_END || !(bytes == 4 || (bytes == 1 && byte_wide)) || offset & (bytes - 1))
        return false;
    lock(&vcpu->vm->lock);
    if (bytes == 1 && write)
        write_byte(vcpu, offset, (uint8_t)*value);
    else if (bytes == 1)
        *value = read_byte(vcpu, offset);
    else if (write)
        write_word(vcpu, offset, *value);
    else
        *value = read_word(vcpu, offset);
    unlock(&vcpu->vm->lock);
    return true;
}
