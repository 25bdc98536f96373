/* SPDX-License-Identifier: MIT */
/*
 * context1: the cost of a context switch. Two processes pass a counter back and forth through two
 * pipes; each checks that it receives the number it expects. Every pass blocks one process and
 * wakes the other, so one iteration is two switches on a single CPU.
 *
 *     context1 [ITERATIONS]
 *
 * Prints, for people and programs alike:
 *     COUNT|n|1|iterations        iterations done
 *     TIME|t|1|ns                 CLOCK_MONOTONIC from the first to the last pass
 *     SWITCH|s|1|ns               t / (2 n), rounded
 */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_ITERATIONS 10000

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "context1: %s: %s\n", what, strerror(errno));
    exit(1);
}

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
    char *end = NULL;
    unsigned long iterations = argc > 1 ? strtoul(argv[1], &end, 10) : DEFAULT_ITERATIONS;
    int there[2], back[2];

    if (argc > 2 || (end && *end) || iterations == 0 || iterations > UINT32_MAX) {
        fprintf(stderr, "usage: context1 [ITERATIONS]\n");
        return 2;
    }
    if (pipe(there) || pipe(back))
        fail("pipe");

    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        for (uint32_t i = 0; i < iterations; i++) {
            expect(there[0], i);
            pass(back[1], i);
        }
        return 0;
    }

    /* The first pass makes both processes present in caches and page tables. */
    uint64_t start_ns = 0;
    for (uint32_t i = 0; i < iterations; i++) {
        if (i == 1)
            start_ns = now_ns();
        pass(there[1], i);
        expect(back[0], i);
    }
    uint64_t elapsed_ns = now_ns() - start_ns;

    int status;
    if (waitpid(child, &status, 0) != child || status) {
        fprintf(stderr, "context1: the other process failed\n");
        return 1;
    }
    printf("COUNT|%lu|1|iterations\n", iterations);
    if (iterations > 1) {
        uint64_t switches = 2 * ((uint64_t)iterations - 1);
        printf("TIME|%" PRIu64 "|1|ns\n", elapsed_ns);
        printf("SWITCH|%" PRIu64 "|1|ns\n", (elapsed_ns + switches / 2) / switches);
    }
    return 0;
}
