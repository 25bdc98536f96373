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

/* For fetch.h: the state's context is a reader, its registers are the vCPU's. */
struct hit_reader {
    struct guest_reader memory;
    struct vcpu *vcpu;
};
#define FETCH_REGISTER(state, n) hit_register(((const struct hit_reader *)(state)->context)->vcpu, n)
#define FETCH_KNOWN(state, va, bytes) guest_find((state)->context, va, bytes)
static inline uint32_t hit_register(struct vcpu *vcpu, uint32_t n)
{
    switch (n) {
    case 15: return vcpu->pc;
    case TRACE_BASE_CPSR: return vcpu->cpsr;
    case TRACE_BASE_TPIDRURO: return read_TPIDRURO(); /* still the guest's: Hyp mode has its own */
    default: return reg_read(vcpu, n);
    }
}
#include "fetch.h"

/* Out of the way of what is done for each hit. */
#define NOINLINE __attribute__((noinline))

/* Bytes and flags of struct trace_fetch, as one. */
#define FETCH_KIND 0xffff00u
#define FETCH_BYTE (1u << 8)
#define FETCH_HALF (2u << 8)
#define FETCH_WORD (4u << 8)
#define FETCH_FLAGS 0xff0000u
#define FETCH_STRING (TRACE_FETCH_STRING << 16)

#define TICK_SHIFT 4 /* 62.5 MHz: 16 ns a tick of the counter */
#define DOORBELL 0xe320f0ff /* DBG #15: a hint without effect of its own */

#define HVC_A32(imm) (0xe1400070u | ((imm) & 0xfff0) << 4 | ((imm) & 15))
#define HVC_T32(imm) (0xf7e08000u | ((imm) >> 12) << 16 | ((imm) & 0xfff))

_Static_assert(HV_TRACE_PA == 0x41000000 && offsetof(struct trace_control, events) == 12 &&
                   (1 << TRACE_VM_ENTRY | 1 << TRACE_VM_EXIT) == 0xc,
               "entry.S");
_Static_assert(offsetof(struct vcpu, vm) == 64 && offsetof(struct vm, probe_key) == 8 &&
                   offsetof(struct vm, ram_ipa) == 12 && offsetof(struct vm, ram_bytes) == 16 &&
                   offsetof(struct vm, ram_pa) == 20 && offsetof(struct core, probes) == 8 &&
                   offsetof(struct core, resched) == 37 && offsetof(struct trace_probe, operand) == 80 &&
                   offsetof(struct trace_probe, state) == 8 && EMULATE_PUSH == 24 &&
                   EMULATE_CLASSES == 27 && EMULATE_MAX_ROW == 9 && EMULATE_LINK == 8 &&
                   TRACE_PROBE_T32 == 1 && TRACE_MAX_PROBES == 8192,
               "probe.S");

static const struct trace_fetch *const fetches = (void *)(HV_TRACE_PA + HV_TRACE_FETCHES);

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
    core->ring = (void *)(HV_TRACE_PA + HV_TRACE_RINGS + core->id * HV_TRACE_RING_STRIDE);
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

/* Room for a record and for one that tells of those lost before it; NULL: lost as well. */
static NOINLINE struct trace_record *reserve_full(struct core *core)
{
    struct trace_ring *ring = core->ring;
    uint32_t wanted = core->lost ? 2 : 1;
    struct trace_record *record;

    if (room(ring) < wanted)
        __asm__ volatile(".inst %c0" ::"i"(DOORBELL) : "memory");
    if (room(ring) < wanted) {
        core->lost++;
        ring->lost++;
        return NULL;
    }
    if (core->lost) {
        record = slot(ring);
        memset(record, 0, sizeof(*record));
        record->time_ns = read_CNTPCT() << TICK_SHIFT;
        record->seq = ring->head;
        record->kind = TRACE_LOSS;
        record->cpu = (uint8_t)core->id;
        record->vm = record->vcpu = TRACE_NO_VM;
        record->words = 2;
        record->valid = 3;
        record->word[0] = core->lost;
        core->lost = 0;
        commit(ring);
    }
    return slot(ring);
}

