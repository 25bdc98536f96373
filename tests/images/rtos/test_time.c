/* SPDX-License-Identifier: MIT */
/* Delays and the tick counter: OSTime*(). */
#include "t.h"

struct sleeper {
    INT32U ticks;
    INT32U woke;
    char tag;
};

struct hmsm {
    INT8U hours;
    INT8U minutes;
    INT8U seconds;
    INT16U ms;
    INT32U ticks; /* at OS_TICKS_PER_SEC */
};

static INT8U isr_err;

static void sleep_once(void *p)
{
    struct sleeper *s = p;

    OSTimeDly(s->ticks);
    s->woke = OSTimeGet();
    t_mark(s->tag);
}

static void mark_arg(void *p)
{
    t_mark(*(char *)p);
}

TEST(time_dly_is_exact)
{
    for (INT32U ticks = 1; ticks <= 20u; ticks++) {
        INT32U start = OSTimeGet();

        OSTimeDly(ticks);
        CHECK_EQ(OSTimeGet() - start, ticks);
    }
}

TEST(time_dly_lets_lower_tasks_run)
{
    char tag = 'l';

    t_task(30, mark_arg, &tag);
    OSTimeDly(0); /* no delay: does not switch */
    t_mark('m');
    OSTimeDly(1);
    CHECK_MARKS("ml");
}

TEST(time_dly_wakes_in_order)
{
    struct sleeper s[4] = {{5, 0, 'a'}, {3, 0, 'b'}, {5, 0, 'c'}, {70000, 0, 'd'}};
    INT32U start = OSTimeGet();

    for (INT8U i = 0; i < 4u; i++) {
        t_task((INT8U)(15u - i), sleep_once, &s[i]);
    }
    OSTimeDly(10);
    CHECK_MARKS("bca"); /* at the same tick the higher priority comes first */
    CHECK_EQ(s[0].woke - start, 5);
    CHECK_EQ(s[1].woke - start, 3);
    CHECK_EQ(s[2].woke - start, 5);
    OSTimeDly(69991);
    CHECK_MARKS("d");
    CHECK_EQ(s[3].woke - start, 70000); /* delays are not limited to 16 bits */
}

static void isr_dly(void)
{
    OSTimeDly(5);
    isr_err = OSTimeDlyHMSM(0, 0, 1, 0);
}

TEST(time_dly_does_nothing_in_an_isr)
{
    INT32U start = OSTimeGet();

    plat_isr(isr_dly);
    CHECK_EQ(isr_err, OS_ERR_TIME_DLY_ISR);
    CHECK_EQ(OSTimeGet(), start);
    CHECK_EQ(OSTCBCur->OSTCBDly, 0);
}

TEST(time_dly_does_nothing_with_the_scheduler_locked)
{
    INT32U start = OSTimeGet();

    OSSchedLock();
    OSTimeDly(5);
    CHECK_EQ(OSTimeDlyHMSM(0, 0, 1, 0), OS_ERR_SCHED_LOCKED);
    OSSchedUnlock();
    CHECK_EQ(OSTimeGet(), start);
}

static void sleep_hmsm(void *p)
{
    const struct hmsm *d = p;

    (void)OSTimeDlyHMSM(d->hours, d->minutes, d->seconds, d->ms);
    t_mark('!');
}

TEST(time_dly_hmsm_converts)
{
    static struct hmsm delays[] = {
        {0, 0, 0, 1, OS_TICKS_PER_SEC / 1000u},
        {0, 0, 0, 999, OS_TICKS_PER_SEC / 1000u * 999u},
        {0, 0, 59, 0, 59u * OS_TICKS_PER_SEC},
        {0, 59, 0, 0, 59u * 60u * OS_TICKS_PER_SEC},
        {2, 30, 15, 250, 9015u * OS_TICKS_PER_SEC + OS_TICKS_PER_SEC / 4u},
        {255, 0, 0, 0, 255u * 3600u * OS_TICKS_PER_SEC},
    };

    for (INT32U i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        OS_TCB copy;

        t_task(10, sleep_hmsm, &delays[i]);
        CHECK_EQ(OSTaskQuery(10, &copy), OS_ERR_NONE);
        CHECK_EQ(copy.OSTCBDly, delays[i].ticks);
        CHECK_EQ(OSTaskDel(10), OS_ERR_NONE);
    }
    CHECK_MARKS("");
}

TEST(time_dly_hmsm_delays)
{
    INT32U start = OSTimeGet();

    CHECK_EQ(OSTimeDlyHMSM(0, 1, 10, 5), OS_ERR_NONE);
    CHECK_EQ(OSTimeGet() - start, 70u * OS_TICKS_PER_SEC + 5u * OS_TICKS_PER_SEC / 1000u);
}

