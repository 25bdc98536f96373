/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens when a core comes to a probe: read, stamp, push. All that can be decided earlier was
 * decided when the code was translated (instrument.c). Owns the rings.
 */
#ifndef PLUGIN_HITS_H
#define PLUGIN_HITS_H

#include <stdbool.h>
#include <stdint.h>

struct place;

/* A place as it lies in one translated block; the callbacks' argument. */
struct site {
    struct place *place;
    uint32_t va;
    uint16_t distance; /* instructions of the block behind it */
    bool thumb;
    bool hyp; /* the hypervisor's own code */
    struct site *next;
};

/* Make the file with the rings. Returns 0 or a negative errno; then there is no file. */
int hits_start(const char *path, unsigned int cores);

/* Is there something to record into? */
bool hits_recorded(void);

/* Callbacks of QEMU's: an HVC that is a probe's; any instruction that a shadow probe watches. */
void hits_hvc(unsigned int vcpu_index, void *site);
void hits_shadow(unsigned int vcpu_index, void *site);

/* The core goes on in a guest: its last trap's cost is known. */
void hits_returned(unsigned int core);

/* Write out what waits for that: the end of QEMU. */
void hits_flush(void);

#endif
