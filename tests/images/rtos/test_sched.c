/* SPDX-License-Identifier: MIT */
/* The scheduler: its lock, interrupt nesting, ready table, context switch counters, version. */
#include "t.h"

struct waiter {
    OS_EVENT *sem;
    char tag;
};

static OS_EVENT *isr_sem;

static void mark_arg(void *p)
{
    t_mark(*(char *)p);
}

static void wait_for_ever(void *p)
{
    const struct waiter *w = p;
    INT8U err;

    for (;;) {
        OSSemPend(w->sem, 0, &err);
        t_mark(w->tag);
    }
}

TEST(sched_lock_keeps_the_processor)
{
    char tag = 'h';
    struct waiter w = {OSSemCreate(0), 'w'};

    t_task(10, wait_for_ever, &w);
    OSSchedLock();
    CHECK_EQ(OSLockNesting, 1);
    t_task(11, mark_arg, &tag);
    CHECK_EQ(OSSemPost(w.sem), OS_ERR_NONE);
    t_mark('m');
    OSSchedUnlock();
    t_mark('n');
    CHECK_EQ(OSLockNesting, 0);
    CHECK_MARKS("mwhn");
}

TEST(sched_lock_nests)
{
    struct waiter w = {OSSemCreate(0), 'w'};

    t_task(10, wait_for_ever, &w);
    OSSchedLock();
    OSSchedLock();
    OSSchedLock();
    CHECK_EQ(OSLockNesting, 3);
    CHECK_EQ(OSSemPost(w.sem), OS_ERR_NONE);
    OSSchedUnlock();
    OSSchedUnlock();
    t_mark('m');
    OSSchedUnlock();
    CHECK_MARKS("mw");
    OSSchedUnlock(); /* one too many does nothing */
    CHECK_EQ(OSLockNesting, 0);
}

TEST(sched_lock_nests_255_deep)
{
    for (INT32U i = 0; i < 300u; i++) {
        OSSchedLock();
    }
    CHECK_EQ(OSLockNesting, 255);
    for (INT32U i = 0; i < 255u; i++) {
        OSSchedUnlock();
    }
    CHECK_EQ(OSLockNesting, 0);
}

static void sleep_two(void *p)
{
    OSTimeDly(2);
    t_mark(*(char *)p);
}

TEST(sched_lock_holds_against_the_tick)
{
    char tag = 's';
    INT32U start = OSTimeGet();

    t_task(10, sleep_two, &tag);
    OSSchedLock();
    plat_burn(4);
    t_mark('m');
    CHECK_EQ(OSTimeGet() - start, 4); /* time goes on */
    OSSchedUnlock();
    CHECK_MARKS("ms");
}

static void isr_post(void)
{
    CHECK_EQ(OSSemPost(isr_sem), OS_ERR_NONE);
}

TEST(sched_lock_holds_against_interrupts)
{
    struct waiter w = {OSSemCreate(0), 'w'};

    isr_sem = w.sem;
    t_task(10, wait_for_ever, &w);
    OSSchedLock();
    plat_isr(isr_post);
    t_mark('m');
    OSSchedUnlock();
    CHECK_MARKS("mw");
}

static void isr_nested(void)
{
    CHECK_EQ(OSIntNesting, 1);
    OSIntEnter();
    CHECK_EQ(OSIntNesting, 2);
    isr_post();
    OSIntExit();
    t_mark('i'); /* the inner exit did not switch */
    CHECK_EQ(OSIntNesting, 1);
}

TEST(sched_switches_at_the_outermost_interrupt_exit)
{
    struct waiter w = {OSSemCreate(0), 'w'};

    isr_sem = w.sem;
    t_task(10, wait_for_ever, &w);
    plat_isr(isr_nested);
    t_mark('m');
    CHECK_MARKS("iwm");
    CHECK_EQ(OSIntNesting, 0);
}

static void isr_empty(void)
{
    t_mark('i');
}

TEST(sched_interrupt_without_news_does_not_switch)
{
    INT32U switches = OSCtxSwCtr;

    plat_isr(isr_empty);
    CHECK_MARKS("i");
    CHECK_EQ(OSCtxSwCtr, switches);
}

TEST(sched_interrupt_of_a_lower_task_readies_the_highest)
{
    struct waiter a = {OSSemCreate(0), 'a'};
    struct waiter b = {OSSemCreate(0), 'b'};

    t_task(10, wait_for_ever, &a);
    t_task(11, wait_for_ever, &b);
    OSSchedLock();
    isr_sem = b.sem;
    plat_isr(isr_post);
    isr_sem = a.sem;
    plat_isr(isr_post);
    OSSchedUnlock();
    CHECK_MARKS("ab");
}

