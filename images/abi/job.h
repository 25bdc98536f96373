/* SPDX-License-Identifier: MIT */
/*
 * The memory through which the host gives a Linux guest its job, and in which both tell each other
 * how the trace's pages are handed over.
 *
 * It is reserved memory at the end of the VM's RAM, at the node that the device tree's alias `job`
 * names. The command is there at power-on (or when a saved start is loaded) and does not change. The
 * report is zero then. When the job has ended, the guest's agent turns tracing off, fills in the
 * report, `cpus` last, and init calls sync(): there the host may take the pages of the rings out of
 * memory, which it says by `taken`. Else the agent hands them over itself.
 *
 * All words are little-endian. A test compiles this header and holds the Python mirror against it
 * (orchestrator/images/job.py).
 */
#ifndef ABI_JOB_H
#define ABI_JOB_H

#include <stddef.h>
#include <stdint.h>

#define JOB_BYTES 0x10000u
#define JOB_COMMAND_BYTES 0xeffcu
#define JOB_REPORT_CPUS 8u
#define JOB_STATS_BYTES 504u

struct job_report {
    uint32_t taken; /* host: 1: it has all pages */
    uint32_t cpus;  /* guest: elements of stats[] that it has filled in */
    char stats[JOB_REPORT_CPUS][JOB_STATS_BYTES]; /* guest: tracefs's per_cpu/cpuN/stats, as text */
    uint8_t reserved[56];
};

struct job_area {
    uint32_t length;                 /* of the command; 0: there is no job */
    char command[JOB_COMMAND_BYTES]; /* its words, each ended by a NUL */
    struct job_report report;
};

_Static_assert(offsetof(struct job_area, report) == 0xf000, "the report is the last page");
_Static_assert(offsetof(struct job_report, stats) == 8, "stats follow the two words");
_Static_assert(sizeof(struct job_area) == JOB_BYTES, "the area has one size");

#endif
