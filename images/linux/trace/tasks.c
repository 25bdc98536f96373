/* SPDX-License-Identifier: MIT */
/*
 * Which process each thread belongs to, and whose child that is: of all threads that there are before
 * recording begins. Later ones the host sees being made (orchestrator/tracing.py).
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

#define PROC "/proc"

/* The next entry of a directory that is a number; 0: there is none. */
static int next_number(DIR *directory)
{
    struct dirent *entry;

    while ((entry = readdir(directory))) {
        if (isdigit((unsigned char)entry->d_name[0]))
            return atoi(entry->d_name);
    }
    return 0;
}

/* The process whose child it is, 0 of those that have none; -1: it has ended meanwhile. */
static int parent_of(int process)
{
    char path[64], line[512];
    int parent = -1;

    snprintf(path, sizeof(path), PROC "/%d/stat", process);
    FILE *stat = fopen(path, "r");
    if (!stat)
        return -1;
    /* "1 (a name) S 0": the name may hold anything. */
    char *name_end = fgets(line, sizeof(line), stat) ? strrchr(line, ')') : NULL;
    if (!name_end || sscanf(name_end, ") %*c %d", &parent) != 1)
        parent = -1;
    fclose(stat);
    return parent;
}

static void save_threads(int process, FILE *out)
{
    char path[64];
    int thread, parent = parent_of(process);

    snprintf(path, sizeof(path), PROC "/%d/task", process);
    DIR *threads = parent < 0 ? NULL : opendir(path);
    if (!threads)
        return;
    while ((thread = next_number(threads)))
        fprintf(out, "%d %d %d\n", thread, process, parent);
    closedir(threads);
}

int save_tasks(const char *to)
{
    int process;

    DIR *processes = opendir(PROC);
    if (!processes)
        return failed(errno, PROC);
    FILE *out = fopen(to, "w");
    if (!out) {
        int error = errno;
        closedir(processes);
        return failed(error, "%s", to);
    }
    while ((process = next_number(processes)))
        save_threads(process, out);
    closedir(processes);
    int written = ferror(out);
    return fclose(out) || written ? failed(errno, "%s", to) : 0;
}