TEST(time_dly_hmsm_errors)
{
    INT32U start = OSTimeGet();

    CHECK_EQ(OSTimeDlyHMSM(0, 0, 0, 0), OS_ERR_TIME_ZERO_DLY);
    CHECK_EQ(OSTimeDlyHMSM(0, 60, 0, 0), OS_ERR_TIME_INVALID_MINUTES);
    CHECK_EQ(OSTimeDlyHMSM(0, 0, 60, 0), OS_ERR_TIME_INVALID_SECONDS);
    CHECK_EQ(OSTimeDlyHMSM(0, 0, 0, 1000), OS_ERR_TIME_INVALID_MS);
    CHECK_EQ(OSTimeGet(), start);
}

TEST(time_dly_resume)
{
    struct sleeper s = {500, 0, 's'};
    INT32U start = OSTimeGet();

    t_task(10, sleep_once, &s);
    OSTimeDly(2);
    CHECK_EQ(OSTimeDlyResume(10), OS_ERR_NONE);
    t_mark('m');
    CHECK_MARKS("sm");
    CHECK_EQ(s.woke - start, 2);
    OSTimeDly(600);
    CHECK_MARKS("");
}

struct pender {
    OS_EVENT *sem;
    INT8U err;
};

static void pend_100(void *p)
{
    struct pender *w = p;

    OSSemPend(w->sem, 100, &w->err);
    t_mark('p');
}

TEST(time_dly_resume_looks_like_a_timeout)
{
    struct pender w = {OSSemCreate(0), 255};

    t_task(10, pend_100, &w);
    CHECK_EQ(OSTimeDlyResume(10), OS_ERR_NONE);
    CHECK_MARKS("p");
    CHECK_EQ(w.err, OS_ERR_TIMEOUT);
    CHECK_EQ(OSSemPost(w.sem), OS_ERR_NONE);
    CHECK_EQ(OSSemAccept(w.sem), 1);
}

TEST(time_dly_resume_leaves_a_suspension)
{
    struct sleeper s = {500, 0, 's'};

    t_task(10, sleep_once, &s);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_NONE);
    (void)OSTimeDlyResume(10);
    CHECK_MARKS("");
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE);
    CHECK_MARKS("s"); /* the delay is over and so is the suspension */
}

TEST(time_dly_resume_errors)
{
    INT8U err;
    char tag = 'l';

    CHECK_EQ(OSTimeDlyResume(OS_LOWEST_PRIO), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTimeDlyResume(33), OS_ERR_TASK_NOT_EXIST);
    t_task(30, mark_arg, &tag);
    CHECK_EQ(OSTimeDlyResume(30), OS_ERR_TIME_NOT_DLY);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTimeDlyResume(8), OS_ERR_TASK_NOT_EXIST);
}

TEST(time_set_and_get)
{
    OSTimeSet(1000);
    CHECK_EQ(OSTimeGet(), 1000);
    OSTimeDly(3);
    CHECK_EQ(OSTimeGet(), 1003);
}

TEST(time_wraps)
{
    OSTimeSet(0xfffffffeu);
    OSTimeDly(5);
    CHECK_EQ(OSTimeGet(), 3);
}

TEST(time_goes_on_while_a_task_computes)
{
    INT32U start = OSTimeGet();

    plat_burn(5);
    CHECK_EQ(OSTimeGet() - start, 5);
}

TEST(time_tick_preempts)
{
    struct sleeper s = {3, 0, 's'};
    INT32U start = OSTimeGet();

    t_task(10, sleep_once, &s);
    plat_burn(6);
    t_mark('m');
    CHECK_MARKS("sm");
    CHECK_EQ(s.woke - start, 3);
}

const struct t_case time_cases[] = {
    CASE(time_dly_is_exact),
    CASE(time_dly_lets_lower_tasks_run),
    CASE(time_dly_wakes_in_order),
    CASE(time_dly_does_nothing_in_an_isr),
    CASE(time_dly_does_nothing_with_the_scheduler_locked),
    CASE(time_dly_hmsm_converts),
    CASE(time_dly_hmsm_delays),
    CASE(time_dly_hmsm_errors),
    CASE(time_dly_resume),
    CASE(time_dly_resume_looks_like_a_timeout),
    CASE(time_dly_resume_leaves_a_suspension),
    CASE(time_dly_resume_errors),
    CASE(time_set_and_get),
    CASE(time_wraps),
    CASE(time_goes_on_while_a_task_computes),
    CASE(time_tick_preempts),
    CASES_END,
};
