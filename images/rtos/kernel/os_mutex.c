/* SPDX-License-Identifier: MIT */
/*
 * Mutexes. Each has a priority of its own, reserved in OSTCBPrioTbl and better than that of any
 * task that uses it: while a better task waits, the owner runs at that priority. The entries of
 * OSTCBPrioTbl that point to a task are the priorities it may run at, its own and the inherited
 * ones, and the best of them counts; so nested mutexes may be given back in any order, and
 * nobody else can take any of them.
 *
 * OSEventCnt holds the inherited priority in its upper half and, in the lower, the owner's own
 * priority or OS_MUTEX_NO_OWNER. A task gives its mutexes back before it is deleted.
 */
#include "os_internal.h"

static INT8U inherited_prio(const OS_EVENT *pevent)
{
    return (INT8U)(pevent->OSEventCnt >> 8);
}

static INT8U owner_prio(const OS_EVENT *pevent)
{
    return (INT8U)(pevent->OSEventCnt & 0xFFu);
}

static BOOLEAN is_free(const OS_EVENT *pevent)
{
    return owner_prio(pevent) == OS_MUTEX_NO_OWNER;
}

/* Returns OS_ERR_PIP_LOWER when the mutex cannot do its work for this owner. */
static INT8U set_owner(OS_EVENT *pevent, OS_TCB *ptcb)
{
    INT8U prio = ptcb != NULL ? ptcb->OSTCBPrioBase : OS_MUTEX_NO_OWNER;

    pevent->OSEventCnt = (INT16U)((pevent->OSEventCnt & 0xFF00u) | prio);
    pevent->OSEventPtr = ptcb;
    return prio > inherited_prio(pevent) ? OS_ERR_NONE : OS_ERR_PIP_LOWER;
}

static void raise_owner(const OS_EVENT *pevent)
{
    OS_TCB *owner = pevent->OSEventPtr;
    INT8U pip = inherited_prio(pevent);

    if (owner->OSTCBPrioBase > pip && owner->OSTCBPrioBase > OSTCBCur->OSTCBPrio) {
        OSTCBPrioTbl[pip] = owner;
        if (owner->OSTCBPrio > pip) {
            OS_TaskSetPrio(owner, pip);
        }
    }
}

static void restore_owner(const OS_EVENT *pevent)
{
    OS_TCB *owner = pevent->OSEventPtr;
    INT8U pip = inherited_prio(pevent);

    if (owner != NULL && OSTCBPrioTbl[pip] == owner) {
        OSTCBPrioTbl[pip] = OS_TCB_RESERVED;
        OS_TaskSetPrio(owner, OS_TaskBestPrio(owner));
    }
}

OS_EVENT *OSMutexCreate(INT8U prio, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_EVENT *pevent = NULL;

    if (perr == NULL) {
        return NULL;
    }
    if (prio >= OS_LOWEST_PRIO) {
        *perr = OS_ERR_PRIO_INVALID;
        return NULL;
    }
    if (OSIntNesting > 0u) {
        *perr = OS_ERR_CREATE_ISR;
        return NULL;
    }
    OS_ENTER_CRITICAL();
    if (OSTCBPrioTbl[prio] != NULL) {
        *perr = OS_ERR_PRIO_EXIST;
    } else if ((pevent = OS_EventAlloc(OS_EVENT_TYPE_MUTEX)) == NULL) {
        *perr = OS_ERR_PEVENT_NULL;
    } else {
        OSTCBPrioTbl[prio] = OS_TCB_RESERVED;
        pevent->OSEventCnt = (INT16U)((prio << 8) | OS_MUTEX_NO_OWNER);
        *perr = OS_ERR_NONE;
    }
    OS_EXIT_CRITICAL();
    return pevent;
}

