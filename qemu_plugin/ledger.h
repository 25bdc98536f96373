/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who executed how many instructions. Plain C that knows nothing of QEMU: it is told the number of
 * instructions that all cores together have executed, at each change of the core that runs, and of
 * what runs on it. One core at a time runs.
 */
#ifndef PLUGIN_LEDGER_H
#define PLUGIN_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_CORES 8u
#define LEDGER_VMS 8u
#define LEDGER_OTHER LEDGER_VMS
#define LEDGER_HYPERVISOR (LEDGER_VMS + 1u)
#define LEDGER_UNKNOWN (LEDGER_VMS + 2u) /* nobody looked */
#define LEDGER_OWNERS (LEDGER_VMS + 3u)

struct ledger_core {
    uint64_t executed; /* in turns that are over */
    uint64_t booked;   /* of all its instructions, those that an owner has */
    unsigned int owner;
    uint64_t spent[LEDGER_OWNERS];
};

struct ledger {
    struct ledger_core core[LEDGER_CORES];
    unsigned int running;
    uint64_t turn_began;
};

void ledger_init(struct ledger *ledger, unsigned int first_owner);

/* Whether one that comes from outside can be used. */
bool ledger_is_sound(const struct ledger *ledger);

/* Another core, or the same one again, runs from now on. */
void ledger_turn(struct ledger *ledger, uint64_t now, unsigned int core);

/* Instructions that a core has executed. */
uint64_t ledger_executed(const struct ledger *ledger, uint64_t now, unsigned int core);

/* What the core executed until now is its old owner's, what follows the new one's. */
void ledger_own(struct ledger *ledger, uint64_t now, unsigned int core, unsigned int owner);

/* Instructions of each owner on a core, LEDGER_OWNERS of them. */
void ledger_read(const struct ledger *ledger, uint64_t now, unsigned int core, uint64_t *spent);

#endif
