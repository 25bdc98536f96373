/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's two threads take turns.
 *
 * The vCPU thread runs guest code, the main loop serves sockets and, when every core waits for an
 * interrupt, moves guest time to the next timer. Left alone, the main loop may look while a core is
 * half way into its wait, take a stale time and so move the clock by an amount that depends on the
 * host. Here the main loop gets QEMU's lock only between two slices or while the vCPU thread sleeps.
 */
#ifndef PLUGIN_TURNS_H
#define PLUGIN_TURNS_H

#include <stdbool.h>

#include "qemu_api.h"

/*
 * Take over QEMU's lock hooks. `on_boundary` is then called in the vCPU thread whenever it comes
 * back from guest code, before it goes into it, and with QEMU's lock held. If it returns a core,
 * `on_entry` is called once that core is about to go into guest code: QEMU has reckoned how long it
 * runs, and the lock is not held. Called in the vCPU thread.
 */
void turns_start(qemu_cpu *(*on_boundary)(void), void (*on_entry)(void));

/* Has the vCPU thread come by? If not, this QEMU is built differently from what is known. */
bool turns_boundary_seen(void);

bool turns_in_vcpu_thread(void);

#endif
