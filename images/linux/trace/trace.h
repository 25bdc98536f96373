/* SPDX-License-Identifier: MIT */
#ifndef TRACE_H
#define TRACE_H

#define TRACEFS "/sys/kernel/tracing"
#define RESULTS "/results"

#include <stddef.h>

/* All return 0 or -errno; what failed has been said on stderr. */
int put_text(const char *path, const char *text);
int copy_file(const char *from, const char *to);

/* `to` is a directory of the results; pages go to stdout, as members of a tar archive. */
int save_rings(const char *instance, const char *to);

/*
 * Leaves in the directory `to` of the results what ties the trace clock to the generic counter: see clock.c.
 */
int save_clock_evidence(const char *clock, const char *to);

__attribute__((format(printf, 2, 3))) int failed(int error, const char *format, ...);

#endif
