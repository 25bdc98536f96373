/* SPDX-License-Identifier: MIT */
/* The part of the harness that is the same on host and target; t.h explains it. */
#include "t.h"

#define MARKS 64u

struct task_start {
    void (*body)(void *);
    void *arg;
};

/* One more for the main task. */
static OS_STK stacks[T_TASKS + 1u][T_STK_WORDS] __attribute__((aligned(8)));
static struct task_start starts[T_TASKS + 1u];
static INT32U stacks_used;
static char marks[MARKS + 1u];
static volatile INT32U marks_used;

static void put_number(unsigned long value)
{
    char text[24];
    char *p = &text[sizeof text - 1u];

    *p = '\0';
    do {
        *--p = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0u);
    plat_puts(p);
}

static const char *base_name(const char *path)
{
    const char *base = path;

    for (; *path != '\0'; path++) {
        if (*path == '/') {
            base = path + 1;
        }
    }
    return base;
}

static int same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static void fail_at(const char *file, int line)
{
    plat_puts("FAIL ");
    plat_puts(base_name(file));
    plat_puts(":");
    put_number((unsigned long)line);
    plat_puts(": ");
}

void t_fail(const char *file, int line, const char *what)
{
    fail_at(file, line);
    plat_puts(what);
    plat_puts("\n");
    plat_leave(1);
}

void t_check_eq(unsigned long got, unsigned long want, const char *what, const char *file, int line)
{
    if (got != want) {
        fail_at(file, line);
        plat_puts(what);
        plat_puts(" is ");
        put_number(got);
        plat_puts(", expected ");
        put_number(want);
        plat_puts("\n");
        plat_leave(1);
    }
}

void t_check_str(const INT8U *got, const char *want, const char *what, const char *file, int line)
{
    if (got == (const INT8U *)0 || !same((const char *)got, want)) {
        fail_at(file, line);
        plat_puts(what);
        plat_puts(" is \"");
        plat_puts(got == (const INT8U *)0 ? "(null)" : (const char *)got);
        plat_puts("\", expected \"");
        plat_puts(want);
        plat_puts("\"\n");
        plat_leave(1);
    }
}

void t_mark(char tag)
{
    if (marks_used == MARKS) {
        t_fail(__FILE__, __LINE__, "more marks than a case may set");
    }
    marks[marks_used] = tag;
    marks_used++;
    marks[marks_used] = '\0';
}

void t_check_marks(const char *want, const char *file, int line)
{
    t_check_str((const INT8U *)marks, want, "order of events", file, line);
    marks_used = 0u;
    marks[0] = '\0';
}

static void task_entry(void *p)
{
    const struct task_start *start = p;

    start->body(start->arg);
    (void)OSTaskDel(OS_PRIO_SELF);
    t_fail(__FILE__, __LINE__, "a task that deleted itself ran on");
}

OS_STK *t_stack(void)
{
    if (stacks_used == T_TASKS + 1u) {
        t_fail(__FILE__, __LINE__, "more stacks than a case may use");
    }
    return stacks[stacks_used++];
}

INT8U t_try_task(INT8U prio, void (*body)(void *), void *arg)
{
    struct task_start *start = &starts[stacks_used];
    OS_STK *stack = t_stack();

    start->body = body;
    start->arg = arg;
    return OSTaskCreate(task_entry, start, &stack[T_STK_WORDS - 1u], prio);
}

void t_task(INT8U prio, void (*body)(void *), void *arg)
{
    CHECK_EQ(t_try_task(prio, body, arg), OS_ERR_NONE);
}

void t_pass(void)
{
    plat_leave(0);
}

static void main_task(void *p)
{
    const struct t_case *c = p;

    plat_start_tick();
    OSTimeDly(1u); /* from here on a whole tick is left until the next one */
    c->body();
    t_pass();
}

void t_run(const struct t_case *c)
{
    /* The cast drops only const: the task hands it back as const. */
    void *arg = (void *)(unsigned long)c;

    stacks_used = 0u;
    marks_used = 0u;
    marks[0] = '\0';
    OSInit();
    t_hooks = (struct t_hooks){0};
    if (c->raw) {
        c->body();
        t_fail(__FILE__, __LINE__, "the case returned");
    }
    t_task(T_MAIN_PRIO, main_task, arg);
    OSStart();
    t_fail(__FILE__, __LINE__, "OSStart() returned");
}
