/* SPDX-License-Identifier: MIT */
/* The account of instructions, against a plain count of every one of them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

#define STEPS 100000

int main(void)
{
    static struct ledger ledger;
    uint64_t spent[LEDGER_CORES][LEDGER_OWNERS] = {0};
    uint64_t executed[LEDGER_CORES] = {0};
    unsigned int owner[LEDGER_CORES];
    unsigned int running = 0;
    uint64_t now = 0;

    srand(1);
    ledger_init(&ledger, LEDGER_HYPERVISOR);
    for (unsigned int i = 0; i < LEDGER_CORES; i++) {
        owner[i] = LEDGER_HYPERVISOR;
    }
    for (int step = 0; step < STEPS; step++) {
        uint64_t count = (uint64_t)(rand() % 1000);

        now += count;
        executed[running] += count;
        spent[running][owner[running]] += count;
        switch (rand() % 3) {
        case 0:
            running = (unsigned int)rand() % LEDGER_CORES;
            ledger_turn(&ledger, now, running);
            break;
        case 1:
            owner[running] = (unsigned int)rand() % LEDGER_OWNERS;
            ledger_own(&ledger, now, running, owner[running]);
            break;
        default:
            for (unsigned int i = 0; i < LEDGER_CORES; i++) {
                uint64_t read[LEDGER_OWNERS];

                assert(ledger_executed(&ledger, now, i) == executed[i]);
                ledger_read(&ledger, now, i, read);
                assert(memcmp(read, spent[i], sizeof(read)) == 0);
            }
        }
    }
    return 0;
}
