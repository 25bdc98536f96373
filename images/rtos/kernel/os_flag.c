/* SPDX-License-Identifier: MIT */
/*
 * Event flags: a task waits until all or any of some bits are set or clear. The waiting tasks of
 * a group form a list of nodes, each on the stack of its task.
 */
#include "os_internal.h"

static OS_FLAG_GRP flag_tbl[OS_MAX_FLAGS];
static OS_FLAG_GRP *flag_free_list; /* linked through OSFlagWaitList */

static void group_free(OS_FLAG_GRP *pgrp)
{
    OS_Clear(pgrp, sizeof(*pgrp));
    pgrp->OSFlagType = OS_EVENT_TYPE_UNUSED;
    pgrp->OSFlagName = (INT8U *)"?";
    pgrp->OSFlagWaitList = (OS_FLAG_NODE *)(void *)flag_free_list;
    flag_free_list = pgrp;
}

void OS_FlagInit(void)
{
    flag_free_list = NULL;
    for (INT32U i = OS_MAX_FLAGS; i > 0u; i--) {
        group_free(&flag_tbl[i - 1u]);
    }
}

static INT8U group_check(const OS_FLAG_GRP *pgrp)
{
    if (pgrp == NULL) {
        return OS_ERR_FLAG_INVALID_PGRP;
    }
    return pgrp->OSFlagType == OS_EVENT_TYPE_FLAG ? OS_ERR_NONE : OS_ERR_EVENT_TYPE;
}

/* The bits of `flags` that are as `wait_type` wants them. */
static OS_FLAGS matching(const OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U wait_type)
{
    if (wait_type == OS_FLAG_WAIT_SET_ALL || wait_type == OS_FLAG_WAIT_SET_ANY) {
        return (OS_FLAGS)(pgrp->OSFlagFlags & flags);
    }
    return (OS_FLAGS)(~pgrp->OSFlagFlags & flags);
}

static BOOLEAN satisfied(OS_FLAGS match, OS_FLAGS flags, INT8U wait_type)
{
    if (wait_type == OS_FLAG_WAIT_SET_ALL || wait_type == OS_FLAG_WAIT_CLR_ALL) {
        return match == flags;
    }
    return match != 0u;
}

static void consume(OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U wait_type)
{
    if (wait_type == OS_FLAG_WAIT_SET_ALL || wait_type == OS_FLAG_WAIT_SET_ANY) {
        pgrp->OSFlagFlags = (OS_FLAGS)(pgrp->OSFlagFlags & ~flags);
    } else {
        pgrp->OSFlagFlags = (OS_FLAGS)(pgrp->OSFlagFlags | flags);
    }
}

static void node_link(OS_FLAG_NODE *pnode)
{
    OS_FLAG_GRP *pgrp = pnode->OSFlagNodeFlagGrp;

    pnode->OSFlagNodePrev = NULL;
    pnode->OSFlagNodeNext = pgrp->OSFlagWaitList;
    if (pnode->OSFlagNodeNext != NULL) {
        pnode->OSFlagNodeNext->OSFlagNodePrev = pnode;
    }
    pgrp->OSFlagWaitList = pnode;
    pnode->OSFlagNodeTCB->OSTCBFlagNode = pnode;
}

void OS_FlagUnlink(OS_FLAG_NODE *pnode)
{
    if (pnode->OSFlagNodePrev != NULL) {
        pnode->OSFlagNodePrev->OSFlagNodeNext = pnode->OSFlagNodeNext;
    } else {
        pnode->OSFlagNodeFlagGrp->OSFlagWaitList = pnode->OSFlagNodeNext;
    }
    if (pnode->OSFlagNodeNext != NULL) {
        pnode->OSFlagNodeNext->OSFlagNodePrev = pnode->OSFlagNodePrev;
    }
    pnode->OSFlagNodeTCB->OSTCBFlagNode = NULL;
}

static void node_wake(OS_FLAG_NODE *pnode, OS_FLAGS flags_rdy, INT8U pend_stat)
{
    OS_TCB *ptcb = pnode->OSFlagNodeTCB;

    OS_FlagUnlink(pnode);
    ptcb->OSTCBFlagsRdy = flags_rdy;
    OS_TaskWake(ptcb, pend_stat);
}

