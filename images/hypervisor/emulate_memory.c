/* SPDX-License-Identifier: MIT */
/*
 * Loads and stores of a displaced instruction. An access is looked up with the guest's rights, then
 * done through the hypervisor's own mapping; one without a place ends in the guest's data abort,
 * with nothing written back. The order of accesses and faults is the one of QEMU's own cores:
 * register after register, and both pages of one access before it.
 */
#include "emulate.h"

#define PAGE_OFFSET(va) ((va) & (PAGE_BYTES - 1))
#define MAX_BYTES 8u

static uint32_t swap(uint32_t value, uint32_t bytes)
{
    return bytes == 4 ? __builtin_bswap32(value) : bytes == 2 ? __builtin_bswap16((uint16_t)value)
                                                              : value;
}

/* One naturally sized access to a place; `va` says whether it is aligned. */
static void access_pa(uint32_t pa, uint32_t bytes, bool write, uint32_t *value)
{
    if (bytes == 4) {
        if (write)
            *(volatile uint32_t *)pa = *value;
        else
            *value = *(volatile uint32_t *)pa;
    } else if (bytes == 2) {
        if (write)
            *(volatile uint16_t *)pa = (uint16_t)*value;
        else
            *value = *(volatile uint16_t *)pa;
    } else {
        if (write)
            *(volatile uint8_t *)pa = (uint8_t)*value;
        else
            *value = *(volatile uint8_t *)pa;
    }
}

/* An access that is not aligned: byte by byte, in one page or in two. */
static bool access_bytes(struct vcpu *vcpu, uint32_t va, uint32_t bytes, enum guest_access how,
                         bool write, uint8_t *data)
{
    uint32_t pa[2], ipa;
    uint32_t first = PAGE_BYTES - PAGE_OFFSET(va);

    if (first > bytes)
        first = bytes;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t at = i ? va + first : va;

        if ((i && first == bytes) || guest_pa(vcpu->vm, at, how, &pa[i]))
            continue;
        if (guest_abort(vcpu, at, how, &ipa))
            device_abort(vcpu, at, ipa, write);
        return false;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        uint8_t *at = (uint8_t *)(i < first ? pa[0] + i : pa[1] + (i - first));

        if (write)
            *(volatile uint8_t *)at = data[i];
        else
            data[i] = *(volatile uint8_t *)at;
    }
    return true;
}

/* One value of 1, 2 or 4 bytes; false: the guest takes an abort. */
static bool access(struct vcpu *vcpu, uint32_t va, uint32_t bytes, enum guest_access how,
                   uint32_t *value)
{
    bool write = how == GUEST_WRITE || how == GUEST_WRITE_USER;
    bool big = vcpu->cpsr & CPSR_E;
    uint32_t pa, ipa;

    if (write && big)
        *value = swap(*value, bytes);
    if (va & (bytes - 1)) {
        uint32_t raw = *value;

        if (guest_strict(va, how)) {
            guest_alignment_fault(vcpu, va, how);
            return false;
        }
        if (!access_bytes(vcpu, va, bytes, how, write, (uint8_t *)&raw))
            return false;
        *value = bytes == 2 ? (uint16_t)raw : raw;
    } else if (guest_pa(vcpu->vm, va, how, &pa)) {
        access_pa(pa, bytes, write, value);
    } else {
        this_core()->resched = true; /* a device may change what is to run, or interrupts */
        if (!guest_abort(vcpu, va, how, &ipa) ||
            !device_access(vcpu, va, ipa, bytes, write, value))
            return false;
    }
    if (!write && big)
        *value = swap(*value, bytes);
    return true;
}

/* LDRD and STRD: word-aligned, and one access where both words are looked up first. */
static bool access_dual(struct vcpu *vcpu, uint32_t va, bool write, uint32_t value[2])
{
    enum guest_access how = write ? GUEST_WRITE : GUEST_READ;
    bool big = vcpu->cpsr & CPSR_E;
    uint32_t pa;

    if (va & 3) {
        guest_alignment_fault(vcpu, va, how);
        return false;
    }
    if (!big && PAGE_OFFSET(va) <= PAGE_BYTES - MAX_BYTES && guest_pa(vcpu->vm, va, how, &pa)) {
        access_pa(pa, 4, write, &value[0]);
        access_pa(pa + 4, 4, write, &value[1]);
        return true;
    }
    for (uint32_t i = 0; write && big && i < 2; i++)
        value[i] = swap(value[i], 4);
    if (!access_bytes(vcpu, va, MAX_BYTES, how, write, (uint8_t *)value))
        return false;
    for (uint32_t i = 0; !write && big && i < 2; i++)
        value[i] = swap(value[i], 4);
    return true;
}

