/* SPDX-License-Identifier: MIT */
/*
 * Evidence of how the trace clock and the generic counter belong together.
 *
 * On every CPU some system calls are made that do nothing, the counter read right before and right
 * after. An instance of its own, on the same trace clock, records their entry and exit: the first
 * event's time is shortly after the first reading, the second's shortly before the second. What
 * follows from it is worked out on the host (orchestrator/trace/clock.py).
 */
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace.h"

#define INSTANCE TRACEFS "/instances/orchestrate-clock"
#define SAMPLES 16 /* on each CPU */

/* before and after: CNTVCT. In A32, so that r7 is free for the number of the call. */
void bracketed_getppid(uint64_t *before, uint64_t *after);
__asm__(".pushsection .text\n"
        ".arm\n"
        ".balign 4\n"
        ".global bracketed_getppid\n"
        ".type bracketed_getppid, %function\n"
        "bracketed_getppid:\n"
        "    push {r4, r5, r6, r7, r8, lr}\n"
        "    mov r6, r0\n"
        "    mov r8, r1\n"
        "    mov r7, #64\n" /* __NR_getppid */
        "    isb\n"
        "    mrrc p15, 1, r4, r5, c14\n"
        "    svc #0\n"
        "    isb\n"
        "    mrrc p15, 1, r2, r3, c14\n"
        "    strd r4, r5, [r6]\n"
        "    strd r2, r3, [r8]\n"
        "    pop {r4, r5, r6, r7, r8, pc}\n"
        ".size bracketed_getppid, . - bracketed_getppid\n"
        ".popsection\n");

_Static_assert(SYS_getppid == 64, "the number in bracketed_getppid");

static int prepare(const char *clock)
{
    char pid[16];
    int status;

    if (mkdir(INSTANCE, 0755) && errno != EEXIST)
        return failed(errno, INSTANCE);
    snprintf(pid, sizeof(pid), "%d", getpid());
    (void)((status = put_text(INSTANCE "/trace_clock", clock)) ||
           (status = put_text(INSTANCE "/set_event_pid", pid)) ||
           (status = put_text(INSTANCE "/events/raw_syscalls/filter", "id == 64")) ||
           (status = put_text(INSTANCE "/events/raw_syscalls/enable", "1")));
    return status;
}

static int measure(FILE *out)
{
    cpu_set_t all;
    uint64_t before, after;

    if (sched_getaffinity(0, sizeof(all), &all))
        return failed(errno, "sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof(one), &one))
            return failed(errno, "sched_setaffinity");
        for (int i = 0; i < SAMPLES; i++) {
            bracketed_getppid(&before, &after);
            fprintf(out, "%d %llu %llu\n", cpu, (unsigned long long)before,
                    (unsigned long long)after);
        }
    }
    return sched_setaffinity(0, sizeof(all), &all) ? failed(errno, "sched_setaffinity") : 0;
}

int save_clock_evidence(const char *clock, const char *to)
{
    char path[128];

    int status = prepare(clock);
    if (status)
        return status;
    snprintf(path, sizeof(path), RESULTS "/%s/brackets", to);
    FILE *out = fopen(path, "w");
    if (!out)
        return failed(errno, "%s", path);
    status = measure(out);
    if (fclose(out) && !status)
        status = failed(errno, "%s", path);
    if (!status)
        status = put_text(INSTANCE "/events/raw_syscalls/enable", "0");
    if (!status)
        status = save_stats(INSTANCE, to);
    if (!status)
        status = send_rings(INSTANCE, to);
    rmdir(INSTANCE);
    return status;
}
