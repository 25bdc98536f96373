/* SPDX-License-Identifier: MIT */
/* Arguments that are refused by every service alike: no place for the error code, unknown option. */
#include "t.h"

static char mbox_message;

TEST(args_no_place_for_the_error_code)
{
    INT8U err;
    INT8U *name;
    static void *storage[2];
    static void *area[8];
    INT8U *const no_err = (INT8U *)0;
    OS_EVENT *sem = OSSemCreate(1);
    OS_EVENT *mutex = OSMutexCreate(9, &err);
    OS_EVENT *mbox = OSMboxCreate(&mbox_message);
    OS_EVENT *queue = OSQCreate(storage, 2);
    OS_FLAG_GRP *grp = OSFlagCreate(1, &err);
    OS_MEM *mem = OSMemCreate(area, 2, 4u * sizeof(void *), &err);

    CHECK_EQ(OSQPost(queue, &mbox_message), OS_ERR_NONE);
    /* Each call returns without a result and changes nothing. */
    OSSemPend(sem, 0, no_err);
    OSSemSet(sem, 7, no_err);
    CHECK_EQ(OSSemPendAbort(sem, OS_PEND_OPT_NONE, no_err), 0);
    CHECK_PTR(OSSemDel(sem, OS_DEL_ALWAYS, no_err), sem);
    CHECK_EQ(OSSemAccept(sem), 1);
    CHECK_PTR(OSMutexCreate(8, no_err), 0);
    OSMutexPend(mutex, 0, no_err);
    CHECK_EQ(OSMutexAccept(mutex, no_err), OS_FALSE);
    CHECK_PTR(OSMutexDel(mutex, OS_DEL_ALWAYS, no_err), mutex);
    CHECK_EQ(OSMutexAccept(mutex, &err), OS_TRUE);
    CHECK_PTR(OSMboxPend(mbox, 0, no_err), 0);
    CHECK_EQ(OSMboxPendAbort(mbox, OS_PEND_OPT_NONE, no_err), 0);
    CHECK_PTR(OSMboxDel(mbox, OS_DEL_ALWAYS, no_err), mbox);
    CHECK_PTR(OSMboxAccept(mbox), &mbox_message);
    CHECK_PTR(OSQPend(queue, 0, no_err), 0);
    CHECK_PTR(OSQAccept(queue, no_err), 0);
    CHECK_EQ(OSQPendAbort(queue, OS_PEND_OPT_NONE, no_err), 0);
    CHECK_PTR(OSQDel(queue, OS_DEL_ALWAYS, no_err), queue);
    CHECK_PTR(OSQAccept(queue, &err), &mbox_message);
    CHECK_PTR(OSFlagCreate(1, no_err), 0);
    CHECK_EQ(OSFlagPend(grp, 1, OS_FLAG_WAIT_SET_ANY | OS_FLAG_CONSUME, 0, no_err), 0);
    CHECK_EQ(OSFlagAccept(grp, 1, OS_FLAG_WAIT_SET_ANY | OS_FLAG_CONSUME, no_err), 0);
    CHECK_EQ(OSFlagPost(grp, 2, OS_FLAG_SET, no_err), 0);
    CHECK_EQ(OSFlagQuery(grp, no_err), 0);
    CHECK_PTR(OSFlagDel(grp, OS_DEL_ALWAYS, no_err), grp);
    CHECK_EQ(OSFlagNameGet(grp, &name, no_err), 0);
    OSFlagNameSet(grp, &err, no_err);
    CHECK_EQ(OSFlagNameGet(grp, &name, &err), 1);
    CHECK_EQ(OSFlagQuery(grp, &err), 1);
    CHECK_PTR(OSMemCreate(area, 2, 4u * sizeof(void *), no_err), 0);
    CHECK_PTR(OSMemGet(mem, no_err), 0);
    CHECK_EQ(OSMemNameGet(mem, &name, no_err), 0);
    OSMemNameSet(mem, &err, no_err);
    CHECK_EQ(OSMemNameGet(mem, &name, &err), 1);
    CHECK_EQ(OSEventNameGet(sem, &name, no_err), 0);
    OSEventNameSet(sem, &err, no_err);
    CHECK_EQ(OSEventNameGet(sem, &name, &err), 1);
    CHECK_EQ(OSTaskNameGet(OS_PRIO_SELF, &name, no_err), 0);
    OSTaskNameSet(OS_PRIO_SELF, &err, no_err);
    CHECK_EQ(OSTaskNameGet(OS_PRIO_SELF, &name, &err), 1);
}

static void wait_for_sem(void *p)
{
    INT8U err;

    OSSemPend(p, 0, &err);
    CHECK_EQ(err, OS_ERR_PEND_ABORT);
    t_mark('w');
}

TEST(args_unknown_abort_option)
{
    INT8U err;
    OS_EVENT *sem = OSSemCreate(0);

    t_task(10, wait_for_sem, sem);
    CHECK_EQ(OSSemPendAbort(sem, 77, &err), 0);
    CHECK_EQ(err, OS_ERR_INVALID_OPT);
    CHECK_MARKS("");
}

TEST(args_abort_leaves_a_suspension)
{
    INT8U err;
    OS_EVENT *sem = OSSemCreate(0);

    t_task(10, wait_for_sem, sem);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_NONE);
    CHECK_EQ(OSSemPendAbort(sem, OS_PEND_OPT_NONE, &err), 1);
    CHECK_EQ(err, OS_ERR_PEND_ABORT);
    CHECK_MARKS("");
    CHECK_EQ(OSTaskResume(10), OS_ERR_NONE);
    CHECK_MARKS("w");
}

const struct t_case args_cases[] = {
    CASE(args_no_place_for_the_error_code),
    CASE(args_unknown_abort_option),
    CASE(args_abort_leaves_a_suspension),
    CASES_END,
};
