/* SPDX-License-Identifier: MIT */
/* Mailboxes: OSMbox*(). */
#include "t.h"

struct waiter {
    OS_EVENT *mbox;
    INT32U timeout;
    char tag;
    INT8U err; /* 255 before OSMboxPend() returned */
    void *msg;
};

static OS_EVENT *isr_mbox;
static void *isr_msg;
static INT8U isr_err;
static int one;
static int two;

static void wait_once(void *p)
{
    struct waiter *w = p;
    INT8U err;

    w->msg = OSMboxPend(w->mbox, w->timeout, &err);
    w->err = err;
    t_mark(w->tag);
}

static void start_waiters(struct waiter w[3], OS_EVENT *mbox)
{
    for (INT8U i = 0; i < 3u; i++) {
        w[i] = (struct waiter){.mbox = mbox, .tag = (char)('a' + i), .err = 255};
        t_task((INT8U)(12u - i), wait_once, &w[i]);
        CHECK_EQ(w[i].err, 255);
    }
}

static OS_EVENT *new_mbox(void *msg)
{
    OS_EVENT *mbox = OSMboxCreate(msg);

    CHECK(mbox != (OS_EVENT *)0);
    CHECK_EQ(mbox->OSEventType, OS_EVENT_TYPE_MBOX);
    return mbox;
}

TEST(mbox_holds_one_message)
{
    INT8U err;
    OS_EVENT *mbox = new_mbox(&one);

    CHECK_EQ(OSMboxPost(mbox, &two), OS_ERR_MBOX_FULL);
    CHECK_PTR(OSMboxPend(mbox, 0, &err), &one);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSMboxPost(mbox, &two), OS_ERR_NONE);
    CHECK_EQ(OSMboxPostOpt(mbox, &one, OS_POST_OPT_NONE), OS_ERR_MBOX_FULL);
    CHECK_PTR(OSMboxAccept(mbox), &two);
    CHECK_PTR(OSMboxAccept(mbox), 0);
}

TEST(mbox_post_wakes_the_highest_priority)
{
    struct waiter w[3];
    OS_EVENT *mbox = new_mbox((void *)0);

    start_waiters(w, mbox);
    CHECK_EQ(OSMboxPost(mbox, &one), OS_ERR_NONE);
    t_mark('.');
    CHECK_EQ(OSMboxPostOpt(mbox, &two, OS_POST_OPT_NONE), OS_ERR_NONE);
    CHECK_MARKS("c.b");
    CHECK_EQ(w[2].err, OS_ERR_NONE);
    CHECK_PTR(w[2].msg, &one);
    CHECK_PTR(w[1].msg, &two);
    CHECK_EQ(w[0].err, 255);
    CHECK_PTR(OSMboxAccept(mbox), 0); /* nothing is left behind */
}

TEST(mbox_post_opt_broadcast)
{
    struct waiter w[3];
    OS_EVENT *mbox = new_mbox((void *)0);

    start_waiters(w, mbox);
    CHECK_EQ(OSMboxPostOpt(mbox, &one, OS_POST_OPT_BROADCAST), OS_ERR_NONE);
    CHECK_MARKS("cba");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_NONE);
        CHECK_PTR(w[i].msg, &one);
    }
    CHECK_PTR(OSMboxAccept(mbox), 0);
}

TEST(mbox_post_opt_no_sched)
{
    struct waiter w = {.tag = 'w', .err = 255};

    w.mbox = new_mbox((void *)0);
    t_task(10, wait_once, &w);
    CHECK_EQ(OSMboxPostOpt(w.mbox, &one, OS_POST_OPT_NO_SCHED), OS_ERR_NONE);
    t_mark('m');
    OSTimeDly(1);
    CHECK_MARKS("mw");
    CHECK_PTR(w.msg, &one);
}

