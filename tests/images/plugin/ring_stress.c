/* SPDX-License-Identifier: MIT */
/* A writer and a reader of one ring on a thread each, for the thread sanitizer; then loss. */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "ring.h"

#define CAPACITY 64u
#define RECORDS 200000u

static struct ring ring;

static void *write_all(void *opaque)
{
    for (uint32_t n = 0; n < RECORDS; n++) {
        struct trace_record record = {.kind = TRACE_PROBE, .id = n, .word = {n, ~n}};

        while (!ring_push(&ring, &record)) {
            sched_yield();
        }
    }
    return opaque;
}

/* The protocol of docs/record-format.md from the reader's side. */
static void read_all(void)
{
    for (uint64_t tail = 0; tail < RECORDS; tail++) {
        struct trace_record record;

        while (__atomic_load_n(&ring.header->head, __ATOMIC_ACQUIRE) == tail) {
            sched_yield();
        }
        record = ring.records[tail % CAPACITY];
        assert(record.seq == tail && record.id == tail);
        assert(record.word[0] == record.id && record.word[1] == ~record.id);
        __atomic_store_n(&ring.header->tail, tail + 1, __ATOMIC_RELEASE);
    }
}

static void lose(void)
{
    struct trace_record record = {.kind = TRACE_PROBE, .time_ns = 77, .cpu = 3};
    uint64_t head = ring.header->head;

    for (uint32_t n = 0; n < CAPACITY; n++) {
        assert(ring_push(&ring, &record));
    }
    assert(ring_lacks_room(ring.header, 1) && !ring_lacks_room(ring.header, 0));
    for (uint32_t n = 0; n < 5; n++) {
        assert(!ring_push(&ring, &record));
        ring_lose(&ring);
    }
    /* Room for one is not enough: the loss is told first. */
    ring.header->tail++;
    assert(!ring_lacks_room(ring.header, 1) && ring_lacks_room(ring.header, 2));
    assert(!ring_push(&ring, &record));
    ring_lose(&ring);
    ring.header->tail++;
    assert(ring_push(&ring, &record));
    assert(ring.header->head == head + CAPACITY + 2 && ring.header->lost == 6);

    const struct trace_record *loss = &ring.records[(head + CAPACITY) % CAPACITY];

    assert(loss->kind == TRACE_LOSS && loss->word[0] == 6 && loss->word[1] == 0);
    assert(loss->valid == 3 && loss->words == 2 && loss->time_ns == 77 && loss->cpu == 3);
    assert(loss->seq == head + CAPACITY && loss[1].kind == TRACE_PROBE && loss[1].seq == loss->seq + 1);
    /* Told once. */
    ring.header->tail = ring.header->head;
    assert(ring_push(&ring, &record) && ring.header->head == head + CAPACITY + 3);
}

int main(void)
{
    void *memory = calloc(1, ring_bytes(CAPACITY));
    pthread_t writer;

    assert(memory != NULL);
    ring_init(&ring, memory, CAPACITY, 5);
    assert(ring.header->magic == TRACE_MAGIC && ring.header->cpu == 5);
    assert(ring.header->observer == TRACE_BY_PLUGIN && ring.header->record_bytes == 128);
    assert(pthread_create(&writer, NULL, write_all, NULL) == 0);
    read_all();
    assert(pthread_join(writer, NULL) == 0);
    lose();
    free(memory);
    return 0;
}
