/* SPDX-License-Identifier: MIT */
/*
 * floating: what Whetstone measures, floating point as scientific programs use it: array elements,
 * calls with arguments by reference, branches, and the mathematical library's functions. The code
 * is its own, so its figures are comparable with each other and not with Whetstone's.
 *
 *     floating ITERATIONS
 *
 * Each iteration solves known equations; a result off by more than 1e-9 ends the program with 1.
 */
#include "bench.h"

#include <math.h>

#define POINTS 32
#define TOLERANCE 1e-9

#define NOINLINE __attribute__((noinline))

NOINLINE static void rotate(double *x, double *y, double angle)
{
    double c = cos(angle), s = sin(angle);
    double new_x = *x * c - *y * s;

    *y = *x * s + *y * c;
    *x = new_x;
}

/* Newton's way to the cube root. */
NOINLINE static double cube_root(double value)
{
    double guess = value > 1 ? value : 1;

    for (int i = 0; i < 40; i++) {
        double next = guess - (guess * guess * guess - value) / (3 * guess * guess);
        if (fabs(next - guess) < 1e-13 * guess)
            return next;
        guess = next;
    }
    return guess;
}

/* Simpson's rule over values of exp. */
NOINLINE static double integral_of_exp(const double points[POINTS + 1], double width)
{
    double sum = points[0] + points[POINTS];

    for (int i = 1; i < POINTS; i++)
        sum += points[i] * (i % 2 ? 4 : 2);
    return sum * width / 3;
}

static void check(double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance))
        fail_check("a result is wrong");
}

int main(int argc, char **argv)
{
    uint32_t iterations = number(argc, argv, 1, "floating ITERATIONS");
    double points[POINTS + 1];

    uint64_t start_ns = window_start();
    for (uint32_t i = 0; i < iterations; i++) {
        double seed = 1 + (double)(i % 97) / 97;
        double x = seed, y = 0;

        for (int turn = 0; turn < 8; turn++)
            rotate(&x, &y, atan(1.0));
        check(x, seed, TOLERANCE);
        check(y, 0, TOLERANCE);

        check(cube_root(seed * seed * seed), seed, TOLERANCE);

        for (int p = 0; p <= POINTS; p++)
            points[p] = exp((double)p / POINTS * seed);
        check(integral_of_exp(points, seed / POINTS), exp(seed) - 1, 1e-5);

        check(log(sqrt(exp(2 * seed))), seed, TOLERANCE);
        check(atan2(sin(seed / 2), cos(seed / 2)), seed / 2, TOLERANCE);
    }
    report(iterations, "loops", window_end(start_ns));
    return 0;
}
