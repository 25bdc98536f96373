/* SPDX-License-Identifier: MIT */
/*
 * What semaphores, mutexes, mailboxes and queues have in common: the pool of OS_EVENTs, the table
 * of waiting tasks, falling asleep and waking up, abort and deletion.
 */
#include "os_internal.h"

static OS_EVENT event_tbl[OS_MAX_EVENTS];
static OS_EVENT *event_free_list; /* linked through OSEventPtr */

void OS_EventInit(void)
{
    OS_Clear(event_tbl, sizeof(event_tbl));
    event_free_list = NULL;
    for (INT32U i = OS_MAX_EVENTS; i > 0u; i--) {
        OS_EventFree(&event_tbl[i - 1u]);
    }
}

OS_EVENT *OS_EventAlloc(INT8U type)
{
    OS_EVENT *pevent = event_free_list;

    if (pevent != NULL) {
        event_free_list = pevent->OSEventPtr;
        OS_Clear(pevent, sizeof(*pevent));
        pevent->OSEventType = type;
        pevent->OSEventName = (INT8U *)"?";
    }
    return pevent;
}

void OS_EventFree(OS_EVENT *pevent)
{
    pevent->OSEventType = OS_EVENT_TYPE_UNUSED;
    pevent->OSEventCnt = 0u;
    pevent->OSEventName = (INT8U *)"?";
    pevent->OSEventPtr = event_free_list;
    event_free_list = pevent;
}

INT8U OS_EventCheck(const OS_EVENT *pevent, INT8U type)
{
    if (pevent == NULL) {
        return OS_ERR_PEVENT_NULL;
    }
    return pevent->OSEventType == type ? OS_ERR_NONE : OS_ERR_EVENT_TYPE;
}

INT8U OS_EventPendCheck(const OS_EVENT *pevent, INT8U type)
{
    INT8U err = OS_EventCheck(pevent, type);

    if (err != OS_ERR_NONE) {
        return err;
    }
    if (OSIntNesting > 0u) {
        return OS_ERR_PEND_ISR;
    }
    return OSLockNesting > 0u ? OS_ERR_PEND_LOCKED : OS_ERR_NONE;
}

void OS_EventWaitAdd(OS_EVENT *pevent, const OS_TCB *ptcb)
{
    pevent->OSEventGrp = (OS_PRIO)(pevent->OSEventGrp | ptcb->OSTCBBitY);
    pevent->OSEventTbl[ptcb->OSTCBY] =
        (OS_PRIO)(pevent->OSEventTbl[ptcb->OSTCBY] | ptcb->OSTCBBitX);
}

void OS_EventWaitRemove(OS_EVENT *pevent, const OS_TCB *ptcb)
{
    OS_PRIO *bits = &pevent->OSEventTbl[ptcb->OSTCBY];

    *bits = (OS_PRIO)(*bits & ~ptcb->OSTCBBitX);
    if (*bits == 0u) {
        pevent->OSEventGrp = (OS_PRIO)(pevent->OSEventGrp & ~ptcb->OSTCBBitY);
    }
}

void OS_EventWait(OS_EVENT *pevent, INT8U stat, INT32U timeout)
{
    OSTCBCur->OSTCBStat |= stat;
    OSTCBCur->OSTCBStatPend = OS_STAT_PEND_OK;
    OSTCBCur->OSTCBDly = timeout;
    OSTCBCur->OSTCBMsg = NULL;
    OSTCBCur->OSTCBEventPtr = pevent;
    OS_EventWaitAdd(pevent, OSTCBCur);
    OS_RdyRemove(OSTCBCur);
}

INT8U OS_EventWaitEnd(void **pmsg)
{
    INT8U stat = OSTCBCur->OSTCBStatPend;

    *pmsg = stat == OS_STAT_PEND_OK ? OSTCBCur->OSTCBMsg : NULL;
    OSTCBCur->OSTCBMsg = NULL;
    OSTCBCur->OSTCBStatPend = OS_STAT_PEND_OK;
    if (stat == OS_STAT_PEND_OK) {
        return OS_ERR_NONE;
    }
    return stat == OS_STAT_PEND_ABORT ? OS_ERR_PEND_ABORT : OS_ERR_TIMEOUT;
}

