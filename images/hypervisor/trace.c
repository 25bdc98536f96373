/* SPDX-License-Identifier: MIT */
/*
 * The trace service: one ring of records for each core, the table of probes, and what happens when a
 * guest runs into one. Layout and meaning: images/abi/trace.h; docs/record-format.md.
 *
 * The host fills in the tables and empties the rings, while the guests run. Nothing here waits,
 * but for the doorbell: a QEMU with the plugin holds the core there until a full ring has room.
 */
#include "emulation.h"
#include "hypervisor.h"

#include "fetch.h"

/* Out of the way of what is done for each hit. */
#define NOINLINE __attribute__((noinline))

#define TICK_SHIFT 4 /* 62.5 MHz: 16 ns a tick of the counter */
#define DOORBELL 0xe320f0ff /* DBG #15: a hint without effect of its own */

#define HVC_A32(imm) (0xe1400070u | ((imm) & 0xfff0) << 4 | ((imm) & 15))
#define HVC_T32(imm) (0xf7e08000u | ((imm) >> 12) << 16 | ((imm) & 0xfff))

_Static_assert(HV_TRACE_PA == 0x41000000 && offsetof(struct trace_control, events) == 12 &&
                   (1 << TRACE_VM_ENTRY | 1 << TRACE_VM_EXIT) == 0xc,
               "entry.S");
_Static_assert(offsetof(struct vcpu, pc) == 76 && offsetof(struct vcpu, cpsr) == 80 &&
                   offsetof(struct vcpu, ram_ipa) == 88 && offsetof(struct vcpu, ram_bytes) == 92 &&
                   offsetof(struct vcpu, ram_pa) == 96 && offsetof(struct core, stack_top) == 0,
               "entry.S, probe.S, access.S, record.S");
_Static_assert(offsetof(struct vcpu, sp) == 56 && offsetof(struct vcpu, lr) == 60 &&
                   offsetof(struct vcpu, pc_operand) == 64 &&
                   offsetof(struct vcpu, probe_key) == 84 && offsetof(struct core, id) == 4 &&
                   offsetof(struct core, probes) == 8 && offsetof(struct core, resched) == 53 &&
                   offsetof(struct trace_probe, state) == 8 &&
                   offsetof(struct trace_probe, flags) == 10 &&
                   offsetof(struct trace_probe, next) == 44 &&
                   offsetof(struct trace_probe, hits) == 48 &&
                   offsetof(struct trace_probe, operand) == 80 &&
                   offsetof(struct trace_probe, cond) == 96 && TRACE_PROBE_T32 == 2 &&
                   TRACE_PROBE_RECORD == 4 && TRACE_PROBE_CONDITIONAL == 16,
               "probe.inc, probe.S, access.S");
_Static_assert(EMULATE_NONE == 0 && EMULATE_NOP == 1 && EMULATE_LOAD == 12 && EMULATE_STORE == 13 &&
                   EMULATE_LOAD_DUAL == 14 && EMULATE_STORE_DUAL == 15 &&
                   EMULATE_LOAD_MULTIPLE == 16 && EMULATE_STORE_MULTIPLE == 17 &&
                   EMULATE_MOVE == 22 && EMULATE_CLASSES == 23 && EMULATE_INDEXED == 1 &&
                   EMULATE_ONE_BY_ONE == 1 && EMULATE_MOVES_BASE == 2 && EMULATE_LOADS_PC == 4 && EMULATE_LINK == 8 &&
                   EMULATE_PRE == 16 && EMULATE_WRITEBACK == 32 && EMULATE_SUBTRACT == 64 &&
                   EMULATE_UNPRIVILEGED == 128 && EMULATE_MAX_ROW == 9 &&
                   EMULATE_SCATTERED == 28 && EMULATE_PC == 16 &&
                   ACCESS_SIGNED_HALF == 4 && SHIFT_RRX == 4,
               "probe.inc, probe.S, access.S");
_Static_assert(offsetof(struct core, ring) == 16 && offsetof(struct core, room) == 20 &&
                   offsetof(struct vcpu, index) == 100 && offsetof(struct vcpu, origin) == 104 &&
                   offsetof(struct vcpu, looked_up_with) == 108 &&
                   offsetof(struct vcpu, section) == 120 && offsetof(struct vcpu, page) == 152 &&
                   offsetof(struct trace_probe, flags) == 10 &&
                   offsetof(struct trace_probe, program_pa) == 12 &&
                   offsetof(struct trace_probe, words) == 16 && TRACE_PROBE_BOUNDED == 8 &&
                   offsetof(struct trace_record, word) == 52 && sizeof(struct trace_record) == 128 &&
                   HV_TRACE_RING_RECORDS == 1 << 14 && TRACE_MAX_EXTENT == 256 && TICK_SHIFT == 4 &&
                   TRACE_OP_CODES == 13 * 8 && TRACE_NAME_BYTES == 16 && TRACE_REG_SP == 13 && TRACE_REG_CPSR == 16 &&
                   TRACE_REG_TPIDRURO == 18,
               "record.S");