TEST(mbox_post_opt_broadcast_no_sched)
{
    struct waiter w[3];
    OS_EVENT *mbox = new_mbox((void *)0);

    start_waiters(w, mbox);
    CHECK_EQ(OSMboxPostOpt(mbox, &one, OS_POST_OPT_BROADCAST | OS_POST_OPT_NO_SCHED), OS_ERR_NONE);
    t_mark('m');
    OSTimeDly(1);
    CHECK_MARKS("mcba");
}

static void isr_post(void)
{
    isr_err = OSMboxPost(isr_mbox, &one);
}

TEST(mbox_post_from_isr)
{
    struct waiter w = {.tag = 'w', .err = 255};

    isr_mbox = w.mbox = new_mbox((void *)0);
    t_task(10, wait_once, &w);
    plat_isr(isr_post);
    t_mark('m');
    CHECK_EQ(isr_err, OS_ERR_NONE);
    CHECK_PTR(w.msg, &one);
    CHECK_MARKS("wm");
}

TEST(mbox_pend_timeout)
{
    INT8U err;
    OS_EVENT *mbox = new_mbox((void *)0);
    INT32U start = OSTimeGet();

    CHECK_PTR(OSMboxPend(mbox, 6, &err), 0);
    CHECK_EQ(err, OS_ERR_TIMEOUT);
    CHECK_EQ(OSTimeGet() - start, 6);
    CHECK_EQ(OSMboxPost(mbox, &one), OS_ERR_NONE);
    CHECK_PTR(OSMboxAccept(mbox), &one);
}

