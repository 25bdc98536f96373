/* SPDX-License-Identifier: MIT */
/*
 * Does the work of the instruction that a probe's HVC has displaced: dispatch, arithmetic, branches
 * and system registers. Loads and stores are in emulate_memory.c; what an operand means is said in
 * images/abi/emulation.h.
 *
 * Flags are the core's own: an operation runs as the same instruction on the same flags, in
 * registers of the compiler's choice. To add one, name it in emulation.h; to add a class, add one
 * function and one line in `emulations`.
 */
#include "emulate.h"

#define MODE_FIQ 0x11u

_Static_assert(offsetof(struct vcpu, sp) == 4 * EMULATE_SP && offsetof(struct vcpu, lr) == 4 * EMULATE_LR &&
                   offsetof(struct vcpu, pc_operand) == 4 * EMULATE_PC &&
                   offsetof(struct vcpu, zero) == 4 * EMULATE_NO_REG &&
                   offsetof(struct vcpu, nowhere) == 4 * EMULATE_NOWHERE,
               "enum emulate_register");

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

/* `shifted`: the flags with the shifter's carry, which ADC, SBC and RSC do not see. */
static inline INLINE enum outcome alu(struct vcpu *vcpu, const struct emulation_operand *o,
                                      uint32_t b, uint32_t shifted)
{
    uint32_t f = shifted, a = reg(vcpu, o->rn), d;

#define CASE(name, text) case ALU_##name: ON_FLAGS(text, f, [d] "=&r"(d) : [a] "r"(a), [b] "r"(b)); break
#define CASE_C(name, text) case ALU_##name: f = vcpu->cpsr; ON_FLAGS(text, f, [d] "=&r"(d) : [a] "r"(a), [b] "r"(b)); break
    switch (o->op) {
    CASE(and, "ands %[d], %[a], %[b]");
    CASE(eor, "eors %[d], %[a], %[b]");
    CASE(sub, "subs %[d], %[a], %[b]");
    CASE(rsb, "rsbs %[d], %[a], %[b]");
    CASE(add, "adds %[d], %[a], %[b]");
    CASE_C(adc, "adcs %[d], %[a], %[b]");
    CASE_C(sbc, "sbcs %[d], %[a], %[b]");
    CASE_C(rsc, "rscs %[d], %[a], %[b]");
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
    if (__builtin_expect(o->flags & EMULATE_SET_FLAGS, 0))
        vcpu->cpsr = (vcpu->cpsr & ~CPSR_NZCV) | (f & CPSR_NZCV);
    return write_rd(vcpu, o->rd, d);
}

static enum outcome alu_imm(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t f = vcpu->cpsr;

    if (o->flags & (EMULATE_CARRY_CLEAR | EMULATE_CARRY_SET))
        f = o->flags & EMULATE_CARRY_SET ? f | CPSR_C : f & ~CPSR_C;
    return alu(vcpu, o, o->value, f);
}

static enum outcome alu_shift(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t f = vcpu->cpsr, b = shifted_rm(vcpu, o, &f);

    return alu(vcpu, o, b, f);
}

static enum outcome alu_shift_reg(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t f = vcpu->cpsr, b = shift(o->shift, reg(vcpu, o->rm), reg(vcpu, o->ra) & 0xff, &f);

    return alu(vcpu, o, b, f);
}

static enum outcome bitfield(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t source = reg(vcpu, o->rn) | o->value;
    uint32_t result = source >> o->shift & o->extra;

    if (o->op == BITFIELD_INSERT)
        result = (reg(vcpu, o->rd) & ~(o->extra << o->shift)) | (source & o->extra) << o->shift;
    else if (o->op == BITFIELD_SIGNED && result > o->extra >> 1)
        result |= ~o->extra;
    set_reg(vcpu, o->rd, result);
    return OUTCOME_NEXT;
}

static enum outcome registers(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t ignored = vcpu->cpsr, f = vcpu->cpsr;
    uint32_t m = shifted_rm(vcpu, o, &ignored);
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
    default: return OUTCOME_NEXT;
    }
    vcpu->cpsr = (vcpu->cpsr & ~CPSR_APSR) | (f & CPSR_APSR);
    set_reg(vcpu, o->rd, d);
    return OUTCOME_NEXT;
}