OS_FLAG_GRP *OSFlagCreate(OS_FLAGS flags, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_FLAG_GRP *pgrp;

    if (perr == NULL) {
        return NULL;
    }
    if (OSIntNesting > 0u) {
        *perr = OS_ERR_CREATE_ISR;
        return NULL;
    }
    OS_ENTER_CRITICAL();
    pgrp = flag_free_list;
    if (pgrp != NULL) {
        flag_free_list = (OS_FLAG_GRP *)(void *)pgrp->OSFlagWaitList;
        pgrp->OSFlagType = OS_EVENT_TYPE_FLAG;
        pgrp->OSFlagFlags = flags;
        pgrp->OSFlagWaitList = NULL;
    }
    OS_EXIT_CRITICAL();
    *perr = pgrp != NULL ? OS_ERR_NONE : OS_ERR_FLAG_GRP_DEPLETED;
    return pgrp;
}

/* What Pend and Accept share; sets *pready when the flags are there (and takes them). */
static INT8U try_take(OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U wait_type, OS_FLAGS *pready)
{
    INT8U kind = (INT8U)(wait_type & ~OS_FLAG_CONSUME);
    OS_FLAGS match = matching(pgrp, flags, kind);

    if (!satisfied(match, flags, kind)) {
        return OS_ERR_FLAG_NOT_RDY;
    }
    if ((wait_type & OS_FLAG_CONSUME) != 0u) {
        consume(pgrp, match, kind);
    }
    *pready = match;
    return OS_ERR_NONE;
}

static INT8U wait_type_check(INT8U wait_type)
{
    INT8U kind = (INT8U)(wait_type & ~OS_FLAG_CONSUME);

    return kind <= OS_FLAG_WAIT_SET_ANY ? OS_ERR_NONE : OS_ERR_FLAG_WAIT_TYPE;
}

OS_FLAGS OSFlagPend(OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U wait_type, INT32U timeout,
                    INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_FLAG_NODE node;
    OS_FLAGS flags_rdy = 0u;
    void *no_msg;

    if (perr == NULL) {
        return 0u;
    }
    *perr = group_check(pgrp);
    if (*perr == OS_ERR_NONE && OSIntNesting > 0u) {
        *perr = OS_ERR_PEND_ISR;
    } else if (*perr == OS_ERR_NONE && OSLockNesting > 0u) {
        *perr = OS_ERR_PEND_LOCKED;
    } else if (*perr == OS_ERR_NONE) {
        *perr = wait_type_check(wait_type);
    }
    if (*perr != OS_ERR_NONE) {
        return 0u;
    }
    OS_ENTER_CRITICAL();
    if (try_take(pgrp, flags, wait_type, &flags_rdy) == OS_ERR_NONE) {
        OSTCBCur->OSTCBFlagsRdy = flags_rdy;
        OS_EXIT_CRITICAL();
        return flags_rdy;
    }
    node.OSFlagNodeTCB = OSTCBCur;
    node.OSFlagNodeFlagGrp = pgrp;
    node.OSFlagNodeFlags = flags;
    node.OSFlagNodeWaitType = (INT8U)(wait_type & ~OS_FLAG_CONSUME);
    node_link(&node);
    OSTCBCur->OSTCBStat |= OS_STAT_FLAG;
    OSTCBCur->OSTCBStatPend = OS_STAT_PEND_OK;
    OSTCBCur->OSTCBDly = timeout;
    OSTCBCur->OSTCBFlagsRdy = 0u;
    OS_RdyRemove(OSTCBCur);
    OS_EXIT_CRITICAL();
    OS_Sched();
    OS_ENTER_CRITICAL();
    *perr = OS_EventWaitEnd(&no_msg);
    if (*perr == OS_ERR_NONE) {
        flags_rdy = OSTCBCur->OSTCBFlagsRdy;
        if ((wait_type & OS_FLAG_CONSUME) != 0u) {
            consume(pgrp, flags_rdy, node.OSFlagNodeWaitType);
        }
    }
    OS_EXIT_CRITICAL();
    return flags_rdy;
}

OS_FLAGS OSFlagPendGetFlagsRdy(void)
{
    return OSTCBCur->OSTCBFlagsRdy;
}

