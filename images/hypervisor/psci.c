/* SPDX-License-Identifier: MIT */
/* Calls of a guest by HVC #0 or SMC #0: PSCI 1.0 (DEN 0022) and our own. */
#include "hypercall.h"
#include "hypervisor.h"

#define MPIDR_AFFINITY 0x00ffffffu
#define AFFINITY_ON 0
#define AFFINITY_OFF 1
#define TRUSTED_OS_NONE 2
#define VERSION_1_0 0x00010000

static struct vcpu *by_affinity(struct vm *vm, uint32_t mpidr)
{
    uint32_t index = mpidr & MPIDR_AFFINITY;

    return index < vm->config->vcpu_count ? &vm->vcpu[index] : NULL;
}

static int32_t cpu_on(struct vm *vm, uint32_t mpidr, uint32_t entry, uint32_t context)
{
    struct vcpu *to = by_affinity(vm, mpidr);
    int32_t result = PSCI_SUCCESS;

    if (!to)
        return PSCI_INVALID_PARAMETERS;
    lock(&vm->lock);
    if (to->powered) {
        result = PSCI_ALREADY_ON;
    } else {
        to->entry_pc = entry;
        to->entry_r[0] = context;
        to->entry_r[1] = to->entry_r[2] = 0;
        to->fresh = true;
        to->powered = true;
    }
    unlock(&vm->lock);
    if (result == PSCI_SUCCESS)
        sched_kick(to);
    return result;
}

static int32_t affinity_info(struct vm *vm, uint32_t mpidr, uint32_t level)
{
    const struct vcpu *vcpu = by_affinity(vm, mpidr);

    if (!vcpu || level)
        return PSCI_INVALID_PARAMETERS;
    return vcpu->powered ? AFFINITY_ON : AFFINITY_OFF;
}

static int32_t features(uint32_t function)
{
    switch (function) {
    case PSCI_VERSION:
    case PSCI_CPU_SUSPEND:
    case PSCI_CPU_OFF:
    case PSCI_CPU_ON:
    case PSCI_AFFINITY_INFO:
    case PSCI_MIGRATE_INFO_TYPE:
    case PSCI_SYSTEM_OFF:
    case PSCI_SYSTEM_RESET:
    case PSCI_FEATURES:
        return PSCI_SUCCESS;
    default:
        return PSCI_NOT_SUPPORTED;
    }
}

/* The result is in r0; an unknown function has an answer too. */
void smccc_call(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    uint32_t *r = vcpu->r;
    int32_t result = PSCI_SUCCESS;

    switch (r[0]) {
    case HVC_VENDOR_NULL:
        break;
    case HVC_VENDOR_YIELD:
        sched_yield();
        break;
    case PSCI_VERSION:
        result = VERSION_1_0;
        break;
    case PSCI_CPU_SUSPEND: /* a standby state: WFI, from which it returns */
        sched_block(vcpu);
        break;
    case PSCI_CPU_OFF:
        lock(&vm->lock);
        vcpu->powered = false;
        unlock(&vm->lock);
        this_core()->resched = true;
        break;
    case PSCI_CPU_ON:
        result = cpu_on(vm, r[1], r[2], r[3]);
        break;
    case PSCI_AFFINITY_INFO:
        result = affinity_info(vm, r[1], r[2]);
        break;
    case PSCI_MIGRATE_INFO_TYPE:
        result = TRUSTED_OS_NONE;
        break;
    case PSCI_SYSTEM_OFF:
        vm_stop(vm, "power-off");
        break;
    case PSCI_SYSTEM_RESET:
        vm_reset(vm);
        break;
    case PSCI_FEATURES:
        result = features(r[1]);
        break;
    default:
        result = PSCI_NOT_SUPPORTED;
        break;
    }
    r[0] = (uint32_t)result;
}
