/* SPDX-License-Identifier: MIT */
/*
 * execl: replacing a process image. The program executes itself again and again; what is left to do
 * and when it began travel in its arguments.
 *
 *     execl ITERATIONS
 *     execl ITERATIONS LEFT START_NS      as it calls itself
 */
#include "bench.h"

#include <unistd.h>

#define USAGE "execl ITERATIONS"

int main(int argc, char **argv)
{
    uint32_t iterations = number(argc, argv, 1, USAGE);
    uint32_t left = iterations;
    uint64_t start_ns;

    if (argc == 4) {
        left = number(argc, argv, 2, USAGE) - 1;
        start_ns = strtoull(argv[3], NULL, 10);
    } else {
        start_ns = window_start();
    }
    if (left == 0) {
        report(iterations, "execs", window_end(start_ns));
        return 0;
    }
    char left_text[16], start_text[24];
    snprintf(left_text, sizeof(left_text), "%" PRIu32, left);
    snprintf(start_text, sizeof(start_text), "%" PRIu64, start_ns);
    execl("/proc/self/exe", argv[0], argv[1], left_text, start_text, (char *)NULL);
    fail("execl");
}
