/* SPDX-License-Identifier: MIT */
/*
 * Priority inversion. L (30) holds a lock for ten ticks of computing; H (15) asks for it after
 * two; M (25), which does not use the lock, begins to compute one tick later. H has to wait for
 * what is left of L's ten ticks. With a semaphore it also waits for all of M, however long that
 * takes; with a mutex L inherits a priority above M and the wait is bounded.
 */
#include "t.h"

#define L_TICKS 10u
#define H_ASKS_AFTER 2u
#define M_STARTS_AFTER 3u

static OS_EVENT *lock;
static int lock_is_mutex;
static INT32U h_waited;
static INT32U m_ticks;

static void take(void)
{
    INT8U err;

    if (lock_is_mutex) {
        OSMutexPend(lock, 0, &err);
    } else {
        OSSemPend(lock, 0, &err);
    }
    CHECK_EQ(err, OS_ERR_NONE);
}

static void give(void)
{
    CHECK_EQ(lock_is_mutex ? OSMutexPost(lock) : OSSemPost(lock), OS_ERR_NONE);
}

static void low(void *p)
{
    (void)p;
    take();
    plat_burn(L_TICKS);
    give();
    t_mark('l');
}

static void middle(void *p)
{
    (void)p;
    OSTimeDly(M_STARTS_AFTER);
    plat_burn(m_ticks);
    t_mark('m');
}

static void high(void *p)
{
    INT32U asked;

    (void)p;
    OSTimeDly(H_ASKS_AFTER);
    asked = OSTimeGet();
    take();
    h_waited = OSTimeGet() - asked;
    t_mark('h');
    give();
}

/* How many ticks H waits for the lock. */
static INT32U inversion(INT32U ticks_of_m)
{
    m_ticks = ticks_of_m;
    t_task(15, high, (void *)0);
    t_task(25, middle, (void *)0);
    t_task(30, low, (void *)0);
    OSTimeDly(L_TICKS + m_ticks + 20u);
    return h_waited;
}

TEST(inversion_with_a_semaphore_is_unbounded)
{
    lock = OSSemCreate(1);
    lock_is_mutex = 0;
    CHECK_EQ(inversion(50), 50u + L_TICKS - H_ASKS_AFTER);
    CHECK_MARKS("mhl");
    CHECK_EQ(inversion(200), 200u + L_TICKS - H_ASKS_AFTER);
    CHECK_MARKS("mhl");
}

TEST(inversion_with_a_mutex_is_bounded)
{
    INT8U err;

    lock = OSMutexCreate(12, &err);
    lock_is_mutex = 1;
    CHECK_EQ(inversion(50), L_TICKS - H_ASKS_AFTER);
    CHECK_MARKS("hml");
    CHECK_EQ(inversion(200), L_TICKS - H_ASKS_AFTER);
    CHECK_MARKS("hml");
}

const struct t_case inversion_cases[] = {
    CASE(inversion_with_a_semaphore_is_unbounded),
    CASE(inversion_with_a_mutex_is_bounded),
    CASES_END,
};
