/* SPDX-License-Identifier: MIT */
/*
 * Runs each instruction of the host's list from many random states, once as it is and once with its
 * probe's HVC at the same address, and compares all that is left: registers of every mode, flags,
 * memory, faults. Says on the UART what differs, and how many were compared.
 *
 * Bare metal; what is mapped how is in memory.c.
 */
#include "guest.h"
#include "hypercall.h"

#define UART 0x09000000u
#define UDF_WORD 0xe7fddef0u /* UDF in A32, and in T32 at both halfwords */

#define WINDOW_BEFORE 64u
#define WINDOW_WORDS 48u

#define REPORTED_OF_ONE 3u

#define NZCVQ_GE 0xf80f0000u
#define CPSR_T 0x20u
#define CPSR_E 0x200u
#define CPSR_MASKED 0x1c0u

static const struct layout *layout;

static uint32_t seed = 0x2545f491u;

static uint32_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static void put(const char *s)
{
    for (; *s; s++)
        *(volatile uint32_t *)UART = (uint8_t)*s;
}

static void put_hex(const char *name, uint32_t v)
{
    char text[] = "0x00000000";

    for (uint32_t i = 0; i < 8; i++, v <<= 4)
        text[2 + i] = "0123456789abcdef"[v >> 28];
    put(name);
    put(text);
}

static uint32_t code_address(void)
{
    uint32_t r = next();

    return layout->sites_va + 0x800 + (r & 0xfc) + (r >> 31);
}

static uint32_t any(void)
{
    static const uint32_t special[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x8000, 0xffff8000,
                                       31, 32, 33, 0x7fff8000, 0x80008000, 0xff, 0x00010000};
    uint32_t r = next();

    if (r & 3)
        return next();
    return special[(r >> 8) % (sizeof(special) / sizeof(special[0]))];
}

static uint32_t psr(void)
{
    static const uint8_t modes[] = {0x10, 0x11, 0x12, 0x13, 0x17, 0x1b, 0x1f};
    uint32_t r = next();

    return (r & ~0x1fu) | modes[(r >> 5 & 0xff) % sizeof(modes)];
}

/* Mostly an ordinary one. Code addresses come only from those that are filled. */
static uint32_t window_of(const struct instance *instance)
{
    uint32_t r = next() >> 8;

    if (r & 1)
        return r >> 1 & 1;
    return (r >> 2) % (instance->flags & INSTANCE_CODE ? FILLED_WINDOWS : layout->windows);
}

static uint32_t make(uint32_t kind, const struct instance *instance, uint32_t window)
{
    uint32_t r;

    switch (kind) {
    case KIND_POINTER:
        r = next();
        return layout->windows_va + layout->window[window] - instance->bias + (r >> 8 & 31) - 16 -
               (r & 3 || instance->flags & INSTANCE_ALIGNED ? r >> 8 & 3 : 0);
    case KIND_INDEX: return next() >> 8 & 15;
    case KIND_CODE: return code_address();
    case KIND_CODE_ARM: return code_address() & ~1u;
    case KIND_PSR: return psr();
    default: return any();
    }
}

static uint32_t *window_memory(uint32_t window)
{
    return (uint32_t *)((uint32_t)windows + layout->window[window] - WINDOW_BEFORE);
}

/* The instruction at its site, UDF right behind it, in Thumb state too where that is no word. */
static void patch(const struct instance *instance, uint32_t word)
{
    volatile uint16_t *at = (volatile uint16_t *)((uint32_t)sites + (instance->site & ~1u));
    volatile uint32_t *words = &sites[(instance->site & ~3u) / 4];

    words[0] = words[1] = UDF_WORD;
    at[0] = (uint16_t)word;
    at[1] = (uint16_t)(word >> 16);
    if (instance->site & 2)
        at[2] = (uint16_t)UDF_WORD;
    __asm__ volatile("dsb" ::: "memory");
}

static uint32_t hvc(uint32_t imm, uint32_t thumb)
{
    if (!thumb)
        return 0xe1400070u | (imm & 0xfff0) << 4 | (imm & 15);
    return (0xf7e0u | imm >> 12) | (0x8000u | (imm & 0xfff)) << 16;
}

static uint32_t differences;

static void report(uint32_t index, uint32_t round, uint32_t at, uint32_t native, uint32_t probed)
{
    static uint32_t reported, of;

    differences++;
    reported = of == index ? reported + 1 : 0;
    of = index;
    if (reported >= REPORTED_OF_ONE)
        return;
    put_hex("emulation: differs: instance ", index);
    put_hex(" word ", instances[index].word);
    put_hex(" state ", round);
    put_hex(" at ", at);
    put_hex(" native ", native);
    put_hex(" probed ", probed);
    put("\n");
}

static void fill(uint32_t *memory, uint32_t from, uint32_t flags)
{
    seed = from;
    for (uint32_t i = 0; i < WINDOW_WORDS; i++)
        memory[i] = flags & INSTANCE_CODE ? code_address() : next();
}

struct setting {
    struct state in;
    uint32_t cpsr, window, fill_seed;
};

