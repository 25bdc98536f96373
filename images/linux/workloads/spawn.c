/* SPDX-License-Identifier: MIT */
/*
 * spawn: process creation. A child is forked, ends at once, and is waited for.
 *
 *     spawn ITERATIONS
 */
#include "bench.h"

#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    uint32_t iterations = number(argc, argv, 1, "spawn ITERATIONS");

    uint64_t start_ns = window_start();
    for (uint32_t i = 0; i < iterations; i++) {
        pid_t child = fork();
        int status;

        if (child < 0)
            fail("fork");
        if (child == 0)
            _exit(0);
        if (waitpid(child, &status, 0) != child || status)
            fail_check("the child failed");
    }
    report(iterations, "processes", window_end(start_ns));
    return 0;
}
