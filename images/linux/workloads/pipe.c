/* SPDX-License-Identifier: MIT */
/*
 * pipe: pipe throughput without a context switch. One process writes 512 bytes into a pipe and
 * reads them back.
 *
 *     pipe ITERATIONS
 */
#include "bench.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    uint32_t iterations = number(argc, argv, 1, "pipe ITERATIONS");
    char buffer[512] = {0};
    int ends[2];

    if (pipe(ends))
        fail("pipe");
    uint64_t start_ns = window_start();
    for (uint32_t i = 0; i < iterations; i++) {
        if (write(ends[1], buffer, sizeof(buffer)) != sizeof(buffer))
            fail("write");
        if (read(ends[0], buffer, sizeof(buffer)) != sizeof(buffer))
            fail("read");
    }
    report(iterations, "loops", window_end(start_ns));
    return 0;
}
