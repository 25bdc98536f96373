/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides, when a block of code is translated, which of its instructions call back: probes, stop
 * points, and the hypervisor's ways in and out. Owns the stop points; what a call does at a probe is
 * in hits.c, what it does in Hyp mode in hyp.c.
 */
#ifndef PLUGIN_INSTRUMENT_H
#define PLUGIN_INSTRUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "protocol.h"
#include "qemu_api.h"

void instrument_block(const plugin_tb *tb);

/* Stop once at the next execution of this address. Returns 0, or -ENOSPC. */
int instrument_stop_at(uint64_t pa);
void instrument_cancel_stops(void);
bool instrument_stop_waits(void);

/* Which core came by which stop point since the machine went on; for a saved state, and out of one. */
struct instrument_stopped {
    struct channel_stopped core[BOARD_MAX_CORES];
};
void instrument_stopped(struct instrument_stopped *stopped);
void instrument_load_stopped(const struct instrument_stopped *stopped);

/* The machine goes on. */
void instrument_go_on(void);

/* What was translated from this address is forgotten; it must be RAM. */
void instrument_again(uint64_t pa);

#endif
