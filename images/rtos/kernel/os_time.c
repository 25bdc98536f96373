/* SPDX-License-Identifier: MIT */
/* The tick: delays, time-outs, the time of day in ticks. */
#include "os_internal.h"

volatile INT32U OSTime;

static void delay_expired(OS_TCB *ptcb)
{
    INT8U pend_stat = OS_STAT_PEND_OK;

    if ((ptcb->OSTCBStat & OS_STAT_PEND_ANY) != 0u) {
        pend_stat = OS_STAT_PEND_TO;
    }
    if (ptcb->OSTCBEventPtr != NULL) {
        OS_EventWaitRemove(ptcb->OSTCBEventPtr, ptcb);
        ptcb->OSTCBEventPtr = NULL;
    }
    if (ptcb->OSTCBFlagNode != NULL) {
        OS_FlagUnlink(ptcb->OSTCBFlagNode);
    }
    OS_TaskWake(ptcb, pend_stat);
}

void OSTimeTick(void)
{
    OS_CPU_SR cpu_sr;

    OSTimeTickHook();
    OS_ENTER_CRITICAL();
    OSTime++;
    if (OSRunning) {
        for (OS_TCB *ptcb = OSTCBList; ptcb != NULL; ptcb = ptcb->OSTCBNext) {
            if (ptcb->OSTCBDly != 0u && --ptcb->OSTCBDly == 0u) {
                delay_expired(ptcb);
            }
        }
    }
    OS_EXIT_CRITICAL();
}

void OSTimeDly(INT32U ticks)
{
    OS_CPU_SR cpu_sr;

    if (OSIntNesting > 0u || OSLockNesting > 0u || ticks == 0u) {
        return;
    }
    OS_ENTER_CRITICAL();
    OS_RdyRemove(OSTCBCur);
    OSTCBCur->OSTCBDly = ticks;
    OS_EXIT_CRITICAL();
    OS_Sched();
}

INT8U OSTimeDlyHMSM(INT8U hours, INT8U minutes, INT8U seconds, INT16U ms)
{
    INT32U whole_seconds;
    INT32U ticks;

    if (OSIntNesting > 0u) {
        return OS_ERR_TIME_DLY_ISR;
    }
    if (OSLockNesting > 0u) {
        return OS_ERR_SCHED_LOCKED;
    }
    if (hours == 0u && minutes == 0u && seconds == 0u && ms == 0u) {
        return OS_ERR_TIME_ZERO_DLY;
    }
    if (minutes > 59u) {
        return OS_ERR_TIME_INVALID_MINUTES;
    }
    if (seconds > 59u) {
        return OS_ERR_TIME_INVALID_SECONDS;
    }
    if (ms > 999u) {
        return OS_ERR_TIME_INVALID_MS;
    }
    whole_seconds = hours * 3600u + minutes * 60u + seconds;
    /* Milliseconds are rounded to the nearest tick. */
    ticks = whole_seconds * OS_TICKS_PER_SEC + (OS_TICKS_PER_SEC * ms + 500u) / 1000u;
    OSTimeDly(ticks);
    return OS_ERR_NONE;
}

INT8U OSTimeDlyResume(INT8U prio)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb;
    INT8U err = OS_ERR_NONE;

    if (prio >= OS_LOWEST_PRIO) {
        return OS_ERR_PRIO_INVALID;
    }
    OS_ENTER_CRITICAL();
    ptcb = OSTCBPrioTbl[prio];
    if (ptcb == NULL || ptcb == OS_TCB_RESERVED) {
        err = OS_ERR_TASK_NOT_EXIST;
    } else if (ptcb->OSTCBDly == 0u) {
        err = OS_ERR_TIME_NOT_DLY;
    } else {
        delay_expired(ptcb);
    }
    OS_EXIT_CRITICAL();
    if (err == OS_ERR_NONE) {
        OS_Sched();
    }
    return err;
}

INT32U OSTimeGet(void)
{
    return OSTime;
}

void OSTimeSet(INT32U ticks)
{
    OSTime = ticks;
}
