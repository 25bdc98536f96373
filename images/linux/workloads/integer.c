/* SPDX-License-Identifier: MIT */
/*
 * integer: what Dhrystone measures, a mix of a systems program's statements without floating point:
 * records assigned and linked, strings compared and copied, arrays indexed, branches, short calls.
 * The code is its own, so its figures are comparable with each other and not with Dhrystone's.
 *
 *     integer ITERATIONS
 *
 * The sum over all iterations is printed as CHECK|sum and depends on nothing but ITERATIONS.
 */
#include "bench.h"

#define TABLE 64
#define TEXT 31

enum shape { CIRCLE, SQUARE, LINE, POINT };

struct item {
    struct item *next;
    enum shape shape;
    int32_t value;
    char text[TEXT + 1];
};

static struct item items[2];
static int32_t table[TABLE][TABLE];
static int32_t row[TABLE];

#define NOINLINE __attribute__((noinline))

NOINLINE static enum shape after(enum shape shape)
{
    switch (shape) {
    case CIRCLE:
        return LINE;
    case SQUARE:
        return CIRCLE;
    case LINE:
        return POINT;
    default:
        return SQUARE;
    }
}

NOINLINE static void copy_item(struct item *from)
{
    struct item *to = from->next;

    *to = *from;
    to->next = from;
    to->value = from->value * 3 + 1;
    to->shape = after(from->shape);
}

NOINLINE static int32_t index_arrays(int32_t at, int32_t value)
{
    int32_t next = (at + 7) % TABLE;

    row[at] = value;
    row[next] = row[at] + 5;
    for (int32_t column = at & ~1; column < (at & ~1) + 2; column++)
        table[at][column] += row[next];
    table[next][at] = row[at];
    return table[at][at] ^ table[next][at];
}

NOINLINE static int compare_texts(const struct item *one, const struct item *other)
{
    int32_t i = 2;

    while (i < 5 && one->text[i] == other->text[i])
        i++;
    return strcmp(one->text, other->text) > 0 ? i : -i;
}

int main(int argc, char **argv)
{
    uint32_t iterations = number(argc, argv, 1, "integer ITERATIONS");
    uint32_t sum = 0;

    items[0].next = &items[1];
    items[1].next = &items[0];
    uint64_t start_ns = window_start();
    for (uint32_t i = 0; i < iterations; i++) {
        struct item *item = &items[i & 1];

        strcpy(item->text, "A TEXT OF THIRTY CHARACTERS, 1");
        item->text[29] = (char)('0' + i % 10);
        item->value = (int32_t)(i & 0xffff);
        copy_item(item);
        strcpy(item->text, "A TEXT OF THIRTY CHARACTERS, 5");
        sum += (uint32_t)compare_texts(item, item->next);
        sum += (uint32_t)index_arrays((int32_t)(i % TABLE), item->next->value & 0xff);
        sum += (uint32_t)(item->next->value / (item->value % 7 + 1));
        sum += (uint32_t)item->next->shape;
    }
    uint64_t elapsed_ns = window_end(start_ns);
    report(iterations, "loops", elapsed_ns);
    printf("CHECK|%" PRIu32 "\n", sum);
    return 0;
}
