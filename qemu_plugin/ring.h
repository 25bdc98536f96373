/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer's side of a ring of records (images/abi/trace.h, docs/record-format.md). Plain C that
 * knows nothing of QEMU. One thread at a time writes; the reader is another process.
 */
#ifndef PLUGIN_RING_H
#define PLUGIN_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "../images/abi/trace.h"

struct ring {
    struct trace_ring *header;
    struct trace_record *records;
    uint64_t mask;
    uint64_t lost_told; /* of header->lost, those that a TRACE_LOSS record tells of */
};

/* Bytes of a ring with its header. */
uint64_t ring_bytes(uint32_t capacity);

/* Make an empty ring in zeroed memory; capacity is a power of two. */
void ring_init(struct ring *ring, void *memory, uint32_t capacity, uint32_t cpu);

/*
 * Write a record; its `seq` is filled in. Returns false, with nothing changed, if the ring is full.
 */
bool ring_push(struct ring *ring, struct trace_record *record);

/* Count a record that was not written. The next one that is follows a TRACE_LOSS record. */
void ring_lose(struct ring *ring);

/* Is there room for fewer records than that, in a ring that somebody else writes? */
bool ring_lacks_room(const struct trace_ring *header, uint32_t records);

#endif
