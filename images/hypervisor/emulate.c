/* SPDX-License-Identifier: MIT */
/*
 * Does the work of the instruction that a probe's HVC has displaced: dispatch, arithmetic, branches
 * and system registers. Loads and stores are in emulate_memory.c; what an operand means is said in
 * images/abi/emulation.h.
 *
 * Flags are the core's own: an operation runs as the same instruction on the same flags, in
 * registers of the compiler's choice. To add one, name it in emulation.h; to add a class, add one
 * function and one line in emulate().
 */
#include "emulate.h"

/* Keeps the frame of emulate() small, which every hit pays for. */
#define NOINLINE __attribute__((noinline))

/* Bit `flags` of element `cond`: the condition holds (A8.3). Conditions come in pairs. */
static bool passes(uint32_t cond, uint32_t cpsr)
{
    bool n = cpsr & CPSR_N, z = cpsr & CPSR_Z, c = cpsr & CPSR_C, v = cpsr & CPSR_V;
    bool holds;

    switch (cond >> 1) {
    case 0: holds = z; break;
    case 1: holds = c; break;
    case 2: holds = n; break;
    case 3: holds = v; break;
    case 4: holds = c && !z; break;
    case 5: holds = n == v; break;
    case 6: holds = n == v && !z; break;
    default: return true;
    }
    return holds != (cond & 1);
}

/* Run `text`, which may name its operands, on the flags and keep what they become. */
#define ON_FLAGS(text, flags, ...)                                                 \
    __asm__("msr cpsr_fs, %[f]\n " text "\n mrs %[f], cpsr" : [f] "+r"(flags), __VA_ARGS__ : "cc")

uint32_t shift(uint32_t type, uint32_t value, uint32_t amount, uint32_t *flags)
{
    uint32_t f = *flags;

#define SHIFT(text) ON_FLAGS(text, f, [v] "+r"(value) : [a] "r"(amount))
    switch (type) {
    case SHIFT_LSL: SHIFT("lsls %[v], %[v], %[a]"); break;
    case SHIFT_LSR: SHIFT("lsrs %[v], %[v], %[a]"); break;
    case SHIFT_ASR: SHIFT("asrs %[v], %[v], %[a]"); break;
    case SHIFT_ROR: SHIFT("rors %[v], %[v], %[a]"); break;
    default: SHIFT("rrxs %[v], %[v]"); break;
    }
#undef SHIFT
    *flags = f;
    return value;
}

/* `shifted`: the flags with the shifter's carry, which ADC, SBC and RSC do not see. */
static inline __attribute__((always_inline)) bool alu(struct vcpu *vcpu, const struct emulation_operand *o, uint32_t b, uint32_t shifted)
{
    uint32_t f = o->op >= ALU_adc && o->op <= ALU_rsc ? vcpu->cpsr : shifted;
    uint32_t a = reg(vcpu, o->rn);
    uint32_t d = 0;

#define CASE(name, text) case ALU_##name: ON_FLAGS(text, f, [d] "=&r"(d) : [a] "r"(a), [b] "r"(b)); break
    switch (o->op) {
    CASE(and, "ands %[d], %[a], %[b]");
    CASE(eor, "eors %[d], %[a], %[b]");
    CASE(sub, "subs %[d], %[a], %[b]");
    CASE(rsb, "rsbs %[d], %[a], %[b]");
    CASE(add, "adds %[d], %[a], %[b]");
    CASE(adc, "adcs %[d], %[a], %[b]");
    CASE(sbc, "sbcs %[d], %[a], %[b]");
    CASE(rsc, "rscs %[d], %[a], %[b]");
    CASE(tst, "tst %[a], %[b]");
    CASE(teq, "teq %[a], %[b]");
    CASE(cmp, "cmp %[a], %[b]");
    CASE(cmn, "cmn %[a], %[b]");
    CASE(orr, "orrs %[d], %[a], %[b]");
    CASE(mov, "movs %[d], %[b]");
    CASE(bic, "bics %[d], %[a], %[b]");
    CASE(mvn, "mvns %[d], %[b]");
    default:
        b = ~b;
        ON_FLAGS("orrs %[d], %[a], %[b]", f, [d] "=&r"(d) : [a] "r"(a), [b] "r"(b));
        break;
    }
#undef CASE
    if (o->flags & EMULATE_SET_FLAGS)
        vcpu->cpsr = (vcpu->cpsr & ~CPSR_NZCV) | (f & CPSR_NZCV);
    if (o->op >= ALU_tst && o->op <= ALU_cmn)
        return true;
    return write_rd(vcpu, o->rd, d);
}

static bool alu_imm(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t f = vcpu->cpsr;

    if (o->flags & (EMULATE_CARRY_CLEAR | EMULATE_CARRY_SET))
        f = o->flags & EMULATE_CARRY_SET ? f | CPSR_C : f & ~CPSR_C;
    return alu(vcpu, o, o->value, f);
}

