/* SPDX-License-Identifier: MIT */
/*
 * What main.c and start.S share: the machine state before and after the instruction under test. The
 * host writes struct instance (tests/system/test_emulation.py).
 */
#ifndef GUEST_H
#define GUEST_H

/* Offsets in struct state, in words. */
#define STATE_FIQ 13    /* r8_fiq to r12_fiq */
#define STATE_BANKS 18  /* sp, lr of usr; sp, lr, spsr of svc, irq, fiq, abt, und */
#define STATE_TPIDR 35  /* URW, URO, PRW */
#define STATE_END 38    /* where it went on: exception, lr, spsr, DFSR, DFAR, IFSR, IFAR, sp */
#define STATE_WORDS 46

#define MODE_FIQ 0x11
#define MODE_IRQ 0x12
#define MODE_SVC 0x13
#define MODE_ABT 0x17
#define MODE_UND 0x1b
#define MODE_SYS 0x1f

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

/* How the guest translates: the host's choice. */
enum tables { TABLES_SHORT, TABLES_LONG, TABLES_OFF };
extern const enum tables instance_tables;

#define PAGE 0x1000u
#define MAX_WINDOWS 10u
#define FILLED_WINDOWS 6u /* the first ones of a layout: they show `windows` */

struct layout {
    uint32_t sites_va, windows_va;
    uint32_t windows;             /* how many there are */
    uint32_t window[MAX_WINDOWS]; /* from windows_va on */
    void (*begin)(const struct layout *layout);
};

extern uint8_t windows[8][PAGE];
extern uint32_t sites[PAGE / 4];

/* Translate so from now on. */
const struct layout *memory_begin(enum tables tables);

/* Load `in`, go to pc with cpsr, and come back with what is then in `out`. */
void run(const struct state *in, uint32_t pc, uint32_t cpsr, struct state *out);
void guest_main(void);
#endif

#endif
