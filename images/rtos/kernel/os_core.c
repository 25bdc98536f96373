/* SPDX-License-Identifier: MIT */
/*
 * Start, scheduler, interrupt entry and exit, scheduler lock. The task that runs is always the
 * ready one with the lowest priority number; a table of bits finds it in constant time.
 */
#include "os_internal.h"

INT32U OSCtxSwCtr;
volatile INT8U OSIntNesting;
volatile INT8U OSLockNesting;
BOOLEAN OSRunning;

INT8U OSPrioCur;
INT8U OSPrioHighRdy;
OS_PRIO OSRdyGrp;
OS_PRIO OSRdyTbl[OS_RDY_TBL_SIZE];

OS_TCB *OSTCBCur;
OS_TCB *OSTCBHighRdy;

void OS_Clear(void *start, INT32U bytes)
{
    INT8U *p = start;

    while (bytes-- > 0u) {
        *p++ = 0u;
    }
}

INT8U OS_FirstPrio(OS_PRIO grp, const OS_PRIO *tbl)
{
    INT32U y = (INT32U)__builtin_ctz(grp);

    return (INT8U)(y * 8u + (INT32U)__builtin_ctz(tbl[y]));
}

void OSInit(void)
{
    OSInitHookBegin();
    OSCtxSwCtr = 0u;
    OSIntNesting = 0u;
    OSLockNesting = 0u;
    OSRunning = OS_FALSE;
    OSPrioCur = 0u;
    OSPrioHighRdy = 0u;
    OSRdyGrp = 0u;
    OS_Clear(OSRdyTbl, sizeof(OSRdyTbl));
    OSTCBCur = NULL;
    OSTCBHighRdy = NULL;
    OSTime = 0u;
    OS_TCBListInit();
    OS_EventInit();
    OS_QInit();
    OS_FlagInit();
    OS_MemInit();
    OS_SysTasksInit();
    OSInitHookEnd();
}

static void find_highest(void)
{
    OSPrioHighRdy = OS_FirstPrio(OSRdyGrp, OSRdyTbl);
    OSTCBHighRdy = OSTCBPrioTbl[OSPrioHighRdy];
}

void OSStart(void)
{
    if (OSRunning) {
        return;
    }
    find_highest();
    OSPrioCur = OSPrioHighRdy;
    OSTCBCur = OSTCBHighRdy;
    OSStartHighRdy();
}

void OS_Sched(void)
{
    OS_CPU_SR cpu_sr;

    OS_ENTER_CRITICAL();
    if (OSRunning && OSIntNesting == 0u && OSLockNesting == 0u) {
        find_highest();
        if (OSTCBHighRdy != OSTCBCur) {
            OSTCBHighRdy->OSTCBCtxSwCtr++;
            OSCtxSwCtr++;
            OS_TASK_SW();
        }
    }
    OS_EXIT_CRITICAL();
}

void OSIntEnter(void)
{
    if (OSRunning && OSIntNesting < 255u) {
        OSIntNesting++;
    }
}

void OSIntExit(void)
{
    OS_CPU_SR cpu_sr;

    if (!OSRunning) {
        return;
    }
    OS_ENTER_CRITICAL();
    if (OSIntNesting > 0u) {
        OSIntNesting--;
    }
    if (OSIntNesting == 0u && OSLockNesting == 0u) {
        find_highest();
        if (OSTCBHighRdy != OSTCBCur) {
            OSTCBHighRdy->OSTCBCtxSwCtr++;
            OSCtxSwCtr++;
            OSIntCtxSw();
        }
    }
    OS_EXIT_CRITICAL();
}

void OSSchedLock(void)
{
    OS_CPU_SR cpu_sr;

    OS_ENTER_CRITICAL();
    if (OSRunning && OSIntNesting == 0u && OSLockNesting < 255u) {
        OSLockNesting++;
    }
    OS_EXIT_CRITICAL();
}

void OSSchedUnlock(void)
{
    OS_CPU_SR cpu_sr;
    BOOLEAN unlocked = OS_FALSE;

    OS_ENTER_CRITICAL();
    if (OSRunning && OSLockNesting > 0u) {
        OSLockNesting--;
        unlocked = OSLockNesting == 0u;
    }
    OS_EXIT_CRITICAL();
    if (unlocked) {
        OS_Sched();
    }
}

void OS_TaskSetPrio(OS_TCB *ptcb, INT8U prio)
{
    BOOLEAN was_ready = OS_RdyRemove(ptcb);
    OS_EVENT *pevent = ptcb->OSTCBEventPtr;

    if (pevent != NULL) {
        OS_EventWaitRemove(pevent, ptcb);
    }
    ptcb->OSTCBPrio = prio;
    ptcb->OSTCBX = prio & 7u;
    ptcb->OSTCBY = prio >> 3;
    ptcb->OSTCBBitX = (OS_PRIO)(1u << ptcb->OSTCBX);
    ptcb->OSTCBBitY = (OS_PRIO)(1u << ptcb->OSTCBY);
    if (was_ready) {
        OS_RdyAdd(ptcb);
    }
    if (pevent != NULL) {
        OS_EventWaitAdd(pevent, ptcb);
    }
    if (ptcb == OSTCBCur) {
        OSPrioCur = prio;
    }
}

INT8U OS_TaskBestPrio(const OS_TCB *ptcb)
{
    INT8U prio = 0u;

    while (OSTCBPrioTbl[prio] != ptcb) {
        prio++;
    }
    return prio;
}

INT16U OSVersion(void)
{
    return OS_VERSION;
}
