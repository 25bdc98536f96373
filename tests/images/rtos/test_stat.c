/* SPDX-License-Identifier: MIT */
/* The statistics task: OSStatInit(), OSCPUUsage. */
#include "t.h"

#define PERIOD 10u /* ticks */

struct load {
    INT32U busy; /* ticks of each PERIOD */
};

static void load_task(void *p)
{
    const struct load *load = p;

    for (;;) {
        INT32U start = OSTimeGet();

        plat_burn(load->busy);
        OSTimeDly(PERIOD - (OSTimeGet() - start));
    }
}

TEST(stat_init_measures_idle)
{
    CHECK_EQ(OSStatRdy, OS_FALSE);
    OSStatInit();
    CHECK_EQ(OSStatRdy, OS_TRUE);
    CHECK(OSIdleCtrMax >= 100u); /* one percent must be a countable amount */
    OSTimeDly(OS_TICKS_PER_SEC);
    CHECK(OSCPUUsage <= 2u); /* nothing but the two system tasks ran */
}

static void check_usage(INT32U busy)
{
    struct load load = {busy};
    INT32U want = busy * 100u / PERIOD;

    OSStatInit();
    t_task(30, load_task, &load);
    OSTimeDly(OS_TICKS_PER_SEC);
    CHECK(OSCPUUsage >= want - 3u);
    CHECK(OSCPUUsage <= want + 3u);
}

TEST(stat_usage_of_a_third)
{
    check_usage(3);
}

TEST(stat_usage_of_four_fifths)
{
    check_usage(8);
}

TEST(stat_hook_runs_ten_times_a_second)
{
    INT32U before;

    OSStatInit();
    before = t_hooks.task_stat;
    OSTimeDly(OS_TICKS_PER_SEC);
    CHECK(t_hooks.task_stat - before >= 9u);
    CHECK(t_hooks.task_stat - before <= 11u);
}

TEST(stat_fills_stack_use)
{
    OS_STK *stack = t_stack();
    struct load load = {1};

    CHECK_EQ(OSTaskCreateExt(load_task, &load, &stack[T_STK_WORDS - 1u], 30, 1, stack, T_STK_WORDS,
                             (void *)0, OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR),
             OS_ERR_NONE);
    CHECK_EQ(OSTaskSuspend(30), OS_ERR_NONE);
    stack[100] = 1; /* as if the task had once reached down to here */
    OSStatInit();
    OSTimeDly(OS_TICKS_PER_SEC);
    CHECK_EQ(OSTCBPrioTbl[30]->OSTCBStkUsed, (T_STK_WORDS - 100u) * sizeof(OS_STK));
    CHECK_PTR(OSTCBPrioTbl[30]->OSTCBStkBase, &stack[T_STK_WORDS - 1u]);
}

const struct t_case stat_cases[] = {
    CASE(stat_init_measures_idle),
    CASE(stat_usage_of_a_third),
    CASE(stat_usage_of_four_fifths),
    CASE(stat_hook_runs_ten_times_a_second),
    CASE(stat_fills_stack_use),
    CASES_END,
};
