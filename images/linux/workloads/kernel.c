/* SPDX-License-Identifier: MIT */
/*
 * kernel: small computing kernels of three kinds, as suites such as Geekbench have them: integer
 * (primes, CRC-32, sorting), floating point (matrix product, Fourier transform) and memory (copies,
 * a walk along a chain that has no order). Each checks its result.
 *
 *     kernel integer|floating|memory ITERATIONS
 */
#include "bench.h"

#include <math.h>
#include <stdbool.h>

#define USAGE "kernel integer|floating|memory ITERATIONS"

/* ---- integer ---------------------------------------------------------------------------------- */

#define SIEVE 100000
#define PRIMES_BELOW_SIEVE 9592 /* OEIS A006880 */
#define SORTED 8192

static uint32_t random_state;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static void primes(void)
{
    static bool composite[SIEVE];
    uint32_t found = 0;

    memset(composite, 0, sizeof(composite));
    for (uint32_t i = 2; i < SIEVE; i++) {
        if (composite[i])
            continue;
        found++;
        for (uint32_t multiple = 2 * i; multiple < SIEVE; multiple += i)
            composite[multiple] = true;
    }
    if (found != PRIMES_BELOW_SIEVE)
        fail_check("primes: wrong number");
}

static uint32_t crc32_of(const uint8_t *data, size_t bytes)
{
    static uint32_t table[256];
    uint32_t crc = 0xffffffffu;

    if (!table[1]) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t entry = i;
            for (int bit = 0; bit < 8; bit++)
                entry = entry & 1 ? entry >> 1 ^ 0xedb88320u : entry >> 1;
            table[i] = entry;
        }
    }
    for (size_t i = 0; i < bytes; i++)
        crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
    return ~crc;
}

static void crc(void)
{
    static uint8_t data[65536 + 4];
    const size_t bytes = sizeof(data) - 4;

    if (crc32_of((const uint8_t *)"123456789", 9) != 0xcbf43926u)
        fail_check("crc: wrong check value");
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)next_random();
    uint32_t sum = crc32_of(data, bytes);
    for (int i = 0; i < 4; i++)
        data[bytes + i] = (uint8_t)(sum >> 8 * i);
    /* Data followed by its own CRC has this one, whatever the data. */
    if (crc32_of(data, sizeof(data)) != 0x2144df1cu)
        fail_check("crc: wrong residue");
}

static void sort(uint32_t *values, int32_t count)
{
    while (count > 1) {
        uint32_t pivot = values[count / 2];
        int32_t low = 0, high = count - 1;

        while (low <= high) {
            while (values[low] < pivot)
                low++;
            while (values[high] > pivot)
                high--;
            if (low <= high) {
                uint32_t swapped = values[low];
                values[low++] = values[high];
                values[high--] = swapped;
            }
        }
        sort(values, high + 1);
        values += low;
        count -= low;
    }
}

static void sorting(void)
{
    static uint32_t values[SORTED];
    uint32_t before = 0, after = 0;

    for (int i = 0; i < SORTED; i++)
        before += values[i] = next_random();
    sort(values, SORTED);
    for (int i = 0; i < SORTED; i++) {
        after += values[i];
        if (i && values[i - 1] > values[i])
            fail_check("sort: wrong order");
    }
    if (before != after)
        fail_check("sort: values lost");
}

static void integer(void)
{
    primes();
    crc();
    sorting();
}

/* ---- floating point --------------------------------------------------------------------------- */

#define SIZE 64
#define TRANSFORM 2048

