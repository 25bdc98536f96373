/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which core runs, and until when: decided from guest time and the cores' states alone.
 */
#ifndef PLUGIN_SLICES_H
#define PLUGIN_SLICES_H

#include <stdbool.h>
#include <stdint.h>

#include "qemu_api.h"

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

/*
 * Between two pieces of guest code, in the vCPU thread with QEMU's lock held. Returns the core whose
 * next entry into guest code `slices_entry` has to be told of; NULL if QEMU alone gets it right.
 */
qemu_cpu *slices_boundary(void);

/* That core is about to enter guest code: it may run until the next timer. In the vCPU thread. */
void slices_entry(void);

/* The running core has nothing to do but to wait for another one (WFE, YIELD). */
void slices_yield(void);

/* Where the plan stands, for a machine that is saved now and goes on elsewhere. */
struct slices_plan {
    int64_t slice_end_ns;
    int32_t running;
    int32_t last;
    uint32_t yielded;
    uint32_t alone;
};

void slices_save(struct slices_plan *plan);

/* False: that is no plan for this board. The machine is stopped. */
bool slices_load(const struct slices_plan *plan);

/* No core runs any more until the machine goes on after a stop. */
void slices_freeze(void);
void slices_thaw(void);

#endif
