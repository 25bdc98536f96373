/* SPDX-License-Identifier: MIT */
/* What the rings of an instance hold: counts, and the pages themselves where the host wants them. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

#define PIECE_PAGES 256 /* of a ring, in one member of the archive */

static void stats_path(char *path, size_t size, const char *instance, long cpu)
{
    snprintf(path, size, "%s/per_cpu/cpu%ld/stats", instance, cpu);
}

int save_stats(const char *instance, const char *to)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    int status = 0;

    for (long cpu = 0; !status && cpu < cpus; cpu++) {
        char path[256], stats[256];
        stats_path(path, sizeof(path), instance, cpu);
        snprintf(stats, sizeof(stats), RESULTS "/%s/cpu%ld.stats", to, cpu);
        status = copy_file(path, stats);
    }
    return status;
}

/* The job's memory is mapped as a device's: it takes whole words only. */
int report_rings(const char *instance, struct job_report *report)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);

    if (cpus > (long)JOB_REPORT_CPUS)
        return 0; /* without a report the host takes nothing */
    for (long cpu = 0; cpu < cpus; cpu++) {
        uint32_t words[JOB_STATS_BYTES / 4] = {0};
        char path[256];
        stats_path(path, sizeof(path), instance, cpu);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return failed(errno, "%s", path);
        ssize_t got = read(fd, words, sizeof(words) - 1);
        int error = got < 0 ? errno : 0;
        close(fd);
        if (error)
            return failed(error, "%s", path);
        volatile uint32_t *to = (volatile uint32_t *)report->stats[cpu];
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
            to[i] = words[i];
    }
    *(volatile uint32_t *)&report->cpus = (uint32_t)cpus;
    return 0;
}

/* The head of a ustar member (POSIX.1-2017, pax): octal numbers as text, and a sum of all bytes. */
static int put_head(const char *name, size_t size)
{
    struct {
        char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
        char magic[8], rest[247];
    } head = {.mode = "0000644", .uid = "0000000", .gid = "0000000", .mtime = "00000000000",
              .checksum = "        ", .type = '0', .magic = "ustar"};
    unsigned sum = 0;

    _Static_assert(sizeof(head) == 512, "a block of the archive");
    memcpy(head.magic + 6, "00", 2);
    memset(head.checksum, ' ', sizeof(head.checksum));
    snprintf(head.name, sizeof(head.name), "%s", name);
    snprintf(head.size, sizeof(head.size), "%011zo", size);
    for (size_t i = 0; i < sizeof(head); i++)
        sum += ((unsigned char *)&head)[i];
    snprintf(head.checksum, sizeof(head.checksum), "%06o", sum);
    return write_all(STDOUT_FILENO, (char *)&head, sizeof(head));
}

/*
 * Pages come one by one, oldest first, each filled up to a page with zeros. They go straight into the
 * archive on stdout, in pieces whose size is known when they are written.
 */
static int send_ring(int in, const char *to, long cpu)
{
    static char pieces[PIECE_PAGES * 4096] __attribute__((aligned(4096)));
    char name[100];
    int status = 0;

    for (unsigned piece = 0; !status; piece++) {
        size_t size = 0;
        ssize_t got = 0;
        while (size < sizeof(pieces) && (got = read(in, pieces + size, 4096)) > 0)
            size += (size_t)got;
        if (got < 0 && errno != EAGAIN) /* EAGAIN: the ring is empty */
            return -errno;
        if (!size)
            break;
        snprintf(name, sizeof(name), "%s/cpu%ld.%04u.raw", to, cpu, piece);
        status = put_head(name, size);
        if (!status)
            status = write_all(STDOUT_FILENO, pieces, size);
    }
    return status;
}

int send_rings(const char *instance, const char *to)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    int status = 0;

    for (long cpu = 0; !status && cpu < cpus; cpu++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/per_cpu/cpu%ld/trace_pipe_raw", instance, cpu);
        int in = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (in < 0)
            return failed(errno, "%s", path);
        status = send_ring(in, to, cpu);
        close(in);
        if (status)
            failed(-status, "%s", path);
    }
    return status;
}