/* The next record with its time and origin; commit() shows it to the reader. */
static inline struct trace_record *reserve(struct core *core, uint32_t kind, const struct vcpu *vcpu,
                                    uint32_t id)
{
    struct trace_ring *ring = core->ring;
    struct trace_record *record = room(ring) && !core->lost ? slot(ring) : reserve_full(core);

    if (!record)
        return NULL;
    record->time_ns = read_CNTPCT() << TICK_SHIFT;
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
    struct trace_record *record = reserve(core, kind, vcpu, id);

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
    struct trace_record *record = reserve(core, TRACE_VCPU_SWITCH, next, 0);

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

/* A string, aligned as compilers do it, of which `left` bytes are there for sure. */
static bool hit_string(uint32_t head, uint32_t pa, uint32_t left, uint32_t *to, uint32_t room,
                       uint32_t *words)
{
    uint32_t bytes = head >> 8 & 0xff;

    *words = bytes / 4;
    if ((head & FETCH_FLAGS) != FETCH_STRING || (pa | bytes) & 3 || bytes > left || *words > room)
        return false;
    for (uint32_t i = 0; i < *words; i++)
        to[i] = ((const uint32_t *)pa)[i];
    fetch_cut(to, *words);
    return true;
}

/*
 * fetch_all() for a vCPU. Words and bytes in a section that was looked up, which are nearly all that
 * is asked of a kernel, are loaded here; fetch_one() does the others.
 */
static void hit_fetches(const struct fetch_state *state, struct vcpu *vcpu,
                        const struct trace_fetch *fetch, uint32_t count,
                        struct trace_record *record)
{
    struct hit_reader *reader = state->context;
    const struct guest_stretch *section = &reader->memory.section;
    uint32_t used = 0, valid = 0, va = 0, limit = 0, delta = 0;

    for (; count && used < TRACE_WORDS; count--, fetch++) {
        const int32_t *offset = fetch->offset;
        uint32_t head, at = fetch->value, left, words;

        __builtin_memcpy(&head, fetch, sizeof(head)); /* base, bytes, flags, derefs */
        if ((uint8_t)head != TRACE_BASE_NONE)
            at += hit_register(vcpu, (uint8_t)head);
        for (left = head >> 24; left; left--) {
            uint32_t to = at + (uint32_t)*offset++;

            if (to - va >= limit) {
                if (guest_lookup(&reader->memory, to) != section)
                    break;
                va = section->va;
                limit = section->bytes - 3;
                delta = section->pa - va;
                if (to - va >= limit)
                    break;
            }
            if (left > 1 || (head & FETCH_KIND) == FETCH_WORD) {
                if (to & 3)
                    break;
                at = *(const uint32_t *)(to + delta);
            } else if ((head & FETCH_KIND) == FETCH_BYTE) {
                at = *(const uint8_t *)(to + delta);
            } else if ((head & FETCH_KIND) == FETCH_HALF && !(to & 1)) {
                at = *(const uint16_t *)(to + delta);
            } else if (hit_string(head, to + delta, limit - (to - va), &record->word[used],
                                  TRACE_WORDS - used, &words)) {
                valid |= ((1u << words) - 1) << used;
                used += words;
                goto next;
            } else {
                break;
            }
        }
        if (!left) {
            record->word[used] = at;
            valid |= 1u << used++;
            continue;
        }
        words = fetch_one(state, fetch, record, used, &valid);
        if (!words)
            break;
        used += words;
    next:;
    }
    record->valid = valid;
    record->words = (uint8_t)used;
}

void trace_record(struct vcpu *vcpu, struct trace_probe *probe, struct core *core)
{
    struct hit_reader reader;
    struct fetch_state state;
    uint64_t now_ns = read_CNTPCT() << TICK_SHIFT;
    struct trace_record *record;

    if ((probe->from_ns | probe->until_ns) &&
        (now_ns < probe->from_ns || (probe->until_ns && now_ns >= probe->until_ns)))
        return;
    if (probe->limit && !within_limit(probe))
        return;
    record = reserve(core, TRACE_PROBE, vcpu, (uint32_t)(probe - core->probes));
    if (!record)
        return;
    record->pc = vcpu->pc;
    if ((vcpu->cpsr & CPSR_MODE) == MODE_SVC) {
        record->lr = read_lr_svc();
        record->sp = read_sp_svc();
    } else {
        record->lr = reg_read(vcpu, 14);
        record->sp = reg_read(vcpu, 13);
    }
    record->cpsr = vcpu->cpsr;
    reader.vcpu = vcpu;
    guest_reader_init(&reader.memory, vcpu->vm);
    state.read = guest_read;
    state.context = &reader;
    hit_fetches(&state, vcpu, &fetches[probe->first_fetch], probe->fetch_count, record);
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

/* A hit of a probe that is armed, in this VM and at this address: pc. */
void trace_hit(struct vcpu *vcpu, struct trace_probe *probe, uint32_t pc, struct core *core)
{
    vcpu->pc = pc;
    probe->hits[core->id]++;
    emulate(vcpu, probe->emulation, (const struct emulation_operand *)probe->operand);
}

/* HVC #imm of a guest, imm not 0, where probe.S has not taken it for a probe. */
struct vcpu *trace_hvc(struct vcpu *vcpu, uint32_t imm)
{
    struct core *core = this_core();
    struct trace_probe *probe = &core->probes[imm];

    vcpu->pc -= 4;
    if (imm >= TRACE_MAX_PROBES ||
        (probe->state | (uint32_t)probe->vm << 8) != vcpu->vm->probe_key || probe->va != vcpu->pc) {
        unclaimed(vcpu, imm);
    } else {
        if (probe->flags & TRACE_PROBE_RECORD)
            trace_record(vcpu, probe, core);
        trace_hit(vcpu, probe, vcpu->pc, core);
    }
    return core->resched ? schedule() : vcpu;
}
