/* SPDX-License-Identifier: MIT */
/*
 * Linux's own tracing, for one job: `trace start` before it, `trace stop` and `trace save` after it.
 *
 * /etc/trace says what to do, a line each; the orchestrator wrote it (orchestrator/guest/ftrace.py):
 *     instance NAME        use this instance of the ring buffer, not the first one
 *     set PATH VALUE       start: write VALUE to the file PATH of the instance
 *     keep PATH            save: the event formats below the directory PATH of tracefs
 *
 * The formats of what is enabled when the job has ended are saved, too: it may have enabled that itself.
 *
 * `stop` ends tracing, so that nothing of what follows is traced, and reports how much the rings hold
 * (images/abi/job.h). What `save` saves is in /results/trace, except pages: those that the host has not
 * taken out of memory meanwhile go to stdout as members of a tar archive, to which init adds the
 * results. The host decodes it (orchestrator/trace/linux.py). Nothing is interpreted here.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace.h"

#define CONFIG_PATH "/etc/trace"
#define FOLDER "trace"
#define SAVED RESULTS "/" FOLDER
#define TASKS "/run/trace.tasks"
#define MAX_LINE 4096
#define OPEN_DIRECTORIES 16

static char instance[256] = TRACEFS;

/* Calls `act` for each line; its arguments are the line's first word and the rest. */
static int each_line(int (*act)(const char *word, char *rest))
{
    char line[MAX_LINE];
    int status = 0;

    FILE *config = fopen(CONFIG_PATH, "r");
    if (!config)
        return failed(errno, CONFIG_PATH);
    while (!status && fgets(line, sizeof(line), config)) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = strchr(line, ' ');
        if (rest)
            *rest++ = '\0';
        status = rest ? act(line, rest) : failed(EINVAL, CONFIG_PATH ": %s", line);
    }
    fclose(config);
    return status;
}

static int find_instance(const char *word, char *name)
{
    if (!strcmp(word, "instance"))
        snprintf(instance, sizeof(instance), TRACEFS "/instances/%s", name);
    return 0;
}

static int set(const char *word, char *rest)
{
    char path[512];

    if (strcmp(word, "set"))
        return 0;
    char *value = strchr(rest, ' ');
    if (!value)
        return failed(EINVAL, CONFIG_PATH ": %s", rest);
    *value++ = '\0';
    snprintf(path, sizeof(path), "%s/%s", instance, rest);
    return put_text(path, value);
}

static int start(void)
{
    if (mount("tracefs", TRACEFS, "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) &&
        errno != EBUSY)
        return failed(errno, TRACEFS);
    int status = each_line(find_instance);
    if (status)
        return status;
    if (strcmp(instance, TRACEFS) && mkdir(instance, 0755) && errno != EEXIST)
        return failed(errno, "%s", instance);
    status = save_tasks(TASKS);
    return status ? status : each_line(set);
}

static int save_format(const char *system, const char *event)
{
    char from[600], to[600];

    snprintf(from, sizeof(from), TRACEFS "/events/%s/%s/format", system, event);
    snprintf(to, sizeof(to), SAVED "/formats/%s.%s", system, event);
    return access(to, F_OK) ? copy_file(from, to) : 0;
}

/* Of events/SYSTEM/EVENT/format. */
static int save_found(const char *path, const struct stat *status, int type, struct FTW *place)
{
    char text[512];

    (void)status;
    if (type != FTW_F || strcmp(path + place->base, "format"))
        return 0;
    snprintf(text, sizeof(text), "%s", path + strlen(TRACEFS "/events/"));
    char *event = strchr(text, '/');
    char *event_end = event ? strchr(event + 1, '/') : NULL;
    if (!event_end)
        return 0;
    *event++ = '\0';
    *event_end = '\0';
    return save_format(text, event);
}

static int keep(const char *word, char *rest)
{
    char path[512];

    if (strcmp(word, "keep"))
        return 0;
    snprintf(path, sizeof(path), TRACEFS "/%s", rest);
    if (nftw(path, save_found, OPEN_DIRECTORIES, FTW_PHYS))
        return failed(errno ? errno : EIO, "%s", path);
    return 0;
}

/* The kernel lists what the instance records as SYSTEM:EVENT, a line each. */
static int keep_enabled(void)
{
    char path[512], line[256];
    int status = 0;

    snprintf(path, sizeof(path), "%s/set_event", instance);
    FILE *events = fopen(path, "r");
    if (!events)
        return failed(errno, "%s", path);
    while (!status && fgets(line, sizeof(line), events)) {
        line[strcspn(line, "\n")] = '\0';
        char *event = strchr(line, ':');
        if (!event)
            continue;
        *event++ = '\0';
        status = save_format(line, event);
    }
    fclose(events);
    return status;
}

static int stop(void)
{
    char path[512];
    struct job_area *area;

    int status = each_line(find_instance);
    if (status)
        return status;
    snprintf(path, sizeof(path), "%s/tracing_on", instance);
    if ((status = put_text(path, "0")))
        return status;
    status = map_job(&area);
    return status ? failed(-status, "the job's memory") : report_rings(instance, &area->report);
}

static int save(void)
{
    static const char *const files[][2] = {
        {TRACEFS "/events/header_page", SAVED "/header_page"},
        {TRACEFS "/events/header_event", SAVED "/header_event"},
        {TRACEFS "/printk_formats", SAVED "/printk_formats"},
        {TRACEFS "/saved_cmdlines", SAVED "/saved_cmdlines"},
        {"/proc/version", SAVED "/version"},
        {TASKS, SAVED "/tasks"},
    };
    char path[512];
    struct job_area *area;

    int status = each_line(find_instance);
    if (status)
        return status;
    if ((status = map_job(&area)))
        return failed(-status, "the job's memory");
    if (mkdir(SAVED, 0755) || mkdir(SAVED "/formats", 0755) || mkdir(SAVED "/clock", 0755))
        return failed(errno, SAVED);
    for (size_t i = 0; !status && i < sizeof(files) / sizeof(files[0]); i++)
        status = copy_file(files[i][0], files[i][1]);
    if (status || (status = save_symbols(FOLDER)) || (status = each_line(keep)) ||
        (status = keep_enabled()) || (status = save_stats(instance, FOLDER)) ||
        (!area->report.taken && (status = send_rings(instance, FOLDER))))
        return status;
    snprintf(path, sizeof(path), "%s/trace_clock", instance);
    if ((status = copy_file(path, SAVED "/trace_clock")))
        return status;
    return save_clock_evidence(instance, FOLDER "/clock");
}

int main(int argc, char *argv[])
{
    int status = -EINVAL;

    if (argc == 2 && !strcmp(argv[1], "start"))
        status = start();
    else if (argc == 2 && !strcmp(argv[1], "stop"))
        status = stop();
    else if (argc == 2 && !strcmp(argv[1], "save"))
        status = save();
    else
        fputs("usage: trace start|stop|save\n", stderr);
    return status ? EXIT_FAILURE : EXIT_SUCCESS;
}
