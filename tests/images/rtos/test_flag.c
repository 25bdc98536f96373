/* SPDX-License-Identifier: MIT */
/* Event flags: OSFlag*(). */
#include "t.h"

struct waiter {
    OS_FLAG_GRP *grp;
    OS_FLAGS flags;
    INT8U type;
    INT32U timeout;
    char tag;
    INT8U err; /* 255 before OSFlagPend() returned */
    OS_FLAGS got;
    OS_FLAGS ready; /* OSFlagPendGetFlagsRdy() afterwards */
};

static OS_FLAG_GRP *isr_grp;
static INT8U isr_err;

static void wait_once(void *p)
{
    struct waiter *w = p;
    INT8U err;

    w->got = OSFlagPend(w->grp, w->flags, w->type, w->timeout, &err);
    w->err = err;
    w->ready = OSFlagPendGetFlagsRdy();
    t_mark(w->tag);
}

static struct waiter waiter(OS_FLAG_GRP *grp, OS_FLAGS flags, INT8U type, char tag)
{
    return (struct waiter){.grp = grp, .flags = flags, .type = type, .tag = tag, .err = 255};
}

static OS_FLAG_GRP *new_group(OS_FLAGS flags)
{
    INT8U err;
    OS_FLAG_GRP *grp = OSFlagCreate(flags, &err);

    CHECK_EQ(err, OS_ERR_NONE);
    CHECK(grp != (OS_FLAG_GRP *)0);
    CHECK_EQ(grp->OSFlagType, OS_EVENT_TYPE_FLAG);
    return grp;
}

static OS_FLAGS flags_of(OS_FLAG_GRP *grp)
{
    INT8U err;
    OS_FLAGS flags = OSFlagQuery(grp, &err);

    CHECK_EQ(err, OS_ERR_NONE);
    return flags;
}

static void post(OS_FLAG_GRP *grp, OS_FLAGS flags, INT8U opt, OS_FLAGS want)
{
    INT8U err;

    CHECK_EQ(OSFlagPost(grp, flags, opt, &err), want);
    CHECK_EQ(err, OS_ERR_NONE);
}

TEST(flag_post_sets_and_clears)
{
    OS_FLAG_GRP *grp = new_group(0x0081);

    CHECK_EQ(flags_of(grp), 0x0081);
    post(grp, 0x8100, OS_FLAG_SET, 0x8181);
    post(grp, 0x0001, OS_FLAG_CLR, 0x8180);
    post(grp, 0xffff, OS_FLAG_CLR, 0);
    post(grp, 0xffff, OS_FLAG_SET, 0xffff);
}

/* One row: a group's flags, a question, and what OSFlagAccept() must answer and leave. */
struct row {
    OS_FLAGS has;
    OS_FLAGS asks;
    INT8U type;
    INT8U err;
    OS_FLAGS got;
    OS_FLAGS left;
};

static const struct row rows[] = {
    {0x07, 0x05, OS_FLAG_WAIT_SET_ALL, OS_ERR_NONE, 0x05, 0x07},
    {0x03, 0x05, OS_FLAG_WAIT_SET_ALL, OS_ERR_FLAG_NOT_RDY, 0, 0x03},
    {0x07, 0x05, OS_FLAG_WAIT_SET_ALL | OS_FLAG_CONSUME, OS_ERR_NONE, 0x05, 0x02},
    {0x03, 0x05, OS_FLAG_WAIT_SET_ALL | OS_FLAG_CONSUME, OS_ERR_FLAG_NOT_RDY, 0, 0x03},
    {0x03, 0x05, OS_FLAG_WAIT_SET_ANY, OS_ERR_NONE, 0x01, 0x03},
    {0x02, 0x05, OS_FLAG_WAIT_SET_ANY, OS_ERR_FLAG_NOT_RDY, 0, 0x02},
    {0x03, 0x05, OS_FLAG_WAIT_SET_ANY | OS_FLAG_CONSUME, OS_ERR_NONE, 0x01, 0x02},
    {0x02, 0x05, OS_FLAG_WAIT_CLR_ALL, OS_ERR_NONE, 0x05, 0x02},
    {0x01, 0x05, OS_FLAG_WAIT_CLR_ALL, OS_ERR_FLAG_NOT_RDY, 0, 0x01},
    {0x02, 0x05, OS_FLAG_WAIT_CLR_ALL | OS_FLAG_CONSUME, OS_ERR_NONE, 0x05, 0x07},
    {0x01, 0x05, OS_FLAG_WAIT_CLR_ANY, OS_ERR_NONE, 0x04, 0x01},
    {0x05, 0x05, OS_FLAG_WAIT_CLR_ANY, OS_ERR_FLAG_NOT_RDY, 0, 0x05},
    {0x01, 0x05, OS_FLAG_WAIT_CLR_ANY | OS_FLAG_CONSUME, OS_ERR_NONE, 0x04, 0x05},
};

