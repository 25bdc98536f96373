/* SPDX-License-Identifier: MIT */
/* Tasks: their control blocks, creation and deletion, suspension, change of priority. */
#include "os_internal.h"

INT8U OSTaskCtr;
OS_TCB *OSTCBList;
OS_TCB *OSTCBFreeList;
OS_TCB *OSTCBPrioTbl[OS_LOWEST_PRIO + 1u];
OS_TCB OSTCBTbl[OS_MAX_TASKS + OS_N_SYS_TASKS];

static void tcb_free(OS_TCB *ptcb)
{
    ptcb->OSTCBPrev = NULL;
    ptcb->OSTCBNext = OSTCBFreeList;
    ptcb->OSTCBTaskName = (INT8U *)"?";
    OSTCBFreeList = ptcb;
}

void OS_TCBListInit(void)
{
    OS_Clear(OSTCBTbl, sizeof(OSTCBTbl));
    OS_Clear(OSTCBPrioTbl, sizeof(OSTCBPrioTbl));
    OSTaskCtr = 0u;
    OSTCBList = NULL;
    OSTCBFreeList = NULL;
    for (INT32U i = OS_MAX_TASKS + OS_N_SYS_TASKS; i > 0u; i--) {
        tcb_free(&OSTCBTbl[i - 1u]);
    }
}

static void tcb_link(OS_TCB *ptcb)
{
    ptcb->OSTCBPrev = NULL;
    ptcb->OSTCBNext = OSTCBList;
    if (OSTCBList != NULL) {
        OSTCBList->OSTCBPrev = ptcb;
    }
    OSTCBList = ptcb;
    OSTCBPrioTbl[ptcb->OSTCBPrio] = ptcb;
    OSTaskCtr++;
    OS_RdyAdd(ptcb);
}

static void tcb_unlink(OS_TCB *ptcb)
{
    if (ptcb->OSTCBPrev != NULL) {
        ptcb->OSTCBPrev->OSTCBNext = ptcb->OSTCBNext;
    } else {
        OSTCBList = ptcb->OSTCBNext;
    }
    if (ptcb->OSTCBNext != NULL) {
        ptcb->OSTCBNext->OSTCBPrev = ptcb->OSTCBPrev;
    }
    OSTaskCtr--;
}

static BOOLEAN exists(const OS_TCB *ptcb)
{
    return ptcb != NULL && ptcb != OS_TCB_RESERVED;
}

/* The task at `prio`, or the one that calls. */
static OS_TCB *find(INT8U prio)
{
    return prio == OS_PRIO_SELF ? OSTCBCur : OSTCBPrioTbl[prio];
}

static BOOLEAN out_of_range(INT8U prio, INT8U limit)
{
    return prio >= limit && prio != OS_PRIO_SELF;
}

INT8U OSTaskCreate(void (*task)(void *p_arg), void *p_arg, OS_STK *ptos, INT8U prio)
{
    return OSTaskCreateExt(task, p_arg, ptos, prio, 0u, NULL, 0u, NULL, OS_TASK_OPT_NONE);
}

INT8U OSTaskCreateExt(void (*task)(void *p_arg), void *p_arg, OS_STK *ptos, INT8U prio, INT16U id,
                      OS_STK *pbos, INT32U stk_size, void *pext, INT16U opt)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb = NULL;
    INT8U err = OS_ERR_NONE;

    if (prio > OS_LOWEST_PRIO) {
        return OS_ERR_PRIO_INVALID;
    }
    if (OSIntNesting > 0u) {
        return OS_ERR_TASK_CREATE_ISR;
    }
    OS_ENTER_CRITICAL();
    if (OSTCBPrioTbl[prio] != NULL) {
        err = OS_ERR_PRIO_EXIST;
    } else if (OSTCBFreeList == NULL) {
        err = OS_ERR_TASK_NO_MORE_TCB;
    } else {
        ptcb = OSTCBFreeList;
        OSTCBFreeList = ptcb->OSTCBNext;
        OSTCBPrioTbl[prio] = OS_TCB_RESERVED;
    }
    OS_EXIT_CRITICAL();
    if (err != OS_ERR_NONE) {
        return err;
    }

    OS_Clear(ptcb, sizeof(*ptcb));
    if ((opt & OS_TASK_OPT_STK_CLR) != 0u && pbos != NULL) {
        OS_Clear(pbos, stk_size * (INT32U)sizeof(OS_STK));
    }
    ptcb->OSTCBStkPtr = OSTaskStkInit(task, p_arg, ptos, opt);
    ptcb->OSTCBStkBase = ptos;
    ptcb->OSTCBStkBottom = pbos;
    ptcb->OSTCBStkSize = stk_size;
    ptcb->OSTCBExtPtr = pext;
    ptcb->OSTCBOpt = opt;
    ptcb->OSTCBId = id;
    ptcb->OSTCBTaskName = (INT8U *)"?";
    ptcb->OSTCBPrioBase = prio;
    ptcb->OSTCBPrio = prio;
    ptcb->OSTCBX = prio & 7u;
    ptcb->OSTCBY = prio >> 3;
    ptcb->OSTCBBitX = (OS_PRIO)(1u << ptcb->OSTCBX);
    ptcb->OSTCBBitY = (OS_PRIO)(1u << ptcb->OSTCBY);
    ptcb->OSTCBDelReq = OS_ERR_NONE;
    OSTCBInitHook(ptcb);
    OSTaskCreateHook(ptcb);

    OS_ENTER_CRITICAL();
    tcb_link(ptcb);
    OS_EXIT_CRITICAL();
    OS_Sched();
    return OS_ERR_NONE;
}

