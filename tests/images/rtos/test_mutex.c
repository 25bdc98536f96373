/* SPDX-License-Identifier: MIT */
/* Mutexes: OSMutex*(), ownership, errors, and what priority inheritance does to their owner. */
#include "t.h"

#define PIP 12u /* the inherited priority of most cases */

struct user {
    OS_EVENT *mutex;
    INT32U hold;    /* ticks of delay while it owns the mutex */
    INT32U timeout;
    char tag;
    INT8U pend_err; /* 255 before the call returned */
    INT8U post_err;
    INT8U prio_held; /* its own priority right before OSMutexPost() */
    INT8U prio_after;
};

static OS_EVENT *isr_mutex;
static INT8U isr_err;
static BOOLEAN isr_taken;

static OS_EVENT *new_mutex(INT8U pip)
{
    INT8U err;
    OS_EVENT *mutex = OSMutexCreate(pip, &err);

    CHECK_EQ(err, OS_ERR_NONE);
    CHECK(mutex != (OS_EVENT *)0);
    return mutex;
}

static void use_mutex(void *p)
{
    struct user *u = p;
    INT8U err;

    OSMutexPend(u->mutex, u->timeout, &err);
    u->pend_err = err;
    t_mark(u->tag);
    if (u->pend_err != OS_ERR_NONE && u->pend_err != OS_ERR_PIP_LOWER) {
        return;
    }
    if (u->hold != 0u) {
        OSTimeDly(u->hold);
    }
    u->prio_held = OSTCBCur->OSTCBPrio;
    u->post_err = OSMutexPost(u->mutex);
    u->prio_after = OSTCBCur->OSTCBPrio;
    t_mark((char)(u->tag - 'a' + 'A'));
}

static struct user user(OS_EVENT *mutex, char tag, INT32U hold)
{
    return (struct user){.mutex = mutex, .hold = hold, .tag = tag, .pend_err = 255};
}

