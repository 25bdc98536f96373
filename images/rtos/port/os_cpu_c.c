/* SPDX-License-Identifier: MIT */
/* The first context of a task, and the kernel's hooks. */
#include "board.h"
#include "cp15.h"
#include "ucos_ii.h"

#include <stddef.h>

#define CPSR_SVC 0x13u /* SVC mode, interrupts enabled */
#define CPSR_T 0x20u

/* As os_cpu_a.S lays it out. */
struct frame {
    uint32_t FPSCR;
    uint32_t zero;
    uint64_t d[32];
    uint32_t r[13];
    uint32_t lr;
    uint32_t pc;
    uint32_t cpsr;
};

_Static_assert(offsetof(struct frame, r) == 66 * 4, "VFP part of the frame");
_Static_assert(sizeof(struct frame) == 82 * 4, "the frame keeps the stack 8-byte aligned");
_Static_assert(offsetof(struct os_cpu_fault, sp) == 52, "FAULT_SP");
_Static_assert(offsetof(struct os_cpu_fault, pc) == 60, "FAULT_PC");
_Static_assert(offsetof(struct os_cpu_fault, vector) == 68, "FAULT_VECTOR");
_Static_assert(sizeof(struct os_cpu_fault) == 72, "FAULT_BYTES");

OS_STK *OSTaskStkInit(void (*task)(void *p_arg), void *p_arg, OS_STK *ptos, INT16U opt)
{
    uintptr_t top = (uintptr_t)(ptos + 1) & ~(uintptr_t)7; /* AAPCS */
    struct frame *frame = (struct frame *)top - 1;

    (void)opt;
    *frame = (struct frame){
        .r = {(uint32_t)(uintptr_t)p_arg},
        .lr = (uint32_t)(uintptr_t)OS_TaskReturn,
        .pc = (uint32_t)(uintptr_t)task & ~1u,
        .cpsr = ((uintptr_t)task & 1u) != 0u ? CPSR_SVC | CPSR_T : CPSR_SVC,
    };
    return (OS_STK *)frame;
}

void OSInitHookBegin(void)
{
}

void OSInitHookEnd(void)
{
}

void OSTaskCreateHook(OS_TCB *ptcb)
{
    (void)ptcb;
}

void OSTaskDelHook(OS_TCB *ptcb)
{
    (void)ptcb;
}

void OSTaskReturnHook(OS_TCB *ptcb)
{
    (void)ptcb;
}

void OSTaskStatHook(void)
{
}

void OSTCBInitHook(OS_TCB *ptcb)
{
    (void)ptcb;
}

/*
 * Sleeps with interrupts masked, which a pending one ends all the same, so that the time slept is
 * known before the interrupt is served.
 */
void OSTaskIdleHook(void)
{
    OS_CPU_SR cpu_sr;
    INT32U asleep_since;

    OS_ENTER_CRITICAL();
    asleep_since = (INT32U)CNTVCT_read();
    dsb();
    __asm__ volatile("wfi" : : : "memory");
    OSIdleCtr += (INT32U)CNTVCT_read() - asleep_since;
    OS_EXIT_CRITICAL();
}

void OSTaskSwHook(void)
{
    INT32U now = (INT32U)CNTVCT_read();

    if (OSRunning) { /* else OSStart(): nobody leaves */
        OSTCBCur->OSTCBCyclesTot += now - OSTCBCur->OSTCBCyclesStart;
    }
    OSTCBHighRdy->OSTCBCyclesStart = now;
}

void OSTimeTickHook(void)
{
    tick_record(CNTVCT_read());
}