static enum outcome longs(struct vcpu *vcpu, const struct emulation_operand *o)
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
    default: return OUTCOME_NEXT;
    }
    vcpu->cpsr = (vcpu->cpsr & ~CPSR_APSR) | (f & CPSR_APSR);
    set_reg(vcpu, o->rd, low);
    set_reg(vcpu, o->ra, high);
    return OUTCOME_NEXT;
}

static int32_t clamp(int32_t value, int32_t least, int32_t most, bool *saturated)
{
    if (value >= least && value <= most)
        return value;
    *saturated = true;
    return value < least ? least : most;
}

static enum outcome saturate(struct vcpu *vcpu, const struct emulation_operand *o)
{
    bool is_signed = o->op == SATURATE_SIGNED || o->op == SATURATE_SIGNED16;
    uint32_t ignored = vcpu->cpsr;
    uint32_t m = shifted_rm(vcpu, o, &ignored);
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
    return OUTCOME_NEXT;
}

/* BRANCH and BRANCH_REG: one of the two is 0. */
static enum outcome branch_to(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t target = reg(vcpu, o->rm) | o->value;

    if (o->flags & EMULATE_LINK)
        vcpu->lr = o->extra;
    return branch(vcpu, target);
}

/* System mode has no SPSR: unpredictable, here as 0. */
static uint32_t read_spsr(struct vcpu *vcpu)
{
#define READ(mode) return read_spsr_##mode()
    BY_MODE(vcpu->cpsr, READ)
#undef READ
    return 0;
}

static void write_spsr(struct vcpu *vcpu, uint32_t value)
{
#define WRITE(mode) write_spsr_##mode(value); return
    BY_MODE(vcpu->cpsr, WRITE)
#undef WRITE
}

static bool mode_exists(uint32_t mode)
{
    return 1u << mode & (1u << 0x10 | 1u << 0x11 | 1u << 0x12 | 1u << 0x13 | 1u << 0x17 |
                         1u << 0x1b | 1u << 0x1f);
}

/* Neither the execution state nor ITSTATE changes or shows in this way (B9.3.8, B9.3.11). */
#define CPSR_EXECUTION (CPSR_T | CPSR_J | CPSR_IT)

static enum outcome read_psr(struct vcpu *vcpu, const struct emulation_operand *o)
{
    set_reg(vcpu, o->rd, o->op ? read_spsr(vcpu) : vcpu->cpsr & ~CPSR_EXECUTION);
    return OUTCOME_NEXT;
}

static enum outcome write_psr(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t mask = o->value;
    uint32_t value = reg(vcpu, o->rm) | o->extra;

    if (o->op) {
        write_spsr(vcpu, (read_spsr(vcpu) & ~mask) | (value & mask));
        return OUTCOME_NEXT;
    }
    mask &= ~CPSR_EXECUTION;
    if (!mode_exists(value & CPSR_MODE))
        mask &= ~CPSR_MODE;
    vcpu->cpsr = (vcpu->cpsr & ~mask) | (value & mask);
    return OUTCOME_NEXT;
}

static enum outcome read_cp15(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t value;

    switch (o->op) {
#define X(name) case CP15_##name: value = read_##name(); break;
    EMULATE_CP15_REGISTERS(X)
#undef X
    default: return OUTCOME_NEXT;
    }
    set_reg(vcpu, o->rd, value);
    return OUTCOME_NEXT;
}

static enum outcome write_cp15(struct vcpu *vcpu, const struct emulation_operand *o)
{
    uint32_t value = reg(vcpu, o->rd);

    switch (o->op) {
    case CP15_TPIDRURW: write_TPIDRURW(value); break;
    case CP15_TPIDRURO: write_TPIDRURO(value); break;
    case CP15_TPIDRPRW: write_TPIDRPRW(value); break;
    default: break;
    }
    return OUTCOME_NEXT;
}