static uint32_t offset_of(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t flags = vcpu->cpsr, offset;

    if (o->rm == EMULATE_NO_REG)
        return o->value;
    offset = reg(vcpu, o->rm);
    if (o->value || o->shift)
        offset = shift(o->shift, offset, o->value, &flags);
    return o->flags & EMULATE_SUBTRACT ? -offset : offset;
}

static uint32_t access_bytes_of(uint32_t op)
{
    return op == ACCESS_WORD ? 4 : op == ACCESS_BYTE || op == ACCESS_SIGNED_BYTE ? 1 : 2;
}

static bool table_branch(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t bytes = access_bytes_of(o->op), offset = 0;
    uint32_t at = reg(vcpu, o->rn) + reg(vcpu, o->rm) * bytes;

    if (!access(vcpu, at, bytes, GUEST_READ, &offset))
        return false;
    vcpu->pc += 4 + 2 * offset;
    return false;
}

bool emulate_access(struct vcpu *vcpu, uint32_t class, const struct emulation_operand *o)
{
    uint32_t base, moved, at, value[2] = {0, 0};
    bool user = o->flags & EMULATE_UNPRIVILEGED;

    if (class == EMULATE_TABLE_BRANCH)
        return table_branch(vcpu, o);
    base = reg(vcpu, o->rn);
    moved = base + offset_of(vcpu, o);
    at = o->flags & EMULATE_PRE ? moved : base;
    switch (class) {
    case EMULATE_STORE:
        value[0] = reg(vcpu, o->rd);
        if (!access(vcpu, at, access_bytes_of(o->op), user ? GUEST_WRITE_USER : GUEST_WRITE, value))
            return false;
        break;
    case EMULATE_LOAD:
        if (!access(vcpu, at, access_bytes_of(o->op), user ? GUEST_READ_USER : GUEST_READ, value))
            return false;
        if (o->op == ACCESS_SIGNED_BYTE)
            value[0] = (uint32_t)(int8_t)value[0];
        else if (o->op == ACCESS_SIGNED_HALF)
            value[0] = (uint32_t)(int16_t)value[0];
        break;
    case EMULATE_STORE_DUAL:
        value[0] = reg(vcpu, o->rd);
        value[1] = reg(vcpu, o->ra);
        if (!access_dual(vcpu, at, true, value))
            return false;
        break;
    default:
        if (!access_dual(vcpu, at, false, value))
            return false;
        break;
    }
    if (o->flags & EMULATE_WRITEBACK)
        set_reg(vcpu, o->rn, moved);
    if (class == EMULATE_LOAD)
        return write_rd(vcpu, o->rd, value[0]);
    if (class == EMULATE_LOAD_DUAL) {
        set_reg(vcpu, o->rd, value[0]);
        set_reg(vcpu, o->ra, value[1]);
    }
    return true;
}

/*
 * r0 to r12 of the list between the vCPU's frame and a page, five instructions for two registers:
 * LSLS puts one bit of the list into N and the next into C.
 */
#define TWO(op_mi, op_cs, up, n0, n1)                                    \
    "lsls %[t], %[list], #" up "\n"                                      \
    op_mi(n0) op_cs(n1)
