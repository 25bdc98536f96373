/* SPDX-License-Identifier: MIT */
/*
 * A port of the kernel to the host, for tests: a task is a ucontext, an interrupt is a function
 * call, and "interrupts masked" is a variable. Nothing happens by itself: a tick comes when the
 * idle task runs or when a task says that it computes, so a run is the same each time.
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

typedef uint32_t OS_STK;
typedef uint32_t OS_CPU_SR;

#define OS_STK_GROWTH 1u
#define OS_CRITICAL_METHOD 3u

/* Masked: 1, enabled: 0. Restoring twice or in the wrong order is caught by port.c. */
OS_CPU_SR OS_CPU_SR_Save(void);
void OS_CPU_SR_Restore(OS_CPU_SR state);

#define OS_ENTER_CRITICAL() (cpu_sr = OS_CPU_SR_Save())
#define OS_EXIT_CRITICAL() OS_CPU_SR_Restore(cpu_sr)

OS_STK *OSTaskStkInit(void (*task)(void *p_arg), void *p_arg, OS_STK *ptos, INT16U opt);
void OSStartHighRdy(void);
void OSCtxSw(void);
void OSIntCtxSw(void);

#define OS_TASK_SW() OSCtxSw()

#endif
