/* SPDX-License-Identifier: MIT */
/*
 * Evidence of how the trace clock and the generic counter belong together.
 *
 * On every CPU some system calls are made that do nothing, the counter read right before and right
 * after. Their entry and exit are recorded: the first event's time is shortly after the first reading,
 * the second's shortly before the second. What follows from it is worked out on the host
 * (orchestrator/trace/clock.py), which also leaves out what else is recorded meanwhile.
 *
 * The ring is that of the job's trace, emptied: an instance of its own would take the kernel more time
 * than all else that is done here. So this comes last.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace.h"

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

static int put(const char *instance, const char *file, const char *value)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", instance, file);
    return put_text(path, value);
}

static int empty_ring(const char *instance)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/trace", instance);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    return fd < 0 || close(fd) ? failed(errno, "%s", path) : 0;
}

static int prepare(const char *instance)
{
    char pid[16];
    int status;

    snprintf(pid, sizeof(pid), "%d", getpid());
    (void)((status = put(instance, "current_tracer", "nop")) ||
           (status = empty_ring(instance)) ||
           (status = put(instance, "set_event_pid", pid)) ||
           (status = put(instance, "events/raw_syscalls/sys_enter/filter", "0")) ||
           (status = put(instance, "events/raw_syscalls/sys_exit/filter", "0")) ||
           (status = put(instance, "events/raw_syscalls/enable", "1")) ||
           (status = put(instance, "tracing_on", "1")));
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

int save_clock_evidence(const char *instance, const char *to)
{
    char path[128];

    int status = prepare(instance);
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
        status = put(instance, "tracing_on", "0");
    if (!status)
        status = save_stats(instance, to);
    return status ? status : send_rings(instance, to);
}
