/* SPDX-License-Identifier: MIT */
/* Reading and writing tracefs, whose files are not like others: each read() is an answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

#define COPY_BYTES 65536
#define PIECE_PAGES 256 /* of a ring, in one member of the archive */

int failed(int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("orchestrate: error: trace: ", stderr);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    va_end(arguments);
    return -error;
}

/* One write(): the kernel takes each write as a whole value. */
int put_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return failed(errno, "%s", path);

    ssize_t put = write(fd, text, strlen(text));
    int error = put < 0 ? errno : 0;
    close(fd);
    return error ? failed(error, "%s: \"%s\" is refused", path, text) : 0;
}

static int write_all(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t put = write(fd, data, length);
        if (put < 0)
            return -errno;
        data += put;
        length -= (size_t)put;
    }
    return 0;
}

static int copy(int in, int out)
{
    static char buffer[COPY_BYTES];
    ssize_t got;

    while ((got = read(in, buffer, sizeof(buffer))) > 0) {
        int status = write_all(out, buffer, (size_t)got);
        if (status)
            return status;
    }
    return got < 0 ? -errno : 0;
}

int copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return failed(errno, "%s", from);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out < 0) {
        int error = errno;
        close(in);
        return failed(error, "%s", to);
    }
    int status = copy(in, out);
    close(in);
    close(out);
    return status ? failed(-status, "%s", from) : 0;
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

int save_rings(const char *instance, const char *to)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);

    for (long cpu = 0; cpu < cpus; cpu++) {
        char path[256], stats[256];
        snprintf(path, sizeof(path), "%s/per_cpu/cpu%ld/stats", instance, cpu);
        snprintf(stats, sizeof(stats), RESULTS "/%s/cpu%ld.stats", to, cpu);
        int status = copy_file(path, stats);
        if (status)
            return status;
        snprintf(path, sizeof(path), "%s/per_cpu/cpu%ld/trace_pipe_raw", instance, cpu);
        int in = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (in < 0)
            return failed(errno, "%s", path);
        status = send_ring(in, to, cpu);
        close(in);
        if (status)
            return failed(-status, "%s", path);
    }
    return 0;
}