TEST(sched_counts_switches)
{
    struct waiter w = {OSSemCreate(0), 'w'};
    INT32U all;
    INT32U own;

    t_task(10, wait_for_ever, &w);
    all = OSCtxSwCtr;
    own = OSTCBPrioTbl[10]->OSTCBCtxSwCtr;
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(OSSemPost(w.sem), OS_ERR_NONE);
    }
    CHECK_EQ(OSCtxSwCtr - all, 10); /* there and back */
    CHECK_EQ(OSTCBPrioTbl[10]->OSTCBCtxSwCtr - own, 5);
}

static void record_prio(void *p)
{
    (void)p;
    CHECK_EQ(OSPrioCur, OSTCBCur->OSTCBPrio);
    CHECK_PTR(OSTCBPrioTbl[OSPrioCur], OSTCBCur);
    t_mark('x');
}

TEST(sched_ready_table_over_all_priorities)
{
    /* Each priority alone, so that every group and every bit of the table is used. */
    for (INT8U prio = 0; prio < T_MAIN_PRIO; prio++) {
        t_task(prio, record_prio, (void *)0);
        CHECK_MARKS("x");
    }
    CHECK_EQ(OSTaskChangePrio(OS_PRIO_SELF, 0), OS_ERR_NONE);
    CHECK_EQ(OSRdyGrp & 1u, 1);
    CHECK_EQ(OSRdyTbl[0] & 1u, 1);
    for (INT8U prio = T_MAIN_PRIO + 1u; prio < OS_LOWEST_PRIO - 1u - 24u; prio++) {
        t_task(prio, record_prio, (void *)0);
        CHECK_EQ(OSRdyTbl[prio >> 3] >> (prio & 7u) & 1u, 1);
        OSTimeDly(1);
        CHECK_MARKS("x");
        CHECK_EQ(OSRdyTbl[prio >> 3] >> (prio & 7u) & 1u, 0);
    }
}

TEST(sched_low_priorities)
{
    for (INT8U prio = OS_LOWEST_PRIO - 2u; prio >= OS_LOWEST_PRIO - 25u; prio--) {
        t_task(prio, record_prio, (void *)0);
        OSTimeDly(1);
        CHECK_MARKS("x");
    }
}

TEST(sched_version)
{
    CHECK_EQ(OSVersion(), 29200); /* the API level that the header promises */
}

static INT8U isr_err;
static INT8U *isr_name;

static void isr_event_names(void)
{
    CHECK_EQ(OSEventNameGet(isr_sem, &isr_name, &isr_err), 0);
    CHECK_EQ(isr_err, OS_ERR_NAME_GET_ISR);
    OSEventNameSet(isr_sem, (INT8U *)(unsigned long)"isr", &isr_err);
    CHECK_EQ(isr_err, OS_ERR_NAME_SET_ISR);
}

TEST(sched_event_names)
{
    INT8U err;
    INT8U *name;
    OS_EVENT *gone = OSSemCreate(0);

    isr_sem = OSSemCreate(0);
    plat_isr(isr_event_names);
    CHECK_PTR(OSSemDel(gone, OS_DEL_NO_PEND, &err), 0);
    CHECK_EQ(OSEventNameGet(gone, &name, &err), 0);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    OSEventNameSet(gone, (INT8U *)(unsigned long)"gone", &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
}

static void start_then_check(void *p)
{
    (void)p;
    OSStart(); /* a second time: nothing */
    CHECK_EQ(OSRunning, OS_TRUE);
    CHECK_EQ(OSLockNesting, 0);
    t_pass();
}

TEST(sched_before_start)
{
    CHECK_EQ(OSRunning, OS_FALSE);
    OSSchedLock();
    CHECK_EQ(OSLockNesting, 0);
    OSSchedUnlock();
    OSIntEnter();
    CHECK_EQ(OSIntNesting, 0);
    OSIntExit();
    OSTimeTick(); /* a tick that comes too early harms nothing */
    CHECK_EQ(OSTaskCtr, OS_N_SYS_TASKS);
    t_task(T_MAIN_PRIO, start_then_check, (void *)0);
    OSStart();
}

const struct t_case sched_cases[] = {
    CASE(sched_lock_keeps_the_processor),
    CASE(sched_lock_nests),
    CASE(sched_lock_nests_255_deep),
    CASE(sched_lock_holds_against_the_tick),
    CASE(sched_lock_holds_against_interrupts),
    CASE(sched_switches_at_the_outermost_interrupt_exit),
    CASE(sched_interrupt_without_news_does_not_switch),
    CASE(sched_interrupt_of_a_lower_task_readies_the_highest),
    CASE(sched_counts_switches),
    CASE(sched_ready_table_over_all_priorities),
    CASE(sched_low_priorities),
    CASE(sched_version),
    CASE(sched_event_names),
    RAW_CASE(sched_before_start),
    CASES_END,
};
