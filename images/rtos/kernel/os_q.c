/* SPDX-License-Identifier: MIT */
/* Queues: a ring of pointers that the application provides, described by an OS_Q. */
#include "os_internal.h"

static OS_Q q_tbl[OS_MAX_QS];
static OS_Q *q_free_list;

static void q_free(OS_Q *pq)
{
    pq->OSQPtr = q_free_list;
    q_free_list = pq;
}

void OS_QInit(void)
{
    OS_Clear(q_tbl, sizeof(q_tbl));
    q_free_list = NULL;
    for (INT32U i = OS_MAX_QS; i > 0u; i--) {
        q_free(&q_tbl[i - 1u]);
    }
}

static void q_empty(OS_Q *pq)
{
    pq->OSQIn = pq->OSQStart;
    pq->OSQOut = pq->OSQStart;
    pq->OSQEntries = 0u;
}

static void *q_take(OS_Q *pq)
{
    void *pmsg = *pq->OSQOut++;

    pq->OSQEntries--;
    if (pq->OSQOut == pq->OSQEnd) {
        pq->OSQOut = pq->OSQStart;
    }
    return pmsg;
}

OS_EVENT *OSQCreate(void **start, INT16U size)
{
    OS_CPU_SR cpu_sr;
    OS_EVENT *pevent = NULL;
    OS_Q *pq;

    if (OSIntNesting > 0u || start == NULL || size == 0u) {
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pq = q_free_list;
    if (pq != NULL && (pevent = OS_EventAlloc(OS_EVENT_TYPE_Q)) != NULL) {
        q_free_list = pq->OSQPtr;
        pq->OSQPtr = NULL;
        pq->OSQStart = start;
        pq->OSQEnd = start + size;
        pq->OSQSize = size;
        q_empty(pq);
        pevent->OSEventPtr = pq;
    }
    OS_EXIT_CRITICAL();
    return pevent;
}

void *OSQPend(OS_EVENT *pevent, INT32U timeout, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_Q *pq;
    void *pmsg;

    if (perr == NULL) {
        return NULL;
    }
    *perr = OS_EventPendCheck(pevent, OS_EVENT_TYPE_Q);
    if (*perr != OS_ERR_NONE) {
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pq = pevent->OSEventPtr;
    if (pq->OSQEntries > 0u) {
        pmsg = q_take(pq);
        OS_EXIT_CRITICAL();
        return pmsg;
    }
    OS_EventWait(pevent, OS_STAT_Q, timeout);
    OS_EXIT_CRITICAL();
    OS_Sched();
    OS_ENTER_CRITICAL();
    *perr = OS_EventWaitEnd(&pmsg);
    OS_EXIT_CRITICAL();
    return pmsg;
}

INT8U OSQPendAbort(OS_EVENT *pevent, INT8U opt, INT8U *perr)
{
    return OS_EventPendAbort(pevent, OS_EVENT_TYPE_Q, opt, perr);
}

INT8U OSQPost(OS_EVENT *pevent, void *pmsg)
{
    return OSQPostOpt(pevent, pmsg, OS_POST_OPT_NONE);
}

INT8U OSQPostFront(OS_EVENT *pevent, void *pmsg)
{
    return OSQPostOpt(pevent, pmsg, OS_POST_OPT_FRONT);
}

INT8U OSQPostOpt(OS_EVENT *pevent, void *pmsg, INT8U opt)
{
    OS_CPU_SR cpu_sr;
    OS_Q *pq;
    INT8U err = OS_EventCheck(pevent, OS_EVENT_TYPE_Q);

    if (err != OS_ERR_NONE) {
        return err;
    }
    OS_ENTER_CRITICAL();
    if (pevent->OSEventGrp != 0u) {
        do {
            OS_EventWake(pevent, pmsg, OS_STAT_PEND_OK);
        } while ((opt & OS_POST_OPT_BROADCAST) != 0u && pevent->OSEventGrp != 0u);
        OS_EXIT_CRITICAL();
        if ((opt & OS_POST_OPT_NO_SCHED) == 0u) {
            OS_Sched();
        }
        return OS_ERR_NONE;
    }
    pq = pevent->OSEventPtr;
    if (pq->OSQEntries >= pq->OSQSize) {
        err = OS_ERR_Q_FULL;
    } else if ((opt & OS_POST_OPT_FRONT) != 0u) {
        if (pq->OSQOut == pq->OSQStart) {
            pq->OSQOut = pq->OSQEnd;
        }
        *--pq->OSQOut = pmsg;
        pq->OSQEntries++;
    } else {
        *pq->OSQIn++ = pmsg;
        if (pq->OSQIn == pq->OSQEnd) {
            pq->OSQIn = pq->OSQStart;
        }
        pq->OSQEntries++;
    }
    OS_EXIT_CRITICAL();
    return err;
}

void *OSQAccept(OS_EVENT *pevent, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_Q *pq;
    void *pmsg = NULL;

    if (perr == NULL) {
        return NULL;
    }
    *perr = OS_EventCheck(pevent, OS_EVENT_TYPE_Q);
    if (*perr != OS_ERR_NONE) {
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pq = pevent->OSEventPtr;
    if (pq->OSQEntries > 0u) {
        pmsg = q_take(pq);
    } else {
        *perr = OS_ERR_Q_EMPTY;
    }
    OS_EXIT_CRITICAL();
    return pmsg;
}

INT8U OSQFlush(OS_EVENT *pevent)
{
    OS_CPU_SR cpu_sr;
    INT8U err = OS_EventCheck(pevent, OS_EVENT_TYPE_Q);

    if (err != OS_ERR_NONE) {
        return err;
    }
    OS_ENTER_CRITICAL();
    q_empty(pevent->OSEventPtr);
    OS_EXIT_CRITICAL();
    return OS_ERR_NONE;
}

static void release(OS_EVENT *pevent)
{
    q_free(pevent->OSEventPtr);
}

OS_EVENT *OSQDel(OS_EVENT *pevent, INT8U opt, INT8U *perr)
{
    return OS_EventDel(pevent, OS_EVENT_TYPE_Q, opt, release, perr);
}

INT8U OSQQuery(OS_EVENT *pevent, OS_Q_DATA *p_q_data)
{
    OS_CPU_SR cpu_sr;
    const OS_Q *pq;
    INT8U err = OS_EventCheck(pevent, OS_EVENT_TYPE_Q);

    if (err != OS_ERR_NONE) {
        return err;
    }
    if (p_q_data == NULL) {
        return OS_ERR_PDATA_NULL;
    }
    OS_ENTER_CRITICAL();
    pq = pevent->OSEventPtr;
    p_q_data->OSMsg = pq->OSQEntries > 0u ? *pq->OSQOut : NULL;
    p_q_data->OSNMsgs = pq->OSQEntries;
    p_q_data->OSQSize = pq->OSQSize;
    p_q_data->OSEventGrp = pevent->OSEventGrp;
    for (INT32U y = 0u; y < OS_RDY_TBL_SIZE; y++) {
        p_q_data->OSEventTbl[y] = pevent->OSEventTbl[y];
    }
    OS_EXIT_CRITICAL();
    return OS_ERR_NONE;
}