/* A Hilbert-like matrix times its rows' sums, and back the other way: (AB)x = A(Bx). */
static void matrices(void)
{
    static double a[SIZE][SIZE], b[SIZE][SIZE], product[SIZE][SIZE];

    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            a[i][j] = 1.0 / (i + j + 1);
            b[i][j] = i == j ? 2 : 1.0 / (1 + i * j);
        }
    }
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            double sum = 0;
            for (int k = 0; k < SIZE; k++)
                sum += a[i][k] * b[k][j];
            product[i][j] = sum;
        }
    }
    for (int i = 0; i < SIZE; i++) {
        double one_way = 0, other_way = 0;
        for (int j = 0; j < SIZE; j++) {
            double row = 0;
            for (int k = 0; k < SIZE; k++)
                row += b[j][k] * (k + 1);
            one_way += product[i][j] * (j + 1);
            other_way += a[i][j] * row;
        }
        if (!(fabs(one_way - other_way) <= 1e-9 * fabs(one_way)))
            fail_check("matrices: wrong product");
    }
}

static void fourier(double re[TRANSFORM], double im[TRANSFORM], int sign)
{
    for (int i = 1, j = 0; i < TRANSFORM; i++) {
        int bit = TRANSFORM >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i < j) {
            double t = re[i];
            re[i] = re[j];
            re[j] = t;
            t = im[i];
            im[i] = im[j];
            im[j] = t;
        }
    }
    for (int length = 2; length <= TRANSFORM; length *= 2) {
        double angle = sign * 2 * M_PI / length;
        for (int k = 0; k < length / 2; k++) {
            double c = cos(angle * k), s = sin(angle * k);
            for (int i = k; i < TRANSFORM; i += length) {
                int j = i + length / 2;
                double x = re[j] * c - im[j] * s, y = re[j] * s + im[j] * c;
                re[j] = re[i] - x;
                im[j] = im[i] - y;
                re[i] += x;
                im[i] += y;
            }
        }
    }
}

static void transforms(void)
{
    static double re[TRANSFORM], im[TRANSFORM];

    for (int i = 0; i < TRANSFORM; i++) {
        re[i] = i % 37 - 18;
        im[i] = i % 11;
    }
    fourier(re, im, 1);
    fourier(re, im, -1);
    for (int i = 0; i < TRANSFORM; i++) {
        if (fabs(re[i] / TRANSFORM - (i % 37 - 18)) > 1e-9 ||
            fabs(im[i] / TRANSFORM - i % 11) > 1e-9)
            fail_check("transforms: there and back is not the same");
    }
}

static void floating(void)
{
    matrices();
    transforms();
}

/* ---- memory ----------------------------------------------------------------------------------- */

#define AREA (2u << 20)
#define LINKS 65536u

static void copies(void)
{
    static uint32_t from[AREA / 4], to[AREA / 4];
    uint32_t value = next_random();

    for (uint32_t i = 0; i < AREA / 4; i++)
        from[i] = i ^ value;
    memcpy(to, from, AREA);
    for (uint32_t i = 0; i < AREA / 4; i++)
        to[i] += 3 * from[i];
    memmove((char *)to + 64, to, AREA - 64);
    for (uint32_t i = 16; i < AREA / 4; i++) {
        if (to[i] != 4 * ((i - 16) ^ value))
            fail_check("copies: wrong content");
    }
}

static void chain(void)
{
    static uint32_t next[LINKS];
    uint32_t at = 0, steps = 0;

    /* An odd step over a power of two meets every link once before it is back. */
    for (uint32_t i = 0; i < LINKS; i++)
        next[i] = (i + 40503u) % LINKS;
    do {
        at = next[at];
        steps++;
    } while (at != 0);
    if (steps != LINKS)
        fail_check("chain: wrong length");
}

static void memory(void)
{
    copies();
    chain();
}

/* ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} kernels[] = {{"integer", integer}, {"floating", floating}, {"memory", memory}};

int main(int argc, char **argv)
{
    uint32_t iterations = number(argc, argv, 2, USAGE);

    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        if (strcmp(argv[1], kernels[i].name))
            continue;
        kernels[i].run(); /* once before: all memory is present */
        uint64_t start_ns = window_start();
        for (uint32_t done = 0; done < iterations; done++)
            kernels[i].run();
        report(iterations, "rounds", window_end(start_ns));
        return 0;
    }
    fprintf(stderr, "usage: " USAGE "\n");
    return 2;
}
