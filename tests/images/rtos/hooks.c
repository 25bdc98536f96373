/* SPDX-License-Identifier: MIT */
/*
 * Counts the hooks without replacing them: the linker's --wrap sends each call of a hook through
 * here first, whoever wrote the hook itself.
 */
#include "t.h"

volatile struct t_hooks t_hooks;

void __real_OSTaskSwHook(void);
void __wrap_OSTaskSwHook(void);
void __real_OSTimeTickHook(void);
void __wrap_OSTimeTickHook(void);
void __real_OSTaskCreateHook(OS_TCB *ptcb);
void __wrap_OSTaskCreateHook(OS_TCB *ptcb);
void __real_OSTaskDelHook(OS_TCB *ptcb);
void __wrap_OSTaskDelHook(OS_TCB *ptcb);
void __real_OSTaskIdleHook(void);
void __wrap_OSTaskIdleHook(void);
void __real_OSTaskReturnHook(OS_TCB *ptcb);
void __wrap_OSTaskReturnHook(OS_TCB *ptcb);
void __real_OSTaskStatHook(void);
void __wrap_OSTaskStatHook(void);
void __real_OSTCBInitHook(OS_TCB *ptcb);
void __wrap_OSTCBInitHook(OS_TCB *ptcb);

void __wrap_OSTaskSwHook(void)
{
    t_hooks.task_sw++;
    t_hooks.sw_from = OSTCBCur;
    t_hooks.sw_to = OSTCBHighRdy;
    __real_OSTaskSwHook();
}

void __wrap_OSTimeTickHook(void)
{
    t_hooks.time_tick++;
    if (t_hooks.time_tick > T_MOST_TICKS) {
        t_fail(__FILE__, __LINE__, "the case does not end");
    }
    __real_OSTimeTickHook();
}

void __wrap_OSTaskCreateHook(OS_TCB *ptcb)
{
    t_hooks.task_create++;
    t_hooks.created = ptcb;
    __real_OSTaskCreateHook(ptcb);
}

void __wrap_OSTaskDelHook(OS_TCB *ptcb)
{
    t_hooks.task_del++;
    t_hooks.deleted = ptcb;
    __real_OSTaskDelHook(ptcb);
}

void __wrap_OSTaskIdleHook(void)
{
    t_hooks.task_idle++;
    __real_OSTaskIdleHook();
}

void __wrap_OSTaskReturnHook(OS_TCB *ptcb)
{
    t_hooks.task_return++;
    __real_OSTaskReturnHook(ptcb);
}

void __wrap_OSTaskStatHook(void)
{
    t_hooks.task_stat++;
    __real_OSTaskStatHook();
}

void __wrap_OSTCBInitHook(OS_TCB *ptcb)
{
    t_hooks.tcb_init++;
    __real_OSTCBInitHook(ptcb);
}
