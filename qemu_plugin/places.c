/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See places.h. */
#include "places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../images/abi/fetch.h"

#define IDS (CHANNEL_MAX_PROBE_ID + 1)
#define BUCKETS 8192u
#define PAGE_SHIFT 12

static struct place *by_id[IDS];
static struct place *bucket[BUCKETS];
/* Live places by mode in each class of pages: a filter for the translation of blocks. */
static uint32_t in_pages[2][BUCKETS];
static uint32_t live_places[2];

/* Fibonacci hashing: the neighbours that code addresses are go to different buckets. */
static uint32_t hash(uint64_t value)
{
    return (uint32_t)((value * UINT64_C(0x9e3779b97f4a7c15)) >> 51);
}

static struct place **bucket_of(uint64_t pa)
{
    return &bucket[hash(pa >> 1)];
}

static uint32_t *page_of(uint64_t pa, enum channel_mode mode)
{
    return &in_pages[mode][hash(pa >> PAGE_SHIFT)];
}

static bool is_valid(const struct channel_probe *spec)
{
    uint32_t last = spec->mode == CHANNEL_HVC ? TRACE_MAX_PROBES - 1 : CHANNEL_MAX_PROBE_ID;

    return (spec->mode == CHANNEL_HVC || spec->mode == CHANNEL_SHADOW) && spec->id >= 1 &&
           spec->id <= last && spec->ops <= CHANNEL_MAX_OPS && spec->pa % 2 == 0 &&
           (spec->vm < CHANNEL_COUNTER_VMS || spec->vm == CHANNEL_ANY_VM);
}

int places_add(const struct channel_probe *spec, const struct trace_op *program)
{
    struct place *place;
    struct trace_op *copy = NULL;

    if (!is_valid(spec) || !fetch_valid(program, spec->ops)) {
        return -EINVAL;
    }
    place = by_id[spec->id];
    if (place != NULL && place->live) {
        return -EEXIST;
    }
    if (spec->ops > 0) {
        copy = calloc(spec->ops, sizeof(*copy));
        if (copy == NULL) {
            return -ENOMEM;
        }
        memcpy(copy, program, spec->ops * sizeof(*copy));
    }
    if (place == NULL) {
        place = calloc(1, sizeof(*place));
        if (place == NULL) {
            free(copy);
            return -ENOMEM;
        }
        by_id[spec->id] = place;
    }
    free(place->program);
    place->program = copy;
    place->spec = *spec;
    place->registers = 0;
    for (uint32_t i = 0; i < spec->ops; i++) {
        place->registers |= 1u << copy[i].reg;
    }
    place->taken = 0;
    for (unsigned int i = 0; i < TRACE_MAX_CPUS; i++) {
        place->hits[i] = 0;
    }
    place->next = *bucket_of(spec->pa);
    *bucket_of(spec->pa) = place;
    (*page_of(spec->pa, spec->mode))++;
    live_places[spec->mode]++;
    place->live = true;
    return 0;
}

int places_remove(uint32_t id)
{
    struct place *place = places_find(id);
    struct place **at;

    if (place == NULL) {
        return -ENOENT;
    }
    at = bucket_of(place->spec.pa);
    while (*at != place) {
        at = &(*at)->next;
    }
    *at = place->next;
    (*page_of(place->spec.pa, place->spec.mode))--;
    live_places[place->spec.mode]--;
    place->live = false;
    return 0;
}

struct place *places_find(uint32_t id)
{
    return id < IDS && by_id[id] != NULL && by_id[id]->live ? by_id[id] : NULL;
}

bool places_any(void)
{
    return live_places[CHANNEL_HVC] + live_places[CHANNEL_SHADOW] != 0;
}

bool places_in_page(uint64_t pa, enum channel_mode mode)
{
    return live_places[mode] != 0 && *page_of(pa, mode) != 0;
}

static struct place *first_like(struct place *place, uint64_t pa, enum channel_mode mode)
{
    while (place != NULL && (place->spec.pa != pa || place->spec.mode != mode)) {
        place = place->next;
    }
    return place;
}

struct place *places_at(uint64_t pa, enum channel_mode mode)
{
    return first_like(*bucket_of(pa), pa, mode);
}

struct place *places_next(const struct place *place)
{
    return first_like(place->next, place->spec.pa, place->spec.mode);
}

bool places_hit(struct place *place, unsigned int core, uint64_t time_ns)
{
    atomic_fetch_add_explicit(&place->hits[core], 1, memory_order_relaxed);
    if (time_ns < place->spec.from_ns ||
        (place->spec.until_ns != 0 && time_ns >= place->spec.until_ns)) {
        return false;
    }
    return atomic_fetch_add_explicit(&place->taken, 1, memory_order_relaxed) < place->spec.limit ||
           place->spec.limit == 0;
}

void places_counts(const struct place *place, struct channel_counts *counts)
{
    uint64_t limit = place->spec.limit;

    memset(counts, 0, sizeof(*counts));
    for (unsigned int i = 0; i < TRACE_MAX_CPUS; i++) {
        counts->cpu_hits[i] = place->hits[i];
        counts->hits += counts->cpu_hits[i];
    }
    counts->recorded = limit != 0 && place->taken > limit ? limit : place->taken;
}
