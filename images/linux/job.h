/* SPDX-License-Identifier: MIT */
#ifndef LINUX_JOB_H
#define LINUX_JOB_H

#include "../abi/job.h"

/* Maps the job's memory. Returns 0; -ENOENT: there is none; or another -errno. */
int map_job(struct job_area **area);

#endif