_Static_assert(TRACE_MAX_PROBES == 8192, "entry.S");

void trace_init(void)
{
    struct trace_control *control = (void *)HV_TRACE_PA;

    control->version = TRACE_VERSION;
    control->ring_count = config()->core_count;
    for (uint32_t i = 0; i < config()->core_count; i++) {
        struct trace_ring *ring = (void *)(HV_TRACE_PA + HV_TRACE_RINGS + i * HV_TRACE_RING_STRIDE);

        memset(ring, 0, sizeof(*ring));
        ring->version = TRACE_VERSION;
        ring->record_bytes = sizeof(struct trace_record);
        ring->capacity = HV_TRACE_RING_RECORDS;
        ring->cpu = i;
        ring->observer = TRACE_BY_HYPERVISOR;
        ring->magic = TRACE_MAGIC;
    }
    dsb();
    control->magic = TRACE_MAGIC;
}

void trace_core_init(struct core *core)
{
    core->probes = (void *)(HV_TRACE_PA + HV_TRACE_PROBES);
    core->room = HV_TRACE_RING_RECORDS;
    core->ring = (void *)(HV_TRACE_PA + HV_TRACE_RINGS + core->id * HV_TRACE_RING_STRIDE);
}

void trace_vcpu_init(struct vcpu *vcpu)
{
    const struct vm *vm = vcpu->vm;

    vcpu->origin = TRACE_PROBE | vcpu->core << 16 | vm->id << 24;
    vcpu->probe_key = TRACE_PROBE_ARMED | vm->id << 8;
    vcpu->ram_ipa = vm->ram_ipa;
    vcpu->ram_bytes = vm->ram_bytes;
    vcpu->ram_pa = vm->ram_pa;
}

/* The difference of two counts is far below 32 bits. */
static uint32_t room(const struct trace_ring *ring)
{
    uint32_t tail = (uint32_t)*(const volatile uint64_t *)&ring->tail;

    return HV_TRACE_RING_RECORDS - ((uint32_t)ring->head - tail);
}

static struct trace_record *slot(const struct trace_ring *ring)
{
    struct trace_record *record = (void *)((uint32_t)ring + TRACE_RING_HEADER_BYTES);

    return &record[(uint32_t)ring->head % HV_TRACE_RING_RECORDS];
}

static void commit(struct trace_ring *ring)
{
    __asm__ volatile("dmb" ::: "memory");
    *(volatile uint64_t *)&ring->head = ring->head + 1;
}

static uint64_t now(void)
{
    return read_CNTPCT() << TICK_SHIFT;
}

/* Room for a record and for one that tells of those lost before it; NULL: lost as well. */
static NOINLINE struct trace_record *reserve_full(struct core *core, uint64_t now_ns)
{
    struct trace_ring *ring = core->ring;
    uint32_t wanted = core->lost ? 2 : 1;
    struct trace_record *record;

    if (room(ring) < wanted)
        __asm__ volatile(".inst %c0" ::"i"(DOORBELL) : "memory");
    if (room(ring) < wanted) {
        core->lost++;
        core->room = 0;
        ring->lost++;
        return NULL;
    }
    if (core->lost) {
        record = slot(ring);
        memset(record, 0, sizeof(*record));
        record->time_ns = now_ns;
        record->seq = ring->head;
        record->kind = TRACE_LOSS;
        record->cpu = (uint8_t)core->id;
        record->vm = record->vcpu = TRACE_NO_VM;
        record->words = 2;
        record->valid = 3;
        record->word[0] = core->lost;
        core->lost = 0;
        core->room = HV_TRACE_RING_RECORDS;
        commit(ring);
    }
    return slot(ring);
}

/* The next record with its time and origin; commit() shows it to the reader. */
static inline struct trace_record *reserve(struct core *core, uint64_t now_ns, uint32_t kind,
                                           const struct vcpu *vcpu, uint32_t id)
{
    struct trace_ring *ring = core->ring;
    struct trace_record *record =
        room(ring) && !core->lost ? slot(ring) : reserve_full(core, now_ns);

    if (!record)
        return NULL;
    record->time_ns = now_ns;
    record->seq = ring->head;
    record->kind = (uint16_t)kind;
    record->cpu = (uint8_t)core->id;
    record->vm = vcpu ? (uint8_t)vcpu->vm->id : TRACE_NO_VM;
    record->vcpu = vcpu ? (uint8_t)vcpu->index : TRACE_NO_VM;
    record->id = id;
    record->cost = 0;
    record->reserved = 0;
    return record;
}

