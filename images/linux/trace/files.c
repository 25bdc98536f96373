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

/*
 * What the kernel has said last of a value for one of an instance's events, as "what: error: why"; it
 * keeps that in the instance's error_log. Else "".
 */
static void kernels_reason(const char *path, char *reason, size_t size)
{
    char line[256];
    const char *events = strstr(path, "/events/");

    reason[0] = '\0';
    if (!events)
        return;
    snprintf(line, sizeof(line), "%.*s/error_log", (int)(events - path), path);
    FILE *log = fopen(line, "r");
    if (!log)
        return;
    while (fgets(line, sizeof(line), log)) {
        line[strcspn(line, "\n")] = '\0';
        char *said = strstr(line, "] "); /* behind the time; other lines repeat the value */
        if (line[0] == '[' && said)
            snprintf(reason, size, " (%s)", said + 2);
    }
    fclose(log);
}

/* One write(): the kernel takes each write as a whole value. */
int put_text(const char *path, const char *text)
{
    char reason[300];

    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return failed(errno, "%s", path);

    ssize_t put = write(fd, text, strlen(text));
    int error = put < 0 ? errno : 0;
    close(fd);
    if (!error)
        return 0;
    kernels_reason(path, reason, sizeof(reason));
    return failed(error, "%s: \"%s\" is refused%s", path, text, reason);
}

int write_all(int fd, const char *data, size_t length)
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
