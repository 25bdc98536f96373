/* SPDX-License-Identifier: MIT */
/*
 * context1: the cost of a context switch. Two processes pass a counter back and forth through two
 * pipes; each checks that it receives the number it expects. Every pass blocks one process and
 * wakes the other, so one iteration is two switches on a single CPU.
 *
 *     context1 [ITERATIONS]
 *
 * Besides COUNT and TIME (bench.h) prints SWITCH|s|1|ns: the time of one switch, rounded.
 */
#include "bench.h"

#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_ITERATIONS 10000

static void pass(int fd, uint32_t value)
{
    if (write(fd, &value, sizeof(value)) != sizeof(value))
        fail("write");
}

static void expect(int fd, uint32_t value)
{
    uint32_t got;
    if (read(fd, &got, sizeof(got)) != sizeof(got))
        fail("read");
    if (got != value) {
        fprintf(stderr, "context1: got %" PRIu32 " instead of %" PRIu32 "\n", got, value);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    uint32_t iterations =
        argc > 1 ? number(argc, argv, 1, "context1 [ITERATIONS]") : DEFAULT_ITERATIONS;
    int there[2], back[2];

    if (pipe(there) || pipe(back))
        fail("pipe");

    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        /* One more than is measured: the first pass makes both processes present in page tables. */
        for (uint64_t i = 0; i <= iterations; i++) {
            expect(there[0], (uint32_t)i);
            pass(back[1], (uint32_t)i);
        }
        return 0;
    }

    pass(there[1], 0);
    expect(back[0], 0);
    uint64_t start_ns = window_start();
    for (uint64_t i = 1; i <= iterations; i++) {
        pass(there[1], (uint32_t)i);
        expect(back[0], (uint32_t)i);
    }
    uint64_t elapsed_ns = window_end(start_ns);

    int status;
    if (waitpid(child, &status, 0) != child || status)
        fail_check("the other process failed");
    uint64_t switches = 2 * (uint64_t)iterations;
    report(iterations, "iterations", elapsed_ns);
    printf("SWITCH|%" PRIu64 "|1|ns\n", (elapsed_ns + switches / 2) / switches);
    return 0;
}
