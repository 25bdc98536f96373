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

    if (!(o->flags & EMULATE_INDEXED))
        return o->value;
    offset = shifted_rm(vcpu, o, &flags);
    return o->flags & EMULATE_SUBTRACT ? -offset : offset;
}

struct address {
    uint32_t at, moved;
};

static struct address address_of(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t base = reg(vcpu, o->rn), moved = base + offset_of(vcpu, o);

    return (struct address){o->flags & EMULATE_PRE ? moved : base, moved};
}

static void write_back(struct vcpu *vcpu, const struct emulation_operand *o, uint32_t moved)
{
    if (o->flags & EMULATE_WRITEBACK)
        set_reg(vcpu, o->rn, moved);
}

enum outcome emulate_load(struct vcpu *vcpu, const struct emulation_operand *o)
{
    struct address a = address_of(vcpu, o);
    uint32_t value = 0;

    if (!access(vcpu, a.at, o->extra + 1,
                o->flags & EMULATE_UNPRIVILEGED ? GUEST_READ_USER : GUEST_READ, &value))
        return OUTCOME_EXCEPTION;
    if (o->op == ACCESS_SIGNED_BYTE)
        value = (uint32_t)(int8_t)value;
    else if (o->op == ACCESS_SIGNED_HALF)
        value = (uint32_t)(int16_t)value;
    write_back(vcpu, o, a.moved);
    return write_rd(vcpu, o->rd, value);
}

enum outcome emulate_store(struct vcpu *vcpu, const struct emulation_operand *o)
{
    struct address a = address_of(vcpu, o);
    uint32_t value = reg(vcpu, o->rd);

    if (!access(vcpu, a.at, o->extra + 1,
                o->flags & EMULATE_UNPRIVILEGED ? GUEST_WRITE_USER : GUEST_WRITE, &value))
        return OUTCOME_EXCEPTION;
    write_back(vcpu, o, a.moved);
    return OUTCOME_NEXT;
}

enum outcome emulate_load_dual(struct vcpu *vcpu, const struct emulation_operand *o)
{
    struct address a = address_of(vcpu, o);
    uint32_t value[2] = {0, 0};

    if (!access_dual(vcpu, a.at, false, value))
        return OUTCOME_EXCEPTION;
    write_back(vcpu, o, a.moved);
    set_reg(vcpu, o->rd, value[0]);
    set_reg(vcpu, o->ra, value[1]);
    return OUTCOME_NEXT;
}

enum outcome emulate_store_dual(struct vcpu *vcpu, const struct emulation_operand *o)
{
    struct address a = address_of(vcpu, o);
    uint32_t value[2] = {reg(vcpu, o->rd), reg(vcpu, o->ra)};

    if (!access_dual(vcpu, a.at, true, value))
        return OUTCOME_EXCEPTION;
    write_back(vcpu, o, a.moved);
    return OUTCOME_NEXT;
}

enum outcome emulate_table_branch(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t bytes = o->op == ACCESS_HALF ? 2 : 1, offset = 0;
    uint32_t at = reg(vcpu, o->rn) + o->value + reg(vcpu, o->rm) * bytes;

    if (!access(vcpu, at, bytes, GUEST_READ, &offset))
        return OUTCOME_EXCEPTION;
    vcpu->pc += 4 + 2 * offset;
    return OUTCOME_BRANCH;
}

/*
 * Register after register, where access.S has no short way. A base that is loaded, and the pc,
 * change only when nothing can fault any more.
 */
static enum outcome multiple(struct vcpu *vcpu, bool load, const struct emulation_operand *o)
{
    uint32_t list = o->value, base = reg(vcpu, o->rn), new_base = base, target = 0;
    uint32_t va = base + (uint32_t)(int16_t)o->extra;

    if (va & 3) {
        guest_alignment_fault(vcpu, va, load ? GUEST_READ : GUEST_WRITE);
        return OUTCOME_EXCEPTION;
    }
    for (uint32_t n = 0; list >> n; n++) {
        uint32_t at = n < 13 ? n : n - 13 + EMULATE_SP, value = 0;

        if (!(list >> n & 1))
            continue;
        if (!load)
            value = reg(vcpu, at);
        if (!access(vcpu, va, 4, load ? GUEST_READ : GUEST_WRITE, &value))
            return OUTCOME_EXCEPTION;
        va += 4;
        if (!load)
            continue;
        if (at == EMULATE_PC)
            target = value;
        else if (at == o->rn)
            new_base = value;
        else
            set_reg(vcpu, at, value);
    }
    if (o->flags & EMULATE_MOVES_BASE)
        new_base = base + (uint32_t)((int32_t)o->extra >> 16);
    set_reg(vcpu, o->rn, new_base);
    return load && list >> 15 ? branch(vcpu, target) : OUTCOME_NEXT;
}

enum outcome emulate_load_multiple(struct vcpu *vcpu, const struct emulation_operand *o)
{
    return multiple(vcpu, true, o);
}

enum outcome emulate_store_multiple(struct vcpu *vcpu, const struct emulation_operand *o)
{
    return multiple(vcpu, false, o);
}