static INT8U del_check(INT8U prio)
{
    if (prio == OS_TASK_IDLE_PRIO) {
        return OS_ERR_TASK_DEL_IDLE;
    }
    return out_of_range(prio, OS_LOWEST_PRIO) ? OS_ERR_PRIO_INVALID : OS_ERR_NONE;
}

static void del(OS_TCB *ptcb)
{
    OS_RdyRemove(ptcb);
    if (ptcb->OSTCBEventPtr != NULL) {
        OS_EventWaitRemove(ptcb->OSTCBEventPtr, ptcb);
        ptcb->OSTCBEventPtr = NULL;
    }
    if (ptcb->OSTCBFlagNode != NULL) {
        OS_FlagUnlink(ptcb->OSTCBFlagNode);
    }
    ptcb->OSTCBDly = 0u;
    ptcb->OSTCBStat = OS_STAT_RDY;
    OSTaskDelHook(ptcb);
    for (INT32U prio = 0u; prio <= OS_LOWEST_PRIO; prio++) {
        if (OSTCBPrioTbl[prio] == ptcb) {
            OSTCBPrioTbl[prio] = prio == ptcb->OSTCBPrioBase ? NULL : OS_TCB_RESERVED;
        }
    }
    tcb_unlink(ptcb);
    tcb_free(ptcb);
}

INT8U OSTaskDel(INT8U prio)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb;
    INT8U err;

    if (OSIntNesting > 0u) {
        return OS_ERR_TASK_DEL_ISR;
    }
    err = del_check(prio);
    if (err != OS_ERR_NONE) {
        return err;
    }
    OS_ENTER_CRITICAL();
    ptcb = find(prio);
    if (ptcb == NULL) {
        err = OS_ERR_TASK_NOT_EXIST;
    } else if (ptcb == OS_TCB_RESERVED) {
        err = OS_ERR_TASK_DEL;
    } else {
        del(ptcb);
    }
    OS_EXIT_CRITICAL();
    if (err == OS_ERR_NONE) {
        OS_Sched(); /* does not come back when a task deletes itself */
    }
    return err;
}

INT8U OSTaskDelReq(INT8U prio)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb;
    INT8U err = del_check(prio);

    if (err != OS_ERR_NONE) {
        return err;
    }
    OS_ENTER_CRITICAL();
    ptcb = find(prio);
    if (prio == OS_PRIO_SELF) {
        err = ptcb->OSTCBDelReq;
    } else if (ptcb == NULL) {
        err = OS_ERR_TASK_NOT_EXIST;
    } else if (ptcb == OS_TCB_RESERVED) {
        err = OS_ERR_TASK_DEL;
    } else {
        ptcb->OSTCBDelReq = OS_ERR_TASK_DEL_REQ;
    }
    OS_EXIT_CRITICAL();
    return err;
}

void OS_TaskReturn(void)
{
    OSTaskReturnHook(OSTCBCur);
    (void)OSTaskDel(OS_PRIO_SELF);
}

INT8U OSTaskSuspend(INT8U prio)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb;
    INT8U err = OS_ERR_NONE;

    if (prio == OS_TASK_IDLE_PRIO) {
        return OS_ERR_TASK_SUSPEND_IDLE;
    }
    if (out_of_range(prio, OS_LOWEST_PRIO)) {
        return OS_ERR_PRIO_INVALID;
    }
    OS_ENTER_CRITICAL();
    ptcb = find(prio);
    if (ptcb == NULL) {
        err = OS_ERR_TASK_SUSPEND_PRIO;
    } else if (ptcb == OS_TCB_RESERVED) {
        err = OS_ERR_TASK_NOT_EXIST;
    } else {
        OS_RdyRemove(ptcb);
        ptcb->OSTCBStat |= OS_STAT_SUSPEND;
    }
    OS_EXIT_CRITICAL();
    if (err == OS_ERR_NONE) {
        OS_Sched();
    }
    return err;
}

