/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What runs on each core: the hypervisor or which guest, and for how many instructions. Follows the
 * hypervisor by its ways in (the Hyp vectors) and out (ERET), whoever wrote it.
 */
#ifndef PLUGIN_HYP_H
#define PLUGIN_HYP_H

#include <stdbool.h>
#include <stdint.h>

#include "decode.h"
#include "ledger.h"
#include "protocol.h"
#include "qemu_api.h"

struct hyp_guest {
    uint8_t vm;   /* position in the VM description, or TRACE_NO_VM */
    uint8_t vcpu; /* its number in the VM */
};

/* Called once, when the board is there. */
void hyp_start(void);

/* Is this the Hyp mode? */
bool hyp_mode(uint32_t cpsr);

/*
 * Have the hypervisor's code call back where it matters here: a block of `count` instructions if it
 * is a vector, and each instruction that leads out.
 */
void hyp_instrument_entry(plugin_insn *first, unsigned int core, size_t count);
void hyp_instrument(plugin_insn *insn, struct code code);

/* The guest that a core is in. */
struct hyp_guest hyp_guest(unsigned int core);

/* Instructions that a core has executed, as of the instruction `distance` before the block's end. */
uint64_t hyp_executed(unsigned int core, unsigned int distance);

/* From now on the ways are seen, or not any more. The machine stands still. */
void hyp_watch(bool on);

/* Whether they have to be: to count instructions for a client, to give the hypervisor room to record. */
void hyp_count(void);
bool hyp_counting(void);
bool hyp_records(void);

/* The counts so far, and those of a machine that was saved. False: they make no sense. */
struct hyp_state {
    struct ledger ledger;
    uint32_t counting;
};
void hyp_save(struct hyp_state *saved);
bool hyp_load(const struct hyp_state *saved);

/* One for each core. */
void hyp_counters(struct channel_counters *counters);

#endif
