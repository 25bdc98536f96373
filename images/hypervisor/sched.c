/* SPDX-License-Identifier: MIT */
/*
 * One list of vCPUs per core, highest priority first. The first that can run runs; equals take
 * turns: one that used up its slice, or yields, goes behind its equals.
 *
 * A vCPU blocks in WFI and becomes ready when an interrupt waits for it. Its timer is in the core
 * only while it runs; meanwhile the Hyp timer stands in for the timers of all others.
 */
#include "hypervisor.h"

/* A millisecond of 62.5 MHz: see HV_FLAG_RECHECK_IRQS. */
#define RECHECK_TICKS 62500u

static void insert(struct core *core, struct vcpu *vcpu)
{
    struct vcpu **at = &core->vcpus;

    while (*at && (*at)->priority >= vcpu->priority)
        at = &(*at)->next_on_core;
    vcpu->next_on_core = *at;
    *at = vcpu;
}

static void remove(struct core *core, struct vcpu *vcpu)
{
    struct vcpu **at = &core->vcpus;

    while (*at != vcpu)
        at = &(*at)->next_on_core;
    *at = vcpu->next_on_core;
}

/*
 * At boot only, before the core runs. A vCPU stays on its core, so its TLB and cache maintenance need
 * not be broadcast (HCR.FB).
 */
void sched_add(struct vcpu *vcpu)
{
    struct core *core = &cores[vcpu->core];

    core->shared = core->vcpus != NULL;
    core->recheck = config()->flags & HV_FLAG_RECHECK_IRQS;
    core->hcr = HCR_VM | HCR_SWIO | HCR_FMO | HCR_IMO | HCR_AMO | HCR_TSC | HCR_TIDCP | HCR_TAC |
                (core->shared ? HCR_TWI | HCR_TWE : 0);
    insert(core, vcpu);
}

uint64_t sched_slice_ticks(void)
{
    /* 62.5 MHz, 16 ns a tick: the only board there is; a shift saves the 64-bit division. */
    return config()->time_slice_ns >> 4;
}

static bool runnable(struct vcpu *vcpu, uint64_t now)
{
    if (vcpu->vm->state != VM_RUNNING || !vcpu->powered)
        return false;
    if (vcpu->blocked && (vgic_has_work(vcpu) || (!vcpu->loaded && vcpu_deadline(vcpu) <= now)))
        vcpu->blocked = false;
    return !vcpu->blocked;
}

static struct vcpu *pick(struct core *core, uint64_t now)
{
    for (struct vcpu *v = core->vcpus; v; v = v->next_on_core)
        if (runnable(v, now))
            return v;
    return NULL;
}

/* When v can run: now, or at its timer's deadline. */
static uint64_t ready_at(struct vcpu *v, uint64_t now)
{
    return v->blocked && !vgic_has_work(v) ? vcpu_deadline(v) : now;
}

/*
 * The next instant at which the choice may change without an interrupt from outside. A vCPU of lower
 * priority cannot change it: it is looked at when the running one blocks. An alarm for its deadline,
 * once past, would go off again and again and let nobody run.
 */
static void arm_hyp_timer(struct core *core, struct vcpu *running, uint64_t now)
{
    uint64_t deadline = core->recheck ? now + RECHECK_TICKS : NO_DEADLINE;

    for (struct vcpu *v = core->vcpus; v; v = v->next_on_core) {
        uint64_t at;

        if (v == running || v->vm->state != VM_RUNNING || !v->powered)
            continue;
        if (running && v->priority < running->priority)
            break; /* as are all behind it */
        at = ready_at(v, now);
        if (running && v->priority == running->priority && at < core->slice_end)
            at = core->slice_end;
        if (at < deadline)
            deadline = at;
    }
    if (deadline == NO_DEADLINE) {
        write_CNTHP_CTL(0);
    } else {
        write_CNTHP_CVAL(deadline);
        write_CNTHP_CTL(TIMER_ENABLE);
    }
}

static void switch_to(struct core *core, struct vcpu *next)
{
    struct vcpu *old = core->current;

    if (old == next)
        return;
    if (old && old->loaded)
        vcpu_save(old);
    if (tracing(TRACE_VCPU_SWITCH))
        trace_switch(old, next);
    core->current = next;
    if (next) {
        if (next->fresh)
            vcpu_reset(next);
        vcpu_load(next);
    }
}

static struct vcpu *finish_resets(struct core *core, uint64_t now)
{
    for (struct vcpu *v = core->vcpus; v; v = v->next_on_core)
        if (v->vm->state == VM_RESETTING && vm_finish_reset(v->vm))
            return pick(core, now);
    return NULL;
}

/* The vCPU to run now; waits in Hyp mode while there is none. */
struct vcpu *schedule(void)
{
    struct core *core = this_core();
    struct vcpu *next;

    for (;;) {
        uint64_t now = read_CNTPCT();

        core->resched = false;
        next = pick(core, now);
        if (!next) {
            switch_to(core, NULL);
            next = finish_resets(core, now);
        }
        if (next != core->current) {
            core->slice_end = now + sched_slice_ticks();
            switch_to(core, next);
        }
        if (core->shared || core->recheck || !next)
            arm_hyp_timer(core, next, now);
        if (next)
            break;
        wfi();
        irq_handle(NULL);
    }
    vgic_flush(next);
    return next;
}

static void to_back(struct core *core, struct vcpu *vcpu)
{
    remove(core, vcpu);
    insert(core, vcpu);
    core->slice_end = 0;
    core->resched = true;
}

/* The Hyp timer: somebody's deadline, or the end of the slice. */
void sched_tick(void)
{
    struct core *core = this_core();

    write_CNTHP_CTL(0);
    core->resched = true;
    if (core->current && read_CNTPCT() >= core->slice_end) {
        to_back(core, core->current);
        core->slice_end = read_CNTPCT() + sched_slice_ticks();
    }
}

void sched_yield(void)
{
    struct core *core = this_core();

    to_back(core, core->current);
    core->slice_end = read_CNTPCT() + sched_slice_ticks();
}

/* WFI on a shared core. */
void sched_block(struct vcpu *vcpu)
{
    vcpu->blocked = true;
    this_core()->resched = true;
}

/* Something changed for this vCPU: let its core look at it. Any core may call. */
void sched_kick(struct vcpu *vcpu)
{
    struct core *core = this_core();

    if (vcpu->core == core->id)
        core->resched = true;
    else
        gic_send_ipi(vcpu->core);
}
