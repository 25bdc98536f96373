/* SPDX-License-Identifier: MIT */
/*
 * Reads what a probe's fetches ask for (trace.h, struct trace_fetch). Both observers run this same
 * code over their own way of reading guest memory: the hypervisor asks the MMU, the plugin QEMU.
 */
#ifndef ABI_FETCH_H
#define ABI_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

/* Read `bytes` (at most 32, possibly across a page) of guest virtual memory. False: not mapped. */
typedef bool (*fetch_read)(void *context, uint32_t va, void *to, uint32_t bytes);

struct fetch_state {
    uint32_t reg[17]; /* as enum trace_base counts them */
    fetch_read read;
    void *context;
};

/* Words that the result takes. */
static inline uint32_t fetch_words(const struct trace_fetch *fetch)
{
    return fetch->derefs ? (fetch->bytes + 3u) / 4u : 1u;
}

/* A string may end just before a page that is not mapped: up to the NUL byte by byte. */
static inline bool fetch_string(const struct fetch_state *state, uint32_t va, uint8_t *to,
                                uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        if (!state->read(state->context, va + i, to + i, 1))
            return false;
        if (!to[i])
            break;
    }
    return true;
}

static inline bool fetch_value(const struct fetch_state *state, const struct trace_fetch *fetch,
                               uint32_t *to)
{
    uint32_t at = fetch->value + (fetch->base < TRACE_BASE_NONE ? state->reg[fetch->base] : 0);
    uint32_t last = fetch->derefs - 1u;

    if (!fetch->derefs) {
        *to = at;
        return true;
    }
    for (uint32_t i = 0; i < last; i++)
        if (!state->read(state->context, at + (uint32_t)fetch->offset[i], &at, sizeof(at)))
            return false;
    at += (uint32_t)fetch->offset[last];
    if (fetch->flags & TRACE_FETCH_STRING)
        return fetch_string(state, at, (uint8_t *)to, fetch->bytes);
    return state->read(state->context, at, to, fetch->bytes);
}

/*
 * Run all fetches of a probe into the record's words, in order; those that do not fit any more are
 * left out. A failed one leaves its words 0 and their bits in `valid` clear.
 */
static inline void fetch_all(const struct fetch_state *state, const struct trace_fetch *fetch,
                             uint32_t count, struct trace_record *record)
{
    uint32_t used = 0;

    record->valid = 0;
    for (; count && used + fetch_words(fetch) <= TRACE_WORDS; count--, fetch++) {
        uint32_t words = fetch_words(fetch);
        uint32_t *to = &record->word[used];

        for (uint32_t i = 0; i < words; i++)
            to[i] = 0;
        if (fetch_value(state, fetch, to))
            record->valid |= ((1u << words) - 1u) << used;
        else
            for (uint32_t i = 0; i < words; i++)
                to[i] = 0;
        used += words;
    }
    record->words = (uint8_t)used;
}

#endif
