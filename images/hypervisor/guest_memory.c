/* SPDX-License-Identifier: MIT */
/*
 * A guest's memory by virtual address, as the guest itself sees it: the MMU walks both stages
 * (DDI 0406C, B3.12.6). Hyp mode reaches what is found through its own mapping, where VA = PA.
 *
 * The guest's PAR is the register that a walk answers in: it is put back each time.
 */
#include "hypervisor.h"

#define PAR_FAULT 1u
#define PAR_ATTR_DEVICE(par) (((par) >> 56 & 0xf0) == 0)
#define PAR_STATUS(par) ((uint32_t)(par) >> 1 & 0x3f)
#define TTBCR_EAE (1u << 31)
#define SECTION_MASK 0x40403u /* kind, and AP[0] */
#define SECTION_READABLE 0x402u
#define SCTLR_M (1u << 0)
#define SCTLR_A (1u << 1)

#define FSR_SHORT_EXTERNAL 0x008u
#define FSR_DOMAIN_SECTION 0x009u
#define FSR_DOMAIN_PAGE 0x00bu
#define FSR_ALIGNMENT_SHORT 0x001u
#define FSR_ALIGNMENT_LONG 0x221u
#define FSR_LONG (1u << 9)
#define FSR_WRITE (1u << 11)

#define TRANSLATE(op)                                                                      \
    __asm__ volatile("mcr p15, 0, %0, c7, c8, " #op "\n isb" ::"r"(va) : "memory")

/* Both stages. PAR is in the long format, as always for a walk asked for in Hyp mode. */
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

/* Stage 1 alone: PAR holds an IPA, or the fault of the guest's own tables. */
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

/* The first-level entry of short descriptors for `va`; 0 if it is not in the VM's RAM (B3.5.5). */
static inline uint32_t first_level(const struct vm *vm, uint32_t va, uint32_t ttbcr)
{
    uint32_t n = ttbcr & 7;
    uint32_t table = n && va >> (32 - n) ? (uint32_t)read_TTBR1() & ~0u << 14
                                         : (uint32_t)read_TTBR0() & ~0u << (14 - n);
    uint32_t pa;

    return vm_ram_pa(vm, table | va >> 20 << 2, &pa) ? *(const uint32_t *)pa : 0;
}

static uint32_t domain_of(uint32_t entry)
{
    return (entry & 3) == 1 || (entry & 0x40002) == 2 ? entry >> 5 & 15 : 0;
}

/*
 * Is the domain of `va` without access? The MMU must not be asked then: QEMU 10.0 ends itself where
 * the fault to report in PAR is a domain's.
 */
static bool domain_denies(const struct vm *vm, uint32_t va)
{
    uint32_t ttbcr = read_TTBCR(), entry;

    if (ttbcr & TTBCR_EAE)
        return false;
    entry = first_level(vm, va, ttbcr);
    return entry & 3 && !(read_DACR() >> 2 * domain_of(entry) & 1) && read_SCTLR() & SCTLR_M;
}

bool guest_pa(const struct vm *vm, uint32_t va, enum guest_access how, uint32_t *pa)
{
    uint64_t par;

    if (domain_denies(vm, va))
        return false;
    par = walk(va, how);
    *pa = ((uint32_t)par & ~(PAGE_BYTES - 1)) | (va & (PAGE_BYTES - 1));
    return !(par & PAR_FAULT);
}

/*
 * True if the access must be aligned: by SCTLR, or because it is to device memory. Short descriptors
 * leave the latter unpredictable (A3.2.1), and QEMU does not tell their attributes. Nor does it mind
 * without translation, under a stage 2, where all memory is strongly-ordered: the guest is to find
 * what it finds without a probe.
 */
bool guest_strict(uint32_t va, enum guest_access how)
{
    uint32_t sctlr = read_SCTLR();
    uint64_t par;

    if (sctlr & SCTLR_A)
        return true;
    if (!(sctlr & SCTLR_M) || !(read_TTBCR() & TTBCR_EAE))
        return false;
    par = walk(va, how);
    return !(par & PAR_FAULT) && PAR_ATTR_DEVICE(par);
}

/*
 * Look up the page of `va`, for reading and only if it is RAM of the VM. A section that PL1 may read,
 * with or without SCTLR.AFE, is plain enough not to ask the MMU, and is kept whole: kernels map
 * nearly all of their data with them.
 */
const struct guest_stretch *guest_lookup(struct guest_reader *reader, uint32_t va)
{
    const struct vm *vm = reader->vm;
    uint32_t ttbcr = read_TTBCR(), pa;
    struct guest_stretch *page;

    if (!(ttbcr & TTBCR_EAE) && read_SCTLR() & SCTLR_M) {
        uint32_t entry = first_level(vm, va, ttbcr), end;
        struct guest_stretch *in = &reader->section;

        if ((entry & SECTION_MASK) == SECTION_READABLE &&
            read_DACR() >> 2 * (entry >> 5 & 15) & 1 &&
            vm_ram_pa(vm, entry & ~(SECTION_BYTES - 1), &pa) &&
            vm_ram_pa(vm, entry | (SECTION_BYTES - 1), &end)) {
            in->va = va & ~(SECTION_BYTES - 1);
            in->bytes = SECTION_BYTES;
            in->pa = pa;
            return in;
        }
    }
    if (!guest_pa(vm, va, GUEST_READ, &pa) || pa - vm->ram_pa >= vm->ram_bytes)
        return NULL;
    page = &reader->page[va / PAGE_BYTES % READER_PAGES];
    page->va = va & ~(PAGE_BYTES - 1);
    page->bytes = PAGE_BYTES;
    page->pa = pa & ~(PAGE_BYTES - 1);
    return page;
}

/* RAM of the guest only, never a device. Across a page the pages are looked up one by one. */
bool guest_read(void *context, uint32_t va, void *to, uint32_t bytes)
{
    struct guest_reader *reader = context;
    uint8_t *byte = to;

    while (bytes) {
        uint32_t left = PAGE_BYTES - (va & (PAGE_BYTES - 1));
        uint32_t now = bytes < left ? bytes : left;
        const uint8_t *from = guest_find(reader, va, now);

        if (!from)
            return false;
        va += now;
        bytes -= now;
        if (!(((uint32_t)from | (uint32_t)byte | now) & 3))
            for (; now; now -= 4, from += 4, byte += 4)
                *(uint32_t *)byte = *(const uint32_t *)from;
        else
            for (; now; now--)
                *byte++ = *from++;
    }
    return true;
}

/* PAR's status is in the long format; that of short descriptors at level 1 and 2 (B3.13.3). */
static uint32_t stage1_fsr(const struct vm *vm, uint32_t va, uint64_t par)
{
    uint32_t status = PAR_STATUS(par), second = (status & 3) == 2, ttbcr = read_TTBCR(), fs;

    if (ttbcr & TTBCR_EAE)
        return FSR_LONG | status;
    switch (status >> 2) {
    case 1: fs = second ? 0x7 : 0x5; break;  /* translation */
    case 2: fs = second ? 0x6 : 0x3; break;  /* access flag */
    case 3: fs = second ? 0xf : 0xd; break;  /* permission */
    case 5: fs = second ? 0xe : 0xc; break;  /* abort of the walk itself */
    default: fs = FSR_SHORT_EXTERNAL; break;
    }
    return fs | domain_of(first_level(vm, va, ttbcr)) << 4;
}

/*
 * An access of this guest has no place (guest_pa). A fault of its own tables is delivered to it, and
 * the answer is false; else the memory is not RAM of the VM, and its IPA is answered.
 */
bool guest_abort(struct vcpu *vcpu, uint32_t va, enum guest_access how, uint32_t *ipa)
{
    uint32_t write = how == GUEST_WRITE || how == GUEST_WRITE_USER ? FSR_WRITE : 0;
    uint64_t par;

    if (domain_denies(vcpu->vm, va)) {
        uint32_t entry = first_level(vcpu->vm, va, read_TTBCR());
        uint32_t fs = (entry & 3) == 1 ? FSR_DOMAIN_PAGE : FSR_DOMAIN_SECTION;

        inject_data_fault(vcpu, va, fs | domain_of(entry) << 4 | write);
        return false;
    }
    par = walk_stage1(va, how);
    if (!(par & PAR_FAULT)) {
        *ipa = ((uint32_t)par & ~(PAGE_BYTES - 1)) | (va & (PAGE_BYTES - 1));
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
