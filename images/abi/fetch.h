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
    uint32_t reg[19]; /* as enum trace_base counts them */
    fetch_read read;
    void *context;
};

/*
 * An observer may have a shorter way to a register, or to memory that it has just looked up: where
 * [va, va + bytes) lies for it, or NULL.
 */
#ifndef FETCH_REGISTER
#define FETCH_REGISTER(state, n) ((state)->reg[n])
#endif
#ifndef FETCH_KNOWN
#define FETCH_KNOWN(state, va, bytes) ((const void *)0)
#endif

/* Words that the result takes. */
static inline uint32_t fetch_words(const struct trace_fetch *fetch)
{
    return fetch->derefs ? (fetch->bytes + 3u) / 4u : 1u;
}

/* One to four bytes. */
static inline bool fetch_word(const struct fetch_state *state, uint32_t va, uint32_t *to,
                              uint32_t bytes)
{
    const void *known = FETCH_KNOWN(state, va, bytes);

    if (known && bytes == 4 && !(va & 3))
        *to = *(const uint32_t *)known;
    else if (known && bytes == 1)
        *to = *(const uint8_t *)known;
    else
        return state->read(state->context, va, to, bytes);
    return true;
}

/* Cuts a string at its NUL; false: there is none in these words. */
static inline bool fetch_cut(uint32_t *word, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        uint32_t nul = (word[i] - 0x01010101u) & ~word[i] & 0x80808080u;

        if (!nul)
            continue;
        word[i] &= ((nul & -nul) >> 7) - 1u; /* what is below the first NUL byte */
        for (i++; i < words; i++)
            word[i] = 0;
        return true;
    }
    return false;
}

/* A string may end just before a page that is not mapped: then up to the NUL byte by byte. */
static inline bool fetch_string(const struct fetch_state *state, uint32_t va, uint32_t *to,
                                uint32_t bytes)
{
    uint8_t *byte = (uint8_t *)to;

    if ((va & 0xfffu) + bytes <= 0x1000u) {
        if (!state->read(state->context, va, to, bytes))
            return false;
        fetch_cut(to, (bytes + 3u) / 4u);
        return true;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        if (!state->read(state->context, va + i, byte + i, 1))
            return false;
        if (!byte[i])
            break;
    }
    return true;
}

static inline bool fetch_value(const struct fetch_state *state, const struct trace_fetch *fetch,
                               uint32_t *to)
{
    uint32_t at = fetch->value;
    const int32_t *offset = fetch->offset;
    uint32_t left = fetch->derefs;

    if (fetch->base != TRACE_BASE_NONE)
        at += FETCH_REGISTER(state, fetch->base);
    if (!left) {
        *to = at;
        return true;
    }
    for (; left > 1; left--)
        if (!fetch_word(state, at + (uint32_t)*offset++, &at, sizeof(at)))
            return false;
    at += (uint32_t)*offset;
    if (fetch->flags & TRACE_FETCH_STRING)
        return fetch_string(state, at, to, fetch->bytes);
    if (fetch->bytes <= 4)
        return fetch_word(state, at, to, fetch->bytes);
    return state->read(state->context, at, to, fetch->bytes);
}

/*
 * Run one fetch into the record's words from `used` on, and answer how many it takes; 0: they do not
 * fit any more. A failed one leaves its words 0 and their bits in `valid` clear.
 */
static inline uint32_t fetch_one(const struct fetch_state *state, const struct trace_fetch *fetch,
                                 struct trace_record *record, uint32_t used, uint32_t *valid)
{
    uint32_t words = fetch_words(fetch);
    uint32_t *to = &record->word[used];

    if (used + words > TRACE_WORDS)
        return 0;
    for (uint32_t i = 0; i < words; i++)
        to[i] = 0;
    if (fetch_value(state, fetch, to))
        *valid |= ((1u << words) - 1u) << used;
    else
        for (uint32_t i = 0; i < words; i++)
            to[i] = 0;
    return words;
}

/* Run all fetches of a probe, in order, up to the first that does not fit. */
static inline void fetch_all(const struct fetch_state *state, const struct trace_fetch *fetch,
                             uint32_t count, struct trace_record *record)
{
    uint32_t used = 0, words;

    record->valid = 0;
    for (; count; count--, fetch++, used += words) {
        words = fetch_one(state, fetch, record, used, &record->valid);
        if (!words)
            break;
    }
    record->words = (uint8_t)used;
}

#endif
