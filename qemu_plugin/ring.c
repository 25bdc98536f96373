/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ring.h. */
#include "ring.h"

#include <stddef.h>

uint64_t ring_bytes(uint32_t capacity)
{
    return TRACE_RING_HEADER_BYTES + (uint64_t)capacity * sizeof(struct trace_record);
}

void ring_init(struct ring *ring, void *memory, uint32_t capacity, uint32_t cpu)
{
    struct trace_ring *header = memory;

    header->version = TRACE_VERSION;
    header->record_bytes = sizeof(struct trace_record);
    header->capacity = capacity;
    header->cpu = cpu;
    header->observer = TRACE_BY_PLUGIN;
    ring->header = header;
    ring->records = (struct trace_record *)((char *)memory + TRACE_RING_HEADER_BYTES);
    ring->mask = capacity - 1;
    ring->lost_told = 0;
    /* Last: a reader that sees it sees all of the above. */
    __atomic_store_n(&header->magic, TRACE_MAGIC, __ATOMIC_RELEASE);
}

static uint64_t room(const struct ring *ring)
{
    uint64_t tail = __atomic_load_n(&ring->header->tail, __ATOMIC_ACQUIRE);

    return ring->header->capacity - (ring->header->head - tail);
}

static void write_one(struct ring *ring, struct trace_record *record)
{
    uint64_t head = ring->header->head;

    record->seq = head;
    ring->records[head & ring->mask] = *record;
    __atomic_store_n(&ring->header->head, head + 1, __ATOMIC_RELEASE);
}

static void tell_loss(struct ring *ring, const struct trace_record *next)
{
    uint64_t lost = ring->header->lost - ring->lost_told;
    struct trace_record loss = {
        .time_ns = next->time_ns,
        .kind = TRACE_LOSS,
        .cpu = next->cpu,
        .vm = TRACE_NO_VM,
        .valid = 3,
        .words = 2,
        .word = {(uint32_t)lost, (uint32_t)(lost >> 32)},
    };

    write_one(ring, &loss);
    ring->lost_told = ring->header->lost;
}

bool ring_push(struct ring *ring, struct trace_record *record)
{
    bool loss = ring->header->lost != ring->lost_told;

    if (room(ring) < (loss ? 2u : 1u)) {
        return false;
    }
    if (loss) {
        tell_loss(ring, record);
    }
    write_one(ring, record);
    return true;
}

void ring_lose(struct ring *ring)
{
    __atomic_store_n(&ring->header->lost, ring->header->lost + 1, __ATOMIC_RELAXED);
}

bool ring_lacks_room(const struct trace_ring *header, uint32_t records)
{
    return header->magic == TRACE_MAGIC &&
           __atomic_load_n(&header->head, __ATOMIC_ACQUIRE) -
                   __atomic_load_n(&header->tail, __ATOMIC_ACQUIRE) + records >
               header->capacity;
}
