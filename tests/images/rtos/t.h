/* SPDX-License-Identifier: MIT */
/*
 * A small harness for the tests of the RTOS kernel. The same cases run on the host, where time is
 * simulated (host/), and on the target (target/). This header is all that a test file needs.
 *
 * A case is a function that runs as the task T_MAIN_PRIO of a kernel that was initialised just
 * for it. The first check that does not hold ends the case. To add one: write TEST(name) in the
 * file of its service and put CASE(name) into the table at the end of that file.
 *
 * Expected values come from the reference manual of uC/OS-II, not from the kernel under test.
 */
#ifndef T_H
#define T_H

#include "ucos_ii.h"

#define T_MAIN_PRIO 20u /* helpers use 10..19 to run before the main task, 21..40 to run after */
#define T_STK_WORDS 1024u
#define T_TASKS 40u /* stacks for helper tasks of one case */
#define T_MOST_TICKS 200000u /* a case that goes on for longer has failed */

struct t_case {
    const char *name;
    void (*body)(void);
    int raw; /* body runs before OSStart() and calls it itself */
};

#define TEST(name) static void name(void)
#define CASE(name) {#name, name, 0}
#define RAW_CASE(name) {#name, name, 1}
#define CASES_END {0, 0, 0}

/* Tables of all services, ended by a null pointer (suites.c). */
extern const struct t_case *const t_suites[];

/* Initialises the kernel and runs one case. Ends in plat_leave(), never returns. */
void t_run(const struct t_case *c);

/* Creates a task with a stack of the harness; a function that returns deletes its task. */
void t_task(INT8U prio, void (*body)(void *), void *arg);
/* As t_task(), returns the error code of OSTaskCreate() instead of checking it. */
INT8U t_try_task(INT8U prio, void (*body)(void *), void *arg);
/* A stack of T_STK_WORDS words that no task uses yet. */
OS_STK *t_stack(void);
/* Ends the case with success; the way out of a raw case. */
void t_pass(void) __attribute__((noreturn));

/* The order in which things happen: each mark appends one letter, a check compares and clears. */
void t_mark(char tag);
void t_check_marks(const char *want, const char *file, int line);
#define CHECK_MARKS(want) t_check_marks(want, __FILE__, __LINE__)

void t_fail(const char *file, int line, const char *what) __attribute__((noreturn));
void t_check_eq(unsigned long got, unsigned long want, const char *what, const char *file,
                int line);
void t_check_str(const INT8U *got, const char *want, const char *what, const char *file, int line);
#define CHECK(ok) ((ok) ? (void)0 : t_fail(__FILE__, __LINE__, #ok))
#define CHECK_EQ(got, want)                                                                        \
    t_check_eq((unsigned long)(got), (unsigned long)(want), #got, __FILE__, __LINE__)
#define CHECK_PTR(got, want)                                                                       \
    t_check_eq((unsigned long)(const void *)(got), (unsigned long)(const void *)(want), #got,      \
               __FILE__, __LINE__)
#define CHECK_STR(got, want) t_check_str(got, want, #got, __FILE__, __LINE__)

/*
 * What the platform provides (host/platform.c, target/platform.c).
 */
/* Runs fn in an interrupt handler, at once; a task that it readies runs before this returns. */
void plat_isr(void (*fn)(void));
/* Keeps the calling task computing for n ticks of its own CPU time. */
void plat_burn(INT32U ticks);
void plat_puts(const char *s);
/* Leaves the kernel and ends the case; failed is 0 or 1. */
void plat_leave(int failed) __attribute__((noreturn));
/* Starts the periodic tick; called by the first task of a case. */
void plat_start_tick(void);

/* What the hooks counted since the case began (hooks.c). */
struct t_hooks {
    INT32U task_sw;
    INT32U time_tick;
    INT32U task_create;
    INT32U task_del;
    INT32U task_stat;
    INT32U task_idle;
    INT32U task_return;
    INT32U tcb_init;
    OS_TCB *created;  /* argument of the latest OSTaskCreateHook() */
    OS_TCB *deleted;  /* argument of the latest OSTaskDelHook() */
    OS_TCB *sw_from;  /* OSTCBCur in the latest OSTaskSwHook() */
    OS_TCB *sw_to;    /* OSTCBHighRdy in the latest OSTaskSwHook() */
};
extern volatile struct t_hooks t_hooks;

#endif