TEST(mutex_pend_and_post)
{
    INT8U err;
    OS_MUTEX_DATA data;
    OS_EVENT *mutex = new_mutex(PIP);

    CHECK_EQ(OSMutexQuery(mutex, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSValue, OS_TRUE);
    CHECK_EQ(data.OSMutexPIP, PIP);
    CHECK_EQ(data.OSOwnerPrio, 0xff);
    OSMutexPend(mutex, 0, &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSMutexQuery(mutex, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSValue, OS_FALSE);
    CHECK_EQ(data.OSOwnerPrio, T_MAIN_PRIO);
    CHECK_EQ(data.OSEventGrp, 0);
    CHECK_EQ(OSMutexPost(mutex), OS_ERR_NONE);
    CHECK_EQ(OSMutexQuery(mutex, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSValue, OS_TRUE);
    CHECK_EQ(OSMutexPost(mutex), OS_ERR_NOT_MUTEX_OWNER);
}

TEST(mutex_accept)
{
    INT8U err;
    OS_EVENT *mutex = new_mutex(PIP);
    struct user low = user(mutex, 'l', 10);

    CHECK_EQ(OSMutexAccept(mutex, &err), OS_TRUE);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSMutexPost(mutex), OS_ERR_NONE);
    t_task(30, use_mutex, &low);
    OSTimeDly(1);
    CHECK_EQ(OSMutexAccept(mutex, &err), OS_FALSE);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSTCBPrioTbl[30]->OSTCBPrio, 30); /* asking does not lend a priority */
}

TEST(mutex_only_the_owner_posts)
{
    OS_EVENT *mutex = new_mutex(PIP);
    struct user low = user(mutex, 'l', 3);

    t_task(30, use_mutex, &low);
    OSTimeDly(1);
    CHECK_EQ(OSMutexPost(mutex), OS_ERR_NOT_MUTEX_OWNER);
    OSTimeDly(5);
    CHECK_EQ(low.post_err, OS_ERR_NONE);
    CHECK_MARKS("lL");
}

TEST(mutex_owner_inherits_and_returns_the_priority)
{
    INT8U err;
    OS_TCB copy;
    OS_MUTEX_DATA data;
    OS_EVENT *mutex = new_mutex(PIP);
    struct user low = user(mutex, 'l', 5);
    struct user high = user(mutex, 'h', 0);

    t_task(30, use_mutex, &low);
    OSTimeDly(1);
    CHECK_EQ(OSTaskQuery(PIP, &copy), OS_ERR_TASK_NOT_EXIST); /* reserved, nobody's yet */
    t_task(15, use_mutex, &high);
    CHECK_EQ(high.pend_err, 255);
    CHECK_EQ(OSTaskQuery(PIP, &copy), OS_ERR_NONE);
    CHECK_EQ(copy.OSTCBPrio, PIP);
    CHECK_EQ(OSMutexQuery(mutex, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSOwnerPrio, 30); /* the priority that it gets back */
    CHECK_EQ(data.OSEventTbl[1], 1u << 7);
    OSTimeDly(10);
    CHECK_EQ(low.prio_held, PIP);
    CHECK_EQ(low.prio_after, 30);
    CHECK_EQ(low.post_err, OS_ERR_NONE);
    CHECK_EQ(high.pend_err, OS_ERR_NONE);
    CHECK_MARKS("lhHL");
    CHECK_EQ(OSTaskQuery(PIP, &copy), OS_ERR_TASK_NOT_EXIST);
    CHECK_EQ(OSMutexAccept(mutex, &err), OS_TRUE);
}

TEST(mutex_lower_waiter_lends_nothing)
{
    OS_EVENT *mutex = new_mutex(PIP);
    struct user high = user(mutex, 'h', 5);
    struct user low = user(mutex, 'l', 0);

    t_task(15, use_mutex, &high);
    t_task(30, use_mutex, &low);
    OSTimeDly(10);
    CHECK_EQ(high.prio_held, 15);
    CHECK_EQ(high.post_err, OS_ERR_NONE);
    CHECK_EQ(low.pend_err, OS_ERR_NONE);
    CHECK_MARKS("hHlL");
}

TEST(mutex_owner_deleted_with_a_borrowed_priority)
{
    OS_EVENT *mutex = new_mutex(PIP);
    struct user low = user(mutex, 'l', 50);
    struct user high = user(mutex, 'h', 0);
    struct user next = user((OS_EVENT *)0, 'n', 0);

    t_task(30, use_mutex, &low);
    OSTimeDly(1);
    t_task(15, use_mutex, &high);
    CHECK_EQ(OSTaskDel(PIP), OS_ERR_NONE);
    CHECK_EQ(t_try_task(PIP, use_mutex, &next), OS_ERR_PRIO_EXIST); /* still the mutex's */
    t_task(30, use_mutex, &next);                                   /* but its own is free */
    OSTimeDly(100);
    CHECK_MARKS("ln");
}

TEST(mutex_goes_to_the_highest_waiter)
{
    OS_EVENT *mutex = new_mutex(PIP);
    struct user low = user(mutex, 'l', 5);
    struct user a = user(mutex, 'a', 0);
    struct user b = user(mutex, 'b', 0);
    struct user c = user(mutex, 'c', 0);

    t_task(30, use_mutex, &low);
    OSTimeDly(1);
    t_task(16, use_mutex, &b);
    t_task(17, use_mutex, &c);
    t_task(15, use_mutex, &a);
    OSTimeDly(10);
    CHECK_MARKS("laAbBcCL");
}

struct boosted {
    OS_EVENT *mutex;
    OS_EVENT *sem;
    INT8U err;
};

static void own_and_wait_for_sem(void *p)
{
    struct boosted *b = p;

    OSMutexPend(b->mutex, 0, &b->err);
    OSSemPend(b->sem, 0, &b->err);
    t_mark('l');
    CHECK_EQ(OSMutexPost(b->mutex), OS_ERR_NONE);
    t_mark('L');
}

static void wait_for_sem(void *p)
{
    INT8U err;

    OSSemPend(p, 0, &err);
    t_mark('k');
}

TEST(mutex_inheritance_moves_the_owner_in_another_wait_list)
{
    struct boosted low = {new_mutex(PIP), OSSemCreate(0), 255};
    struct user high = user(low.mutex, 'h', 0);

    t_task(30, own_and_wait_for_sem, &low);
    t_task(25, wait_for_sem, low.sem);
    OSTimeDly(1); /* both wait for the semaphore, k with the higher priority */
    t_task(15, use_mutex, &high); /* now l is above k */
    CHECK_EQ(OSSemPost(low.sem), OS_ERR_NONE);
    t_mark('m');
    CHECK_EQ(OSSemPost(low.sem), OS_ERR_NONE);
    OSTimeDly(1);
    CHECK_MARKS("lhHmkL");
}

TEST(mutex_pend_timeout)
{
    INT8U err;
    OS_EVENT *mutex = new_mutex(PIP);
    struct user low = user(mutex, 'l', 8);
    INT32U start;

    t_task(30, use_mutex, &low);
    OSTimeDly(1);
    start = OSTimeGet();
    OSMutexPend(mutex, 4, &err);
    CHECK_EQ(err, OS_ERR_TIMEOUT);
    CHECK_EQ(OSTimeGet() - start, 4);
    OSTimeDly(10);
    CHECK_EQ(low.post_err, OS_ERR_NONE);
    CHECK_EQ(low.prio_after, 30);
    CHECK_EQ(OSMutexAccept(mutex, &err), OS_TRUE);
}

TEST(mutex_pip_must_be_above_its_users)
{
    INT8U err;
    OS_EVENT *mutex = new_mutex(15);
    struct user low = user(mutex, 'l', 3);
    struct user high = user(mutex, 'h', 0);

    t_task(10, use_mutex, &high);
    CHECK_EQ(high.pend_err, OS_ERR_PIP_LOWER);
    CHECK_MARKS("hH");
    high.pend_err = 255;
    t_task(30, use_mutex, &low);
    OSTimeDly(1);
    t_task(10, use_mutex, &high);
    OSTimeDly(5);
    CHECK_EQ(low.post_err, OS_ERR_PIP_LOWER); /* the new owner is above the PIP */
    CHECK_MARKS("lhHL");
    CHECK_EQ(OSTaskChangePrio(OS_PRIO_SELF, 9), OS_ERR_NONE);
    CHECK_EQ(OSMutexAccept(mutex, &err), OS_TRUE);
    CHECK_EQ(err, OS_ERR_PIP_LOWER);
}

static void isr_create(void)
{
    isr_mutex = OSMutexCreate(9, &isr_err);
}

TEST(mutex_create_errors)
{
    INT8U err;
    INT32U n = 0;

    CHECK_PTR(OSMutexCreate(T_MAIN_PRIO, &err), 0);
    CHECK_EQ(err, OS_ERR_PRIO_EXIST);
    CHECK_PTR(OSMutexCreate(OS_LOWEST_PRIO, &err), 0);
    CHECK_EQ(err, OS_ERR_PRIO_INVALID);
    isr_mutex = (OS_EVENT *)&n;
    plat_isr(isr_create);
    CHECK_EQ(isr_err, OS_ERR_CREATE_ISR);
    CHECK_PTR(isr_mutex, 0);
    while (OSSemCreate(0) != (OS_EVENT *)0) {
        n++;
    }
    CHECK(n > 0u);
    CHECK_PTR(OSMutexCreate(9, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    t_task(9, use_mutex, &(struct user){.mutex = (OS_EVENT *)0, .tag = 'x'}); /* 9 is free */
    CHECK_MARKS("x");
}

TEST(mutex_del)
{
    INT8U err;
    OS_EVENT *mutex = new_mutex(PIP);
    struct user u = user(mutex, 'x', 0);

    CHECK_PTR(OSMutexDel(mutex, OS_DEL_NO_PEND, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSMutexPost(mutex), OS_ERR_EVENT_TYPE);
    t_task(PIP, use_mutex, &u); /* its priority is free */
    CHECK_EQ(u.pend_err, OS_ERR_EVENT_TYPE);
}

TEST(mutex_del_while_a_task_waits)
{
    INT8U err;
    OS_TCB copy;
    OS_EVENT *mutex = new_mutex(PIP);
    struct user low = user(mutex, 'l', 20);
    struct user high = user(mutex, 'h', 0);
    struct user next = user(mutex, 'n', 0);

    t_task(30, use_mutex, &low);
    OSTimeDly(1);
    t_task(15, use_mutex, &high);
    CHECK_PTR(OSMutexDel(mutex, OS_DEL_NO_PEND, &err), mutex);
    CHECK_EQ(err, OS_ERR_TASK_WAITING);
    CHECK_EQ(high.pend_err, 255);
    CHECK_PTR(OSMutexDel(mutex, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(high.pend_err, OS_ERR_PEND_ABORT);
    CHECK_EQ(OSTaskQuery(30, &copy), OS_ERR_NONE); /* the owner has its own priority back */
    CHECK_EQ(copy.OSTCBPrio, 30);
    t_task(PIP, use_mutex, &next);
    CHECK_MARKS("lhn");
}

static void isr_calls(void)
{
    OS_MUTEX_DATA data;

    OSMutexPend(isr_mutex, 0, &isr_err);
    CHECK_EQ(isr_err, OS_ERR_PEND_ISR);
    CHECK_EQ(OSMutexPost(isr_mutex), OS_ERR_POST_ISR);
    CHECK_EQ(OSMutexQuery(isr_mutex, &data), OS_ERR_QUERY_ISR);
    isr_taken = OSMutexAccept(isr_mutex, &isr_err);
    CHECK_EQ(isr_err, OS_ERR_PEND_ISR);
    CHECK_PTR(OSMutexDel(isr_mutex, OS_DEL_ALWAYS, &isr_err), isr_mutex);
    CHECK_EQ(isr_err, OS_ERR_DEL_ISR);
}

TEST(mutex_calls_from_isr)
{
    OS_MUTEX_DATA data;

    isr_taken = OS_TRUE;
    isr_mutex = new_mutex(PIP);
    plat_isr(isr_calls);
    CHECK_EQ(isr_taken, OS_FALSE);
    CHECK_EQ(OSMutexQuery(isr_mutex, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSValue, OS_TRUE);
}

TEST(mutex_argument_errors)
{
    INT8U err;
    OS_MUTEX_DATA data;
    OS_EVENT *mutex = new_mutex(PIP);
    OS_EVENT *sem = OSSemCreate(1);

    OSMutexPend((OS_EVENT *)0, 1, &err);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    OSMutexPend(sem, 1, &err);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    OSSchedLock();
    OSMutexPend(mutex, 1, &err);
    OSSchedUnlock();
    CHECK_EQ(err, OS_ERR_PEND_LOCKED);
    CHECK_EQ(OSMutexPost((OS_EVENT *)0), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSMutexPost(sem), OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSMutexAccept((OS_EVENT *)0, &err), OS_FALSE);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSMutexAccept(sem, &err), OS_FALSE);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_EQ(OSMutexQuery((OS_EVENT *)0, &data), OS_ERR_PEVENT_NULL);
    CHECK_EQ(OSMutexQuery(mutex, (OS_MUTEX_DATA *)0), OS_ERR_PDATA_NULL);
    CHECK_EQ(OSMutexQuery(sem, &data), OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSMutexDel((OS_EVENT *)0, OS_DEL_ALWAYS, &err), 0);
    CHECK_EQ(err, OS_ERR_PEVENT_NULL);
    CHECK_PTR(OSMutexDel(sem, OS_DEL_ALWAYS, &err), sem);
    CHECK_EQ(err, OS_ERR_EVENT_TYPE);
    CHECK_PTR(OSMutexDel(mutex, 77, &err), mutex);
    CHECK_EQ(err, OS_ERR_INVALID_OPT);
}

const struct t_case mutex_cases[] = {
    CASE(mutex_pend_and_post),
    CASE(mutex_accept),
    CASE(mutex_only_the_owner_posts),
    CASE(mutex_owner_inherits_and_returns_the_priority),
    CASE(mutex_lower_waiter_lends_nothing),
    CASE(mutex_owner_deleted_with_a_borrowed_priority),
    CASE(mutex_goes_to_the_highest_waiter),
    CASE(mutex_inheritance_moves_the_owner_in_another_wait_list),
    CASE(mutex_pend_timeout),
    CASE(mutex_pip_must_be_above_its_users),
    CASE(mutex_create_errors),
    CASE(mutex_del),
    CASE(mutex_del_while_a_task_waits),
    CASE(mutex_calls_from_isr),
    CASE(mutex_argument_errors),
    CASES_END,
};
