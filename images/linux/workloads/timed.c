/* SPDX-License-Identifier: MIT */
/*
 * timed: runs a program some times, one after the other, and measures from the start of the first to
 * the end of the last; for scripts and for programs that do not measure themselves.
 *
 *     timed RUNS COPIES PROGRAM [ARGUMENT ...]
 *
 * COPIES of it run at the same time in each run. Each must end with 0. COUNT is left to the program;
 * printed are RUNS|r|1|runs and TIME|t|1|ns.
 */
#include "bench.h"

#include <sys/wait.h>
#include <unistd.h>

#define USAGE "timed RUNS COPIES PROGRAM [ARGUMENT ...]"

int main(int argc, char **argv)
{
    uint32_t runs = number(argc, argv, 1, USAGE);
    uint32_t copies = number(argc, argv, 2, USAGE);

    if (argc < 4) {
        fprintf(stderr, "usage: " USAGE "\n");
        return 2;
    }
    uint64_t start_ns = window_start();
    for (uint32_t run = 0; run < runs; run++) {
        for (uint32_t copy = 0; copy < copies; copy++) {
            pid_t child = fork();
            if (child < 0)
                fail("fork");
            if (child == 0) {
                execvp(argv[3], &argv[3]);
                fail(argv[3]);
            }
        }
        for (uint32_t copy = 0; copy < copies; copy++) {
            int status;
            if (wait(&status) < 0)
                fail("wait");
            if (status)
                fail_check("the program failed");
        }
    }
    uint64_t elapsed_ns = window_end(start_ns);
    printf("RUNS|%" PRIu32 "|1|runs\nTIME|%" PRIu64 "|1|ns\n", runs, elapsed_ns);
    return 0;
}
