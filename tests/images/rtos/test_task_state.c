/* SPDX-License-Identifier: MIT */
/* Suspension and priority changes of tasks. */
#include "t.h"

struct pender {
    OS_EVENT *event;
    INT32U timeout;
    INT8U err;
    char tag;
};

static INT8U isr_err;

static void mark_arg(void *p)
{
    t_mark(*(char *)p);
}

static void suspend_self(void *p)
{
    t_mark('a');
    CHECK_EQ(OSTaskSuspend(OS_PRIO_SELF), OS_ERR_NONE);
    t_mark(*(char *)p);
}

static void sleep_five(void *p)
{
    (void)p;
    OSTimeDly(5);
    t_mark('w');
}

static void pend_sem(void *p)
{
    struct pender *w = p;

    OSSemPend(w->event, w->timeout, &w->err);
    t_mark(w->tag);
}

TEST(task_suspend_self)
{
    char tag = 'b';

    t_task(10, suspend_self, &tag);
    t_mark('m');
    OSTimeDly(3);
    CHECK_MARKS("am");
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE);
    t_mark('n');
    CHECK_MARKS("bn");
}

static void isr_resume(void)
{
    isr_err = OSTaskResume(10);
}

TEST(task_resume_from_isr)
{
    char tag = 'b';

    t_task(10, suspend_self, &tag);
    plat_isr(isr_resume);
    t_mark('m');
    CHECK_EQ(isr_err, OS_ERR_NONE);
    CHECK_MARKS("abm");
}

TEST(task_suspend_a_ready_task)
{
    char tag = 'l';

    t_task(30, mark_arg, &tag);
    CHECK_EQ(OSTaskSuspend(30), OS_ERR_NONE);
    OSTimeDly(2);
    CHECK_MARKS("");
    CHECK_EQ(OSTaskResume(30), OS_ERR_NONE);
    CHECK_MARKS("");
    OSTimeDly(1);
    CHECK_MARKS("l");
}

TEST(task_suspend_keeps_a_delay_running)
{
    t_task(10, sleep_five, (void *)0);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_NONE);
    OSTimeDly(2);
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE); /* three ticks of the delay are left */
    CHECK_MARKS("");
    OSTimeDly(2);
    CHECK_MARKS("");
    OSTimeDly(1);
    CHECK_MARKS("w");

    t_task(10, sleep_five, (void *)0);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_NONE);
    OSTimeDly(8); /* the delay runs out meanwhile */
    CHECK_MARKS("");
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE);
    CHECK_MARKS("w");
}

TEST(task_suspend_keeps_a_wait)
{
    struct pender w = {OSSemCreate(0), 0, 255, 'w'};

    t_task(10, pend_sem, &w);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_NONE);
    CHECK_EQ(OSSemPost(w.event), OS_ERR_NONE); /* goes to the suspended task */
    CHECK_EQ(OSSemAccept(w.event), 0);
    CHECK_MARKS("");
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE);
    CHECK_MARKS("w");
    CHECK_EQ(w.err, OS_ERR_NONE);

    w.err = 255;
    t_task(10, pend_sem, &w);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_NONE);
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE);
    CHECK_MARKS(""); /* resumed, but still waiting */
    CHECK_EQ(OSSemPost(w.event), OS_ERR_NONE);
    CHECK_MARKS("w");
}

TEST(task_suspend_keeps_a_timeout)
{
    struct pender w = {OSSemCreate(0), 4, 255, 'w'};

    t_task(10, pend_sem, &w);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_NONE);
    OSTimeDly(6);
    CHECK_MARKS("");
    CHECK_EQ(OSSemPost(w.event), OS_ERR_NONE);
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE);
    CHECK_MARKS("w");
    CHECK_EQ(w.err, OS_ERR_TIMEOUT);
    CHECK_EQ(OSSemAccept(w.event), 1);
}

TEST(task_suspend_errors)
{
    INT8U err;

    CHECK_EQ(OSTaskSuspend(OS_LOWEST_PRIO), OS_ERR_TASK_SUSPEND_IDLE);
    CHECK_EQ(OSTaskSuspend(OS_LOWEST_PRIO + 1u), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskSuspend(33), OS_ERR_TASK_SUSPEND_PRIO);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTaskSuspend(8), OS_ERR_TASK_NOT_EXIST);
}

TEST(task_resume_errors)
{
    INT8U err;
    char tag = 'x';

    CHECK_EQ(OSTaskResume(OS_LOWEST_PRIO + 1u), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskResume(33), OS_ERR_TASK_RESUME_PRIO);
    t_task(30, mark_arg, &tag);
    CHECK_EQ(OSTaskResume(30), OS_ERR_TASK_NOT_SUSPENDED);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTaskResume(8), OS_ERR_TASK_NOT_EXIST);
}

static void wait_tick_and_mark(void *p)
{
    OSTimeDly(3);
    t_mark(*(char *)p);
}

TEST(task_change_prio_of_a_ready_task)
{
    char a = 'a';
    char b = 'b';

    t_task(30, mark_arg, &a);
    t_task(31, mark_arg, &b);
    CHECK_EQ(OSTaskChangePrio(31, 29), OS_ERR_NONE);
    CHECK_MARKS("");
    OSTimeDly(1);
    CHECK_MARKS("ba");
}