#define ROWS (sizeof rows / sizeof rows[0])

TEST(flag_accept_table)
{
    INT8U err;
    OS_FLAG_GRP *grp = new_group(0);

    for (INT32U i = 0; i < ROWS; i++) {
        post(grp, 0xffff, OS_FLAG_CLR, 0);
        post(grp, rows[i].has, OS_FLAG_SET, rows[i].has);
        CHECK_EQ(OSFlagAccept(grp, rows[i].asks, rows[i].type, &err), rows[i].got);
        CHECK_EQ(err, rows[i].err);
        CHECK_EQ(flags_of(grp), rows[i].left);
    }
}

/* The same table for OSFlagPend(): at once where it is ready, else it times out. */
TEST(flag_pend_table)
{
    INT8U err;
    OS_FLAG_GRP *grp = new_group(0);

    for (INT32U i = 0; i < ROWS; i++) {
        INT32U start = OSTimeGet();
        int ready = rows[i].err == OS_ERR_NONE;

        post(grp, 0xffff, OS_FLAG_CLR, 0);
        post(grp, rows[i].has, OS_FLAG_SET, rows[i].has);
        CHECK_EQ(OSFlagPend(grp, rows[i].asks, rows[i].type, 2, &err), rows[i].got);
        CHECK_EQ(err, ready ? OS_ERR_NONE : OS_ERR_TIMEOUT);
        CHECK_EQ(OSTimeGet() - start, ready ? 0 : 2);
        CHECK_EQ(flags_of(grp), rows[i].left);
    }
    CHECK_PTR(grp->OSFlagWaitList, 0); /* the time-outs left nothing behind */
}

TEST(flag_wait_set_all)
{
    OS_FLAG_GRP *grp = new_group(0);
    struct waiter w = waiter(grp, 0x0006, OS_FLAG_WAIT_SET_ALL, 'w');

    t_task(10, wait_once, &w);
    post(grp, 0x0002, OS_FLAG_SET, 0x0002);
    CHECK_EQ(w.err, 255);
    post(grp, 0x0001, OS_FLAG_SET, 0x0003);
    CHECK_EQ(w.err, 255);
    post(grp, 0x0004, OS_FLAG_SET, 0x0007);
    CHECK_EQ(w.err, OS_ERR_NONE);
    CHECK_EQ(w.got, 0x0006);
    CHECK_EQ(w.ready, 0x0006);
}

