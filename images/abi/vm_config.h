/* SPDX-License-Identifier: MIT */
/*
 * The description of all VMs, filled in by the orchestrator (orchestrator/machine/vm_config.py),
 * read once by the hypervisor at boot. docs/vm-config.md explains it for people.
 *
 * It lies at HV_CONFIG_PA. Every field is little-endian; every offset is asserted below, and a
 * test compiles this header and holds the Python mirror against it. A change of layout or of
 * meaning raises HV_CONFIG_VERSION; the hypervisor refuses any other version.
 */
#ifndef ABI_VM_CONFIG_H
#define ABI_VM_CONFIG_H

#include <stddef.h>
#include <stdint.h>

/* Physical memory that belongs to the hypervisor; VM RAM and images come after it. */
#define HV_RAM_PA 0x40000000u
#define HV_RAM_BYTES 0x03000000u
#define HV_CONFIG_PA 0x40f00000u

#define HV_CONFIG_MAGIC 0x43564d48u /* "HMVC" in memory order */
#define HV_CONFIG_VERSION 2u

#define HV_MAX_VMS 8
#define HV_MAX_VCPUS 8 /* of one VM, and of the board */
#define HV_MAX_IMAGES 8
#define HV_MAX_DEVICES 16

/*
 * hv_config.flags: leave a core's guest at least once a millisecond. QEMU 10's GIC does not look at a
 * level-sensitive interrupt again when a guest ends it and its line is still high; only the next
 * change of any interrupt makes it. Needed where guest time is host time, in which ticks come late.
 */
#define HV_FLAG_RECHECK_IRQS 1u

/* hv_device.kind */
enum hv_device_kind {
    HV_DEVICE_NONE = 0,
    /* The pages [pa, pa + bytes) appear at ipa, and interrupt `irq` belongs to the VM. */
    HV_DEVICE_PASSTHROUGH = 1,
    /* A PL011 emulated by the hypervisor; `backend` is the port of the PCI serial card. */
    HV_DEVICE_PL011 = 2,
};

/* A piece of a guest's memory image: copied from source_pa to ipa at the VM's start and reset. */
struct hv_image {
    uint64_t source_pa;
    uint64_t ipa;
    uint64_t bytes;
};

struct hv_device {
    uint32_t kind;    /* enum hv_device_kind */
    uint32_t irq;     /* GIC interrupt id as the guest sees it; 0: none */
    uint64_t ipa;     /* page aligned */
    uint64_t pa;      /* HV_DEVICE_PASSTHROUGH only, page aligned */
    uint64_t bytes;   /* multiple of the page size */
    uint32_t backend; /* HV_DEVICE_PL011 only: 1..3, port 0 is the hypervisor's own log */
    uint32_t phys_irq; /* HV_DEVICE_PASSTHROUGH only: GIC interrupt id on the board; 0: none */
    uint32_t irq_count; /* consecutive interrupts from irq and phys_irq on */
    uint32_t reserved;  /* 0 */
};

struct hv_vcpu {
    uint32_t core;     /* physical core this vCPU is pinned to */
    uint32_t priority; /* 0..255, higher runs first; equals share the core in time slices */
};

struct hv_vm {
    char name[16];       /* NUL terminated */
    uint64_t ram_ipa;    /* 2 MiB aligned */
    uint64_t ram_pa;     /* 2 MiB aligned */
    uint64_t ram_bytes;  /* multiple of 2 MiB */
    uint64_t entry_ipa;  /* first instruction of vCPU 0; bit 0 set: Thumb */
    uint32_t boot_r[3];  /* r0, r1, r2 of vCPU 0 at entry */
    uint32_t vcpu_count;
    uint32_t image_count;
    uint32_t device_count;
    struct hv_vcpu vcpu[HV_MAX_VCPUS];
    struct hv_image image[HV_MAX_IMAGES];
    struct hv_device device[HV_MAX_DEVICES];
};

struct hv_config {
    uint32_t magic;
    uint32_t version;
    uint32_t bytes; /* sizeof(struct hv_config) */
    uint32_t vm_count;
    uint64_t time_slice_ns; /* round robin among vCPUs of equal priority on one core */
    uint32_t core_count;    /* cores of the board that the hypervisor starts */
    uint32_t flags;         /* HV_FLAG_... */
    struct hv_vm vm[HV_MAX_VMS];
};

_Static_assert(offsetof(struct hv_image, ipa) == 8, "hv_image");
_Static_assert(offsetof(struct hv_image, bytes) == 16, "hv_image");
_Static_assert(sizeof(struct hv_image) == 24, "hv_image");
_Static_assert(offsetof(struct hv_device, ipa) == 8, "hv_device");
_Static_assert(offsetof(struct hv_device, pa) == 16, "hv_device");
_Static_assert(offsetof(struct hv_device, bytes) == 24, "hv_device");
_Static_assert(offsetof(struct hv_device, backend) == 32, "hv_device");
_Static_assert(offsetof(struct hv_device, irq_count) == 40, "hv_device");
_Static_assert(sizeof(struct hv_device) == 48, "hv_device");
_Static_assert(sizeof(struct hv_vcpu) == 8, "hv_vcpu");
_Static_assert(offsetof(struct hv_vm, ram_ipa) == 16, "hv_vm");
_Static_assert(offsetof(struct hv_vm, entry_ipa) == 40, "hv_vm");
_Static_assert(offsetof(struct hv_vm, boot_r) == 48, "hv_vm");
_Static_assert(offsetof(struct hv_vm, vcpu_count) == 60, "hv_vm");
_Static_assert(offsetof(struct hv_vm, vcpu) == 72, "hv_vm");
_Static_assert(offsetof(struct hv_vm, image) == 136, "hv_vm");
_Static_assert(offsetof(struct hv_vm, device) == 328, "hv_vm");
_Static_assert(sizeof(struct hv_vm) == 1096, "hv_vm");
_Static_assert(offsetof(struct hv_config, time_slice_ns) == 16, "hv_config");
_Static_assert(offsetof(struct hv_config, vm) == 32, "hv_config");
_Static_assert(sizeof(struct hv_config) == 32 + HV_MAX_VMS * 1096, "hv_config");

#endif
