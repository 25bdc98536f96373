/* SPDX-License-Identifier: MIT */
/*
 * Public interface of the kernel: the names, types, constants and OS_TCB members of the uC/OS-II
 * API (level 2.92), so that applications and debuggers that know that API work unchanged. The
 * implementation behind it (kernel/) is this project's own.
 *
 * 64 priorities, one task each, 0 the highest. OS_LOWEST_PRIO is the idle task and
 * OS_LOWEST_PRIO - 1 the statistics task. Not provided: timers (OSTmr), OSEventPendMulti, task
 * registers.
 */
#ifndef UCOS_II_H
#define UCOS_II_H

#include "os_cfg.h"
#include "os_cpu.h"

#define OS_VERSION 29200u /* the API level that OSVersion() reports */

#define OS_FALSE 0u
#define OS_TRUE 1u

#define OS_TASK_STAT_PRIO (OS_LOWEST_PRIO - 1u)
#define OS_TASK_IDLE_PRIO OS_LOWEST_PRIO
#define OS_PRIO_SELF 0xFFu
#define OS_TASK_IDLE_ID 65535u
#define OS_TASK_STAT_ID 65534u
#define OS_N_SYS_TASKS 2u
#define OS_RDY_TBL_SIZE (OS_LOWEST_PRIO / 8u + 1u)

/* ---- task states (OSTCBStat, OSTCBStatPend) ------------------------------------------------- */

#define OS_STAT_RDY 0x00u /* ready, or delayed when OSTCBDly != 0 */
#define OS_STAT_SEM 0x01u
#define OS_STAT_MBOX 0x02u
#define OS_STAT_Q 0x04u
#define OS_STAT_SUSPEND 0x08u
#define OS_STAT_MUTEX 0x10u
#define OS_STAT_FLAG 0x20u
#define OS_STAT_PEND_ANY \
    (OS_STAT_SEM | OS_STAT_MBOX | OS_STAT_Q | OS_STAT_MUTEX | OS_STAT_FLAG)

#define OS_STAT_PEND_OK 0u
#define OS_STAT_PEND_TO 1u
#define OS_STAT_PEND_ABORT 2u

/* ---- event types (OSEventType, OSFlagType) -------------------------------------------------- */

#define OS_EVENT_TYPE_UNUSED 0u
#define OS_EVENT_TYPE_MBOX 1u
#define OS_EVENT_TYPE_Q 2u
#define OS_EVENT_TYPE_SEM 3u
#define OS_EVENT_TYPE_MUTEX 4u
#define OS_EVENT_TYPE_FLAG 5u

/* ---- options -------------------------------------------------------------------------------- */

#define OS_TASK_OPT_NONE 0x0000u
#define OS_TASK_OPT_STK_CHK 0x0001u /* OSTaskStkChk() will be used on this task */
#define OS_TASK_OPT_STK_CLR 0x0002u /* clear the stack when the task is created */
#define OS_TASK_OPT_SAVE_FP 0x0004u /* accepted; this port always saves VFP registers */

#define OS_DEL_NO_PEND 0u
#define OS_DEL_ALWAYS 1u

#define OS_PEND_OPT_NONE 0u
#define OS_PEND_OPT_BROADCAST 1u

#define OS_POST_OPT_NONE 0x00u
#define OS_POST_OPT_BROADCAST 0x01u
#define OS_POST_OPT_FRONT 0x02u
#define OS_POST_OPT_NO_SCHED 0x04u

#define OS_FLAG_WAIT_CLR_ALL 0u
#define OS_FLAG_WAIT_CLR_AND 0u
#define OS_FLAG_WAIT_CLR_ANY 1u
#define OS_FLAG_WAIT_CLR_OR 1u
#define OS_FLAG_WAIT_SET_ALL 2u
#define OS_FLAG_WAIT_SET_AND 2u
#define OS_FLAG_WAIT_SET_ANY 3u
#define OS_FLAG_WAIT_SET_OR 3u
#define OS_FLAG_CONSUME 0x80u /* added to a wait type */

#define OS_FLAG_CLR 0u
#define OS_FLAG_SET 1u

/* ---- error codes ---------------------------------------------------------------------------- */

