/* SPDX-License-Identifier: MIT */
/* The table of watched places. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "places.h"

static struct channel_probe shadow(uint32_t id, uint64_t pa)
{
    return (struct channel_probe){.id = id, .mode = CHANNEL_SHADOW, .vm = 1, .pa = pa};
}

static void ids(void)
{
    struct channel_probe spec = shadow(9, 0x40001000);

    assert(places_find(9) == NULL && places_remove(9) == -ENOENT);
    assert(places_add(&spec, NULL) == 0 && places_add(&spec, NULL) == -EEXIST);
    assert(places_find(9)->spec.pa == 0x40001000);
    assert(places_remove(9) == 0 && places_find(9) == NULL);
    assert(places_at(0x40001000, CHANNEL_SHADOW) == NULL);
    assert(places_find(CHANNEL_MAX_PROBE_ID + 1) == NULL);
}

static void ranges(void)
{
    struct trace_op program[] = {
        {.code = TRACE_OP_REGISTER, .reg = 5, .extent = TRACE_MAX_EXTENT},
        {.code = TRACE_OP_STRING, .reg = TRACE_REG_NONE, .extent = TRACE_MAX_STRING},
        {.code = TRACE_OP_STRING, .reg = TRACE_REG_NONE, .extent = TRACE_MAX_STRING},
        {.code = TRACE_OP_U8, .reg = TRACE_REG_NONE},
        {.code = TRACE_OP_VALUE, .reg = TRACE_REG_TPIDRURO},
        {.code = TRACE_OP_VALUE, .reg = TRACE_REG_NONE},
        {.code = TRACE_OP_END, .reg = TRACE_REG_NONE},
    };
    const uint16_t ops = sizeof(program) / sizeof(program[0]);
    const struct channel_probe good = {
        .id = 1, .mode = CHANNEL_HVC, .vm = 7, .ops = ops, .pa = 0x40000002};
    struct channel_probe spec;

#define REFUSED(change) \
    spec = good;        \
    spec.change;        \
    assert(places_add(&spec, program) == -EINVAL)
    REFUSED(id = 0);
    REFUSED(id = TRACE_MAX_PROBES);
    REFUSED(mode = 2);
    REFUSED(vm = 8);
    REFUSED(pa = 0x40000001);
    REFUSED(ops = CHANNEL_MAX_OPS + 1);
    REFUSED(ops = ops - 1); /* no END */
#undef REFUSED
#define REFUSED(at, change)                             \
    do {                                                \
        struct trace_op saved = program[at];            \
                                                        \
        program[at].change;                             \
        assert(places_add(&good, program) == -EINVAL);  \
        program[at] = saved;                            \
    } while (0)
    REFUSED(0, code = TRACE_OP_CODES);
    REFUSED(0, code = TRACE_OP_SET + 1);
    REFUSED(0, reg = TRACE_REGS);
    REFUSED(0, extent = 0);
    REFUSED(0, extent = TRACE_MAX_EXTENT + 1);
    REFUSED(1, extent = 0);
    REFUSED(1, code = TRACE_OP_NAME); /* which has 16 bytes */
    REFUSED(1, extent = TRACE_MAX_STRING + 4);
    REFUSED(2, extent = 0);
    REFUSED(2, extent = TRACE_MAX_STRING + 1);
    REFUSED(3, code = TRACE_OP_END);
    program[3].code = TRACE_OP_STRING; /* 20 words */
    REFUSED(3, extent = 8);
    program[3].code = TRACE_OP_U8;
#undef REFUSED
    assert(places_find(1) == NULL);
    assert(places_add(&good, program) == 0);
    assert(places_find(1)->registers ==
           (1u << 5 | 1u << TRACE_REG_NONE | 1u << TRACE_REG_TPIDRURO));
    assert(places_remove(1) == 0);
}

/* Several at one address, of both modes, removed from the middle and from the ends. */
static void neighbours(void)
{
    const uint64_t pa = 0x43210abc;
    struct channel_probe hvc = {.id = 5, .mode = CHANNEL_HVC, .vm = 0, .pa = pa};
    unsigned int count = 0;

    assert(!places_in_page(pa, CHANNEL_SHADOW) && !places_in_page(pa, CHANNEL_HVC));
    assert(places_add(&hvc, NULL) == 0);
    assert(!places_in_page(pa, CHANNEL_SHADOW) && places_in_page(pa ^ 0xffe, CHANNEL_HVC));
    for (uint32_t id = 60000; id < 60005; id++) {
        struct channel_probe spec = shadow(id, pa);

        assert(places_add(&spec, NULL) == 0);
    }
    assert(places_remove(60002) == 0 && places_remove(60004) == 0 && places_remove(60000) == 0);
    for (struct place *at = places_at(pa, CHANNEL_SHADOW); at != NULL; at = places_next(at)) {
        assert(at->spec.id == 60001 || at->spec.id == 60003);
        count++;
    }
    assert(count == 2);
    assert(places_at(pa, CHANNEL_HVC) == places_find(5));
    assert(places_remove(60001) == 0 && places_remove(60003) == 0 && places_remove(5) == 0);
    assert(!places_in_page(pa, CHANNEL_SHADOW) && !places_in_page(pa, CHANNEL_HVC));
}

static void many(void)
{
    for (uint32_t id = 1; id <= CHANNEL_MAX_PROBE_ID; id++) {
        struct channel_probe spec = shadow(id, 0x40000000 + (uint64_t)id * 4);

        assert(places_add(&spec, NULL) == 0);
    }
    for (uint32_t id = 1; id <= CHANNEL_MAX_PROBE_ID; id++) {
        assert(places_at(0x40000000 + (uint64_t)id * 4, CHANNEL_SHADOW)->spec.id == id);
    }
    for (uint32_t id = 1; id <= CHANNEL_MAX_PROBE_ID; id++) {
        assert(places_remove(id) == 0);
    }
}

static void limits(void)
{
    struct channel_probe spec = shadow(3, 0x40000000);
    struct channel_counts counts;
    struct place *place;

    spec.limit = 2;
    spec.from_ns = 100;
    spec.until_ns = 200;
    assert(places_add(&spec, NULL) == 0);
    place = places_find(3);
    assert(!places_hit(place, 0, 99));
    assert(places_hit(place, 1, 100));
    assert(!places_hit(place, 1, 200));
    assert(places_hit(place, 0, 199));
    assert(!places_hit(place, 0, 150));
    places_counts(place, &counts);
    assert(counts.hits == 5 && counts.recorded == 2);
    assert(counts.cpu_hits[0] == 3 && counts.cpu_hits[1] == 2 && counts.cpu_hits[2] == 0);
    assert(places_remove(3) == 0);
    spec.limit = 0;
    spec.until_ns = 0;
    assert(places_add(&spec, NULL) == 0);
    places_counts(places_find(3), &counts);
    assert(counts.hits == 0 && counts.recorded == 0);
    assert(places_hit(places_find(3), 7, UINT64_MAX));
    assert(places_remove(3) == 0);
}

int main(void)
{
    ids();
    ranges();
    neighbours();
    many();
    limits();
    return 0;
}
