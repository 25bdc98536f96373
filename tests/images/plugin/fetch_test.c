/* SPDX-License-Identifier: MIT */
/* Programs of fetches, over a memory of two pages of which the second is not mapped. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"

#define BASE 0x1000u
#define NO TRACE_REG_NONE
#define RUN(...) run((const struct trace_op[]){__VA_ARGS__, {.code = TRACE_OP_END, .reg = NO}})
#define SET(va) {.code = TRACE_OP_SET, .reg = NO, .value = (va), .extent = 1}
#define OP(name, at) {.code = TRACE_OP_##name, .reg = NO, .value = (uint32_t)(at), .extent = 1}
#define BLOCK(name, at, bytes) {.code = TRACE_OP_##name, .reg = NO, .value = (at), .extent = (bytes)}

static uint8_t memory[4096];
static struct trace_record record;

static bool read_memory(void *context, uint32_t va, void *to, uint32_t bytes)
{
    assert(context == memory);
    if (va < BASE || va - BASE > sizeof(memory) - bytes)
        return false;
    memcpy(to, memory + (va - BASE), bytes);
    return true;
}

static void put(uint32_t va, uint32_t value)
{
    memcpy(memory + (va - BASE), &value, sizeof(value));
}

/* On the heap and of its exact size: a sanitizer sees what is read behind the END. */
static void run(const struct trace_op *op)
{
    struct fetch_state state = {.read = read_memory, .context = memory};
    uint32_t count = 1;
    struct trace_op *copy;

    while (op[count - 1].code != TRACE_OP_END)
        count++;
    copy = malloc(count * sizeof(*op));
    assert(copy != NULL);
    memcpy(copy, op, count * sizeof(*op));
    for (uint32_t i = 0; i < TRACE_REGS; i++)
        state.reg[i] = i == NO ? 0 : 100 + i;
    memset(&record, 0xff, sizeof(record));
    fetch_run(&state, copy, &record);
    free(copy);
}

static void is(uint32_t words, uint32_t valid, const uint32_t *expected)
{
    assert(record.words == words && record.valid == valid);
    for (uint32_t i = 0; i < words; i++)
        assert(record.word[i] == expected[i]);
}
#define IS(words, valid, ...) is(words, valid, (const uint32_t[]){__VA_ARGS__})

static void values(void)
{
    put(BASE, 0x89abcdef);
    put(BASE + 4, 0x01234567);
    RUN({.code = TRACE_OP_VALUE, .reg = 3, .value = 5}, OP(VALUE, 7),
        {.code = TRACE_OP_VALUE, .reg = TRACE_REG_TPIDRURO});
    IS(3, 7, 108, 7, 118);
    RUN(SET(BASE), OP(U8, 1), OP(U16, 1), OP(U32, 2), OP(U64, 0));
    IS(5, 0x1f, 0xcd, 0xabcd, 0x456789ab, 0x89abcdef, 0x01234567);
    RUN({.code = TRACE_OP_REGISTER, .reg = 5, .value = BASE - 105, .extent = 8}, OP(U8, 0),
        OP(ADD, 8), OP(U8, -8));
    IS(2, 3, 0xef, 0xef);
}

static void pointers(void)
{
    put(BASE + 16, BASE + 32);
    put(BASE + 36, BASE + 48);
    put(BASE + 48, 77);
    RUN(SET(BASE), OP(POINTER, 16), OP(LOAD, 4), OP(U32, 0));
    IS(2, 3, BASE + 32, 77);
    /* What hangs on a pointer that cannot be loaded is unknown up to the next beginning. */
    RUN(SET(0), OP(LOAD, 0), OP(U32, 0), OP(POINTER, 0), OP(U8, 0), OP(ADD, 4), BLOCK(STRING, 0, 8),
        SET(BASE), OP(U32, 48));
    IS(6, 0x20, 0, 0, 0, 0, 0, 77);
    /* A pointer is known, what it points to is not there. */
    put(BASE + 16, 0xfffffffe);
    RUN(SET(BASE), OP(POINTER, 16), OP(U32, 0), OP(U64, 0));
    IS(4, 1, 0xfffffffe, 0, 0, 0);
    RUN(OP(U32, 0), OP(LOAD, 0), OP(VALUE, 1));
    IS(2, 2, 0, 1);
}

static void strings(void)
{
    const uint32_t end = BASE + sizeof(memory);

    /* All of it, and zeros up to a whole word: the reader cuts it. */
    memcpy(memory + 64, "abcdefg\0hij", 12);
    RUN(SET(BASE + 64), BLOCK(STRING, 0, 12), BLOCK(STRING, 1, 5), BLOCK(STRING, 7, 4));
    IS(6, 0x3f, 0x64636261, 0x00676665, 0x006a6968, 0x65646362, 0x66, 0x6a696800);
    /* It ends just before what is not mapped, at each place of two words, or does not. */
    for (uint32_t at = 0; at < 8; at++) {
        uint8_t text[8] = "\x80\x01\xff\x7f\x80\x01\xff\x7f";
        uint32_t expected[4] = {0, 0, 0, 0};

        text[at] = 0;
        memcpy(memory + sizeof(memory) - 8, text, 8);
        memcpy(expected, text, at);
        RUN(SET(end - 8), BLOCK(STRING, 0, 16));
        is(4, 0xf, expected);
    }
    memcpy(memory + sizeof(memory) - 4, "xyz!", 4);
    RUN(SET(end - 4), BLOCK(STRING, 0, 16), OP(U8, 3), OP(U64, 0), BLOCK(STRING, 0, 4));
    IS(8, 0x90, 0, 0, 0, 0, '!', 0, 0, 0x217a7978);
}

/* A program that would write too much is refused, and ends in time all the same. */
static void room(void)
{
    const struct trace_op full[] = {SET(BASE), BLOCK(STRING, 0, 32), BLOCK(STRING, 0, 32),
                                    BLOCK(STRING, 0, 12), OP(U8, 0), {.code = TRACE_OP_END}};

    assert(!fetch_valid(full, 6));
    run(full);
    assert(record.words == TRACE_WORDS && record.valid == (1u << TRACE_WORDS) - 1);
    assert(!fetch_valid(full, 4) && fetch_valid(&full[5], 1));
}

int main(void)
{
    values();
    pointers();
    strings();
    room();
    return 0;
}
