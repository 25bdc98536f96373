/* SPDX-License-Identifier: MIT */
/*
 * What main.c and start.S share: the machine state before and after the instruction under test. The
 * host writes struct instance (tests/system/test_emulation.py).
 */
#ifndef GUEST_H
#define GUEST_H

/* Offsets in struct state, in words. */
#define STATE_FIQ 13    /* r8_fiq to r12_fiq */
#define STATE_BANKS 18  /* sp, lr of usr; sp, lr, spsr of svc, irq, fiq */
#define STATE_TPIDR 29  /* URW, URO, PRW */
#define STATE_END 32    /* where it went on: exception, lr, spsr, DFSR, DFAR, IFSR, IFAR */
#define STATE_WORDS 39

#define END_UNDEFINED 1
#define END_PREFETCH 2
#define END_DATA 3

#ifndef __ASSEMBLER__
#include <stdint.h>

struct state {
    uint32_t word[STATE_WORDS];
};

/* One instruction and its probe, whose number is the position in the list + 1. */
struct instance {
    uint32_t word;  /* in memory order */
    uint16_t site;  /* offset in the page of sites; bit 0: Thumb */
    uint16_t flags;
    uint32_t bias;  /* taken from a pointer, so that base + offset is in a window */
    uint32_t kinds[2]; /* enum kind of r0 to r14, four bits each */
};

enum instance_flags {
    INSTANCE_MEMORY = 1,  /* windows are filled before and compared after */
    INSTANCE_ALIGNED = 2, /* pointers are multiples of 4 */
    INSTANCE_CODE = 4,    /* windows hold code addresses */
    INSTANCE_SPSR = 8,    /* not in System mode, which has none */
    INSTANCE_STRICT = 16, /* with SCTLR.A */
};
enum kind { KIND_ANY, KIND_POINTER, KIND_INDEX, KIND_CODE, KIND_CODE_ARM, KIND_PSR };

extern const struct instance instances[];
extern const uint32_t instance_count, instance_states;

/* Load `in`, go to pc with cpsr, and come back with what is then in `out`. */
void run(const struct state *in, uint32_t pc, uint32_t cpsr, struct state *out);
void guest_main(void);
#endif

#endif
