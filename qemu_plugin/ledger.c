/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ledger.h. */
#include "ledger.h"

#include <string.h>

void ledger_init(struct ledger *ledger, unsigned int first_owner)
{
    memset(ledger, 0, sizeof(*ledger));
    for (unsigned int i = 0; i < LEDGER_CORES; i++) {
        ledger->core[i].owner = first_owner;
    }
}

bool ledger_is_sound(const struct ledger *ledger)
{
    for (unsigned int i = 0; i < LEDGER_CORES; i++) {
        if (ledger->core[i].owner >= LEDGER_OWNERS) {
            return false;
        }
    }
    return ledger->running < LEDGER_CORES;
}

void ledger_turn(struct ledger *ledger, uint64_t now, unsigned int core)
{
    ledger->core[ledger->running].executed += now - ledger->turn_began;
    ledger->running = core;
    ledger->turn_began = now;
}

uint64_t ledger_executed(const struct ledger *ledger, uint64_t now, unsigned int core)
{
    return ledger->core[core].executed +
           (core == ledger->running ? now - ledger->turn_began : 0);
}

void ledger_own(struct ledger *ledger, uint64_t now, unsigned int core, unsigned int owner)
{
    struct ledger_core *account = &ledger->core[core];
    uint64_t executed = ledger_executed(ledger, now, core);

    account->spent[account->owner] += executed - account->booked;
    account->booked = executed;
    account->owner = owner;
}

void ledger_read(const struct ledger *ledger, uint64_t now, unsigned int core, uint64_t *spent)
{
    const struct ledger_core *account = &ledger->core[core];

    memcpy(spent, account->spent, sizeof(account->spent));
    spent[account->owner] += ledger_executed(ledger, now, core) - account->booked;
}
