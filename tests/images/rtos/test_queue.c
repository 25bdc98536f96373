/* SPDX-License-Identifier: MIT */
/* Message queues: OSQ*(). */
#include "t.h"

#define SIZE 4u

struct waiter {
    OS_EVENT *queue;
    INT32U timeout;
    char tag;
    INT8U err; /* 255 before OSQPend() returned */
    void *msg;
};

static void *storage[OS_MAX_QS + 1u][SIZE];
static int msg[10];
static OS_EVENT *isr_queue;
static INT8U isr_err;

static void wait_once(void *p)
{
    struct waiter *w = p;
    INT8U err;

    w->msg = OSQPend(w->queue, w->timeout, &err);
    w->err = err;
    t_mark(w->tag);
}

static void start_waiters(struct waiter w[3], OS_EVENT *queue)
{
    for (INT8U i = 0; i < 3u; i++) {
        w[i] = (struct waiter){.queue = queue, .tag = (char)('a' + i), .err = 255};
        t_task((INT8U)(12u - i), wait_once, &w[i]);
        CHECK_EQ(w[i].err, 255);
    }
}

static OS_EVENT *new_queue(void)
{
    OS_EVENT *queue = OSQCreate(storage[0], SIZE);

    CHECK(queue != (OS_EVENT *)0);
    CHECK_EQ(queue->OSEventType, OS_EVENT_TYPE_Q);
    return queue;
}

static INT16U entries(OS_EVENT *queue)
{
    OS_Q_DATA data;

    CHECK_EQ(OSQQuery(queue, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSQSize, SIZE);
    return data.OSNMsgs;
}

static void check_next(OS_EVENT *queue, const void *want)
{
    INT8U err;

    CHECK_PTR(OSQAccept(queue, &err), want);
    CHECK_EQ(err, OS_ERR_NONE);
}

TEST(queue_is_first_in_first_out)
{
    INT8U err;
    OS_EVENT *queue = new_queue();

    /* More rounds than entries: in and out pointer both wrap, at every fill level. */
    for (INT32U round = 0; round < 3u * SIZE; round++) {
        INT32U n = 1u + round % SIZE;

        for (INT32U i = 0; i < n; i++) {
            CHECK_EQ(OSQPost(queue, &msg[i]), OS_ERR_NONE);
        }
        CHECK_EQ(entries(queue), n);
        for (INT32U i = 0; i < n; i++) {
            CHECK_PTR(OSQPend(queue, 0, &err), &msg[i]);
            CHECK_EQ(err, OS_ERR_NONE);
        }
    }
    CHECK_PTR(OSQAccept(queue, &err), 0);
    CHECK_EQ(err, OS_ERR_Q_EMPTY);
}

TEST(queue_post_front_is_last_in_first_out)
{
    OS_EVENT *queue = new_queue();

    for (INT32U round = 0; round < 2u * SIZE; round++) {
        CHECK_EQ(OSQPostFront(queue, &msg[0]), OS_ERR_NONE);
        CHECK_EQ(OSQPostFront(queue, &msg[1]), OS_ERR_NONE);
        CHECK_EQ(OSQPost(queue, &msg[2]), OS_ERR_NONE);
        CHECK_EQ(OSQPostOpt(queue, &msg[3], OS_POST_OPT_FRONT), OS_ERR_NONE);
        check_next(queue, &msg[3]);
        check_next(queue, &msg[1]);
        check_next(queue, &msg[0]);
        check_next(queue, &msg[2]);
        CHECK_EQ(OSQPost(queue, &msg[4]), OS_ERR_NONE); /* shifts the next round by one */
        check_next(queue, &msg[4]);
    }
}

TEST(queue_full)
{
    OS_EVENT *queue = new_queue();

    for (INT32U i = 0; i < SIZE; i++) {
        CHECK_EQ(OSQPostOpt(queue, &msg[i], OS_POST_OPT_NONE), OS_ERR_NONE);
    }
    CHECK_EQ(OSQPost(queue, &msg[9]), OS_ERR_Q_FULL);
    CHECK_EQ(OSQPostFront(queue, &msg[9]), OS_ERR_Q_FULL);
    CHECK_EQ(OSQPostOpt(queue, &msg[9], OS_POST_OPT_NONE), OS_ERR_Q_FULL);
    CHECK_EQ(entries(queue), SIZE);
    for (INT32U i = 0; i < SIZE; i++) {
        check_next(queue, &msg[i]);
    }
}

TEST(queue_flush)
{
    INT8U err;
    OS_EVENT *queue = new_queue();

    CHECK_EQ(OSQPost(queue, &msg[0]), OS_ERR_NONE);
    CHECK_EQ(OSQPost(queue, &msg[1]), OS_ERR_NONE);
    CHECK_EQ(OSQFlush(queue), OS_ERR_NONE);
    CHECK_EQ(entries(queue), 0);
    CHECK_PTR(OSQAccept(queue, &err), 0);
    CHECK_EQ(err, OS_ERR_Q_EMPTY);
    for (INT32U i = 0; i < SIZE; i++) {
        CHECK_EQ(OSQPost(queue, &msg[i]), OS_ERR_NONE);
    }
    check_next(queue, &msg[0]);
}

TEST(queue_post_wakes_the_highest_priority)
{
    struct waiter w[3];
    OS_EVENT *queue = new_queue();

    start_waiters(w, queue);
    CHECK_EQ(OSQPost(queue, &msg[0]), OS_ERR_NONE);
    CHECK_EQ(OSQPostFront(queue, &msg[1]), OS_ERR_NONE);
    CHECK_EQ(OSQPostOpt(queue, &msg[2], OS_POST_OPT_NONE), OS_ERR_NONE);
    CHECK_MARKS("cba");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_NONE);
        CHECK_PTR(w[i].msg, &msg[2 - i]);
    }
    CHECK_EQ(entries(queue), 0);
}

