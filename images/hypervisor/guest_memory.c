/* SPDX-License-Identifier: MIT */
/*
 * A guest's memory by virtual address, as the guest itself sees it: the MMU walks both stages
 * (DDI 0406C, B3.12.6). Hyp mode reaches what is found through its own mapping, where VA = PA.
 *
 * The guest's PAR is the register that a walk answers in: it is put back each time.
 */
#include "hypervisor.h"

#define PAR_FAULT 1u
#define PAR_SUPERSECTION 2u /* short format */
#define PAR_ATTR_DEVICE(par) (((par) >> 56 & 0xf0) == 0)
#define PAR_LONG_FST(par) ((par) >> 1 & 0x3f)
#define TTBCR_EAE (1u << 31)
#define SCTLR_A (1u << 1)

#define FSR_ALIGNMENT_SHORT 0x001u
#define FSR_ALIGNMENT_LONG 0x221u
#define FSR_LONG (1u << 9)
#define FSR_WRITE (1u << 11)

#define TRANSLATE(op)                                                                      \
    __asm__ volatile("mcr p15, 0, %0, c7, c8, " #op "\n isb" ::"r"(va) : "memory")

/* Both stages. PAR is in the long format: the hypervisor's stage 2 is on. */
static uint64_t walk(uint32_t va, enum guest_access how)
{
    uint64_t guest_par = read_PAR();
    uint64_t par;

    switch (how) {
    case GUEST_READ: TRANSLATE(4); break;
    case GUEST_WRITE: TRANSLATE(5); break;
    case GUEST_READ_USER: TRANSLATE(6); break;
    default: TRANSLATE(7); break;
    }
    par = read_PAR();
    write_PAR(guest_par);
    return par;
}

/* Stage 1 alone. PAR is in the format of the guest's own tables. */
static uint64_t walk_stage1(uint32_t va, enum guest_access how)
{
    uint64_t guest_par = read_PAR();
    uint64_t par;

    switch (how) {
    case GUEST_READ: TRANSLATE(0); break;
    case GUEST_WRITE: TRANSLATE(1); break;
    case GUEST_READ_USER: TRANSLATE(2); break;
    default: TRANSLATE(3); break;
    }
    par = read_PAR();
    write_PAR(guest_par);
    return par;
}

bool guest_pa(uint32_t va, enum guest_access how, uint32_t *pa)
{
    uint64_t par = walk(va, how);

    *pa = ((uint32_t)par & ~(PAGE_BYTES - 1)) | (va & (PAGE_BYTES - 1));
    return !(par & PAR_FAULT);
}

/* True if the access must be aligned: by SCTLR, or because of what is there. */
bool guest_strict(uint32_t va, enum guest_access how)
{
    uint64_t par;

    if (read_SCTLR() & SCTLR_A)
        return true;
    par = walk(va, how);
    return !(par & PAR_FAULT) && PAR_ATTR_DEVICE(par);
}

/* RAM of the guest only, never a device. Across a page the pages are looked up one by one. */
bool guest_read(void *context, uint32_t va, void *to, uint32_t bytes)
{
    struct guest_reader *reader = context;

    while (bytes) {
        uint32_t left = PAGE_BYTES - (va & (PAGE_BYTES - 1));
        uint32_t now = bytes < left ? bytes : left;

        if ((va ^ reader->page_va) & ~(PAGE_BYTES - 1) || !reader->page_va) {
            const struct hv_vm *c = reader->vm->config;
            uint32_t pa;

            if (!guest_pa(va, GUEST_READ, &pa) || pa - (uint32_t)c->ram_pa >= c->ram_bytes)
                return false;
            reader->page_va = va | 1;
            reader->page_pa = pa & ~(PAGE_BYTES - 1);
        }
        const uint8_t *from = (const uint8_t *)(reader->page_pa | (va & (PAGE_BYTES - 1)));
        if (now == 4 && !((uint32_t)from & 3)) {
            uint32_t word = *(const uint32_t *)from;

            __builtin_memcpy(to, &word, 4);
        } else {
            memcpy(to, from, now);
        }
        va += now;
        to = (uint8_t *)to + now;
        bytes -= now;
    }
    return true;
}

/* Domain in DFSR, short descriptors (B4.1.52): that of the first-level entry, if it has one. */
static uint32_t domain(struct vm *vm, uint32_t va)
{
    uint32_t n = read_TTBCR() & 7;
    bool low = !n || !(va >> (32 - n));
    uint32_t table = (uint32_t)(low ? read_TTBR0() & ~0ull << (14 - n) : read_TTBR1() & ~0ull << 14);
    uint32_t ipa = table | va >> 20 << 2, pa, entry;

    if (!vm_ram_pa(vm, ipa, &pa))
        return 0;
    entry = *(const uint32_t *)pa;
    return (entry & 3) == 1 || (entry & 0x40002) == 2 ? entry >> 5 & 15 : 0;
}

static uint32_t stage1_fsr(struct vm *vm, uint32_t va, uint64_t par)
{
    if (read_TTBCR() & TTBCR_EAE)
        return FSR_LONG | PAR_LONG_FST(par);
    return (uint32_t)((par >> 1 & 0xf) | (par & 0x20) << 5 | (par & 0x40) << 6) |
           domain(vm, va) << 4;
}

/*
 * An access of this guest has no place (guest_pa). A fault of its own tables is delivered to it, and
 * the answer is false; else the memory is not RAM of the VM, and its IPA is answered.
 */
bool guest_abort(struct vcpu *vcpu, uint32_t va, enum guest_access how, uint32_t *ipa)
{
    uint64_t par = walk_stage1(va, how);
    uint32_t write = how == GUEST_WRITE || how == GUEST_WRITE_USER ? FSR_WRITE : 0;

    if (!(par & PAR_FAULT)) {
        uint32_t offset = !(read_TTBCR() & TTBCR_EAE) && par & PAR_SUPERSECTION ? 0xffffff
                                                                                : PAGE_BYTES - 1;

        *ipa = ((uint32_t)par & ~offset) | (va & offset);
        return true;
    }
    inject_data_fault(vcpu, va, stage1_fsr(vcpu->vm, va, par) | write);
    return false;
}

void guest_alignment_fault(struct vcpu *vcpu, uint32_t va, enum guest_access how)
{
    uint32_t write = how == GUEST_WRITE || how == GUEST_WRITE_USER ? FSR_WRITE : 0;

    inject_data_fault(vcpu, va, write | (read_TTBCR() & TTBCR_EAE ? FSR_ALIGNMENT_LONG
                                                                : FSR_ALIGNMENT_SHORT));
}