#define OS_ERR_NONE 0u
#define OS_ERR_EVENT_TYPE 1u
#define OS_ERR_PEND_ISR 2u
#define OS_ERR_POST_NULL_PTR 3u
#define OS_ERR_PEVENT_NULL 4u
#define OS_ERR_POST_ISR 5u
#define OS_ERR_QUERY_ISR 6u
#define OS_ERR_INVALID_OPT 7u
#define OS_ERR_ID_INVALID 8u
#define OS_ERR_PDATA_NULL 9u
#define OS_ERR_TIMEOUT 10u
#define OS_ERR_EVENT_NAME_TOO_LONG 11u
#define OS_ERR_PNAME_NULL 12u
#define OS_ERR_PEND_LOCKED 13u
#define OS_ERR_PEND_ABORT 14u
#define OS_ERR_DEL_ISR 15u
#define OS_ERR_CREATE_ISR 16u
#define OS_ERR_NAME_GET_ISR 17u
#define OS_ERR_NAME_SET_ISR 18u
#define OS_ERR_MBOX_FULL 20u
#define OS_ERR_Q_FULL 30u
#define OS_ERR_Q_EMPTY 31u
#define OS_ERR_PRIO_EXIST 40u
#define OS_ERR_PRIO 41u
#define OS_ERR_PRIO_INVALID 42u
#define OS_ERR_SCHED_LOCKED 50u
#define OS_ERR_SEM_OVF 51u
#define OS_ERR_TASK_CREATE_ISR 60u
#define OS_ERR_TASK_DEL 61u
#define OS_ERR_TASK_DEL_IDLE 62u
#define OS_ERR_TASK_DEL_REQ 63u
#define OS_ERR_TASK_DEL_ISR 64u
#define OS_ERR_TASK_NAME_TOO_LONG 65u
#define OS_ERR_TASK_NO_MORE_TCB 66u
#define OS_ERR_TASK_NOT_EXIST 67u
#define OS_ERR_TASK_NOT_SUSPENDED 68u
#define OS_ERR_TASK_OPT 69u
#define OS_ERR_TASK_RESUME_PRIO 70u
#define OS_ERR_TASK_SUSPEND_IDLE 71u
#define OS_ERR_TASK_SUSPEND_PRIO 72u
#define OS_ERR_TASK_WAITING 73u
#define OS_ERR_TIME_NOT_DLY 80u
#define OS_ERR_TIME_INVALID_MINUTES 81u
#define OS_ERR_TIME_INVALID_SECONDS 82u
#define OS_ERR_TIME_INVALID_MS 83u
#define OS_ERR_TIME_ZERO_DLY 84u
#define OS_ERR_TIME_DLY_ISR 85u
#define OS_ERR_MEM_INVALID_PART 90u
#define OS_ERR_MEM_INVALID_BLKS 91u
#define OS_ERR_MEM_INVALID_SIZE 92u
#define OS_ERR_MEM_NO_FREE_BLKS 93u
#define OS_ERR_MEM_FULL 94u
#define OS_ERR_MEM_INVALID_PBLK 95u
#define OS_ERR_MEM_INVALID_PMEM 96u
#define OS_ERR_MEM_INVALID_PDATA 97u
#define OS_ERR_MEM_INVALID_ADDR 98u
#define OS_ERR_NOT_MUTEX_OWNER 100u
#define OS_ERR_FLAG_INVALID_PGRP 110u
#define OS_ERR_FLAG_WAIT_TYPE 111u
#define OS_ERR_FLAG_NOT_RDY 112u
#define OS_ERR_FLAG_INVALID_OPT 113u
#define OS_ERR_FLAG_GRP_DEPLETED 114u
#define OS_ERR_PIP_LOWER 120u
#define OS_ERR_PCP_LOWER OS_ERR_PIP_LOWER /* the later name of the same code */

/* ---- data ----------------------------------------------------------------------------------- */

typedef INT8U OS_PRIO;   /* one bit a priority, in groups of eight */
typedef INT16U OS_FLAGS; /* one bit an event flag */

typedef struct os_tcb OS_TCB;

/* A semaphore, mutex, mailbox or queue, and the tasks that wait for it. */
typedef struct os_event {
    INT8U OSEventType;
    void *OSEventPtr;   /* mailbox: message; queue: OS_Q; mutex: owner's OS_TCB */
    INT16U OSEventCnt;  /* semaphore: count; mutex: inherited priority << 8 | owner's priority */
    OS_PRIO OSEventGrp; /* groups with a waiter */
    OS_PRIO OSEventTbl[OS_RDY_TBL_SIZE];
    INT8U *OSEventName;
} OS_EVENT;