TEST(queue_post_opt_broadcast)
{
    struct waiter w[3];
    OS_EVENT *queue = new_queue();

    start_waiters(w, queue);
    CHECK_EQ(OSQPostOpt(queue, &msg[5], OS_POST_OPT_BROADCAST), OS_ERR_NONE);
    CHECK_MARKS("cba");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_NONE);
        CHECK_PTR(w[i].msg, &msg[5]);
    }
    CHECK_EQ(entries(queue), 0);
}

TEST(queue_post_opt_no_sched)
{
    struct waiter w = {.tag = 'w', .err = 255};

    w.queue = new_queue();
    t_task(10, wait_once, &w);
    CHECK_EQ(OSQPostOpt(w.queue, &msg[0], OS_POST_OPT_NO_SCHED), OS_ERR_NONE);
    t_mark('m');
    OSTimeDly(1);
    CHECK_MARKS("mw");
    CHECK_PTR(w.msg, &msg[0]);
}

static void isr_post(void)
{
    isr_err = OSQPost(isr_queue, &msg[7]);
}

TEST(queue_post_from_isr)
{
    struct waiter w = {.tag = 'w', .err = 255};

    isr_queue = w.queue = new_queue();
    t_task(10, wait_once, &w);
    plat_isr(isr_post);
    t_mark('m');
    CHECK_EQ(isr_err, OS_ERR_NONE);
    CHECK_PTR(w.msg, &msg[7]);
    CHECK_MARKS("wm");
}

TEST(queue_pend_timeout)
{
    INT8U err;
    OS_EVENT *queue = new_queue();
    INT32U start = OSTimeGet();

    CHECK_PTR(OSQPend(queue, 9, &err), 0);
    CHECK_EQ(err, OS_ERR_TIMEOUT);
    CHECK_EQ(OSTimeGet() - start, 9);
    CHECK_EQ(OSQPost(queue, &msg[0]), OS_ERR_NONE);
    CHECK_EQ(entries(queue), 1);
}

