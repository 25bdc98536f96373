/* SPDX-License-Identifier: MIT */
/*
 * What the kernel's files share and the application does not see. Every function here is called
 * with interrupts masked unless it says otherwise.
 *
 * A task is in exactly one of these places: in the ready table; waiting, with OSTCBStat, OSTCBDly
 * or both not zero; or free. A task that waits for an event is also in that event's table, one
 * that waits for flags is in the group's list; a time-out takes it out at once.
 */
#ifndef OS_INTERNAL_H
#define OS_INTERNAL_H

#include "ucos_ii.h"

#include <stddef.h>

_Static_assert(OS_LOWEST_PRIO <= 63u, "eight groups of eight priorities");
_Static_assert(OS_MAX_TASKS + OS_N_SYS_TASKS <= OS_LOWEST_PRIO + 1u, "one task a priority");
_Static_assert(offsetof(OS_TCB, OSTCBStkPtr) == 0, "the port's assembly relies on it");

/* In OSTCBPrioTbl: taken by a mutex, or by a task that is being created. */
#define OS_TCB_RESERVED ((OS_TCB *)1)

#define OS_MUTEX_NO_OWNER 0xFFu

/* ---- os_core.c ------------------------------------------------------------------------------ */

void OS_Clear(void *start, INT32U bytes);
void OS_Sched(void); /* switches to the best ready task; call with interrupts enabled */
/* Moves a task to one of its entries in OSTCBPrioTbl, wherever it is ready or waiting. */
void OS_TaskSetPrio(OS_TCB *ptcb, INT8U prio);
INT8U OS_TaskBestPrio(const OS_TCB *ptcb); /* the best of its entries in OSTCBPrioTbl */
INT8U OS_FirstPrio(OS_PRIO grp, const OS_PRIO *tbl); /* lowest number in a non-empty table */

static inline void OS_RdyAdd(const OS_TCB *ptcb)
{
    OSRdyGrp = (OS_PRIO)(OSRdyGrp | ptcb->OSTCBBitY);
    OSRdyTbl[ptcb->OSTCBY] = (OS_PRIO)(OSRdyTbl[ptcb->OSTCBY] | ptcb->OSTCBBitX);
}

static inline BOOLEAN OS_RdyRemove(const OS_TCB *ptcb)
{
    BOOLEAN was_ready = (OSRdyTbl[ptcb->OSTCBY] & ptcb->OSTCBBitX) != 0u;

    OSRdyTbl[ptcb->OSTCBY] = (OS_PRIO)(OSRdyTbl[ptcb->OSTCBY] & ~ptcb->OSTCBBitX);
    if (OSRdyTbl[ptcb->OSTCBY] == 0u) {
        OSRdyGrp = (OS_PRIO)(OSRdyGrp & ~ptcb->OSTCBBitY);
    }
    return was_ready;
}

/* Ends a wait: the task is ready unless it is suspended as well. */
static inline void OS_TaskWake(OS_TCB *ptcb, INT8U pend_stat)
{
    ptcb->OSTCBDly = 0u;
    ptcb->OSTCBStat = (INT8U)(ptcb->OSTCBStat & ~OS_STAT_PEND_ANY);
    ptcb->OSTCBStatPend = pend_stat;
    if (ptcb->OSTCBStat == OS_STAT_RDY) {
        OS_RdyAdd(ptcb);
    }
}

/* ---- os_event.c ----------------------------------------------------------------------------- */

void OS_EventInit(void);
OS_EVENT *OS_EventAlloc(INT8U type); /* NULL when none is left */
void OS_EventFree(OS_EVENT *pevent);
INT8U OS_EventCheck(const OS_EVENT *pevent, INT8U type);     /* OS_ERR_.. */
INT8U OS_EventPendCheck(const OS_EVENT *pevent, INT8U type); /* the same for a call that waits */

/* Puts the current task to sleep; the caller then enables interrupts and calls OS_Sched(). */
void OS_EventWait(OS_EVENT *pevent, INT8U stat, INT32U timeout);
INT8U OS_EventWaitEnd(void **pmsg); /* after OS_Sched(): the outcome, and the message */

/* Wakes the waiter of highest priority; there must be one. */
OS_TCB *OS_EventWake(OS_EVENT *pevent, void *pmsg, INT8U pend_stat);
void OS_EventWaitAdd(OS_EVENT *pevent, const OS_TCB *ptcb);
void OS_EventWaitRemove(OS_EVENT *pevent, const OS_TCB *ptcb);

/* The common part of the PendAbort calls; called with interrupts enabled. */
INT8U OS_EventPendAbort(OS_EVENT *pevent, INT8U type, INT8U opt, INT8U *perr);

/*
 * The common part of the Del calls; called with interrupts enabled. `release` (may be NULL) gives
 * back what the event owns besides itself. Returns what Del returns.
 */
OS_EVENT *OS_EventDel(OS_EVENT *pevent, INT8U type, INT8U opt, void (*release)(OS_EVENT *pevent),
                      INT8U *perr);

/* ---- the services' own tables, emptied by OSInit() ------------------------------------------ */

void OS_QInit(void);
void OS_FlagInit(void);
void OS_MemInit(void);
void OS_TCBListInit(void);

/* ---- os_flag.c ------------------------------------------------------------------------------ */

void OS_FlagUnlink(OS_FLAG_NODE *pnode); /* ends a wait for flags from outside */

/* ---- os_stat.c ------------------------------------------------------------------------------ */

void OS_TaskIdle(void *p_arg);
void OS_TaskStat(void *p_arg);
void OS_SysTasksInit(void); /* creates both; called with interrupts as OSInit() found them */

#endif