static bool alu_shift(struct vcpu *vcpu, const struct emulation_operand *o, uint32_t amount)
{
    uint32_t f = vcpu->cpsr, b = reg(vcpu, o->rm);

    if (amount || o->shift)
        b = shift(o->shift, b, amount, &f);

    return alu(vcpu, o, b, f);
}

static NOINLINE bool bitfield(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t source = o->rn == EMULATE_NO_REG ? o->value : reg(vcpu, o->rn);
    uint32_t result = source >> o->shift & o->extra;

    if (o->op == BITFIELD_INSERT)
        result = (reg(vcpu, o->rd) & ~(o->extra << o->shift)) | (source & o->extra) << o->shift;
    else if (o->op == BITFIELD_SIGNED && result > o->extra >> 1)
        result |= ~o->extra;
    set_reg(vcpu, o->rd, result);
    return true;
}

static NOINLINE bool registers(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t ignored = vcpu->cpsr, f = vcpu->cpsr;
    uint32_t m = shift(o->shift, reg(vcpu, o->rm), o->value, &ignored);
    uint32_t n = reg(vcpu, o->rn), a = reg(vcpu, o->ra), d;

    switch (o->op) {
#define CASE(name, text) \
    case OP_##name: ON_FLAGS(text, f, [d] "=&r"(d) : [n] "r"(n), [m] "r"(m), [a] "r"(a)); break;
#define OP1(name) CASE(name, #name " %[d], %[m]")
#define OP2(name) CASE(name, #name " %[d], %[n], %[m]")
#define OP3(name) CASE(name, #name " %[d], %[n], %[m], %[a]")
    EMULATE_OPS_1(OP1)
    EMULATE_OPS_2(OP2)
    EMULATE_OPS_3(OP3)
#undef CASE
    default: return true;
    }
    vcpu->cpsr = (vcpu->cpsr & ~CPSR_APSR) | (f & CPSR_APSR);
    set_reg(vcpu, o->rd, d);
    return true;
}

static NOINLINE bool longs(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t f = vcpu->cpsr;
    uint32_t n = reg(vcpu, o->rn), m = reg(vcpu, o->rm);
    uint32_t low = reg(vcpu, o->rd), high = reg(vcpu, o->ra);

    switch (o->op) {
#define CASE(name)                                                                              \
    case LONG_##name:                                                                           \
        ON_FLAGS(#name " %[l], %[h], %[n], %[m]", f, [l] "+&r"(low), [h] "+&r"(high)            \
                 : [n] "r"(n), [m] "r"(m));                                                     \
        break;
    EMULATE_LONG_OPS(CASE)
#undef CASE
    default: return true;
    }
    vcpu->cpsr = (vcpu->cpsr & ~CPSR_APSR) | (f & CPSR_APSR);
    set_reg(vcpu, o->rd, low);
    set_reg(vcpu, o->ra, high);
    return true;
}

static int32_t clamp(int32_t value, int32_t least, int32_t most, bool *saturated)
{
    if (value >= least && value <= most)
        return value;
    *saturated = true;
    return value < least ? least : most;
}

static NOINLINE bool saturate(struct vcpu *vcpu, const struct emulation_operand *o)
{
    bool is_signed = o->op == SATURATE_SIGNED || o->op == SATURATE_SIGNED16;
    uint32_t ignored = vcpu->cpsr;
    uint32_t m = shift(o->shift, reg(vcpu, o->rm), o->value, &ignored);
    int32_t most = (int32_t)((1u << (is_signed ? o->extra - 1 : o->extra)) - 1u);
    int32_t least = is_signed ? -most - 1 : 0;
    bool saturated = false;

    if (o->op == SATURATE_SIGNED || o->op == SATURATE_UNSIGNED) {
        m = (uint32_t)clamp((int32_t)m, least, most, &saturated);
    } else {
        uint32_t low = (uint32_t)clamp((int16_t)m, least, most, &saturated);

        m = (uint32_t)clamp((int32_t)m >> 16, least, most, &saturated) << 16 | (low & 0xffff);
    }
    if (saturated)
        vcpu->cpsr |= CPSR_Q;
    set_reg(vcpu, o->rd, m);
    return true;
}

static bool branch_to(struct vcpu *vcpu, const struct emulation_operand *o, uint32_t target)
{
    if (o->flags & EMULATE_LINK)
        set_reg(vcpu, 14, o->extra);
    return branch(vcpu, target);
}

#define BANK(access)                                     \
    switch (vcpu->cpsr & CPSR_MODE) {                    \
    case 0x11: access(fiq);                              \
    case 0x12: access(irq);                              \
    case 0x13: access(svc);                              \
    case 0x17: access(abt);                              \
    case 0x1b: access(und);                              \
    default: break;                                      \
    }

