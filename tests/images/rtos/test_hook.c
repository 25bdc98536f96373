/* SPDX-License-Identifier: MIT */
/* The hooks: when each is called, and with what. */
#include "t.h"

static OS_TCB *seen;

static void nothing(void *p)
{
    (void)p;
}

static void wait_for_ever(void *p)
{
    INT8U err;

    for (;;) {
        OSSemPend(p, 0, &err);
    }
}

TEST(hook_time_tick)
{
    INT32U ticks = t_hooks.time_tick;

    OSTimeDly(25);
    CHECK_EQ(t_hooks.time_tick - ticks, 25);
}

TEST(hook_task_create_and_del)
{
    INT32U creates = t_hooks.task_create;
    INT32U inits = t_hooks.tcb_init;
    INT32U dels = t_hooks.task_del;
    OS_TCB *tcb;

    t_task(30, nothing, (void *)0);
    tcb = OSTCBPrioTbl[30];
    CHECK_EQ(t_hooks.task_create - creates, 1);
    CHECK_EQ(t_hooks.tcb_init - inits, 1);
    CHECK_PTR(t_hooks.created, tcb);
    CHECK_EQ(OSTaskDel(30), OS_ERR_NONE);
    CHECK_EQ(t_hooks.task_del - dels, 1);
    CHECK_PTR(t_hooks.deleted, tcb);
    CHECK_EQ(t_try_task(T_MAIN_PRIO, nothing, (void *)0), OS_ERR_PRIO_EXIST);
    CHECK_EQ(t_hooks.task_create - creates, 1); /* a failure calls no hook */
}

TEST(hook_task_sw_sees_both_tasks)
{
    OS_EVENT *sem = OSSemCreate(0);
    INT32U switches;
    OS_TCB *waiter;

    t_task(10, wait_for_ever, sem);
    waiter = OSTCBPrioTbl[10];
    CHECK_PTR(t_hooks.sw_from, waiter); /* back from the waiter to this task */
    CHECK_PTR(t_hooks.sw_to, OSTCBCur);
    switches = t_hooks.task_sw;
    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    CHECK_EQ(t_hooks.task_sw - switches, 2);
    OSSchedLock();
    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    CHECK_EQ(t_hooks.task_sw - switches, 2);
    OSSchedUnlock();
    CHECK_EQ(t_hooks.task_sw - switches, 4);
}

static OS_EVENT *isr_sem;

static void isr_post(void)
{
    seen = OSTCBCur;
    CHECK_EQ(OSSemPost(isr_sem), OS_ERR_NONE);
}

TEST(hook_task_sw_from_isr)
{
    INT32U switches;

    isr_sem = OSSemCreate(0);
    t_task(10, wait_for_ever, isr_sem);
    switches = t_hooks.task_sw;
    plat_isr(isr_post);
    CHECK_EQ(t_hooks.task_sw - switches, 2);
    CHECK_PTR(seen, OSTCBCur);
    CHECK_PTR(t_hooks.sw_to, OSTCBCur);
}

TEST(hook_idle_runs_when_nothing_else_does)
{
    INT32U idle = t_hooks.task_idle;

    plat_burn(3);
    CHECK_EQ(t_hooks.task_idle, idle);
    OSTimeDly(3);
    CHECK(t_hooks.task_idle > idle);
}

TEST(hook_task_return_deletes_the_task)
{
    OS_STK *stack = t_stack();
    INT8U before = OSTaskCtr;

    CHECK_EQ(OSTaskCreate(nothing, (void *)0, &stack[T_STK_WORDS - 1u], 10), OS_ERR_NONE);
    CHECK_EQ(t_hooks.task_return, 1);
    CHECK_EQ(OSTaskCtr, before);
    CHECK_EQ(OSTaskDel(10), OS_ERR_TASK_NOT_EXIST);
}

const struct t_case hook_cases[] = {
    CASE(hook_time_tick),
    CASE(hook_task_create_and_del),
    CASE(hook_task_sw_sees_both_tasks),
    CASE(hook_task_sw_from_isr),
    CASE(hook_idle_runs_when_nothing_else_does),
    CASE(hook_task_return_deletes_the_task),
    CASES_END,
};
