/* SPDX-License-Identifier: MIT */
/*
 * The default workload: four periodic tasks, each of which does exactly twice the work of the one
 * before, and a task of lower priority that reports once a second. The work is a loop of a fixed
 * number of instructions; it reads no clock.
 */
#include "board.h"
#include "cp15.h"
#include "ucos_ii.h"

#include <stddef.h>

#define WORKERS 4u
#define WORKER_PRIO 5u /* of RTOS-Task1; the others follow */
#define REPORT_PRIO 20u
#define STK_SIZE 512u

#define PERIOD_TICKS (OS_TICKS_PER_SEC / 10u)

/*
 * Two instructions a turn: 500,000 instructions for RTOS-Task1, 7.5 million a period for all four,
 * 7.5 % of a core that needs 1 ns for an instruction.
 */
#define WORK_TURNS 250000u

struct worker {
    const char *name;
    INT32U turns;
    volatile INT32U runs;
    OS_STK stk[STK_SIZE] __attribute__((aligned(8)));
};

static struct worker workers[WORKERS] = {
    {.name = "RTOS-Task1", .turns = WORK_TURNS},
    {.name = "RTOS-Task2", .turns = 2u * WORK_TURNS},
    {.name = "RTOS-Task3", .turns = 4u * WORK_TURNS},
    {.name = "RTOS-Task4", .turns = 8u * WORK_TURNS},
};

static OS_STK report_stk[STK_SIZE] __attribute__((aligned(8)));
static OS_FLAG_GRP *ran_once; /* bit i: worker i has done its work once */
static INT32U first_release;

static void work(INT32U turns)
{
    __asm__ volatile("1: subs %0, %0, #1\n\tbne 1b" : "+r"(turns) : : "cc");
}

/* Waits for a tick; not at all when it has passed. */
static void sleep_until(INT32U tick)
{
    INT32S ticks = (INT32S)(tick - OSTimeGet());

    if (ticks > 0) {
        OSTimeDly((INT32U)ticks);
    }
}

static void worker_task(void *p_arg)
{
    struct worker *self = p_arg;
    INT32U release = first_release;
    INT8U err;

    for (;;) {
        sleep_until(release);
        work(self->turns);
        self->runs++;
        if (self->runs == 1u) {
            OSFlagPost(ran_once, (OS_FLAGS)(1u << (self - workers)), OS_FLAG_SET, &err);
        }
        release += PERIOD_TICKS;
    }
}

static void report_runs(void)
{
    struct line line;

    line_begin(&line);
    line_str(&line, "runs");
    for (INT32U i = 0u; i < WORKERS; i++) {
        line_str(&line, " ");
        line_str(&line, workers[i].name);
        line_str(&line, "=");
        line_uint(&line, workers[i].runs);
    }
    line_str(&line, " cpu=");
    line_uint(&line, OSCPUUsage);
    line_str(&line, "%");
    line_end(&line);
}

static uint64_t to_ns(uint64_t counter_ticks)
{
    INT32U unused;

    return div_u64(counter_ticks * 1000000000ull, CNTFRQ_read(), &unused);
}

/* hist= lists the buckets that are not empty: "<ns:count", late by less than ns. */
static void report_jitter(void)
{
    struct tick_jitter jitter;
    struct line line;
    INT32U unused;
    const char *separator = " hist=<";

    tick_jitter_take(&jitter);
    line_begin(&line);
    line_str(&line, "tick jitter ns min=");
    line_uint(&line, to_ns(jitter.min));
    line_str(&line, " max=");
    line_uint(&line, to_ns(jitter.max));
    line_str(&line, " mean=");
    line_uint(&line, jitter.n == 0u ? 0u : div_u64(to_ns(jitter.sum), jitter.n, &unused));
    line_str(&line, " n=");
    line_uint(&line, jitter.n);
    for (INT32U i = 0u; i < TICK_BUCKETS; i++) {
        if (jitter.bucket[i] != 0u) {
            line_str(&line, separator);
            line_uint(&line, to_ns(1ull << i));
            line_str(&line, ":");
            line_uint(&line, jitter.bucket[i]);
            separator = ",<";
        }
    }
    line_end(&line);
}

static void report_task(void *p_arg)
{
    INT32U next;
    INT8U err;
    struct line line;

    (void)p_arg;
    OSFlagPend(ran_once, (1u << WORKERS) - 1u, OS_FLAG_WAIT_SET_ALL, 0u, &err);
    line_begin(&line);
    line_str(&line, "ready");
    line_end(&line);
    next = OSTimeGet();
    for (;;) {
        next += OS_TICKS_PER_SEC;
        sleep_until(next);
        report_runs();
        report_jitter();
    }
}

static void create(void (*task)(void *p_arg), void *p_arg, OS_STK *stk, INT8U prio,
                   const char *name)
{
    INT8U err = OSTaskCreateExt(task, p_arg, &stk[STK_SIZE - 1u], prio, prio, stk, STK_SIZE, NULL,
                                OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR);

    if (err == OS_ERR_NONE) {
        OSTaskNameSet(prio, (INT8U *)name, &err);
    }
    if (err != OS_ERR_NONE) {
        struct line line;

        line_begin(&line);
        line_str(&line, "fault: cannot create task ");
        line_str(&line, name);
        line_str(&line, ", error ");
        line_uint(&line, err);
        line_end(&line);
        power_off();
    }
}

/* Runs first and alone: it starts the tick, measures the idle rate, and makes way. */
static void start_task(void *p_arg)
{
    (void)p_arg;
    tick_start();
    OSStatInit();
    first_release = OSTimeGet() + 1u;
    for (INT32U i = 0u; i < WORKERS; i++) {
        create(worker_task, &workers[i], workers[i].stk, (INT8U)(WORKER_PRIO + i),
               workers[i].name);
    }
    create(report_task, NULL, report_stk, REPORT_PRIO, "Report");
    OSTaskDel(OS_PRIO_SELF);
}

int main(void)
{
    static OS_STK start_stk[STK_SIZE] __attribute__((aligned(8)));
    struct line line;
    INT8U err;

    uart_init();
    gic_init();
    line_begin(&line);
    line_str(&line, "kernel with the uC/OS-II API, tick ");
    line_uint(&line, OS_TICKS_PER_SEC);
    line_str(&line, " Hz, counter ");
    line_uint(&line, CNTFRQ_read());
    line_str(&line, " Hz");
    line_end(&line);
    OSInit();
    ran_once = OSFlagCreate(0u, &err);
    create(start_task, NULL, start_stk, 1u, "Start");
    OSStart();
    return 0;
}