void OSMutexPend(OS_EVENT *pevent, INT32U timeout, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    void *no_msg;

    if (perr == NULL) {
        return;
    }
    *perr = OS_EventPendCheck(pevent, OS_EVENT_TYPE_MUTEX);
    if (*perr != OS_ERR_NONE) {
        return;
    }
    OS_ENTER_CRITICAL();
    if (is_free(pevent)) {
        *perr = set_owner(pevent, OSTCBCur);
        OS_EXIT_CRITICAL();
        return;
    }
    raise_owner(pevent);
    OS_EventWait(pevent, OS_STAT_MUTEX, timeout);
    OS_EXIT_CRITICAL();
    OS_Sched();
    OS_ENTER_CRITICAL();
    *perr = OS_EventWaitEnd(&no_msg);
    OS_EXIT_CRITICAL();
}

INT8U OSMutexPost(OS_EVENT *pevent)
{
    OS_CPU_SR cpu_sr;
    INT8U err;

    if (OSIntNesting > 0u) {
        return OS_ERR_POST_ISR;
    }
    err = OS_EventCheck(pevent, OS_EVENT_TYPE_MUTEX);
    if (err != OS_ERR_NONE) {
        return err;
    }
    OS_ENTER_CRITICAL();
    if (pevent->OSEventPtr != OSTCBCur) {
        OS_EXIT_CRITICAL();
        return OS_ERR_NOT_MUTEX_OWNER;
    }
    restore_owner(pevent);
    if (pevent->OSEventGrp == 0u) {
        set_owner(pevent, NULL);
        OS_EXIT_CRITICAL();
        OS_Sched();
        return OS_ERR_NONE;
    }
    err = set_owner(pevent, OS_EventWake(pevent, NULL, OS_STAT_PEND_OK));
    OS_EXIT_CRITICAL();
    OS_Sched();
    return err;
}

BOOLEAN OSMutexAccept(OS_EVENT *pevent, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    BOOLEAN taken = OS_FALSE;

    if (perr == NULL) {
        return OS_FALSE;
    }
    *perr = OS_EventCheck(pevent, OS_EVENT_TYPE_MUTEX);
    if (*perr != OS_ERR_NONE) {
        return OS_FALSE;
    }
    if (OSIntNesting > 0u) {
        *perr = OS_ERR_PEND_ISR;
        return OS_FALSE;
    }
    OS_ENTER_CRITICAL();
    if (is_free(pevent)) {
        *perr = set_owner(pevent, OSTCBCur);
        taken = OS_TRUE;
    }
    OS_EXIT_CRITICAL();
    return taken;
}

static void release(OS_EVENT *pevent)
{
    restore_owner(pevent);
    OSTCBPrioTbl[inherited_prio(pevent)] = NULL;
}

OS_EVENT *OSMutexDel(OS_EVENT *pevent, INT8U opt, INT8U *perr)
{
    return OS_EventDel(pevent, OS_EVENT_TYPE_MUTEX, opt, release, perr);
}

INT8U OSMutexQuery(OS_EVENT *pevent, OS_MUTEX_DATA *p_mutex_data)
{
    OS_CPU_SR cpu_sr;
    INT8U err;

    if (OSIntNesting > 0u) {
        return OS_ERR_QUERY_ISR;
    }
    err = OS_EventCheck(pevent, OS_EVENT_TYPE_MUTEX);
    if (err != OS_ERR_NONE) {
        return err;
    }
    if (p_mutex_data == NULL) {
        return OS_ERR_PDATA_NULL;
    }
    OS_ENTER_CRITICAL();
    p_mutex_data->OSMutexPIP = inherited_prio(pevent);
    p_mutex_data->OSOwnerPrio = owner_prio(pevent);
    p_mutex_data->OSValue = is_free(pevent);
    p_mutex_data->OSEventGrp = pevent->OSEventGrp;
    for (INT32U y = 0u; y < OS_RDY_TBL_SIZE; y++) {
        p_mutex_data->OSEventTbl[y] = pevent->OSEventTbl[y];
    }
    OS_EXIT_CRITICAL();
    return OS_ERR_NONE;
}
