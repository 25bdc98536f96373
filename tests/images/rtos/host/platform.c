/* SPDX-License-Identifier: MIT */
/*
 * The harness on the host: simulated time, hooks, and a main() that runs one case per process.
 *
 *     rtos_tests --list     names of all cases, one a line
 *     rtos_tests NAME       runs one; last line "ok" or "FAIL ..."; exit code 0 or 1, 2 if unknown
 */
#include "t.h"
#include "port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define TURNS_PER_TICK 10u  /* of the idle loop */

static INT32U turns;

void plat_isr(void (*fn)(void))
{
    host_interrupt(fn);
}

static void tick(void)
{
    OSTimeTick();
}

static void advance(void)
{
    host_interrupt(tick);
}

void plat_burn(INT32U n)
{
    while (n-- != 0u) {
        advance();
    }
}

void plat_puts(const char *s)
{
    fputs(s, stdout);
}

void plat_leave(int failed)
{
    if (!failed) {
        puts("ok");
    }
    fflush(stdout);
    exit(failed);
}

void plat_start_tick(void)
{
}

void OSTaskIdleHook(void)
{
    if (++turns == TURNS_PER_TICK) {
        turns = 0;
        advance();
    }
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

void OSTaskSwHook(void)
{
}

void OSTCBInitHook(OS_TCB *ptcb)
{
    (void)ptcb;
}

void OSTimeTickHook(void)
{
}

/* host/port.c checks itself while the other cases run. */
const struct t_case port_cases[] = {CASES_END};

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s --list | NAME\n", argv[0]);
        return 2;
    }
    for (const struct t_case *const *suite = t_suites; *suite != NULL; suite++) {
        for (const struct t_case *c = *suite; c->name != NULL; c++) {
            if (strcmp(argv[1], "--list") == 0) {
                puts(c->name);
            } else if (strcmp(argv[1], c->name) == 0) {
                t_run(c);
            }
        }
    }
    if (strcmp(argv[1], "--list") == 0) {
        return 0;
    }
    fprintf(stderr, "no case is called %s\n", argv[1]);
    return 2;
}
