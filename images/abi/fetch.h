/* SPDX-License-Identifier: MIT */
/*
 * Runs the program of a probe's fetches (trace.h, struct trace_op), over an observer's own way of
 * reading guest memory: the hypervisor asks the MMU, the plugin QEMU. This is what the operations
 * mean. The hypervisor has a shorter way for what can all be read (record.S), and comes here else.
 */
#ifndef ABI_FETCH_H
#define ABI_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

/* Read `bytes` (at most 32, possibly across a page) of guest virtual memory. False: not mapped. */
typedef bool (*fetch_read)(void *context, uint32_t va, void *to, uint32_t bytes);

struct fetch_state {
    uint32_t reg[TRACE_REGS]; /* as enum trace_reg counts them */
    fetch_read read;
    void *context;
};

/* Words that an operation writes. */
static inline uint32_t fetch_words(const struct trace_op *op)
{
    if (op->code >= TRACE_OP_STRING)
        return (op->extent + 3u) / 4u;
    return op->code == TRACE_OP_U64 ? 2u : op->code >= TRACE_OP_VALUE ? 1u : 0u;
}

/* Can be run: known operations up to one END, which is the last of `count`, and room for all words. */
static inline bool fetch_valid(const struct trace_op *op, uint32_t count)
{
    uint32_t words = 0;

    for (; count; count--, op++) {
        bool moves = (op->code >= TRACE_OP_SET && op->code <= TRACE_OP_ADD) ||
                     op->code == TRACE_OP_POINTER;
        bool string = op->code == TRACE_OP_STRING || op->code == TRACE_OP_NAME;

        if (op->code % 8 || op->code >= TRACE_OP_CODES || op->reg >= TRACE_REGS ||
            (op->code == TRACE_OP_END) != (count == 1) ||
            (moves && (!op->extent || op->extent > TRACE_MAX_EXTENT)) ||
            (string && (!op->extent || op->extent > TRACE_MAX_STRING)) ||
            (op->code == TRACE_OP_NAME && op->extent != TRACE_NAME_BYTES))
            return false;
        words += fetch_words(op);
    }
    return words <= TRACE_WORDS;
}

/* All of it, whatever it holds; if not all of it can be read, up to the NUL, byte by byte. */
static inline bool fetch_string(const struct fetch_state *state, uint32_t va, uint32_t *to,
                                uint32_t bytes)
{
    uint8_t *byte = (uint8_t *)to;

    if (state->read(state->context, va, to, bytes))
        return true;
    for (uint32_t i = 0; i < (bytes + 3u) / 4u; i++)
        to[i] = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        if (!state->read(state->context, va + i, byte + i, 1))
            return false;
        if (!byte[i])
            break;
    }
    return true;
}

/* The words of one operation; false: they cannot be read. */
static inline bool fetch_value(const struct fetch_state *state, const struct trace_op *op,
                               uint32_t p, uint32_t *to)
{
    switch (op->code) {
    case TRACE_OP_VALUE: *to = state->reg[op->reg] + op->value; return true;
    case TRACE_OP_U8: return state->read(state->context, p + op->value, to, 1);
    case TRACE_OP_U16: return state->read(state->context, p + op->value, to, 2);
    case TRACE_OP_POINTER:
    case TRACE_OP_U32: return state->read(state->context, p + op->value, to, 4);
    case TRACE_OP_U64: return state->read(state->context, p + op->value, to, 8);
    default: return fetch_string(state, p + op->value, to, op->extent);
    }
}

/* Run a program that is valid; the record's words, and which of them could be read. */
static inline void fetch_run(const struct fetch_state *state, const struct trace_op *op,
                             struct trace_record *record)
{
    uint32_t p = 0, used = 0, valid = 0;
    bool known = false;

    for (; op->code != TRACE_OP_END; op++) {
        uint32_t words = fetch_words(op), *to = &record->word[used];
        bool found;

        switch (op->code) {
        case TRACE_OP_SET: p = op->value, known = true; continue;
        case TRACE_OP_REGISTER: p = state->reg[op->reg] + op->value, known = true; continue;
        case TRACE_OP_ADD: p += op->value; continue;
        case TRACE_OP_LOAD:
            known = known && state->read(state->context, p + op->value, &p, sizeof(p));
            continue;
        default: break;
        }
        if (used + words > TRACE_WORDS)
            break;
        for (uint32_t i = 0; i < words; i++)
            to[i] = 0;
        found = (known || op->code == TRACE_OP_VALUE) && fetch_value(state, op, p, to);
        if (found)
            valid |= ((1u << words) - 1u) << used;
        else
            for (uint32_t i = 0; i < words; i++)
                to[i] = 0;
        if (op->code == TRACE_OP_POINTER)
            p = *to, known = found;
        used += words;
    }
    record->valid = valid;
    record->words = (uint8_t)used;
}

#endif
