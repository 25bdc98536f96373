/* SPDX-License-Identifier: MIT */
/*
 * The two tasks of the kernel: idle, and the statistics task, which compares the idle work of
 * each tenth of a second with that of one in which nothing else ran; and the stack check.
 *
 * OSIdleCtr counts turns of the idle loop. A port whose idle hook sleeps adds the time slept to
 * it, in any unit that makes a turn small beside it; the percentage is then one of time.
 */
#include "os_internal.h"

#define STAT_WINDOW_TICKS (OS_TICKS_PER_SEC / 10u)

volatile INT32U OSIdleCtr;
INT32U OSIdleCtrMax;
INT32U OSIdleCtrRun;
INT8U OSCPUUsage;
BOOLEAN OSStatRdy;

static OS_STK idle_stk[OS_TASK_IDLE_STK_SIZE] __attribute__((aligned(8)));
static OS_STK stat_stk[OS_TASK_STAT_STK_SIZE] __attribute__((aligned(8)));

void OS_SysTasksInit(void)
{
    INT8U err;

    OSIdleCtr = 0u;
    OSIdleCtrMax = 0u;
    OSIdleCtrRun = 0u;
    OSCPUUsage = 0u;
    OSStatRdy = OS_FALSE;
    (void)OSTaskCreateExt(OS_TaskIdle, NULL, &idle_stk[OS_TASK_IDLE_STK_SIZE - 1u],
                          OS_TASK_IDLE_PRIO, OS_TASK_IDLE_ID, idle_stk, OS_TASK_IDLE_STK_SIZE,
                          NULL, OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR);
    OSTaskNameSet(OS_TASK_IDLE_PRIO, (INT8U *)"uC/OS-II Idle", &err);
    (void)OSTaskCreateExt(OS_TaskStat, NULL, &stat_stk[OS_TASK_STAT_STK_SIZE - 1u],
                          OS_TASK_STAT_PRIO, OS_TASK_STAT_ID, stat_stk, OS_TASK_STAT_STK_SIZE,
                          NULL, OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR);
    OSTaskNameSet(OS_TASK_STAT_PRIO, (INT8U *)"uC/OS-II Stat", &err);
}

void OS_TaskIdle(void *p_arg)
{
    OS_CPU_SR cpu_sr;

    (void)p_arg;
    for (;;) {
        OS_ENTER_CRITICAL();
        OSIdleCtr++;
        OS_EXIT_CRITICAL();
        OSTaskIdleHook();
    }
}

void OSStatInit(void)
{
    OS_CPU_SR cpu_sr;

    OSTimeDly(2u); /* start the window on a tick */
    OS_ENTER_CRITICAL();
    OSIdleCtr = 0u;
    OS_EXIT_CRITICAL();
    OSTimeDly(STAT_WINDOW_TICKS);
    OS_ENTER_CRITICAL();
    OSIdleCtrMax = OSIdleCtr;
    OSStatRdy = OS_TRUE;
    OS_EXIT_CRITICAL();
}

static INT8U cpu_usage(INT32U idle, INT32U idle_max)
{
    INT32U percent = idle_max / 100u;

    if (percent == 0u || idle >= idle_max) {
        return 0u;
    }
    return idle / percent >= 100u ? 0u : (INT8U)(100u - idle / percent);
}

static void check_stacks(void)
{
    OS_CPU_SR cpu_sr;
    OS_STK_DATA stk_data;

    for (INT8U prio = 0u; prio <= OS_LOWEST_PRIO; prio++) {
        if (OSTaskStkChk(prio, &stk_data) != OS_ERR_NONE) {
            continue;
        }
        OS_ENTER_CRITICAL(); /* the task may have been deleted in between */
        if (OSTCBPrioTbl[prio] != NULL && OSTCBPrioTbl[prio] != OS_TCB_RESERVED) {
            OSTCBPrioTbl[prio]->OSTCBStkUsed = stk_data.OSUsed;
        }
        OS_EXIT_CRITICAL();
    }
}

void OS_TaskStat(void *p_arg)
{
    OS_CPU_SR cpu_sr;

    (void)p_arg;
    while (!OSStatRdy) {
        OSTimeDly(2u * STAT_WINDOW_TICKS);
    }
    OS_ENTER_CRITICAL();
    OSIdleCtr = 0u;
    OS_EXIT_CRITICAL();
    for (;;) {
        OSTimeDly(STAT_WINDOW_TICKS);
        OS_ENTER_CRITICAL();
        OSIdleCtrRun = OSIdleCtr;
        OSIdleCtr = 0u;
        OS_EXIT_CRITICAL();
        OSCPUUsage = cpu_usage(OSIdleCtrRun, OSIdleCtrMax);
        OSTaskStatHook();
        check_stacks();
    }
}

INT8U OSTaskStkChk(INT8U prio, OS_STK_DATA *p_stk_data)
{
    OS_CPU_SR cpu_sr;
    const OS_TCB *ptcb;
    const OS_STK *bottom;
    INT32U size;
    INT32U free = 0u;
    INT8U err = OS_ERR_NONE;

    if (prio > OS_LOWEST_PRIO && prio != OS_PRIO_SELF) {
        return OS_ERR_PRIO_INVALID;
    }
    if (p_stk_data == NULL) {
        return OS_ERR_PDATA_NULL;
    }
    p_stk_data->OSFree = 0u;
    p_stk_data->OSUsed = 0u;
    OS_ENTER_CRITICAL();
    ptcb = prio == OS_PRIO_SELF ? OSTCBCur : OSTCBPrioTbl[prio];
    if (ptcb == NULL || ptcb == OS_TCB_RESERVED) {
        OS_EXIT_CRITICAL();
        return OS_ERR_TASK_NOT_EXIST;
    }
    if ((ptcb->OSTCBOpt & OS_TASK_OPT_STK_CHK) == 0u) {
        err = OS_ERR_TASK_OPT;
    }
    bottom = ptcb->OSTCBStkBottom;
    size = ptcb->OSTCBStkSize;
    OS_EXIT_CRITICAL();
    if (err != OS_ERR_NONE) {
        return err;
    }
    while (free < size && bottom[free] == 0u) {
        free++;
    }
    p_stk_data->OSFree = free * (INT32U)sizeof(OS_STK);
    p_stk_data->OSUsed = (size - free) * (INT32U)sizeof(OS_STK);
    return OS_ERR_NONE;
}
