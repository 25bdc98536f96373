/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plugin's timers on the guest's virtual clock: the bound of a slice, and the stop at a given
 * guest time.
 */
#ifndef PLUGIN_CLOCK_H
#define PLUGIN_CLOCK_H

#include <stdint.h>

#include "args.h"

/* Name of the first QEMU function that is needed and missing, or NULL if none is. */
const char *clock_missing(void);

/*
 * Arm the timers that the arguments ask for. Called once, in QEMU's vCPU thread, before any guest
 * instruction has run.
 *
 * Returns 0, or -ENOTSUP if a quantum is asked for and guest time is host time.
 */
int clock_start(const struct plugin_args *args);

/*
 * Stop the machine at the end of the block that this core is executing. Called in its vCPU thread,
 * from a callback at one of the block's instructions. In the deterministic clock neither an
 * instruction nor an interrupt comes between, and guest time stands until the machine goes on.
 */
void clock_stop_here(void);

#endif