/* System mode has no SPSR: unpredictable, here as 0. */
static uint32_t read_spsr(struct vcpu *vcpu)
{
#define READ(mode) return read_spsr_##mode()
    BANK(READ)
#undef READ
    return 0;
}

static void write_spsr(struct vcpu *vcpu, uint32_t value)
{
#define WRITE(mode) write_spsr_##mode(value); return
    BANK(WRITE)
#undef WRITE
}

static bool mode_exists(uint32_t mode)
{
    return 1u << mode & (1u << 0x10 | 1u << 0x11 | 1u << 0x12 | 1u << 0x13 | 1u << 0x17 |
                         1u << 0x1b | 1u << 0x1f);
}

/* Neither the execution state nor ITSTATE changes or shows in this way (B9.3.8, B9.3.11). */
#define CPSR_EXECUTION (CPSR_T | CPSR_J | CPSR_IT)

static NOINLINE bool read_psr(struct vcpu *vcpu, const struct emulation_operand *o)
{
    set_reg(vcpu, o->rd, o->op ? read_spsr(vcpu) : vcpu->cpsr & ~CPSR_EXECUTION);
    return true;
}

static NOINLINE bool write_psr(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t mask = o->value;
    uint32_t value = o->rm == EMULATE_NO_REG ? o->extra : reg(vcpu, o->rm);

    if (o->op) {
        write_spsr(vcpu, (read_spsr(vcpu) & ~mask) | (value & mask));
        return true;
    }
    mask &= ~CPSR_EXECUTION;
    if (!mode_exists(value & CPSR_MODE))
        mask &= ~CPSR_MODE;
    vcpu->cpsr = (vcpu->cpsr & ~mask) | (value & mask);
    return true;
}

static NOINLINE bool read_cp15(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t value;

    switch (o->op) {
#define X(name) case CP15_##name: value = read_##name(); break;
    EMULATE_CP15_REGISTERS(X)
#undef X
    default: return true;
    }
    set_reg(vcpu, o->rd, value);
    return true;
}

static NOINLINE bool write_cp15(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t value = reg(vcpu, o->rd);

    switch (o->op) {
    case CP15_TPIDRURW: write_TPIDRURW(value); break;
    case CP15_TPIDRURO: write_TPIDRURO(value); break;
    case CP15_TPIDRPRW: write_TPIDRPRW(value); break;
    default: break;
    }
    return true;
}

static bool run(struct vcpu *vcpu, uint32_t class, const struct emulation_operand *o)
{
    switch (class) {
    case EMULATE_NONE: inject_undefined(vcpu); return false;
    case EMULATE_NOP: dsb(); return true;
    case EMULATE_ALU_IMM:
    case EMULATE_MOVE: return alu_imm(vcpu, o);
    case EMULATE_ALU_SHIFT: return alu_shift(vcpu, o, o->value);
    case EMULATE_ALU_SHIFT_REG: return alu_shift(vcpu, o, reg(vcpu, o->ra) & 0xff);
    case EMULATE_BITFIELD: return bitfield(vcpu, o);
    case EMULATE_REGISTER: return registers(vcpu, o);
    case EMULATE_LONG: return longs(vcpu, o);
    case EMULATE_SATURATE: return saturate(vcpu, o);
    case EMULATE_BRANCH: return branch_to(vcpu, o, o->value);
    case EMULATE_BRANCH_REG: return branch_to(vcpu, o, reg(vcpu, o->rm));
    case EMULATE_PUSH: return emulate_multiple(vcpu, false, o);
    case EMULATE_PUSH_ONE: return emulate_access(vcpu, EMULATE_STORE, o);
    case EMULATE_PUSH_DUAL: return emulate_access(vcpu, EMULATE_STORE_DUAL, o);
    case EMULATE_LOAD_MULTIPLE: return emulate_multiple(vcpu, true, o);
    case EMULATE_STORE_MULTIPLE: return emulate_multiple(vcpu, false, o);
    case EMULATE_READ_PSR: return read_psr(vcpu, o);
    case EMULATE_WRITE_PSR: return write_psr(vcpu, o);
    case EMULATE_READ_CP15: return read_cp15(vcpu, o);
    case EMULATE_WRITE_CP15: return write_cp15(vcpu, o);
    default: return emulate_access(vcpu, class, o);
    }
}

/* vcpu->pc is the HVC's address; afterwards where the guest goes on. */
void emulate(struct vcpu *vcpu, uint32_t class, const struct emulation_operand *o)
{
    if (o->cond >= EMULATE_AL || passes(o->cond, vcpu->cpsr))
        if (!run(vcpu, class, o))
            return;
    vcpu->pc += 4;
    if (vcpu->cpsr & CPSR_T)
        vcpu_it_advance(vcpu);
}