TEST(mbox_pend_abort)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *mbox = new_mbox((void *)0);

    CHECK_EQ(OSMboxPendAbort(mbox, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    start_waiters(w, mbox);
    CHECK_EQ(OSMboxPendAbort(mbox, OS_PEND_OPT_NONE, &err), 1);
    CHECK_EQ(err, OS_ERR_PEND_ABORT);
    CHECK_MARKS("c");
    CHECK_EQ(w[2].err, OS_ERR_PEND_ABORT);
    CHECK_PTR(w[2].msg, 0);
    CHECK_EQ(OSMboxPendAbort(mbox, OS_PEND_OPT_BROADCAST, &err), 2);
    CHECK_EQ(err, OS_ERR_PEND_ABORT);
    CHECK_MARKS("ba");
    CHECK_EQ(w[0].err, OS_ERR_PEND_ABORT);
    CHECK_EQ(w[1].err, OS_ERR_PEND_ABORT);
}

TEST(mbox_del)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *mbox = new_mbox((void *)0);

    start_waiters(w, mbox);
    CHECK_PTR(OSMboxDel(mbox, OS_DEL_NO_PEND, &err), mbox);
    CHECK_EQ(err, OS_ERR_TASK_WAITING);
    CHECK_MARKS("");
    CHECK_PTR(OSMboxDel(mbox, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_MARKS("cba");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_PEND_ABORT);
        CHECK_PTR(w[i].msg, 0);
    }
    CHECK_EQ(OSMboxPost(mbox, &one), OS_ERR_EVENT_TYPE);
    mbox = new_mbox(&one);
    CHECK_PTR(OSMboxDel(mbox, OS_DEL_NO_PEND, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
}

TEST(mbox_query)
{
    OS_MBOX_DATA data;
    struct waiter w[3];
    OS_EVENT *mbox = new_mbox(&one);

    CHECK_EQ(OSMboxQuery(mbox, &data), OS_ERR_NONE);
    CHECK_PTR(data.OSMsg, &one);
    CHECK_EQ(data.OSEventGrp, 0);
    CHECK_PTR(OSMboxAccept(mbox), &one);
    start_waiters(w, mbox);
    CHECK_EQ(OSMboxQuery(mbox, &data), OS_ERR_NONE);
    CHECK_PTR(data.OSMsg, 0);
    CHECK_EQ(data.OSEventGrp, 1u << 1);
    CHECK_EQ(data.OSEventTbl[1], (1u << 2) | (1u << 3) | (1u << 4));
}

static void isr_calls(void)
{
    isr_msg = OSMboxPend(isr_mbox, 0, &isr_err);
    CHECK_EQ(isr_err, OS_ERR_PEND_ISR);
    CHECK_PTR(OSMboxDel(isr_mbox, OS_DEL_ALWAYS, &isr_err), isr_mbox);
    CHECK_EQ(isr_err, OS_ERR_DEL_ISR);
    CHECK_PTR(OSMboxCreate(&one), 0);
}

TEST(mbox_calls_from_isr)
{
    isr_mbox = new_mbox((void *)0);
    isr_msg = &one;
    plat_isr(isr_calls);
    CHECK_PTR(isr_msg, 0);
    CHECK_EQ(OSMboxPost(isr_mbox, &two), OS_ERR_NONE);
    plat_isr(isr_calls); /* not even a message that is there */
    CHECK_PTR(isr_msg, 0);
    CHECK_PTR(OSMboxAccept(isr_mbox), &two);
}

TEST(mbox_create_until_no_event_is_left)
{
    INT32U n = 0;

    while (OSMboxCreate((void *)0) != (OS_EVENT *)0) {
        n++;
        CHECK(n <= OS_MAX_EVENTS);
    }
    CHECK_EQ(n, OS_MAX_EVENTS);
}

TEST(mbox_argument_errors)
{
    INT8U err;
    OS_MBOX_DATA data;
    OS_EVENT *mbox = new_mbox((void *)0);
    OS_EVENT *sem = OSSemCreate(1);

    CHECK_PTR(OSMboxPend((OS_EVENT *)0, 1, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_PTR(OSMboxPend(sem, 1, &err), 0);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    OSSchedLock();
    CHECK_PTR(OSMboxPend(mbox, 1, &err), 0);
    OSSchedUnlock();
    CHECK_EQ(err, OS_ERR_PEND_LOCKED);
    CHECK_PTR(OSMboxAccept((OS_EVENT *)0), 0);
    CHECK_PTR(OSMboxAccept(sem), 0);
    CHECK_EQ(OSMboxPost((OS_EVENT *)0, &one), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSMboxPost(mbox, (void *)0), OS_ERR_POST_NULL_PTR);
    CHECK_EQ(OSMboxPost(sem, &one), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSMboxPostOpt((OS_EVENT *)0, &one, OS_POST_OPT_NONE), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSMboxPostOpt(mbox, (void *)0, OS_POST_OPT_NONE), OS_ERR_POST_NULL_PTR);
    CHECK_EQ(OSMboxPostOpt(sem, &one, OS_POST_OPT_NONE), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSMboxPendAbort((OS_EVENT *)0, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSMboxPendAbort(sem, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSMboxQuery((OS_EVENT *)0, &data), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSMboxQuery(mbox, (OS_MBOX_DATA *)0), OS_ERR_PDATA_NULL);
    CHECK_EQ(OSMboxQuery(sem, &data), OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSMboxDel((OS_EVENT *)0, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_PTR(OSMboxDel(sem, OS_DEL_ALWAYS, &err), sem);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSMboxDel(mbox, 77, &err), mbox);
    CHECK_EQ(err, OS_ERR_INVALID_OPT);
}

const struct t_case mbox_cases[] = {
    CASE(mbox_holds_one_message),
    CASE(mbox_post_wakes_the_highest_priority),
    CASE(mbox_post_opt_broadcast),
    CASE(mbox_post_opt_no_sched),
    CASE(mbox_post_opt_broadcast_no_sched),
    CASE(mbox_post_from_isr),
    CASE(mbox_pend_timeout),
    CASE(mbox_pend_abort),
    CASE(mbox_del),
    CASE(mbox_query),
    CASE(mbox_calls_from_isr),
    CASE(mbox_create_until_no_event_is_left),
    CASE(mbox_argument_errors),
    CASES_END,
};