OS_TCB *OS_EventWake(OS_EVENT *pevent, void *pmsg, INT8U pend_stat)
{
    OS_TCB *ptcb = OSTCBPrioTbl[OS_FirstPrio(pevent->OSEventGrp, pevent->OSEventTbl)];

    OS_EventWaitRemove(pevent, ptcb);
    ptcb->OSTCBEventPtr = NULL;
    ptcb->OSTCBMsg = pmsg;
    OS_TaskWake(ptcb, pend_stat);
    return ptcb;
}

INT8U OS_EventPendAbort(OS_EVENT *pevent, INT8U type, INT8U opt, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    INT8U woken = 0u;

    if (perr == NULL) {
        return 0u;
    }
    *perr = OS_EventCheck(pevent, type);
    if (*perr != OS_ERR_NONE) {
        return 0u;
    }
    if (opt != OS_PEND_OPT_NONE && opt != OS_PEND_OPT_BROADCAST) {
        *perr = OS_ERR_INVALID_OPT;
        return 0u;
    }
    OS_ENTER_CRITICAL();
    while (pevent->OSEventGrp != 0u && (woken == 0u || opt == OS_PEND_OPT_BROADCAST)) {
        OS_EventWake(pevent, NULL, OS_STAT_PEND_ABORT);
        woken++;
    }
    OS_EXIT_CRITICAL();
    if (woken > 0u) {
        *perr = OS_ERR_PEND_ABORT;
        OS_Sched();
    }
    return woken;
}

OS_EVENT *OS_EventDel(OS_EVENT *pevent, INT8U type, INT8U opt, void (*release)(OS_EVENT *pevent),
                      INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    BOOLEAN tasks_waiting;

    if (perr == NULL) {
        return pevent;
    }
    *perr = OS_EventCheck(pevent, type);
    if (*perr != OS_ERR_NONE) {
        return pevent;
    }
    if (OSIntNesting > 0u) {
        *perr = OS_ERR_DEL_ISR;
        return pevent;
    }
    if (opt != OS_DEL_NO_PEND && opt != OS_DEL_ALWAYS) {
        *perr = OS_ERR_INVALID_OPT;
        return pevent;
    }
    OS_ENTER_CRITICAL();
    tasks_waiting = pevent->OSEventGrp != 0u;
    if (tasks_waiting && opt == OS_DEL_NO_PEND) {
        OS_EXIT_CRITICAL();
        *perr = OS_ERR_TASK_WAITING;
        return pevent;
    }
    while (pevent->OSEventGrp != 0u) {
        OS_EventWake(pevent, NULL, OS_STAT_PEND_ABORT);
    }
    if (release != NULL) {
        release(pevent);
    }
    OS_EventFree(pevent);
    OS_EXIT_CRITICAL();
    if (tasks_waiting) {
        OS_Sched();
    }
    return NULL;
}

static INT8U name_check(const OS_EVENT *pevent, const void *pname)
{
    if (pevent == NULL) {
        return OS_ERR_PEVENT_NULL;
    }
    if (pname == NULL) {
        return OS_ERR_PNAME_NULL;
    }
    if (pevent->OSEventType < OS_EVENT_TYPE_MBOX || pevent->OSEventType > OS_EVENT_TYPE_MUTEX) {
        return OS_ERR_EVENT_TYPE;
    }
    return OS_ERR_NONE;
}

INT8U OSEventNameGet(OS_EVENT *pevent, INT8U **pname, INT8U *perr)
{
    INT8U length = 0u;

    if (perr == NULL) {
        return 0u;
    }
    *perr = OSIntNesting > 0u ? OS_ERR_NAME_GET_ISR : name_check(pevent, pname);
    if (*perr == OS_ERR_NONE) {
        *pname = pevent->OSEventName;
        while ((*pname)[length] != 0u && length < 255u) {
            length++;
        }
    }
    return length;
}

void OSEventNameSet(OS_EVENT *pevent, INT8U *pname, INT8U *perr)
{
    if (perr == NULL) {
        return;
    }
    *perr = OSIntNesting > 0u ? OS_ERR_NAME_SET_ISR : name_check(pevent, pname);
    if (*perr == OS_ERR_NONE) {
        pevent->OSEventName = pname;
    }
}
