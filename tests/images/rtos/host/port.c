/* SPDX-License-Identifier: MIT */
/*
 * The host port: contexts, switches and the interrupt mask. It also checks what a real port would
 * only suffer from: a switch with interrupts enabled, a critical section left open.
 */
#include "port.h"

#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HOST_ASAN 1
#endif
#ifdef HOST_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define HOST_STACK_BYTES (128u * 1024u)
#define HOST_CONTEXTS 64u
#define FRAME_WORDS 16u /* what a context takes of the task's own stack: as a real port would */

struct context {
    ucontext_t uc;
    void (*task)(void *);
    void *arg;
    void *fake_stack;
    char stack[HOST_STACK_BYTES] __attribute__((aligned(16)));
};

static struct context contexts[HOST_CONTEXTS];
static INT32U contexts_used;
static struct context *running; /* not OSTCBCur's: that may be deleted and cleared */
static OS_CPU_SR irq_masked;

void host_port_broken(const char *what)
{
    printf("FAIL host port: %s\n", what);
    fflush(stdout);
    _Exit(1);
}

OS_CPU_SR OS_CPU_SR_Save(void)
{
    OS_CPU_SR state = irq_masked;

    irq_masked = 1u;
    return state;
}

void OS_CPU_SR_Restore(OS_CPU_SR state)
{
    if (irq_masked == 0u) {
        host_port_broken("a critical section was left twice");
    }
    irq_masked = state;
}

static void arrived(struct context *self)
{
#ifdef HOST_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#else
    (void)self;
#endif
}

static void leaving(void **fake_stack, struct context *next)
{
#ifdef HOST_ASAN
    __sanitizer_start_switch_fiber(fake_stack, next->stack, sizeof next->stack);
#else
    (void)fake_stack;
    (void)next;
#endif
}

static struct context *context_of(const OS_TCB *tcb)
{
    OS_STK index = *tcb->OSTCBStkPtr;

    if (index >= contexts_used) {
        host_port_broken("OSTCBStkPtr does not point to a context");
    }
    return &contexts[index];
}

static void first_instruction(unsigned int index)
{
    struct context *self = &contexts[index];

    arrived(self);
    irq_masked = 0u;
    self->task(self->arg);
    OS_TaskReturn();
    host_port_broken("OS_TaskReturn() returned");
}

OS_STK *OSTaskStkInit(void (*task)(void *p_arg), void *p_arg, OS_STK *ptos, INT16U opt)
{
    struct context *c = &contexts[contexts_used];

    (void)opt;
    if (contexts_used == HOST_CONTEXTS) {
        host_port_broken("too many tasks created in one case");
    }
    c->task = task;
    c->arg = p_arg;
    if (getcontext(&c->uc) != 0) {
        host_port_broken("getcontext() failed");
    }
    c->uc.uc_stack.ss_sp = c->stack;
    c->uc.uc_stack.ss_size = sizeof c->stack;
    c->uc.uc_link = NULL;
    /* The type of makecontext()'s function is that of its unused C89 declaration. */
    makecontext(&c->uc, (void (*)(void))first_instruction, 1, (unsigned int)contexts_used);
    for (INT32U i = 0; i < FRAME_WORDS; i++) {
        *(ptos - i) = 0xdeadbeefu;
    }
    ptos -= FRAME_WORDS - 1u;
    *ptos = contexts_used++;
    return ptos;
}

/* The switch proper. */
static void switch_to_high_ready(void)
{
    struct context *from = running;
    struct context *to;

    if (irq_masked == 0u) {
        host_port_broken("a switch with interrupts enabled");
    }
    if (OSTCBPrioTbl[OSPrioHighRdy] != OSTCBHighRdy) {
        host_port_broken("OSTCBHighRdy and OSPrioHighRdy differ");
    }
    OSTaskSwHook();
    OSTCBCur = OSTCBHighRdy;
    OSPrioCur = OSPrioHighRdy;
    to = context_of(OSTCBCur);
    running = to;
    if (from == NULL) {
        leaving(NULL, to);
        setcontext(&to->uc);
        host_port_broken("setcontext() failed");
    }
    if (from == to) {
        return;
    }
    leaving(&from->fake_stack, to);
    if (swapcontext(&from->uc, &to->uc) != 0) {
        host_port_broken("swapcontext() failed");
    }
    arrived(from);
}

void OSStartHighRdy(void)
{
    (void)OS_CPU_SR_Save();
    OSRunning = OS_TRUE;
    switch_to_high_ready();
}

void OSCtxSw(void)
{
    if (OSIntNesting != 0u) {
        host_port_broken("OSCtxSw() in an interrupt");
    }
    if (OSLockNesting != 0u) {
        host_port_broken("OSCtxSw() with the scheduler locked");
    }
    switch_to_high_ready();
}

void OSIntCtxSw(void)
{
    if (OSIntNesting != 0u) {
        host_port_broken("OSIntCtxSw() in a nested interrupt");
    }
    switch_to_high_ready();
}

void host_interrupt(void (*fn)(void))
{
    OS_CPU_SR state = OS_CPU_SR_Save();

    if (state != 0u && OSIntNesting == 0u) {
        host_port_broken("a critical section was left open");
    }
    OSIntEnter();
    fn();
    if (irq_masked == 0u) {
        host_port_broken("a call enabled interrupts inside an interrupt");
    }
    OSIntExit();
    OS_CPU_SR_Restore(state);
}
