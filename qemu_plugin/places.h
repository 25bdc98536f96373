/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The places that are watched, by id and by physical address. Plain C that knows nothing of QEMU.
 *
 * Places are changed while no core runs and looked up while code is translated. What a core executes
 * holds pointers to them, so a place that was removed stays where it is and is only marked.
 */
#ifndef PLUGIN_PLACES_H
#define PLUGIN_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../images/abi/trace.h"
#include "protocol.h"

struct place {
    struct channel_probe spec;
    struct trace_op *program; /* spec.ops of them */
    uint32_t registers;       /* bit i: the program asks for r<i> */
    bool live;
    _Atomic uint64_t taken; /* hits within the window; those up to the limit are recorded */
    _Atomic uint64_t hits[TRACE_MAX_CPUS];
    struct place *next; /* in its bucket */
    struct site *sites; /* where it was translated; owned by instrument.c */
};

/* Returns 0; -EINVAL: out of range; -EEXIST: the id is taken; -ENOMEM. Nothing has then changed. */
int places_add(const struct channel_probe *spec, const struct trace_op *program);

/* Returns 0, or -ENOENT. */
int places_remove(uint32_t id);

/* NULL: there is none that is live. */
struct place *places_find(uint32_t id);

/* Is there any that is live? */
bool places_any(void);

/* Is anything of this mode in the page of this physical address? */
bool places_in_page(uint64_t pa, enum channel_mode mode);

/* The first live place of this mode at the address, and those after it; NULL at the end. */
struct place *places_at(uint64_t pa, enum channel_mode mode);
struct place *places_next(const struct place *place);

/*
 * A hit on a core at a guest time. Counts it; true if it is to be recorded.
 */
bool places_hit(struct place *place, unsigned int core, uint64_t time_ns);

void places_counts(const struct place *place, struct channel_counts *counts);

#endif
