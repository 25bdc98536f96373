/* SPDX-License-Identifier: MIT */
/*
 * An application whose tasks are woken in each way that the kernel has, each known times a round.
 * Every task counts its own wake-ups; after each round, when nothing is left to do, the counters go
 * to the console. A wake-up is a blocking call that comes back, so the counters are the truth that a
 * trace of the kernel is held against.
 */
#include "board.h"
#include "ucos_ii.h"

#include <stddef.h>

#define STK_SIZE 512u

enum prio { TIMEOUT = 4, SEM, MBOX, QUEUE, FLAGS, MUTEX_PIP, MUTEX, SUSPENDED, SLEEPER, CHILD, POSTER = 20 };

static volatile INT32U woken[POSTER + 1];
static const char *const names[POSTER + 1] = {
    [TIMEOUT] = "Timeout", [SEM] = "Sem", [MBOX] = "Mbox", [QUEUE] = "Queue",
    [FLAGS] = "Flags", [MUTEX] = "Mutex", [SUSPENDED] = "Suspended",
    [SLEEPER] = "Sleeper", [CHILD] = "Child", [POSTER] = "Poster",
};
static OS_STK stks[POSTER + 1][STK_SIZE] __attribute__((aligned(8)));
static OS_EVENT *begin, *never, *sem, *mbox, *queue, *go, *mutex;
static OS_FLAG_GRP *flags;
static void *entries[4];
static INT32U sem_posts;

static void woke(INT8U prio)
{
    woken[prio]++;
}

static void timeout_task(void *p_arg)
{
    INT8U err;

    for (;;) {
        OSSemPend(begin, 0u, &err);
        woke(TIMEOUT);
        OSSemPend(never, 1u, &err);
        woke(TIMEOUT);
    }
    (void)p_arg;
}

static void sem_task(void *p_arg)
{
    INT8U err;

    for (;;) {
        OSSemPend(sem, 0u, &err);
        woke(SEM);
    }
    (void)p_arg;
}

static void mbox_task(void *p_arg)
{
    INT8U err;

    for (;;) {
        OSMboxPend(mbox, 0u, &err);
        woke(MBOX);
    }
    (void)p_arg;
}

static void queue_task(void *p_arg)
{
    INT8U err;

    for (;;) {
        OSQPend(queue, 0u, &err);
        woke(QUEUE);
    }
    (void)p_arg;
}

static void flags_task(void *p_arg)
{
    INT8U err;

    for (;;) {
        OSFlagPend(flags, 3u, OS_FLAG_WAIT_SET_ALL | OS_FLAG_CONSUME, 0u, &err);
        woke(FLAGS);
    }
    (void)p_arg;
}

/* Wants the mutex while the poster has it, which is lent its priority meanwhile. */
static void mutex_task(void *p_arg)
{
    INT8U err;

    for (;;) {
        OSSemPend(go, 0u, &err);
        woke(MUTEX);
        OSMutexPend(mutex, 0u, &err);
        woke(MUTEX);
        OSMutexPost(mutex);
    }
    (void)p_arg;
}

static void suspended_task(void *p_arg)
{
    for (;;) {
        OSTaskSuspend(OS_PRIO_SELF);
        woke(SUSPENDED);
    }
    (void)p_arg;
}

static void sleeper_task(void *p_arg)
{
    for (;;) {
        OSTimeDly(1000000u);
        woke(SLEEPER);
    }
    (void)p_arg;
}

static void child_task(void *p_arg)
{
    INT8U err;

    OSTaskNameSet(OS_PRIO_SELF, (INT8U *)names[CHILD], &err);
    woke(CHILD);
    OSTaskDel(OS_PRIO_SELF);
    (void)p_arg;
}

static void create(void (*task)(void *p_arg), INT8U prio)
{
    INT8U err = OSTaskCreateExt(task, NULL, &stks[prio][STK_SIZE - 1u], prio, prio, stks[prio],
                                STK_SIZE, NULL, OS_TASK_OPT_STK_CLR);

    if (err != OS_ERR_NONE) {
        power_off();
    }
    OSTaskNameSet(prio, (INT8U *)names[prio], &err);
}

static void report(void)
{
    struct line line;

    line_begin(&line);
    line_str(&line, "woken");
    for (INT8U prio = 0u; prio <= POSTER; prio++) {
        if (names[prio] != NULL) {
            line_str(&line, " ");
            line_str(&line, names[prio]);
            line_str(&line, "=");
            line_uint(&line, woken[prio]);
        }
    }
    line_str(&line, " sem_posts=");
    line_uint(&line, sem_posts);
    line_end(&line);
}

static void post(OS_EVENT *event)
{
    OSSemPost(event);
    sem_posts++;
}

static void one_round(void)
{
    INT8U err;

    post(begin);
    post(sem);
    post(sem);
    OSMboxPost(mbox, (void *)&woken);
    OSQPost(queue, (void *)&woken);
    OSFlagPost(flags, 1u, OS_FLAG_SET, &err); /* not enough */
    OSFlagPost(flags, 2u, OS_FLAG_SET, &err);
    OSMutexPend(mutex, 0u, &err);
    post(go);
    OSMutexPost(mutex);
    OSTaskResume(SUSPENDED);
    OSTimeDlyResume(SLEEPER);
    create(child_task, CHILD);
    OSTimeDly(3u);
    woke(POSTER);
}

static void poster_task(void *p_arg)
{
    INT8U err;

    tick_start();
    OSStatInit();
    begin = OSSemCreate(0u);
    never = OSSemCreate(0u);
    sem = OSSemCreate(0u);
    OSEventNameSet(sem, (INT8U *)"a semaphore", &err);
    mbox = OSMboxCreate(NULL);
    queue = OSQCreate(entries, 4u);
    flags = OSFlagCreate(0u, &err);
    go = OSSemCreate(0u);
    mutex = OSMutexCreate(MUTEX_PIP, &err);
    create(timeout_task, TIMEOUT);
    create(sem_task, SEM);
    create(mbox_task, MBOX);
    create(queue_task, QUEUE);
    create(flags_task, FLAGS);
    create(mutex_task, MUTEX);
    create(suspended_task, SUSPENDED);
    create(sleeper_task, SLEEPER);
    for (;;) {
        one_round();
        report();
    }
    (void)p_arg;
}

int main(void)
{
    struct line line;

    uart_init();
    gic_init();
    line_begin(&line);
    line_str(&line, "ready");
    line_end(&line);
    OSInit();
    create(poster_task, POSTER);
    OSStart();
    return 0;
}
