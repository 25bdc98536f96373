/* SPDX-License-Identifier: MIT */
/* The list of all tables of cases. To add a service: declare its table and name it here. */
#include "t.h"

extern const struct t_case args_cases[];
extern const struct t_case flag_cases[];
extern const struct t_case hook_cases[];
extern const struct t_case inversion_cases[];
extern const struct t_case mbox_cases[];
extern const struct t_case mem_cases[];
extern const struct t_case mutex_cases[];
extern const struct t_case port_cases[]; /* of host/ or target/ */
extern const struct t_case queue_cases[];
extern const struct t_case sched_cases[];
extern const struct t_case sem_cases[];
extern const struct t_case stat_cases[];
extern const struct t_case task_cases[];
extern const struct t_case task_state_cases[];
extern const struct t_case time_cases[];

const struct t_case *const t_suites[] = {
    task_cases, task_state_cases, time_cases,  sem_cases,  mutex_cases, inversion_cases, mbox_cases,
    queue_cases, flag_cases,      mem_cases,   sched_cases, hook_cases, stat_cases,      args_cases,
    port_cases, 0,
};
