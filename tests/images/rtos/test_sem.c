/* SPDX-License-Identifier: MIT */
/* Counting semaphores: OSSem*(). */
#include "t.h"

struct waiter {
    OS_EVENT *sem;
    INT32U timeout;
    char tag;
    INT8U err;   /* what OSSemPend() gave; 255 before it returned */
    INT32U woke; /* OSTimeGet() afterwards */
};

static OS_EVENT *isr_sem;
static INT8U isr_err;

static void wait_once(void *p)
{
    struct waiter *w = p;
    INT8U err;

    OSSemPend(w->sem, w->timeout, &err);
    w->err = err;
    w->woke = OSTimeGet();
    t_mark(w->tag);
}

/* Three tasks above the main task wait, created from the lowest to the highest priority. */
static void start_waiters(struct waiter w[3], OS_EVENT *sem, INT32U timeout)
{
    for (INT8U i = 0; i < 3u; i++) {
        w[i] = (struct waiter){.sem = sem, .timeout = timeout, .tag = (char)('a' + i), .err = 255};
        t_task((INT8U)(12u - i), wait_once, &w[i]);
        CHECK_EQ(w[i].err, 255);
    }
}

static OS_EVENT *new_sem(INT16U count)
{
    OS_EVENT *sem = OSSemCreate(count);

    CHECK(sem != (OS_EVENT *)0);
    return sem;
}

static INT16U count_of(OS_EVENT *sem)
{
    OS_SEM_DATA data;

    CHECK_EQ(OSSemQuery(sem, &data), OS_ERR_NONE);
    return data.OSCnt;
}

TEST(sem_count_goes_down_and_up)
{
    INT8U err;
    OS_EVENT *sem = new_sem(2);

    CHECK_EQ(sem->OSEventType, OS_EVENT_TYPE_SEM);
    OSSemPend(sem, 0, &err);
    CHECK_EQ(err, OS_ERR_NONE);
    OSSemPend(sem, 0, &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(count_of(sem), 0);
    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    CHECK_EQ(count_of(sem), 1);
}

TEST(sem_accept_never_waits)
{
    OS_EVENT *sem = new_sem(2);

    CHECK_EQ(OSSemAccept(sem), 2);
    CHECK_EQ(OSSemAccept(sem), 1);
    CHECK_EQ(OSSemAccept(sem), 0);
    CHECK_EQ(OSSemAccept(sem), 0);
    CHECK_EQ(OSSemAccept((OS_EVENT *)0), 0);
}

TEST(sem_post_wakes_the_highest_priority)
{
    struct waiter w[3];
    OS_EVENT *sem = new_sem(0);

    start_waiters(w, sem, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
        t_mark('.');
    }
    CHECK_MARKS("c.b.a.");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_NONE);
    }
    CHECK_EQ(count_of(sem), 0);
}

TEST(sem_post_to_a_lower_task_does_not_switch)
{
    OS_EVENT *sem = new_sem(0);
    struct waiter w = {.sem = sem, .tag = 'l', .err = 255};

    t_task(30, wait_once, &w);
    OSTimeDly(1);
    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    t_mark('m');
    CHECK_EQ(count_of(sem), 0);
    OSTimeDly(1);
    CHECK_MARKS("ml");
}

static void isr_post(void)
{
    isr_err = OSSemPost(isr_sem);
}

TEST(sem_post_from_isr_switches_at_its_end)
{
    struct waiter w = {.tag = 'w', .err = 255};

    isr_sem = w.sem = new_sem(0);
    t_task(10, wait_once, &w);
    plat_isr(isr_post);
    t_mark('m');
    CHECK_EQ(isr_err, OS_ERR_NONE);
    CHECK_EQ(w.err, OS_ERR_NONE);
    CHECK_MARKS("wm");
}

TEST(sem_timeout_is_exact)
{
    INT8U err;
    OS_EVENT *sem = new_sem(0);
    INT32U start = OSTimeGet();

    OSSemPend(sem, 7, &err);
    CHECK_EQ(err, OS_ERR_TIMEOUT);
    CHECK_EQ(OSTimeGet() - start, 7);
    /* The task is on no list any more: a post is counted, not given away. */
    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    CHECK_EQ(count_of(sem), 1);
}

TEST(sem_timeouts_expire_one_by_one)
{
    struct waiter w[3];
    OS_EVENT *sem = new_sem(0);
    INT32U start = OSTimeGet();

    start_waiters(w, sem, 3);
    OSTimeDly(2);
    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    CHECK_EQ(w[2].err, OS_ERR_NONE);
    CHECK_EQ(w[2].woke - start, 2);
    OSTimeDly(5);
    CHECK_EQ(w[0].err, OS_ERR_TIMEOUT);
    CHECK_EQ(w[1].err, OS_ERR_TIMEOUT);
    CHECK_EQ(w[0].woke - start, 3);
    CHECK_EQ(w[1].woke - start, 3);
    CHECK_MARKS("cba"); /* c by the post; b before a, both ready at the same tick */
}