TEST(task_change_prio_can_preempt)
{
    char a = 'a';

    t_task(30, mark_arg, &a);
    CHECK_EQ(OSTaskChangePrio(30, 10), OS_ERR_NONE);
    t_mark('m');
    CHECK_MARKS("am");
}

TEST(task_change_prio_of_itself)
{
    char a = 'a';
    OS_TCB copy;

    t_task(30, mark_arg, &a);
    CHECK_EQ(OSTaskChangePrio(OS_PRIO_SELF, 40), OS_ERR_NONE);
    t_mark('m');
    CHECK_MARKS("am");
    CHECK_EQ(OSTaskQuery(OS_PRIO_SELF, &copy), OS_ERR_NONE);
    CHECK_EQ(copy.OSTCBPrio, 40);
    CHECK_EQ(OSPrioCur, 40);
    CHECK_EQ(OSTaskQuery(T_MAIN_PRIO, &copy), OS_ERR_PRIO); /* the old priority is free */
    CHECK_EQ(OSTaskChangePrio(40, T_MAIN_PRIO), OS_ERR_NONE);
    CHECK_EQ(OSPrioCur, T_MAIN_PRIO);
}

TEST(task_change_prio_of_a_delayed_task)
{
    char a = 'a';
    char b = 'b';

    t_task(30, wait_tick_and_mark, &a);
    t_task(31, wait_tick_and_mark, &b);
    OSTimeDly(1); /* both sleep now, for three ticks from this tick's start */
    CHECK_EQ(OSTaskChangePrio(31, 11), OS_ERR_NONE);
    OSTimeDly(5);
    CHECK_MARKS("ba");
}

TEST(task_change_prio_of_a_waiting_task)
{
    OS_SEM_DATA data;
    struct pender a = {OSSemCreate(0), 0, 255, 'a'};
    struct pender b = {a.event, 0, 255, 'b'};

    t_task(10, pend_sem, &a);
    t_task(11, pend_sem, &b);
    CHECK_EQ(OSTaskChangePrio(11, 3), OS_ERR_NONE);
    CHECK_EQ(OSSemQuery(a.event, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSEventGrp, (1u << 0) | (1u << 1));
    CHECK_EQ(data.OSEventTbl[0], 1u << 3);
    CHECK_EQ(data.OSEventTbl[1], 1u << 2);
    CHECK_EQ(OSSemPost(a.event), OS_ERR_NONE);
    CHECK_MARKS("b");
    CHECK_EQ(OSSemPost(a.event), OS_ERR_NONE);
    CHECK_MARKS("a");
    CHECK_EQ(a.err, OS_ERR_NONE);
    CHECK_EQ(b.err, OS_ERR_NONE);
}

static void pend_flag(void *p)
{
    INT8U err;

    (void)OSFlagPend(p, 1, OS_FLAG_WAIT_SET_ANY, 0, &err);
    CHECK_EQ(err, OS_ERR_NONE);
    t_mark((char)('a' + OSPrioCur - 10));
}

TEST(task_change_prio_of_a_task_that_waits_for_a_flag)
{
    INT8U err;
    OS_FLAG_GRP *grp = OSFlagCreate(0, &err);

    t_task(15, pend_flag, grp);
    t_task(16, pend_flag, grp);
    CHECK_EQ(OSTaskChangePrio(16, 12), OS_ERR_NONE);
    (void)OSFlagPost(grp, 1, OS_FLAG_SET, &err);
    CHECK_MARKS("cf");
}

TEST(task_change_prio_of_a_suspended_task)
{
    char tag = 'b';

    t_task(10, suspend_self, &tag);
    CHECK_EQ(OSTaskChangePrio(10, 12), OS_ERR_NONE);
    CHECK_MARKS("a");
    CHECK_EQ(OSTaskResume(10), OS_ERR_TASK_RESUME_PRIO);
    CHECK_EQ(OSTaskResume(12), OS_ERR_NONE);
    CHECK_MARKS("b");
}

TEST(task_change_prio_errors)
{
    INT8U err;
    char tag = 'x';

    t_task(30, mark_arg, &tag);
    CHECK_EQ(OSTaskChangePrio(30, T_MAIN_PRIO), OS_ERR_PRIO_EXIST);
    CHECK_EQ(OSTaskChangePrio(30, OS_LOWEST_PRIO + 1u), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskChangePrio(OS_LOWEST_PRIO + 1u, 30), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskChangePrio(33, 34), OS_ERR_PRIO);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTaskChangePrio(30, 8), OS_ERR_PRIO_EXIST);
    CHECK_EQ(OSTaskChangePrio(8, 33), OS_ERR_TASK_NOT_EXIST);
}

const struct t_case task_state_cases[] = {
    CASE(task_suspend_self),
    CASE(task_resume_from_isr),
    CASE(task_suspend_a_ready_task),
    CASE(task_suspend_keeps_a_delay_running),
    CASE(task_suspend_keeps_a_wait),
    CASE(task_suspend_keeps_a_timeout),
    CASE(task_suspend_errors),
    CASE(task_resume_errors),
    CASE(task_change_prio_of_a_ready_task),
    CASE(task_change_prio_can_preempt),
    CASE(task_change_prio_of_itself),
    CASE(task_change_prio_of_a_delayed_task),
    CASE(task_change_prio_of_a_waiting_task),
    CASE(task_change_prio_of_a_task_that_waits_for_a_flag),
    CASE(task_change_prio_of_a_suspended_task),
    CASE(task_change_prio_errors),
    CASES_END,
};