/* One task that waits for a flag group; lives on that task's stack. */
typedef struct os_flag_node {
    struct os_flag_node *OSFlagNodeNext;
    struct os_flag_node *OSFlagNodePrev;
    OS_TCB *OSFlagNodeTCB;
    struct os_flag_grp *OSFlagNodeFlagGrp;
    OS_FLAGS OSFlagNodeFlags;
    INT8U OSFlagNodeWaitType;
} OS_FLAG_NODE;

typedef struct os_flag_grp {
    INT8U OSFlagType;
    OS_FLAG_NODE *OSFlagWaitList;
    OS_FLAGS OSFlagFlags;
    INT8U *OSFlagName;
} OS_FLAG_GRP;

struct os_tcb {
    OS_STK *OSTCBStkPtr; /* first member: the port relies on it */

    void *OSTCBExtPtr;
    OS_STK *OSTCBStkBottom; /* lowest entry */
    INT32U OSTCBStkSize;    /* entries */
    INT16U OSTCBOpt;
    INT16U OSTCBId;

    struct os_tcb *OSTCBNext; /* in OSTCBList or OSTCBFreeList */
    struct os_tcb *OSTCBPrev;

    OS_EVENT *OSTCBEventPtr;
    OS_FLAG_NODE *OSTCBFlagNode;
    void *OSTCBMsg;
    OS_FLAGS OSTCBFlagsRdy;

    INT32U OSTCBDly; /* ticks left of a delay or time-out; 0: none */
    INT8U OSTCBStat;
    INT8U OSTCBStatPend;
    INT8U OSTCBPrio;

    INT8U OSTCBX; /* OSTCBPrio & 7 */
    INT8U OSTCBY; /* OSTCBPrio >> 3 */
    OS_PRIO OSTCBBitX;
    OS_PRIO OSTCBBitY;

    INT8U OSTCBDelReq;

    INT32U OSTCBCtxSwCtr;    /* times switched in */
    INT32U OSTCBCyclesTot;   /* counter ticks spent in the task, modulo 2^32 */
    INT32U OSTCBCyclesStart; /* counter at the last switch in */
    OS_STK *OSTCBStkBase;    /* highest entry */
    INT32U OSTCBStkUsed;     /* bytes, as of the statistics task's last look */

    INT8U *OSTCBTaskName;

    INT8U OSTCBPrioBase; /* the task's own priority, where OSTCBPrio may be an inherited one */
};

typedef struct os_q {
    struct os_q *OSQPtr; /* in OSQFreeList */
    void **OSQStart;
    void **OSQEnd; /* one past the last entry */
    void **OSQIn;
    void **OSQOut;
    INT16U OSQSize;
    INT16U OSQEntries;
} OS_Q;

typedef struct os_mem {
    void *OSMemAddr;
    void *OSMemFreeList;
    INT32U OSMemBlkSize;
    INT32U OSMemNBlks;
    INT32U OSMemNFree;
    INT8U *OSMemName;
} OS_MEM;

/* ---- what the Query calls fill in ----------------------------------------------------------- */

typedef struct os_sem_data {
    INT16U OSCnt;
    OS_PRIO OSEventTbl[OS_RDY_TBL_SIZE];
    OS_PRIO OSEventGrp;
} OS_SEM_DATA;

typedef struct os_mutex_data {
    OS_PRIO OSEventTbl[OS_RDY_TBL_SIZE];
    OS_PRIO OSEventGrp;
    BOOLEAN OSValue;   /* OS_TRUE: available */
    INT8U OSOwnerPrio; /* 0xFF: nobody */
    INT8U OSMutexPIP;
} OS_MUTEX_DATA;

typedef struct os_mbox_data {
    void *OSMsg;
    OS_PRIO OSEventTbl[OS_RDY_TBL_SIZE];
    OS_PRIO OSEventGrp;
} OS_MBOX_DATA;

typedef struct os_q_data {
    void *OSMsg; /* the next message, not removed */
    INT16U OSNMsgs;
    INT16U OSQSize;
    OS_PRIO OSEventTbl[OS_RDY_TBL_SIZE];
    OS_PRIO OSEventGrp;
} OS_Q_DATA;

typedef struct os_mem_data {
    void *OSAddr;
    void *OSFreeList;
    INT32U OSBlkSize;
    INT32U OSNBlks;
    INT32U OSNFree;
    INT32U OSNUsed;
} OS_MEM_DATA;

typedef struct os_stk_data {
    INT32U OSFree; /* bytes never used */
    INT32U OSUsed; /* bytes */
} OS_STK_DATA;

/* ---- the kernel's state --------------------------------------------------------------------- */

