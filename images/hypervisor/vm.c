/* SPDX-License-Identifier: MIT */
/* VMs: made from the description, loaded, stopped and reset. */
#include "hypercall.h"
#include "hypervisor.h"

#define GICC_IPA 0x08010000u
#define GICV_PA 0x08040000u
#define GICC_BYTES 0x2000u

struct vm vms[HV_MAX_VMS];

static void load_images(struct vm *vm)
{
    const struct hv_vm *c = vm->config;

    for (uint32_t i = 0; i < c->image_count; i++) {
        const struct hv_image *image = &c->image[i];
        uint32_t pa;

        if (!vm_ram_pa(vm, (uint32_t)image->ipa, &pa) ||
            image->ipa + image->bytes > c->ram_ipa + c->ram_bytes)
            panic("vm %s: image %u is not in its RAM", c->name, i);
        memcpy((void *)pa, (const void *)(uint32_t)image->source_pa, (size_t)image->bytes);
        mm_sync_code(pa, (uint32_t)image->bytes);
    }
}

static void start(struct vm *vm)
{
    struct vcpu *boot = &vm->vcpu[0];

    vgic_reset(vm);
    boot->entry_pc = (uint32_t)vm->config->entry_ipa;
    memcpy(boot->entry_r, vm->config->boot_r, sizeof(boot->entry_r));
    boot->fresh = true;
    boot->powered = true;
    vm->state = VM_RUNNING;
    log_line("hv: vm %s: started", vm->config->name);
}

static void add_device(struct vm *vm, const struct hv_device *device)
{
    switch (device->kind) {
    case HV_DEVICE_PASSTHROUGH:
        stage2_map(vm, device->ipa, device->pa, device->bytes, true);
        for (uint32_t i = 0; device->phys_irq && i < device->irq_count; i++)
            vgic_own(vm, device->irq + i, device->phys_irq + i);
        break;
    case HV_DEVICE_PL011:
        pl011_init(vm, device);
        break;
    default:
        panic("vm %s: unknown kind of device %u", vm->config->name, device->kind);
    }
}

static void create(struct vm *vm, uint32_t id, const struct hv_vm *c)
{
    vm->config = c;
    vm->id = id;
    vm->ram_ipa = (uint32_t)c->ram_ipa;
    vm->ram_bytes = (uint32_t)c->ram_bytes;
    vm->ram_pa = (uint32_t)c->ram_pa;
    if (c->vcpu_count == 0 || c->vcpu_count > HV_MAX_VCPUS || c->image_count > HV_MAX_IMAGES ||
        c->device_count > HV_MAX_DEVICES)
        panic("vm %u: %u vCPUs, %u images, %u devices", id, c->vcpu_count, c->image_count,
              c->device_count);
    /* What looks guest memory up takes a whole section to be RAM if its start is (record.S). */
    if ((c->ram_ipa | c->ram_pa | c->ram_bytes) % SECTION_BYTES)
        panic("vm %s: its RAM is not made of whole MiB", c->name);
    stage2_init(vm);
    stage2_map(vm, c->ram_ipa, c->ram_pa, c->ram_bytes, false);
    stage2_map(vm, GICC_IPA, GICV_PA, GICC_BYTES, true);
    for (uint32_t i = 0; i < c->vcpu_count; i++) {
        struct vcpu *vcpu = &vm->vcpu[i];

        vcpu->vm = vm;
        vcpu->index = i;
        vcpu->core = c->vcpu[i].core;
        trace_vcpu_init(vcpu);
        vcpu->priority = c->vcpu[i].priority;
        if (vcpu->core >= config()->core_count)
            panic("vm %s: vCPU %u is pinned to core %u of %u", c->name, i, vcpu->core,
                  config()->core_count);
        sched_add(vcpu);
    }
    for (uint32_t i = 0; i < c->device_count; i++)
        add_device(vm, &c->device[i]);
    load_images(vm);
    start(vm);
}

void vms_init(void)
{
    for (uint32_t i = 0; i < config()->vm_count; i++)
        create(&vms[i], i, &config()->vm[i]);
}

static void kick_all(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->config->vcpu_count; i++)
        sched_kick(&vm->vcpu[i]);
}

/* No vCPU of the VM runs again. With the last VM, the board is switched off. */
void vm_stop(struct vm *vm, const char *reason)
{
    lock(&vm->lock);
    vm->state = VM_STOPPED;
    unlock(&vm->lock);
    log_line("hv: vm %s: stopped: %s", vm->config->name, reason);
    kick_all(vm);
    for (uint32_t i = 0; i < config()->vm_count; i++)
        if (vms[i].state != VM_STOPPED)
            return;
    log_line("hv: all VMs have stopped");
    smc(PSCI_SYSTEM_OFF, 0, 0, 0);
}

/* The core that takes the VM's last vCPU out of service starts it anew: see schedule(). */
void vm_reset(struct vm *vm)
{
    lock(&vm->lock);
    if (vm->state == VM_RUNNING)
        vm->state = VM_RESETTING;
    unlock(&vm->lock);
    log_line("hv: vm %s: reset", vm->config->name);
    kick_all(vm);
}

/* True when the VM was started again; false while another core still runs a vCPU of it. */
bool vm_finish_reset(struct vm *vm)
{
    const struct hv_vm *c = vm->config;

    lock(&vm->lock);
    for (uint32_t i = 0; i < c->vcpu_count; i++) {
        if (vm->state != VM_RESETTING || vm->vcpu[i].loaded) {
            unlock(&vm->lock);
            return false;
        }
    }
    vm->state = VM_STOPPED; /* ours from here on */
    unlock(&vm->lock);
    for (uint32_t i = 0; i < c->vcpu_count; i++)
        vm->vcpu[i].powered = vm->vcpu[i].fresh = false;
    memset((void *)(uint32_t)c->ram_pa, 0, (size_t)c->ram_bytes);
    load_images(vm);
    start(vm);
    kick_all(vm);
    return true;
}
