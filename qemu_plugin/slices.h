/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which core runs, and until when: decided from guest time and the cores' states alone.
 */
#ifndef PLUGIN_SLICES_H
#define PLUGIN_SLICES_H

#include <stdint.h>

/*
 * Decide on every slice from now on. `arm` is told the guest time at which QEMU has to come back at
 * the latest. Called in the vCPU thread, when all cores exist or before.
 */
void slices_start(int64_t quantum_ns, void (*arm)(int64_t expire_ns));

/*
 * Call back whenever another core's turn begins: all instructions from then on, until the next call,
 * are that core's.
 */
void slices_tell(void (*on_turn)(int core));

/* Between two pieces of guest code, in the vCPU thread with QEMU's lock held. */
void slices_boundary(void);

/* The running core has nothing to do but to wait for another one (WFE, YIELD). */
void slices_yield(void);

/* No core runs any more until the machine goes on after a stop. */
void slices_freeze(void);
void slices_thaw(void);

#endif