TEST(sem_post_at_the_last_moment_beats_the_timeout)
{
    struct waiter w = {.tag = 'w', .timeout = 5, .err = 255};

    w.sem = new_sem(0);
    t_task(30, wait_once, &w);
    OSTimeDly(1); /* the waiter starts now and gives up five ticks later */
    OSTimeDly(3);
    CHECK_EQ(OSSemPost(w.sem), OS_ERR_NONE);
    plat_burn(4); /* the waiter cannot run before its time-out has passed */
    OSTimeDly(1);
    CHECK_EQ(w.err, OS_ERR_NONE);
    CHECK_MARKS("w");
}

TEST(sem_overflow_is_refused)
{
    OS_EVENT *sem = new_sem(65534);

    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    CHECK_EQ(OSSemPost(sem), OS_ERR_SEM_OVF);
    CHECK_EQ(count_of(sem), 65535);
}

TEST(sem_pend_abort_wakes_one)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *sem = new_sem(0);

    CHECK_EQ(OSSemPendAbort(sem, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    start_waiters(w, sem, 0);
    CHECK_EQ(OSSemPendAbort(sem, OS_PEND_OPT_NONE, &err), 1);
    CHECK_EQ(err, OS_ERR_PEND_ABORT);
    CHECK_MARKS("c");
    CHECK_EQ(w[2].err, OS_ERR_PEND_ABORT);
    CHECK_EQ(w[1].err, 255);
    CHECK_EQ(count_of(sem), 0);
}

TEST(sem_pend_abort_wakes_all)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *sem = new_sem(0);

    start_waiters(w, sem, 100);
    CHECK_EQ(OSSemPendAbort(sem, OS_PEND_OPT_BROADCAST, &err), 3);
    CHECK_EQ(err, OS_ERR_PEND_ABORT);
    CHECK_MARKS("cba");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_PEND_ABORT);
    }
    CHECK_EQ(count_of(sem), 0);
}

TEST(sem_del_refuses_while_a_task_waits)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *sem = new_sem(0);

    start_waiters(w, sem, 0);
    CHECK_PTR(OSSemDel(sem, OS_DEL_NO_PEND, &err), sem);
    CHECK_EQ(err, OS_ERR_TASK_WAITING);
    CHECK_EQ(w[2].err, 255);
    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    CHECK_MARKS("c");
}

TEST(sem_del_no_pend)
{
    INT8U err;
    OS_EVENT *sem = new_sem(1);

    CHECK_PTR(OSSemDel(sem, OS_DEL_NO_PEND, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSSemPost(sem), OS_ERR_EVENT_TYPE);
}

TEST(sem_del_always_wakes_all)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *sem = new_sem(0);

    start_waiters(w, sem, 0);
    CHECK_PTR(OSSemDel(sem, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_MARKS("cba");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_PEND_ABORT);
    }
}

static void isr_del(void)
{
    isr_sem = OSSemDel(isr_sem, OS_DEL_ALWAYS, &isr_err);
}

