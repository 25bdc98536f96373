/* SPDX-License-Identifier: MIT */
/*
 * What all workloads share: the argument that says how much work, the window that is measured, and
 * the lines that report it.
 *
 *     COUNT|x|1|UNIT     x operations were done; the form of UnixBench
 *     TIME|t|1|ns        CLOCK_MONOTONIC from the window's start to its end
 *
 * Work is a number of operations and not a time: in the deterministic clock time is instructions,
 * so only the same work can be compared. At both ends of the window the process asks the kernel for
 * its personality, which changes nothing and which nothing else in the guest asks for: the host can
 * stop the machine in exactly these calls (orchestrator/bench/run.py) and read its own counters.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void mark(void)
{
    personality(0xffffffff);
}

static inline uint64_t window_start(void)
{
    mark();
    return now_ns();
}

static inline uint64_t window_end(uint64_t start_ns)
{
    uint64_t elapsed_ns = now_ns() - start_ns;
    mark();
    return elapsed_ns;
}

static inline void fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

/* A wrong result, which no error number explains. */
static inline void fail_check(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

/* The argument at `index`, from 1 to UINT32_MAX; ends the program with `usage` if it is no such. */
static inline uint32_t number(int argc, char **argv, int index, const char *usage)
{
    char *end = NULL;
    unsigned long long value = 0;

    errno = 0;
    if (index < argc)
        value = strtoull(argv[index], &end, 10);
    if (!end || *end || end == argv[index] || errno || value == 0 || value > UINT32_MAX) {
        fprintf(stderr, "usage: %s\n", usage);
        exit(2);
    }
    return (uint32_t)value;
}

static inline void report(uint64_t count, const char *unit, uint64_t elapsed_ns)
{
    printf("COUNT|%" PRIu64 "|1|%s\nTIME|%" PRIu64 "|1|ns\n", count, unit, elapsed_ns);
}

#endif