static void prepare(const struct instance *instance, struct setting *setting)
{
    static const struct {
        uint8_t mode, bank;
    } modes[] = {{MODE_SVC, 2}, {MODE_SYS, 0}, {MODE_SVC, 2}, {MODE_IRQ, 5},
                 {MODE_SVC, 2}, {MODE_FIQ, 8}, {MODE_ABT, 11}, {MODE_UND, 14}};
    uint32_t *w = setting->in.word;
    uint32_t pick = next() >> 8 & 7, mode = modes[pick].mode, bank = STATE_BANKS + modes[pick].bank;
    uint32_t sp, lr, r = next();

    if (mode == MODE_SYS && instance->flags & INSTANCE_SPSR) {
        mode = MODE_SVC;
        bank = STATE_BANKS + 2;
    }
    setting->window = window_of(instance);
    for (uint32_t i = 0; i < 13; i++)
        w[i] = make(instance->kinds[i / 8] >> i % 8 * 4 & 15, instance, setting->window);
    for (uint32_t i = STATE_FIQ; i < STATE_END; i++)
        w[i] = r = r * 1664525u + 1013904223u;
    sp = make(instance->kinds[1] >> 20 & 15, instance, setting->window);
    lr = make(instance->kinds[1] >> 24 & 15, instance, setting->window);
    for (uint32_t i = 0; mode == MODE_FIQ && i < 5; i++)
        w[STATE_FIQ + i] = w[8 + i];
    w[bank] = sp;
    w[bank + 1] = lr;
    setting->cpsr = (next() & NZCVQ_GE) | CPSR_MASKED | mode | (instance->site & 1 ? CPSR_T : 0);
    /* Code addresses lie in memory as words of a little-endian guest. */
    if (!(instance->flags & INSTANCE_CODE) && !(next() >> 8 & 7))
        setting->cpsr |= CPSR_E;
    setting->fill_seed = next() | 1;
}

/* One state, both ways. Its random numbers go on from `seed` afterwards. */
static void compare(uint32_t index, const struct setting *settings, uint32_t states,
                    struct state *natives, uint32_t (*memories)[WINDOW_WORDS], uint32_t probed)
{
    const struct instance *instance = &instances[index];

    patch(instance, probed ? hvc(index + 1, instance->site & 1) : instance->word);
    for (uint32_t s = 0; s < states; s++) {
        const struct setting *setting = &settings[s];
        uint32_t has_memory = instance->flags & INSTANCE_MEMORY && setting->window < FILLED_WINDOWS;
        uint32_t *memory = has_memory ? window_memory(setting->window) : 0;
        struct state out;

        if (has_memory)
            fill(memory, setting->fill_seed, instance->flags);
        run(&setting->in, layout->sites_va + (instance->site & ~1u), setting->cpsr,
            probed ? &out : &natives[s]);
        if (!probed) {
            for (uint32_t i = 0; has_memory && i < WINDOW_WORDS; i++)
                memories[s][i] = memory[i];
            continue;
        }
        for (uint32_t i = 0; i < STATE_WORDS; i++)
            if (out.word[i] != natives[s].word[i])
                report(index, s, i, natives[s].word[i], out.word[i]);
        for (uint32_t i = 0; has_memory && i < WINDOW_WORDS; i++)
            if (memory[i] != memories[s][i])
                report(index, s, 0x1000 + 4 * i, memories[s][i], memory[i]);
    }
}

static void set_strict(uint32_t strict)
{
    uint32_t sctlr;

    __asm__ volatile("mrc p15, 0, %0, c1, c0, 0" : "=r"(sctlr));
    sctlr = (sctlr & ~2u) | (strict ? 2u : 0);
    __asm__ volatile("mcr p15, 0, %0, c1, c0, 0\n isb" ::"r"(sctlr) : "memory");
}

#define STATES_AT_ONCE 64u

void guest_main(void)
{
    static struct setting settings[STATES_AT_ONCE];
    static struct state natives[STATES_AT_ONCE];
    static uint32_t memories[STATES_AT_ONCE][WINDOW_WORDS];
    uint32_t faults = 0;

    for (uint32_t i = 0; i < PAGE / 4; i++)
        sites[i] = UDF_WORD;
    layout = memory_begin(instance_tables);
    for (uint32_t index = 0; index < instance_count; index++) {
        set_strict(instances[index].flags & INSTANCE_STRICT);
        for (uint32_t done = 0; done < instance_states; done += STATES_AT_ONCE) {
            uint32_t left = instance_states - done;
            uint32_t states = left < STATES_AT_ONCE ? left : STATES_AT_ONCE;

            for (uint32_t s = 0; s < states; s++)
                prepare(&instances[index], &settings[s]);
            uint32_t after = next();
            compare(index, settings, states, natives, memories, 0);
            compare(index, settings, states, natives, memories, 1);
            for (uint32_t s = 0; s < states; s++)
                faults += natives[s].word[STATE_END] == END_DATA;
            seed = after;
        }
        sites[0x400 / 4] = sites[0x404 / 4] = UDF_WORD;
    }
    put_hex("emulation: instances ", instance_count);
    put_hex(" states ", instance_states);
    put_hex(" aborts ", faults);
    put_hex(" differences ", differences);
    put("\nemulation: done\n");
    __asm__ volatile("mov r0, %0\n .arch_extension virt\n hvc #0" ::"r"(PSCI_SYSTEM_OFF) : "r0", "memory");
}
