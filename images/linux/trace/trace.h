/* SPDX-License-Identifier: MIT */
#ifndef TRACE_H
#define TRACE_H

#define TRACEFS "/sys/kernel/tracing"
#define RESULTS "/results"

#include <stddef.h>

#include "../job.h"

/* All return 0 or -errno; what failed has been said on stderr. */
int put_text(const char *path, const char *text);
int copy_file(const char *from, const char *to);
int write_all(int fd, const char *data, size_t length);

/* Counts of each CPU's ring, into the directory `to` of the results, or into the job's memory. */
int save_stats(const char *instance, const char *to);
int report_rings(const char *instance, struct job_report *report);

/* Pages go to stdout, as members of a tar archive; `to` is as above. */
int send_rings(const char *instance, const char *to);

/* A line a thread, into the file `to`: its number, its process's, and that of the parent of that. */
int save_tasks(const char *to);

/* `to` is a directory of the results. */
int save_symbols(const char *to);

/*
 * Leaves in the directory `to` of the results what ties the trace clock to the generic counter. What
 * the instance has recorded is lost.
 */
int save_clock_evidence(const char *instance, const char *to);

__attribute__((format(printf, 2, 3))) int failed(int error, const char *format, ...);

#endif