INT8U OSTaskResume(INT8U prio)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb;
    INT8U err = OS_ERR_NONE;

    if (prio >= OS_LOWEST_PRIO) {
        return OS_ERR_PRIO_INVALID;
    }
    OS_ENTER_CRITICAL();
    ptcb = OSTCBPrioTbl[prio];
    if (ptcb == NULL) {
        err = OS_ERR_TASK_RESUME_PRIO;
    } else if (ptcb == OS_TCB_RESERVED) {
        err = OS_ERR_TASK_NOT_EXIST;
    } else if ((ptcb->OSTCBStat & OS_STAT_SUSPEND) == 0u) {
        err = OS_ERR_TASK_NOT_SUSPENDED;
    } else {
        ptcb->OSTCBStat = (INT8U)(ptcb->OSTCBStat & ~OS_STAT_SUSPEND);
        if (ptcb->OSTCBStat == OS_STAT_RDY && ptcb->OSTCBDly == 0u) {
            OS_RdyAdd(ptcb);
        }
    }
    OS_EXIT_CRITICAL();
    if (err == OS_ERR_NONE) {
        OS_Sched();
    }
    return err;
}

INT8U OSTaskChangePrio(INT8U oldprio, INT8U newprio)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb;
    INT8U err = OS_ERR_NONE;

    if (out_of_range(oldprio, OS_LOWEST_PRIO) || newprio >= OS_LOWEST_PRIO) {
        return OS_ERR_PRIO_INVALID;
    }
    OS_ENTER_CRITICAL();
    ptcb = find(oldprio);
    if (OSTCBPrioTbl[newprio] != NULL) {
        err = OS_ERR_PRIO_EXIST;
    } else if (ptcb == NULL) {
        err = OS_ERR_PRIO;
    } else if (ptcb == OS_TCB_RESERVED) {
        err = OS_ERR_TASK_NOT_EXIST;
    } else {
        OSTCBPrioTbl[ptcb->OSTCBPrioBase] = NULL;
        OSTCBPrioTbl[newprio] = ptcb;
        ptcb->OSTCBPrioBase = newprio;
        OS_TaskSetPrio(ptcb, OS_TaskBestPrio(ptcb));
    }
    OS_EXIT_CRITICAL();
    if (err == OS_ERR_NONE) {
        OS_Sched();
    }
    return err;
}

INT8U OSTaskNameGet(INT8U prio, INT8U **pname, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb;
    INT8U length = 0u;

    if (perr == NULL) {
        return 0u;
    }
    if (out_of_range(prio, OS_LOWEST_PRIO + 1u)) {
        *perr = OS_ERR_PRIO_INVALID;
    } else if (pname == NULL) {
        *perr = OS_ERR_PNAME_NULL;
    } else if (OSIntNesting > 0u) {
        *perr = OS_ERR_NAME_GET_ISR;
    } else {
        OS_ENTER_CRITICAL();
        ptcb = find(prio);
        *perr = exists(ptcb) ? OS_ERR_NONE : OS_ERR_TASK_NOT_EXIST;
        if (*perr == OS_ERR_NONE) {
            *pname = ptcb->OSTCBTaskName;
            while ((*pname)[length] != 0u && length < 255u) {
                length++;
            }
        }
        OS_EXIT_CRITICAL();
    }
    return length;
}

void OSTaskNameSet(INT8U prio, INT8U *pname, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_TCB *ptcb;

    if (perr == NULL) {
        return;
    }
    if (out_of_range(prio, OS_LOWEST_PRIO + 1u)) {
        *perr = OS_ERR_PRIO_INVALID;
    } else if (pname == NULL) {
        *perr = OS_ERR_PNAME_NULL;
    } else if (OSIntNesting > 0u) {
        *perr = OS_ERR_NAME_SET_ISR;
    } else {
        OS_ENTER_CRITICAL();
        ptcb = find(prio);
        *perr = exists(ptcb) ? OS_ERR_NONE : OS_ERR_TASK_NOT_EXIST;
        if (*perr == OS_ERR_NONE) {
            ptcb->OSTCBTaskName = pname;
        }
        OS_EXIT_CRITICAL();
    }
}

INT8U OSTaskQuery(INT8U prio, OS_TCB *p_task_data)
{
    OS_CPU_SR cpu_sr;
    const OS_TCB *ptcb;
    INT8U err = OS_ERR_NONE;

    if (out_of_range(prio, OS_LOWEST_PRIO + 1u)) {
        return OS_ERR_PRIO_INVALID;
    }
    if (p_task_data == NULL) {
        return OS_ERR_PDATA_NULL;
    }
    OS_ENTER_CRITICAL();
    ptcb = find(prio);
    if (ptcb == NULL) {
        err = OS_ERR_PRIO;
    } else if (ptcb == OS_TCB_RESERVED) {
        err = OS_ERR_TASK_NOT_EXIST;
    } else {
        *p_task_data = *ptcb;
    }
    OS_EXIT_CRITICAL();
    return err;
}