void trace_event(enum trace_kind kind, const struct vcpu *vcpu, uint32_t id, uint32_t word)
{
    struct core *core = this_core();
    struct trace_record *record = reserve(core, now(), kind, vcpu, id);

    if (!record)
        return;
    record->pc = vcpu->pc;
    record->cpsr = vcpu->cpsr;
    record->lr = record->sp = 0;
    record->words = 1;
    record->valid = 1;
    record->word[0] = word;
    commit(core->ring);
}

void trace_switch(const struct vcpu *old, const struct vcpu *next)
{
    struct core *core = this_core();
    struct trace_record *record = reserve(core, now(), TRACE_VCPU_SWITCH, next, 0);

    if (!record)
        return;
    record->pc = record->lr = record->sp = record->cpsr = 0;
    record->words = 4;
    record->valid = 0xf;
    record->word[0] = old ? old->vm->id : TRACE_NO_VM;
    record->word[1] = old ? old->index : TRACE_NO_VM;
    record->word[2] = next ? next->vm->id : TRACE_NO_VM;
    record->word[3] = next ? next->index : TRACE_NO_VM;
    commit(core->ring);
}

/* Counts the hit against the limit, on all cores together; true if it is within. */
static bool within_limit(struct trace_probe *probe)
{
    uint32_t taken, failed;

    do {
        __asm__ volatile("ldrex %0, [%1]" : "=r"(taken) : "r"(&probe->taken) : "memory");
        if (taken >= probe->limit)
            return false;
        __asm__ volatile("strex %0, %2, [%1]"
                         : "=&r"(failed) : "r"(&probe->taken), "r"(taken + 1) : "memory");
    } while (failed);
    return true;
}

/* The words of a record, the long way (record.S). */
void trace_fetch(struct vcpu *vcpu, const struct trace_probe *probe, struct trace_record *record)
{
    struct guest_reader reader;
    struct fetch_state state;

    state.read = guest_read;
    state.context = &reader;
    state.reg[TRACE_REG_NONE] = 0;
    state.reg[TRACE_REG_TPIDRURO] = read_TPIDRURO(); /* still the guest's: Hyp mode has its own */
    for (uint32_t i = 0; i < TRACE_REG_PC; i++)
        state.reg[i] = reg_read(vcpu, i);
    state.reg[TRACE_REG_PC] = vcpu->pc;
    state.reg[TRACE_REG_CPSR] = vcpu->cpsr;
    guest_reader_init(&reader, vcpu->vm);
    fetch_run(&state, (const struct trace_op *)probe->program_pa, record);
}

/* The whole of a record, the long way. */
void trace_record(struct vcpu *vcpu, struct trace_probe *probe, struct core *core)
{
    uint64_t now_ns = now();
    struct trace_record *record;

    if (now_ns < probe->from_ns || (probe->until_ns && now_ns >= probe->until_ns))
        return;
    if (probe->limit && !within_limit(probe))
        return;
    record = reserve(core, now_ns, TRACE_PROBE, vcpu, (uint32_t)(probe - core->probes));
    if (!record)
        return;
    record->pc = vcpu->pc;
    record->lr = reg_read(vcpu, 14);
    record->sp = reg_read(vcpu, 13);
    record->cpsr = vcpu->cpsr;
    trace_fetch(vcpu, probe, record);
    commit(core->ring);
}

/*
 * An HVC that no probe claims. If its probe was removed while this core was on the way here, the
 * guest's own instruction is back, and the guest executes that; else the HVC is undefined.
 */
static void unclaimed(struct vcpu *vcpu, uint32_t imm)
{
    struct guest_reader reader;
    uint32_t word;

    guest_reader_init(&reader, vcpu->vm);
    if (!guest_read(&reader, vcpu->pc, &word, sizeof(word)) || word == HVC_A32(imm) ||
        (word << 16 | word >> 16) == HVC_T32(imm))
        inject_undefined(vcpu);
}

/* A hit of a probe that is armed, in this VM and at this address: vcpu->pc. */
void trace_hit(struct vcpu *vcpu, struct trace_probe *probe, struct core *core)
{
    probe->hits[core->id]++;
    emulate(vcpu, probe);
}

/* HVC #imm of a guest, imm not 0, where probe.S has not taken it for a probe. */
struct vcpu *trace_hvc(struct vcpu *vcpu, uint32_t imm)
{
    struct core *core = this_core();
    struct trace_probe *probe = &core->probes[imm];

    vcpu->pc -= 4;
    if (imm >= TRACE_MAX_PROBES ||
        (probe->state | (uint32_t)probe->vm << 8) != vcpu->probe_key || probe->va != vcpu->pc) {
        unclaimed(vcpu, imm);
    } else {
        if (probe->flags & TRACE_PROBE_RECORD)
            trace_record(vcpu, probe, core);
        trace_hit(vcpu, probe, core);
    }
    return core->resched ? schedule() : vcpu;
}