extern INT32U OSCtxSwCtr;           /* switches between tasks */
extern volatile INT32U OSIdleCtr;   /* idle work since the statistics task last looked */
extern INT32U OSIdleCtrMax;         /* the same in a window without any other task */
extern INT32U OSIdleCtrRun;         /* the same in the last window */
extern INT8U OSCPUUsage;            /* percent, in the last window */
extern BOOLEAN OSStatRdy;           /* OSStatInit() has measured OSIdleCtrMax */
extern volatile INT8U OSIntNesting; /* interrupts being served */
extern volatile INT8U OSLockNesting;
extern BOOLEAN OSRunning;
extern INT8U OSTaskCtr;
extern volatile INT32U OSTime; /* ticks, modulo 2^32 */

extern INT8U OSPrioCur;
extern INT8U OSPrioHighRdy;
extern OS_PRIO OSRdyGrp;
extern OS_PRIO OSRdyTbl[OS_RDY_TBL_SIZE];

extern OS_TCB *OSTCBCur;
extern OS_TCB *OSTCBHighRdy;
extern OS_TCB *OSTCBList;
extern OS_TCB *OSTCBFreeList;
extern OS_TCB *OSTCBPrioTbl[OS_LOWEST_PRIO + 1u];
extern OS_TCB OSTCBTbl[OS_MAX_TASKS + OS_N_SYS_TASKS];

/* ---- kernel --------------------------------------------------------------------------------- */

void OSInit(void);
void OSStart(void);
void OSIntEnter(void);
void OSIntExit(void);
void OSSchedLock(void);
void OSSchedUnlock(void);
void OSTimeTick(void);
void OSStatInit(void);
INT16U OSVersion(void);
INT8U OSEventNameGet(OS_EVENT *pevent, INT8U **pname, INT8U *perr);
void OSEventNameSet(OS_EVENT *pevent, INT8U *pname, INT8U *perr);

/* ---- tasks ---------------------------------------------------------------------------------- */

INT8U OSTaskCreate(void (*task)(void *p_arg), void *p_arg, OS_STK *ptos, INT8U prio);
INT8U OSTaskCreateExt(void (*task)(void *p_arg), void *p_arg, OS_STK *ptos, INT8U prio, INT16U id,
                      OS_STK *pbos, INT32U stk_size, void *pext, INT16U opt);
INT8U OSTaskDel(INT8U prio);
INT8U OSTaskDelReq(INT8U prio);
INT8U OSTaskSuspend(INT8U prio);
INT8U OSTaskResume(INT8U prio);
INT8U OSTaskChangePrio(INT8U oldprio, INT8U newprio);
INT8U OSTaskNameGet(INT8U prio, INT8U **pname, INT8U *perr);
void OSTaskNameSet(INT8U prio, INT8U *pname, INT8U *perr);
INT8U OSTaskQuery(INT8U prio, OS_TCB *p_task_data);
INT8U OSTaskStkChk(INT8U prio, OS_STK_DATA *p_stk_data);

/* ---- time ----------------------------------------------------------------------------------- */

void OSTimeDly(INT32U ticks);
INT8U OSTimeDlyHMSM(INT8U hours, INT8U minutes, INT8U seconds, INT16U ms);
INT8U OSTimeDlyResume(INT8U prio);
INT32U OSTimeGet(void);
void OSTimeSet(INT32U ticks);

/* ---- semaphores ----------------------------------------------------------------------------- */

OS_EVENT *OSSemCreate(INT16U cnt);
void OSSemPend(OS_EVENT *pevent, INT32U timeout, INT8U *perr);
INT8U OSSemPendAbort(OS_EVENT *pevent, INT8U opt, INT8U *perr);
INT8U OSSemPost(OS_EVENT *pevent);
INT16U OSSemAccept(OS_EVENT *pevent);
OS_EVENT *OSSemDel(OS_EVENT *pevent, INT8U opt, INT8U *perr);
INT8U OSSemQuery(OS_EVENT *pevent, OS_SEM_DATA *p_sem_data);
void OSSemSet(OS_EVENT *pevent, INT16U cnt, INT8U *perr);

/* ---- mutexes -------------------------------------------------------------------------------- */

OS_EVENT *OSMutexCreate(INT8U prio, INT8U *perr);
void OSMutexPend(OS_EVENT *pevent, INT32U timeout, INT8U *perr);
INT8U OSMutexPost(OS_EVENT *pevent);
BOOLEAN OSMutexAccept(OS_EVENT *pevent, INT8U *perr);
OS_EVENT *OSMutexDel(OS_EVENT *pevent, INT8U opt, INT8U *perr);
INT8U OSMutexQuery(OS_EVENT *pevent, OS_MUTEX_DATA *p_mutex_data);

