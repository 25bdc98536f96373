/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers on the guest's virtual clock: the quantum and the stop at a given time.
 */
#ifndef PLUGIN_CLOCK_H
#define PLUGIN_CLOCK_H

#include <stdint.h>

/* Name of the first QEMU function that is needed and missing, or NULL if none is. */
const char *clock_missing(void);

/*
 * Arm the timers; 0 switches one off. Called once, in QEMU's vCPU thread, before any guest
 * instruction has run.
 */
void clock_start(int64_t quantum_ns, int64_t stop_ns);

#endif