TEST(flag_wait_set_any_consumes)
{
    INT8U err;
    OS_FLAG_GRP *grp = new_group(0);
    struct waiter w = waiter(grp, 0x0006, OS_FLAG_WAIT_SET_ANY | OS_FLAG_CONSUME, 'w');

    t_task(10, wait_once, &w);
    (void)OSFlagPost(grp, 0x0005, OS_FLAG_SET, &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(w.err, OS_ERR_NONE);
    CHECK_EQ(w.got, 0x0004);
    CHECK_EQ(w.ready, 0x0004);
    CHECK_EQ(flags_of(grp), 0x0001);
}

TEST(flag_wait_clear)
{
    INT8U err;
    OS_FLAG_GRP *grp = new_group(0xffff);
    struct waiter all = waiter(grp, 0x0003, OS_FLAG_WAIT_CLR_ALL | OS_FLAG_CONSUME, 'a');
    struct waiter any = waiter(grp, 0x00f0, OS_FLAG_WAIT_CLR_ANY, 'y');

    t_task(10, wait_once, &all);
    t_task(11, wait_once, &any);
    (void)OSFlagPost(grp, 0x0001, OS_FLAG_CLR, &err);
    CHECK_MARKS("");
    (void)OSFlagPost(grp, 0x0010, OS_FLAG_CLR, &err);
    CHECK_MARKS("y");
    CHECK_EQ(any.got, 0x0010);
    (void)OSFlagPost(grp, 0x0002, OS_FLAG_CLR, &err);
    CHECK_MARKS("a");
    CHECK_EQ(all.got, 0x0003);
    CHECK_EQ(flags_of(grp), 0xffefu); /* consumed: both bits are set again */
}

TEST(flag_one_post_wakes_all_that_match)
{
    OS_FLAG_GRP *grp = new_group(0);
    struct waiter a = waiter(grp, 0x0001, OS_FLAG_WAIT_SET_ANY, 'a');
    struct waiter b = waiter(grp, 0x0002, OS_FLAG_WAIT_SET_ANY, 'b');
    struct waiter c = waiter(grp, 0x0003, OS_FLAG_WAIT_SET_ALL, 'c');
    struct waiter d = waiter(grp, 0x0004, OS_FLAG_WAIT_SET_ALL, 'd');

    t_task(13, wait_once, &a);
    t_task(12, wait_once, &b);
    t_task(11, wait_once, &c);
    t_task(10, wait_once, &d);
    post(grp, 0x0003, OS_FLAG_SET, 0x0003);
    CHECK_MARKS("cba");
    CHECK_EQ(a.got, 0x0001);
    CHECK_EQ(b.got, 0x0002);
    CHECK_EQ(c.got, 0x0003);
    CHECK_EQ(d.err, 255);
}

static void isr_post(void)
{
    (void)OSFlagPost(isr_grp, 0x0001, OS_FLAG_SET, &isr_err);
}

TEST(flag_post_from_isr)
{
    struct waiter w;

    isr_grp = new_group(0);
    w = waiter(isr_grp, 0x0001, OS_FLAG_WAIT_SET_ALL, 'w');
    t_task(10, wait_once, &w);
    plat_isr(isr_post);
    t_mark('m');
    CHECK_EQ(isr_err, OS_ERR_NONE);
    CHECK_MARKS("wm");
}

TEST(flag_timeout_unlinks_only_its_task)
{
    OS_FLAG_GRP *grp = new_group(0);
    struct waiter a = waiter(grp, 1, OS_FLAG_WAIT_SET_ANY, 'a');
    struct waiter b = waiter(grp, 1, OS_FLAG_WAIT_SET_ANY, 'b');
    struct waiter c = waiter(grp, 1, OS_FLAG_WAIT_SET_ANY, 'c');

    b.timeout = 3;
    t_task(10, wait_once, &a);
    t_task(11, wait_once, &b);
    t_task(12, wait_once, &c);
    OSTimeDly(5);
    CHECK_MARKS("b");
    CHECK_EQ(b.err, OS_ERR_TIMEOUT);
    CHECK_EQ(b.got, 0);
    post(grp, 1, OS_FLAG_SET, 1);
    CHECK_MARKS("ac");
}

TEST(flag_wait_while_suspended)
{
    OS_FLAG_GRP *grp = new_group(0);
    struct waiter w = waiter(grp, 1, OS_FLAG_WAIT_SET_ANY, 'w');

    t_task(10, wait_once, &w);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_NONE);
    post(grp, 1, OS_FLAG_SET, 1);
    CHECK_MARKS("");
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE);
    CHECK_MARKS("w");
    CHECK_EQ(w.err, OS_ERR_NONE);
    CHECK_EQ(w.got, 1);
}