TEST(queue_pend_abort)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *queue = new_queue();

    CHECK_EQ(OSQPendAbort(queue, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    start_waiters(w, queue);
    CHECK_EQ(OSQPendAbort(queue, OS_PEND_OPT_NONE, &err), 1);
    CHECK_EQ(err, OS_ERR_PEND_ABORT);
    CHECK_MARKS("c");
    CHECK_EQ(OSQPendAbort(queue, OS_PEND_OPT_BROADCAST, &err), 2);
    CHECK_MARKS("ba");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_PEND_ABORT);
        CHECK_PTR(w[i].msg, 0);
    }
}

TEST(queue_del)
{
    INT8U err;
    struct waiter w[3];
    OS_EVENT *queue = new_queue();

    start_waiters(w, queue);
    CHECK_PTR(OSQDel(queue, OS_DEL_NO_PEND, &err), queue);
    CHECK_EQ(err, OS_ERR_TASK_WAITING);
    CHECK_MARKS("");
    CHECK_PTR(OSQDel(queue, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_MARKS("cba");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(w[i].err, OS_ERR_PEND_ABORT);
    }
    CHECK_EQ(OSQPost(queue, &msg[0]), OS_ERR_EVENT_TYPE);
    queue = new_queue();
    CHECK_PTR(OSQDel(queue, OS_DEL_NO_PEND, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
}

TEST(queue_create_until_none_is_left)
{
    INT8U err;
    OS_EVENT *queue = (OS_EVENT *)0;

    for (INT32U i = 0; i < OS_MAX_QS; i++) {
        queue = OSQCreate(storage[i], SIZE);
        CHECK(queue != (OS_EVENT *)0);
    }
    CHECK_PTR(OSQCreate(storage[OS_MAX_QS], SIZE), 0);
    /* The failed call gave its event back: as many semaphores remain as without it. */
    for (INT32U i = 0; i < OS_MAX_EVENTS - OS_MAX_QS; i++) {
        CHECK(OSSemCreate(0) != (OS_EVENT *)0);
    }
    CHECK_PTR(OSSemCreate(0), 0);
    CHECK_PTR(OSQDel(queue, OS_DEL_NO_PEND, &err), 0);
    CHECK(OSQCreate(storage[OS_MAX_QS], SIZE) != (OS_EVENT *)0);
    CHECK_PTR(OSQCreate(storage[0], SIZE), 0);
}

TEST(queue_create_without_an_event)
{
    INT8U err;
    OS_EVENT *sem = OSSemCreate(0);

    CHECK_PTR(OSQCreate((void **)0, SIZE), 0);
    CHECK_PTR(OSQCreate(storage[0], 0), 0);
    while (OSSemCreate(0) != (OS_EVENT *)0) {
    }
    /* More often than there are queues: the failed calls keep none. */
    for (INT32U i = 0; i < OS_MAX_QS; i++) {
        CHECK_PTR(OSQCreate(storage[i], SIZE), 0);
    }
    CHECK_PTR(OSSemDel(sem, OS_DEL_NO_PEND, &err), 0);
    CHECK(OSQCreate(storage[0], SIZE) != (OS_EVENT *)0);
}

TEST(queue_query)
{
    OS_Q_DATA data;
    struct waiter w[3];
    OS_EVENT *queue = new_queue();

    CHECK_EQ(OSQQuery(queue, &data), OS_ERR_NONE);
    CHECK_PTR(data.OSMsg, 0);
    CHECK_EQ(OSQPost(queue, &msg[1]), OS_ERR_NONE);
    CHECK_EQ(OSQPost(queue, &msg[2]), OS_ERR_NONE);
    CHECK_EQ(OSQQuery(queue, &data), OS_ERR_NONE);
    CHECK_PTR(data.OSMsg, &msg[1]); /* the oldest */
    CHECK_EQ(data.OSNMsgs, 2);
    CHECK_EQ(data.OSQSize, SIZE);
    CHECK_EQ(data.OSEventGrp, 0);
    CHECK_EQ(OSQFlush(queue), OS_ERR_NONE);
    start_waiters(w, queue);
    CHECK_EQ(OSQQuery(queue, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSEventGrp, 1u << 1);
    CHECK_EQ(data.OSEventTbl[1], (1u << 2) | (1u << 3) | (1u << 4));
}

static void isr_calls(void)
{
    CHECK_PTR(OSQPend(isr_queue, 0, &isr_err), 0);
    CHECK_EQ(isr_err, OS_ERR_PEND_ISR);
    CHECK_PTR(OSQDel(isr_queue, OS_DEL_ALWAYS, &isr_err), isr_queue);
    CHECK_EQ(isr_err, OS_ERR_DEL_ISR);
    CHECK_PTR(OSQCreate(storage[1], SIZE), 0);
    CHECK_PTR(OSQAccept(isr_queue, &isr_err), &msg[3]); /* the one call that may take one */
    CHECK_EQ(isr_err, OS_ERR_NONE);
}

TEST(queue_calls_from_isr)
{
    isr_queue = new_queue();
    CHECK_EQ(OSQPost(isr_queue, &msg[3]), OS_ERR_NONE);
    plat_isr(isr_calls);
    CHECK_EQ(entries(isr_queue), 0);
}

TEST(queue_argument_errors)
{
    INT8U err;
    OS_Q_DATA data;
    OS_EVENT *queue = new_queue();
    OS_EVENT *sem = OSSemCreate(1);

    CHECK_PTR(OSQPend((OS_EVENT *)0, 1, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_PTR(OSQPend(sem, 1, &err), 0);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    OSSchedLock();
    CHECK_PTR(OSQPend(queue, 1, &err), 0);
    OSSchedUnlock();
    CHECK_EQ(err, OS_ERR_PEND_LOCKED);
    CHECK_PTR(OSQAccept((OS_EVENT *)0, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_PTR(OSQAccept(sem, &err), 0);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSQPost((OS_EVENT *)0, msg), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSQPost(sem, msg), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSQPostFront((OS_EVENT *)0, msg), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSQPostFront(sem, msg), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSQPostOpt((OS_EVENT *)0, msg, OS_POST_OPT_NONE), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSQPostOpt(sem, msg, OS_POST_OPT_NONE), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSQFlush((OS_EVENT *)0), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSQFlush(sem), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSQPendAbort((OS_EVENT *)0, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSQPendAbort(sem, OS_PEND_OPT_NONE, &err), 0);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSQQuery((OS_EVENT *)0, &data), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSQQuery(queue, (OS_Q_DATA *)0), OS_ERR_PDATA_NULL);
    CHECK_EQ(OSQQuery(sem, &data), OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSQDel((OS_EVENT *)0, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_PTR(OSQDel(sem, OS_DEL_ALWAYS, &err), sem);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSQDel(queue, 77, &err), queue);
    CHECK_EQ(err, OS_ERR_INVALID_OPT);
}

const struct t_case queue_cases[] = {
    CASE(queue_is_first_in_first_out),
    CASE(queue_post_front_is_last_in_first_out),
    CASE(queue_full),
    CASE(queue_flush),
    CASE(queue_post_wakes_the_highest_priority),
    CASE(queue_post_opt_broadcast),
    CASE(queue_post_opt_no_sched),
    CASE(queue_post_from_isr),
    CASE(queue_pend_timeout),
    CASE(queue_pend_abort),
    CASE(queue_del),
    CASE(queue_create_until_none_is_left),
    CASE(queue_create_without_an_event),
    CASE(queue_query),
    CASE(queue_calls_from_isr),
    CASE(queue_argument_errors),
    CASES_END,
};
