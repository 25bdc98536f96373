/* SPDX-License-Identifier: MIT */
/* Counting semaphores: OSEventCnt units are free, or it is 0 and tasks wait. */
#include "os_internal.h"

OS_EVENT *OSSemCreate(INT16U cnt)
{
    OS_CPU_SR cpu_sr;
    OS_EVENT *pevent;

    if (OSIntNesting > 0u) {
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pevent = OS_EventAlloc(OS_EVENT_TYPE_SEM);
    if (pevent != NULL) {
        pevent->OSEventCnt = cnt;
    }
    OS_EXIT_CRITICAL();
    return pevent;
}

void OSSemPend(OS_EVENT *pevent, INT32U timeout, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    void *no_msg;

    if (perr == NULL) {
        return;
    }
    *perr = OS_EventPendCheck(pevent, OS_EVENT_TYPE_SEM);
    if (*perr != OS_ERR_NONE) {
        return;
    }
    OS_ENTER_CRITICAL();
    if (pevent->OSEventCnt > 0u) {
        pevent->OSEventCnt--;
        OS_EXIT_CRITICAL();
        return;
    }
    OS_EventWait(pevent, OS_STAT_SEM, timeout);
    OS_EXIT_CRITICAL();
    OS_Sched();
    OS_ENTER_CRITICAL();
    *perr = OS_EventWaitEnd(&no_msg);
    OS_EXIT_CRITICAL();
}

INT8U OSSemPendAbort(OS_EVENT *pevent, INT8U opt, INT8U *perr)
{
    return OS_EventPendAbort(pevent, OS_EVENT_TYPE_SEM, opt, perr);
}

INT8U OSSemPost(OS_EVENT *pevent)
{
    OS_CPU_SR cpu_sr;
    INT8U err = OS_EventCheck(pevent, OS_EVENT_TYPE_SEM);

    if (err != OS_ERR_NONE) {
        return err;
    }
    OS_ENTER_CRITICAL();
    if (pevent->OSEventGrp != 0u) {
        OS_EventWake(pevent, NULL, OS_STAT_PEND_OK);
        OS_EXIT_CRITICAL();
        OS_Sched();
        return OS_ERR_NONE;
    }
    if (pevent->OSEventCnt < UINT16_MAX) {
        pevent->OSEventCnt++;
    } else {
        err = OS_ERR_SEM_OVF;
    }
    OS_EXIT_CRITICAL();
    return err;
}

INT16U OSSemAccept(OS_EVENT *pevent)
{
    OS_CPU_SR cpu_sr;
    INT16U cnt;

    if (OS_EventCheck(pevent, OS_EVENT_TYPE_SEM) != OS_ERR_NONE) {
        return 0u;
    }
    OS_ENTER_CRITICAL();
    cnt = pevent->OSEventCnt;
    if (cnt > 0u) {
        pevent->OSEventCnt--;
    }
    OS_EXIT_CRITICAL();
    return cnt;
}

OS_EVENT *OSSemDel(OS_EVENT *pevent, INT8U opt, INT8U *perr)
{
    return OS_EventDel(pevent, OS_EVENT_TYPE_SEM, opt, NULL, perr);
}

INT8U OSSemQuery(OS_EVENT *pevent, OS_SEM_DATA *p_sem_data)
{
    OS_CPU_SR cpu_sr;
    INT8U err = OS_EventCheck(pevent, OS_EVENT_TYPE_SEM);

    if (err != OS_ERR_NONE) {
        return err;
    }
    if (p_sem_data == NULL) {
        return OS_ERR_PDATA_NULL;
    }
    OS_ENTER_CRITICAL();
    p_sem_data->OSCnt = pevent->OSEventCnt;
    p_sem_data->OSEventGrp = pevent->OSEventGrp;
    for (INT32U y = 0u; y < OS_RDY_TBL_SIZE; y++) {
        p_sem_data->OSEventTbl[y] = pevent->OSEventTbl[y];
    }
    OS_EXIT_CRITICAL();
    return OS_ERR_NONE;
}

void OSSemSet(OS_EVENT *pevent, INT16U cnt, INT8U *perr)
{
    OS_CPU_SR cpu_sr;

    if (perr == NULL) {
        return;
    }
    *perr = OS_EventCheck(pevent, OS_EVENT_TYPE_SEM);
    if (*perr != OS_ERR_NONE) {
        return;
    }
    OS_ENTER_CRITICAL();
    if (pevent->OSEventGrp != 0u) {
        *perr = OS_ERR_TASK_WAITING;
    } else {
        pevent->OSEventCnt = cnt;
    }
    OS_EXIT_CRITICAL();
}