TEST(sem_del_errors)
{
    INT8U err;
    OS_EVENT *mbox = OSMboxCreate((void *)0);

    isr_sem = new_sem(1);
    CHECK_PTR(OSSemDel((OS_EVENT *)0, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_PTR(OSSemDel(mbox, OS_DEL_ALWAYS, &err), mbox);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSSemDel(isr_sem, 77, &err), isr_sem);
    CHECK_EQ(err, OS_ERR_INVALID_OPT);
    plat_isr(isr_del);
    CHECK_EQ(isr_err, OS_ERR_DEL_ISR);
    CHECK(isr_sem != (OS_EVENT *)0);
    CHECK_EQ(count_of(isr_sem), 1);
}

static void isr_create(void)
{
    isr_sem = OSSemCreate(1);
}

TEST(sem_create_fails_in_isr)
{
    isr_sem = new_sem(0);
    plat_isr(isr_create);
    CHECK_PTR(isr_sem, 0);
}

TEST(sem_create_until_no_event_is_left)
{
    INT8U err;
    OS_EVENT *last = (OS_EVENT *)0;
    OS_EVENT *sem;
    INT32U n = 0;

    while ((sem = OSSemCreate(0)) != (OS_EVENT *)0) {
        last = sem;
        n++;
        CHECK(n <= OS_MAX_EVENTS);
    }
    CHECK_EQ(n, OS_MAX_EVENTS);
    CHECK_PTR(OSSemDel(last, OS_DEL_NO_PEND, &err), 0);
    CHECK_PTR(OSSemCreate(3), last);
    CHECK_EQ(count_of(last), 3);
}

static void isr_pend(void)
{
    OSSemPend(isr_sem, 0, &isr_err);
}

TEST(sem_pend_errors)
{
    INT8U err;
    OS_EVENT *mbox = OSMboxCreate((void *)0);

    isr_sem = new_sem(0);
    OSSemPend((OS_EVENT *)0, 1, &err);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    OSSemPend(mbox, 1, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    plat_isr(isr_pend);
    CHECK_EQ(isr_err, OS_ERR_PEND_ISR);
    OSSchedLock();
    OSSemPend(isr_sem, 1, &err);
    OSSchedUnlock();
    CHECK_EQ(err, OS_ERR_PEND_LOCKED);
}

TEST(sem_other_argument_errors)
{
    INT8U err;
    OS_SEM_DATA data;
    OS_EVENT *sem = new_sem(0);
    OS_EVENT *mbox = OSMboxCreate((void *)0);

    CHECK_EQ(OSSemAccept(mbox), 0);
    CHECK_EQ(OSSemPost((OS_EVENT *)0), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSSemPost(mbox), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSSemQuery((OS_EVENT *)0, &data), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSSemQuery(sem, (OS_SEM_DATA *)0), OS_ERR_PDATA_NULL);
    CHECK_EQ(OSSemQuery(mbox, &data), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSSemPendAbort((OS_EVENT *)0, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSSemPendAbort(mbox, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    OSSemSet((OS_EVENT *)0, 1, &err);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    OSSemSet(mbox, 1, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
}

TEST(sem_set)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *sem = new_sem(4);

    OSSemSet(sem, 9, &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(count_of(sem), 9);
    OSSemSet(sem, 0, &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(count_of(sem), 0);
    OSSemSet(sem, 2, &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(count_of(sem), 2);
    OSSemSet(sem, 0, &err);
    start_waiters(w, sem, 0);
    OSSemSet(sem, 5, &err);
    CHECK_EQ(err, OS_ERR_TASK_WAITING);
    CHECK_EQ(count_of(sem), 0);
}

TEST(sem_query_shows_who_waits)
{
    OS_SEM_DATA data;
    struct waiter w[3];
    OS_EVENT *sem = new_sem(0);

    CHECK_EQ(OSSemQuery(sem, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSEventGrp, 0);
    start_waiters(w, sem, 0); /* priorities 10, 11, 12: all in row 1 of the table */
    CHECK_EQ(OSSemQuery(sem, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSCnt, 0);
    CHECK_EQ(data.OSEventGrp, 1u << 1);
    CHECK_EQ(data.OSEventTbl[1], (1u << 2) | (1u << 3) | (1u << 4));
    CHECK_EQ(data.OSEventTbl[0], 0);
}

TEST(sem_names)
{
    INT8U err;
    INT8U *name;
    OS_EVENT *sem = new_sem(0);

    CHECK_EQ(OSEventNameGet(sem, &name, &err), 1);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_STR(name, "?");
    OSEventNameSet(sem, (INT8U *)(unsigned long)"door", &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSEventNameGet(sem, &name, &err), 4);
    CHECK_STR(name, "door");
    OSEventNameSet(sem, (INT8U *)0, &err);
    CHECK_EQ(err, OS_ERR_PNAME_NULL);
    OSEventNameSet((OS_EVENT *)0, name, &err);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSEventNameGet(sem, (INT8U **)0, &err), 0);
    CHECK_EQ(err, OS_ERR_PNAME_NULL);
    CHECK_EQ(OSEventNameGet((OS_EVENT *)0, &name, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
}

const struct t_case sem_cases[] = {
    CASE(sem_count_goes_down_and_up),
    CASE(sem_accept_never_waits),
    CASE(sem_post_wakes_the_highest_priority),
    CASE(sem_post_to_a_lower_task_does_not_switch),
    CASE(sem_post_from_isr_switches_at_its_end),
    CASE(sem_timeout_is_exact),
    CASE(sem_timeouts_expire_one_by_one),
    CASE(sem_post_at_the_last_moment_beats_the_timeout),
    CASE(sem_overflow_is_refused),
    CASE(sem_pend_abort_wakes_one),
    CASE(sem_pend_abort_wakes_all),
    CASE(sem_del_refuses_while_a_task_waits),
    CASE(sem_del_no_pend),
    CASE(sem_del_always_wakes_all),
    CASE(sem_del_errors),
    CASE(sem_create_fails_in_isr),
    CASE(sem_create_until_no_event_is_left),
    CASE(sem_pend_errors),
    CASE(sem_other_argument_errors),
    CASE(sem_set),
    CASE(sem_query_shows_who_waits),
    CASE(sem_names),
    CASES_END,
};