#define LOAD_MI(n) "ldrmi %[t], [%[at]], #4\n strmi %[t], [%[r], #" n "]\n"
#define LOAD_CS(n) "ldrcs %[t], [%[at]], #4\n strcs %[t], [%[r], #" n "]\n"
#define STORE_MI(n) "ldrmi %[t], [%[r], #" n "]\n strmi %[t], [%[at]], #4\n"
#define STORE_CS(n) "ldrcs %[t], [%[r], #" n "]\n strcs %[t], [%[at]], #4\n"
#define LOW_REGISTERS(mi, cs)                                            \
    __asm__("tst %[list], #15\n beq 1f\n"                                \
            TWO(mi, cs, "31", "0", "4") TWO(mi, cs, "29", "8", "12")     \
            "1:\n"                                                       \
            TWO(mi, cs, "27", "16", "20") TWO(mi, cs, "25", "24", "28")  \
            TWO(mi, cs, "23", "32", "36") TWO(mi, cs, "21", "40", "44")  \
            "lsls %[t], %[list], #19\n" mi("48")                         \
            : [t] "=&r"(t), [at] "+&r"(at)                               \
            : [list] "r"(list), [r] "r"(vcpu->r)                         \
            : "cc", "memory")

static uint32_t *store_low(struct vcpu *vcpu, uint32_t list, uint32_t *at)
{
    uint32_t t;

    LOW_REGISTERS(STORE_MI, STORE_CS);
    return at;
}

static uint32_t *load_low(struct vcpu *vcpu, uint32_t list, uint32_t *at)
{
    uint32_t t;

    LOW_REGISTERS(LOAD_MI, LOAD_CS);
    return at;
}

/* All of it in one page of RAM, and nothing banked or swapped: nearly every one that there is. */
static bool multiple_in_page(struct vcpu *vcpu, bool load, const struct emulation_operand *o,
                             uint32_t base, uint32_t pa)
{
    uint32_t list = o->value, *at = (uint32_t *)pa, target = 0;

    if (list & 0x1fff)
        at = load ? load_low(vcpu, list, at) : store_low(vcpu, list, at);
    if (!load) {
        for (uint32_t n = 13; list >> n; n++)
            if (list >> n & 1)
                *at++ = reg(vcpu, n);
    } else {
        if (list >> 13 & 1)
            set_reg(vcpu, 13, *at++);
        if (list >> 14 & 1)
            set_reg(vcpu, 14, *at++);
        if (list >> 15)
            target = *at;
    }
    if (o->flags & EMULATE_WRITEBACK)
        set_reg(vcpu, o->rn, base + (uint32_t)((int32_t)o->extra >> 16));
    return load && list >> 15 ? branch(vcpu, target) : true;
}

/* A base that is loaded, and the pc, change only when nothing can fault any more. */
static bool multiple_by_one(struct vcpu *vcpu, bool load, const struct emulation_operand *o,
                            uint32_t base, uint32_t va)
{
    uint32_t list = o->value, new_base = 0, target = 0;

    for (uint32_t n = 0; list >> n; n++) {
        uint32_t value = 0;

        if (!(list >> n & 1))
            continue;
        if (!load)
            value = reg(vcpu, n);
        if (!access(vcpu, va, 4, load ? GUEST_READ : GUEST_WRITE, &value))
            return false;
        va += 4;
        if (!load)
            continue;
        if (n == 15)
            target = value;
        else if (n == o->rn)
            new_base = value;
        else
            set_reg(vcpu, n, value);
    }
    if (o->flags & EMULATE_WRITEBACK)
        set_reg(vcpu, o->rn, base + (uint32_t)((int32_t)o->extra >> 16));
    else if (load && list >> o->rn & 1)
        set_reg(vcpu, o->rn, new_base);
    return load && list >> 15 ? branch(vcpu, target) : true;
}

bool emulate_multiple(struct vcpu *vcpu, bool load, const struct emulation_operand *o)
{
    uint32_t base = reg(vcpu, o->rn);
    uint32_t va = base + (uint32_t)(int16_t)o->extra;
    uint32_t last = va + 4u * o->ra - 4;
    uint32_t pa;

    if (va & 3) {
        guest_alignment_fault(vcpu, va, load ? GUEST_READ : GUEST_WRITE);
        return false;
    }
    if (!((va ^ last) & ~(PAGE_BYTES - 1)) && !(vcpu->cpsr & CPSR_E) &&
        (vcpu->cpsr & CPSR_MODE) != MODE_FIQ && guest_pa(vcpu->vm, va, load ? GUEST_READ : GUEST_WRITE, &pa))
        return multiple_in_page(vcpu, load, o, base, pa);
    return multiple_by_one(vcpu, load, o, base, va);
}