TEST(flag_del)
{
    INT8U err;
    OS_FLAG_GRP *grp = new_group(0);
    struct waiter a = waiter(grp, 1, OS_FLAG_WAIT_SET_ANY, 'a');
    struct waiter b = waiter(grp, 2, OS_FLAG_WAIT_SET_ALL, 'b');

    t_task(10, wait_once, &a);
    t_task(11, wait_once, &b);
    CHECK_PTR(OSFlagDel(grp, OS_DEL_NO_PEND, &err), grp);
    CHECK_EQ(err, OS_ERR_TASK_WAITING);
    CHECK_MARKS("");
    CHECK_PTR(OSFlagDel(grp, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_MARKS("ab");
    CHECK_EQ(a.err, OS_ERR_PEND_ABORT);
    CHECK_EQ(b.err, OS_ERR_PEND_ABORT);
    CHECK_EQ(a.got, 0);
    (void)OSFlagPost(grp, 1, OS_FLAG_SET, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    grp = new_group(0);
    CHECK_PTR(OSFlagDel(grp, OS_DEL_NO_PEND, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
}

TEST(flag_create_until_none_is_left)
{
    INT8U err;
    OS_FLAG_GRP *last = (OS_FLAG_GRP *)0;

    for (INT32U i = 0; i < OS_MAX_FLAGS; i++) {
        last = new_group(0);
    }
    CHECK_PTR(OSFlagCreate(0, &err), 0);
    CHECK_EQ(err, OS_ERR_FLAG_GRP_DEPLETED);
    CHECK_PTR(OSFlagDel(last, OS_DEL_NO_PEND, &err), 0);
    CHECK_PTR(new_group(5), last);
    CHECK_EQ(flags_of(last), 5);
}

static void isr_calls(void)
{
    CHECK_EQ(OSFlagPend(isr_grp, 1, OS_FLAG_WAIT_SET_ANY, 0, &isr_err), 0);
    CHECK_EQ(isr_err, OS_ERR_PEND_ISR);
    CHECK_PTR(OSFlagCreate(0, &isr_err), 0);
    CHECK_EQ(isr_err, OS_ERR_CREATE_ISR);
    CHECK_PTR(OSFlagDel(isr_grp, OS_DEL_ALWAYS, &isr_err), isr_grp);
    CHECK_EQ(isr_err, OS_ERR_DEL_ISR);
    CHECK_EQ(OSFlagAccept(isr_grp, 1, OS_FLAG_WAIT_SET_ANY, &isr_err), 1);
    CHECK_EQ(isr_err, OS_ERR_NONE);
}

static INT8U *isr_name;

static void isr_names(void)
{
    CHECK_EQ(OSFlagNameGet(isr_grp, &isr_name, &isr_err), 0);
    CHECK_EQ(isr_err, OS_ERR_NAME_GET_ISR);
    OSFlagNameSet(isr_grp, (INT8U *)(unsigned long)"isr", &isr_err);
    CHECK_EQ(isr_err, OS_ERR_NAME_SET_ISR);
}

TEST(flag_calls_from_isr)
{
    isr_grp = new_group(1);
    plat_isr(isr_calls);
    plat_isr(isr_names);
}

TEST(flag_names)
{
    INT8U err;
    INT8U *name;
    OS_FLAG_GRP *grp = new_group(0);

    CHECK_EQ(OSFlagNameGet(grp, &name, &err), 1);
    CHECK_STR(name, "?");
    OSFlagNameSet(grp, (INT8U *)(unsigned long)"valves", &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSFlagNameGet(grp, &name, &err), 6);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_STR(name, "valves");
    CHECK_EQ(OSFlagNameGet(grp, (INT8U **)0, &err), 0);
    CHECK_EQ(err, OS_ERR_PNAME_NULL);
    CHECK_EQ(OSFlagNameGet((OS_FLAG_GRP *)0, &name, &err), 0);
    CHECK_EQ(err, OS_ERR_FLAG_INVALID_PGRP);
    OSFlagNameSet(grp, (INT8U *)0, &err);
    CHECK_EQ(err, OS_ERR_PNAME_NULL);
    OSFlagNameSet((OS_FLAG_GRP *)0, name, &err);
    CHECK_EQ(err, OS_ERR_FLAG_INVALID_PGRP);
    CHECK_PTR(OSFlagDel(grp, OS_DEL_NO_PEND, &err), 0);
    CHECK_EQ(OSFlagNameGet(grp, &name, &err), 0);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    OSFlagNameSet(grp, name, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
}

TEST(flag_argument_errors)
{
    INT8U err;
    OS_FLAG_GRP *grp = new_group(1);
    OS_FLAG_GRP *gone = new_group(1);

    CHECK_PTR(OSFlagDel(gone, OS_DEL_NO_PEND, &err), 0);
    (void)OSFlagPend((OS_FLAG_GRP *)0, 1, OS_FLAG_WAIT_SET_ANY, 1, &err);
    CHECK_EQ(err, OS_ERR_FLAG_INVALID_PGRP);
    (void)OSFlagPend(gone, 1, OS_FLAG_WAIT_SET_ANY, 1, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    (void)OSFlagPend(grp, 1, 9, 1, &err);
    CHECK_EQ(err, OS_ERR_FLAG_WAIT_TYPE);
    OSSchedLock();
    (void)OSFlagPend(grp, 2, OS_FLAG_WAIT_SET_ANY, 1, &err);
    OSSchedUnlock();
    CHECK_EQ(err, OS_ERR_PEND_LOCKED);
    (void)OSFlagAccept((OS_FLAG_GRP *)0, 1, OS_FLAG_WAIT_SET_ANY, &err);
    CHECK_EQ(err, OS_ERR_FLAG_INVALID_PGRP);
    (void)OSFlagAccept(gone, 1, OS_FLAG_WAIT_SET_ANY, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    (void)OSFlagAccept(grp, 1, 9, &err);
    CHECK_EQ(err, OS_ERR_FLAG_WAIT_TYPE);
    (void)OSFlagPost((OS_FLAG_GRP *)0, 1, OS_FLAG_SET, &err);
    CHECK_EQ(err, OS_ERR_FLAG_INVALID_PGRP);
    (void)OSFlagPost(gone, 1, OS_FLAG_SET, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    (void)OSFlagPost(grp, 1, 9, &err);
    CHECK_EQ(err, OS_ERR_FLAG_INVALID_OPT);
    (void)OSFlagQuery((OS_FLAG_GRP *)0, &err);
    CHECK_EQ(err, OS_ERR_FLAG_INVALID_PGRP);
    (void)OSFlagQuery(gone, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSFlagDel((OS_FLAG_GRP *)0, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_FLAG_INVALID_PGRP);
    CHECK_PTR(OSFlagDel(gone, OS_DEL_ALWAYS, &err), gone);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSFlagDel(grp, 77, &err), grp);
    CHECK_EQ(err, OS_ERR_INVALID_OPT);
    CHECK_EQ(flags_of(grp), 1);
}

const struct t_case flag_cases[] = {
    CASE(flag_post_sets_and_clears),
    CASE(flag_accept_table),
    CASE(flag_pend_table),
    CASE(flag_wait_set_all),
    CASE(flag_wait_set_any_consumes),
    CASE(flag_wait_clear),
    CASE(flag_one_post_wakes_all_that_match),
    CASE(flag_post_from_isr),
    CASE(flag_timeout_unlinks_only_its_task),
    CASE(flag_wait_while_suspended),
    CASE(flag_del),
    CASE(flag_create_until_none_is_left),
    CASE(flag_calls_from_isr),
    CASE(flag_names),
    CASE(flag_argument_errors),
    CASES_END,
};
