/* SPDX-License-Identifier: MIT */
/*
 * The ARMv7-A port, as the kernel sees it: data types, critical sections, stack frames, switches.
 *
 * To port the kernel to another machine, provide an os_cpu.h with everything declared here up to
 * the line "of this port only", the functions behind it, and the hooks that ucos_ii.h lists. The
 * kernel calls nothing else of a machine.
 *
 * All tasks and the kernel run in SVC mode. IRQ is masked inside a critical section and while an
 * interrupt is served; FIQ is not used. Kernel, port and board code is built without VFP
 * instructions: the interrupt path saves core registers only, and d0-d31 are saved with the rest
 * of the context when a task is really switched. Tasks may use VFP and NEON freely; interrupt
 * handlers and hooks may not.
 */
#ifndef OS_CPU_H
#define OS_CPU_H

#include <stdint.h>

typedef uint8_t BOOLEAN;
typedef uint8_t INT8U;
typedef int8_t INT8S;
typedef uint16_t INT16U;
typedef int16_t INT16S;
typedef uint32_t INT32U;
typedef int32_t INT32S;

typedef uint32_t OS_STK;    /* one entry of a task's stack */
typedef uint32_t OS_CPU_SR; /* the processor state that a critical section saves */

#define OS_STK_GROWTH 1u       /* stacks grow towards lower addresses; the kernel relies on it */
#define OS_CRITICAL_METHOD 3u  /* the state is kept in a local variable named cpu_sr */

static inline OS_CPU_SR OS_CPU_SR_Save(void)
{
    OS_CPU_SR cpsr;

    __asm__ volatile("mrs %0, cpsr\n\tcpsid i" : "=r"(cpsr) : : "memory");
    return cpsr;
}

static inline void OS_CPU_SR_Restore(OS_CPU_SR cpsr)
{
    __asm__ volatile("msr cpsr_c, %0" : : "r"(cpsr) : "memory");
}

#define OS_ENTER_CRITICAL() (cpu_sr = OS_CPU_SR_Save())
#define OS_EXIT_CRITICAL() OS_CPU_SR_Restore(cpu_sr)

/*
 * Builds the first context of a task, as if it had been switched away at its first instruction
 * with interrupts enabled. `ptos` is the highest entry of the stack; the result goes to
 * OSTCBStkPtr. A task that returns from its function must arrive in OS_TaskReturn().
 */
OS_STK *OSTaskStkInit(void (*task)(void *p_arg), void *p_arg, OS_STK *ptos, INT16U opt);

/*
 * The three switches. Each calls OSTaskSwHook() first, with OSTCBCur the task that leaves and
 * OSTCBHighRdy the one that comes, then sets OSTCBCur = OSTCBHighRdy and OSPrioCur =
 * OSPrioHighRdy and goes on in that task.
 */
void OSStartHighRdy(void); /* from OSStart(): sets OSRunning, leaves nobody, does not return */
void OSCtxSw(void);        /* from a task, interrupts masked: returns when the task is resumed */
void OSIntCtxSw(void);     /* from OSIntExit() at the end of an interrupt; need not return */

#define OS_TASK_SW() OSCtxSw()

/* ---- of this port only ---------------------------------------------------------------------- */

/* Called by the IRQ vector with interrupts masked, in IRQ mode; the board serves the source. */
void OS_CPU_IRQHandler(void);

/* What was running when a fault hit; laid out by os_cpu_a.S. */
struct os_cpu_fault {
    INT32U r[13];
    INT32U sp; /* SVC mode's, hence the task's */
    INT32U lr; /* likewise */
    INT32U pc;
    INT32U cpsr;
    INT32U vector; /* offset in the vector table: 0x04 undefined, 0x0c prefetch, 0x10 data, .. */
};

/* Called by the fault vectors; must not return. */
void OS_CPU_FaultHandler(const struct os_cpu_fault *fault) __attribute__((noreturn));

#endif