OS_FLAGS OSFlagPost(OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U opt, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_FLAG_NODE *pnext;
    OS_FLAGS flags_now;
    BOOLEAN woken = OS_FALSE;

    if (perr == NULL) {
        return 0u;
    }
    *perr = group_check(pgrp);
    if (*perr == OS_ERR_NONE && opt != OS_FLAG_SET && opt != OS_FLAG_CLR) {
        *perr = OS_ERR_FLAG_INVALID_OPT;
    }
    if (*perr != OS_ERR_NONE) {
        return 0u;
    }
    OS_ENTER_CRITICAL();
    if (opt == OS_FLAG_SET) {
        pgrp->OSFlagFlags = (OS_FLAGS)(pgrp->OSFlagFlags | flags);
    } else {
        pgrp->OSFlagFlags = (OS_FLAGS)(pgrp->OSFlagFlags & ~flags);
    }
    for (OS_FLAG_NODE *pnode = pgrp->OSFlagWaitList; pnode != NULL; pnode = pnext) {
        OS_FLAGS match = matching(pgrp, pnode->OSFlagNodeFlags, pnode->OSFlagNodeWaitType);

        pnext = pnode->OSFlagNodeNext;
        if (satisfied(match, pnode->OSFlagNodeFlags, pnode->OSFlagNodeWaitType)) {
            node_wake(pnode, match, OS_STAT_PEND_OK);
            woken = OS_TRUE;
        }
    }
    OS_EXIT_CRITICAL();
    if (woken) {
        OS_Sched();
    }
    OS_ENTER_CRITICAL();
    flags_now = pgrp->OSFlagFlags;
    OS_EXIT_CRITICAL();
    return flags_now;
}

OS_FLAGS OSFlagAccept(OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U wait_type, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    OS_FLAGS flags_rdy = 0u;

    if (perr == NULL) {
        return 0u;
    }
    *perr = group_check(pgrp);
    if (*perr == OS_ERR_NONE) {
        *perr = wait_type_check(wait_type);
    }
    if (*perr != OS_ERR_NONE) {
        return 0u;
    }
    OS_ENTER_CRITICAL();
    *perr = try_take(pgrp, flags, wait_type, &flags_rdy);
    OS_EXIT_CRITICAL();
    return flags_rdy;
}

OS_FLAG_GRP *OSFlagDel(OS_FLAG_GRP *pgrp, INT8U opt, INT8U *perr)
{
    OS_CPU_SR cpu_sr;
    BOOLEAN tasks_waiting;

    if (perr == NULL) {
        return pgrp;
    }
    *perr = group_check(pgrp);
    if (*perr == OS_ERR_NONE && OSIntNesting > 0u) {
        *perr = OS_ERR_DEL_ISR;
    } else if (*perr == OS_ERR_NONE && opt != OS_DEL_NO_PEND && opt != OS_DEL_ALWAYS) {
        *perr = OS_ERR_INVALID_OPT;
    }
    if (*perr != OS_ERR_NONE) {
        return pgrp;
    }
    OS_ENTER_CRITICAL();
    tasks_waiting = pgrp->OSFlagWaitList != NULL;
    if (tasks_waiting && opt == OS_DEL_NO_PEND) {
        OS_EXIT_CRITICAL();
        *perr = OS_ERR_TASK_WAITING;
        return pgrp;
    }
    while (pgrp->OSFlagWaitList != NULL) {
        node_wake(pgrp->OSFlagWaitList, 0u, OS_STAT_PEND_ABORT);
    }
    group_free(pgrp);
    OS_EXIT_CRITICAL();
    if (tasks_waiting) {
        OS_Sched();
    }
    return NULL;
}

OS_FLAGS OSFlagQuery(OS_FLAG_GRP *pgrp, INT8U *perr)
{
    if (perr == NULL) {
        return 0u;
    }
    *perr = group_check(pgrp);
    return *perr == OS_ERR_NONE ? pgrp->OSFlagFlags : 0u;
}

INT8U OSFlagNameGet(OS_FLAG_GRP *pgrp, INT8U **pname, INT8U *perr)
{
    INT8U length = 0u;

    if (perr == NULL) {
        return 0u;
    }
    if (pname == NULL) {
        *perr = OS_ERR_PNAME_NULL;
    } else if (OSIntNesting > 0u) {
        *perr = OS_ERR_NAME_GET_ISR;
    } else {
        *perr = group_check(pgrp);
    }
    if (*perr == OS_ERR_NONE) {
        *pname = pgrp->OSFlagName;
        while ((*pname)[length] != 0u && length < 255u) {
            length++;
        }
    }
    return length;
}

void OSFlagNameSet(OS_FLAG_GRP *pgrp, INT8U *pname, INT8U *perr)
{
    if (perr == NULL) {
        return;
    }
    if (pname == NULL) {
        *perr = OS_ERR_PNAME_NULL;
    } else if (OSIntNesting > 0u) {
        *perr = OS_ERR_NAME_SET_ISR;
    } else {
        *perr = group_check(pgrp);
    }
    if (*perr == OS_ERR_NONE) {
        pgrp->OSFlagName = pname;
    }
}