/* ---- mailboxes ------------------------------------------------------------------------------ */

OS_EVENT *OSMboxCreate(void *pmsg);
void *OSMboxPend(OS_EVENT *pevent, INT32U timeout, INT8U *perr);
INT8U OSMboxPendAbort(OS_EVENT *pevent, INT8U opt, INT8U *perr);
INT8U OSMboxPost(OS_EVENT *pevent, void *pmsg);
INT8U OSMboxPostOpt(OS_EVENT *pevent, void *pmsg, INT8U opt);
void *OSMboxAccept(OS_EVENT *pevent);
OS_EVENT *OSMboxDel(OS_EVENT *pevent, INT8U opt, INT8U *perr);
INT8U OSMboxQuery(OS_EVENT *pevent, OS_MBOX_DATA *p_mbox_data);

/* ---- queues --------------------------------------------------------------------------------- */

OS_EVENT *OSQCreate(void **start, INT16U size);
void *OSQPend(OS_EVENT *pevent, INT32U timeout, INT8U *perr);
INT8U OSQPendAbort(OS_EVENT *pevent, INT8U opt, INT8U *perr);
INT8U OSQPost(OS_EVENT *pevent, void *pmsg);
INT8U OSQPostFront(OS_EVENT *pevent, void *pmsg);
INT8U OSQPostOpt(OS_EVENT *pevent, void *pmsg, INT8U opt);
void *OSQAccept(OS_EVENT *pevent, INT8U *perr);
INT8U OSQFlush(OS_EVENT *pevent);
OS_EVENT *OSQDel(OS_EVENT *pevent, INT8U opt, INT8U *perr);
INT8U OSQQuery(OS_EVENT *pevent, OS_Q_DATA *p_q_data);

/* ---- event flags ---------------------------------------------------------------------------- */

OS_FLAG_GRP *OSFlagCreate(OS_FLAGS flags, INT8U *perr);
OS_FLAGS OSFlagPend(OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U wait_type, INT32U timeout,
                    INT8U *perr);
OS_FLAGS OSFlagPendGetFlagsRdy(void);
OS_FLAGS OSFlagPost(OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U opt, INT8U *perr);
OS_FLAGS OSFlagAccept(OS_FLAG_GRP *pgrp, OS_FLAGS flags, INT8U wait_type, INT8U *perr);
OS_FLAG_GRP *OSFlagDel(OS_FLAG_GRP *pgrp, INT8U opt, INT8U *perr);
OS_FLAGS OSFlagQuery(OS_FLAG_GRP *pgrp, INT8U *perr);
INT8U OSFlagNameGet(OS_FLAG_GRP *pgrp, INT8U **pname, INT8U *perr);
void OSFlagNameSet(OS_FLAG_GRP *pgrp, INT8U *pname, INT8U *perr);

/* ---- memory partitions ---------------------------------------------------------------------- */

OS_MEM *OSMemCreate(void *addr, INT32U nblks, INT32U blksize, INT8U *perr);
void *OSMemGet(OS_MEM *pmem, INT8U *perr);
INT8U OSMemPut(OS_MEM *pmem, void *pblk);
INT8U OSMemQuery(OS_MEM *pmem, OS_MEM_DATA *p_mem_data);
INT8U OSMemNameGet(OS_MEM *pmem, INT8U **pname, INT8U *perr);
void OSMemNameSet(OS_MEM *pmem, INT8U *pname, INT8U *perr);

/* ---- hooks, written by the port ------------------------------------------------------------- */

void OSInitHookBegin(void);
void OSInitHookEnd(void);
void OSTaskCreateHook(OS_TCB *ptcb); /* interrupts may be enabled */
void OSTaskDelHook(OS_TCB *ptcb);    /* interrupts masked */
void OSTaskIdleHook(void);           /* interrupts enabled, on each turn of the idle loop */
void OSTaskReturnHook(OS_TCB *ptcb); /* a task returned from its function; it is deleted next */
void OSTaskStatHook(void);           /* in the statistics task, ten times a second */
void OSTaskSwHook(void);             /* interrupts masked; see os_cpu.h */
void OSTCBInitHook(OS_TCB *ptcb);    /* interrupts enabled */
void OSTimeTickHook(void);           /* first thing in OSTimeTick() */

/* ---- for the port --------------------------------------------------------------------------- */

void OS_TaskReturn(void); /* where a task's function returns to; deletes the task */

#endif