static enum outcome nop(struct vcpu *vcpu, const struct emulation_operand *o)
{
    (void)vcpu;
    (void)o;
    dsb();
    return OUTCOME_NEXT;
}

/* Not filled in: the HVC stays undefined. */
static enum outcome undefined(struct vcpu *vcpu, const struct emulation_operand *o)
{
    (void)o;
    inject_undefined(vcpu);
    return OUTCOME_EXCEPTION;
}

emulation *const emulations[EMULATE_CLASSES] = {
    [EMULATE_NONE] = undefined,
    [EMULATE_NOP] = nop,
    [EMULATE_ALU_IMM] = alu_imm,
    [EMULATE_ALU_SHIFT] = alu_shift,
    [EMULATE_ALU_SHIFT_REG] = alu_shift_reg,
    [EMULATE_BITFIELD] = bitfield,
    [EMULATE_REGISTER] = registers,
    [EMULATE_LONG] = longs,
    [EMULATE_SATURATE] = saturate,
    [EMULATE_BRANCH] = branch_to,
    [EMULATE_BRANCH_REG] = branch_to,
    [EMULATE_TABLE_BRANCH] = emulate_table_branch,
    [EMULATE_LOAD] = emulate_load,
    [EMULATE_STORE] = emulate_store,
    [EMULATE_LOAD_DUAL] = emulate_load_dual,
    [EMULATE_STORE_DUAL] = emulate_store_dual,
    [EMULATE_LOAD_MULTIPLE] = emulate_load_multiple,
    [EMULATE_STORE_MULTIPLE] = emulate_store_multiple,
    [EMULATE_READ_PSR] = read_psr,
    [EMULATE_WRITE_PSR] = write_psr,
    [EMULATE_READ_CP15] = read_cp15,
    [EMULATE_WRITE_CP15] = write_cp15,
    [EMULATE_MOVE] = alu_imm,
};

/* r8 to r12 of FIQ mode change places with those of the other modes. */
static void exchange_fiq(struct vcpu *vcpu)
{
    uint32_t r[] = {vcpu->r[8], vcpu->r[9], vcpu->r[10], vcpu->r[11], vcpu->r[12]};

#define EXCHANGE(n) vcpu->r[n] = read_r##n##_fiq(); write_r##n##_fiq(r[(n) - 8])
    EXCHANGE(8);
    EXCHANGE(9);
    EXCHANGE(10);
    EXCHANGE(11);
    EXCHANGE(12);
#undef EXCHANGE
}

/* vcpu->pc is the HVC's address; afterwards where the guest goes on. Any mode: probe.S has some. */
void emulate(struct vcpu *vcpu, const struct trace_probe *probe)
{
    uint32_t cpsr = vcpu->cpsr, after;
    bool fiq = (cpsr & CPSR_MODE) == MODE_FIQ;
    enum outcome outcome = OUTCOME_NEXT;

    if (probe->cond >= EMULATE_AL || passes(probe->cond, cpsr)) {
        vcpu->sp = reg_read(vcpu, 13);
        vcpu->lr = reg_read(vcpu, 14);
        vcpu->pc_operand = reg_read(vcpu, 15);
        if (fiq)
            exchange_fiq(vcpu);
        outcome = emulations[probe->emulation](vcpu, (const struct emulation_operand *)probe->operand);
        if (fiq)
            exchange_fiq(vcpu);
        after = vcpu->cpsr;
        vcpu->cpsr = cpsr; /* sp and lr are of the bank of before */
        reg_write(vcpu, 13, vcpu->sp);
        if (outcome != OUTCOME_EXCEPTION || (after ^ cpsr) & CPSR_MODE)
            reg_write(vcpu, 14, vcpu->lr); /* else the exception has written it */
        vcpu->cpsr = after;
    }
    if (outcome == OUTCOME_NEXT) {
        vcpu->pc += 4;
        if (cpsr & CPSR_T)
            vcpu_it_advance(vcpu);
    }
}
