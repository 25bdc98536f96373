/* SPDX-License-Identifier: MIT */
/* Mailboxes: room for one message, a pointer that is not NULL, in OSEventPtr. */
#include "os_internal.h"

OS_EVENT *OSMboxCreate(void *pmsg)
{
    OS_CPU_SR cpu_sr;
    OS_EVENT *pevent;

    if (OSIntNesting > 0u) {
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pevent = OS_EventAlloc(OS_EVENT_TYPE_MBOX);
    if (pevent != NULL) {
        pevent->OSEventPtr = pmsg;
    }
    OS_EXIT_CRITICAL();
    return pevent;
}

void *OSMboxPend(OS_EVENT *pevent, INT32U timeout, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    void *pmsg;

    if (perr == NULL) {
        return NULL;
    }
    *perr = OS_EventPendCheck(pevent, OS_EVENT_TYPE_MBOX);
    if (*perr != OS_ERR_NONE) {
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pmsg = pevent->OSEventPtr;
    if (pmsg != NULL) {
        pevent->OSEventPtr = NULL;
        OS_EXIT_CRITICAL();
        return pmsg;
    }
    OS_EventWait(pevent, OS_STAT_MBOX, timeout);
    OS_EXIT_CRITICAL();
    OS_Sched();
    OS_ENTER_CRITICAL();
    *perr = OS_EventWaitEnd(&pmsg);
    OS_EXIT_CRITICAL();
    return pmsg;
}

INT8U OSMboxPendAbort(OS_EVENT *pevent, INT8U opt, INT8U *perr)
{
    return OS_EventPendAbort(pevent, OS_EVENT_TYPE_MBOX, opt, perr);
}

INT8U OSMboxPost(OS_EVENT *pevent, void *pmsg)
{
    return OSMboxPostOpt(pevent, pmsg, OS_POST_OPT_NONE);
}

INT8U OSMboxPostOpt(OS_EVENT *pevent, void *pmsg, INT8U opt)
{
    OS_CPU_SR cpu_sr;
    INT8U err = OS_EventCheck(pevent, OS_EVENT_TYPE_MBOX);

    if (err != OS_ERR_NONE) {
        return err;
    }
    if (pmsg == NULL) {
        return OS_ERR_POST_NULL_PTR;
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
    if (pevent->OSEventPtr != NULL) {
        err = OS_ERR_MBOX_FULL;
    } else {
        pevent->OSEventPtr = pmsg;
    }
    OS_EXIT_CRITICAL();
    return err;
}

void *OSMboxAccept(OS_EVENT *pevent)
{
    OS_CPU_SR cpu_sr;
    void *pmsg;

    if (OS_EventCheck(pevent, OS_EVENT_TYPE_MBOX) != OS_ERR_NONE) {
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pmsg = pevent->OSEventPtr;
    pevent->OSEventPtr = NULL;
    OS_EXIT_CRITICAL();
    return pmsg;
}

OS_EVENT *OSMboxDel(OS_EVENT *pevent, INT8U opt, INT8U *perr)
{
    return OS_EventDel(pevent, OS_EVENT_TYPE_MBOX, opt, NULL, perr);
}

INT8U OSMboxQuery(OS_EVENT *pevent, OS_MBOX_DATA *p_mbox_data)
{
    OS_CPU_SR cpu_sr;
    INT8U err = OS_EventCheck(pevent, OS_EVENT_TYPE_MBOX);

    if (err != OS_ERR_NONE) {
        return err;
    }
    if (p_mbox_data == NULL) {
        return OS_ERR_PDATA_NULL;
    }
    OS_ENTER_CRITICAL();
    p_mbox_data->OSMsg = pevent->OSEventPtr;
    p_mbox_data->OSEventGrp = pevent->OSEventGrp;
    for (INT32U y = 0u; y < OS_RDY_TBL_SIZE; y++) {
        p_mbox_data->OSEventTbl[y] = pevent->OSEventTbl[y];
    }
    OS_EXIT_CRITICAL();
    return OS_ERR_NONE;
}
