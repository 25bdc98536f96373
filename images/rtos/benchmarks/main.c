/* SPDX-License-Identifier: MIT */
/*
 * Benchmarks of the kernel, in place of the default workload: context switch, semaphore round trip,
 * interrupt latency. Each does a fixed number of operations and prints, as Linux's workloads do:
 *
 *     rtos: bench NAME COUNT|x|1|UNIT
 *     rtos: bench NAME TIME|t|1|ns       of the virtual counter; interrupt: sum of all latencies
 *     rtos: bench NAME MIN|t|1|ns        interrupt only: the least and the greatest of them
 *     rtos: bench NAME MAX|t|1|ns
 *
 * and at last "rtos: bench done". There is no tick: nothing else interrupts. At both ends of each
 * window bench_mark() is called, a place at which the host can stop the machine.
 */
#include "board.h"
#include "cp15.h"
#include "ucos_ii.h"

#include <stddef.h>

#define STK_SIZE 512u
#define MAIN_PRIO 10u
#define HIGH_PRIO 5u /* the partner, which always goes first when it can */

#define SWITCHES 20000u /* even: there and back */
#define ROUND_TRIPS 10000u
#define INTERRUPTS 1000u
#define INTERRUPT_US 50u

#define CNTV_CTL_ENABLE 1u
#define CNTV_CTL_OFF 0u

struct latency {
    uint64_t sum;
    uint64_t min;
    uint64_t max;
};

static OS_STK main_stk[STK_SIZE] __attribute__((aligned(8)));
static OS_STK partner_stk[STK_SIZE] __attribute__((aligned(8)));
static OS_EVENT *ping, *pong, *expired;
static uint64_t expiry; /* of the timer, in counter ticks */
static struct latency latency;

void bench_mark(void);

/* Never inlined or removed: the host looks for its address. */
__attribute__((noinline)) void bench_mark(void)
{
    __asm__ volatile("");
}

static void stop(const char *what, INT8U err)
{
    struct line line;

    line_begin(&line);
    line_str(&line, "fault: ");
    line_str(&line, what);
    line_str(&line, ", error ");
    line_uint(&line, err);
    line_end(&line);
    power_off();
}

static void check(const char *what, INT8U err)
{
    if (err != OS_ERR_NONE) {
        stop(what, err);
    }
}

static uint64_t to_ns(uint64_t counter_ticks)
{
    INT32U unused;

    return div_u64(counter_ticks * 1000000000ull, CNTFRQ_read(), &unused);
}

static void print(const char *name, const char *key, uint64_t value, const char *unit)
{
    struct line line;

    line_begin(&line);
    line_str(&line, "bench ");
    line_str(&line, name);
    line_str(&line, " ");
    line_str(&line, key);
    line_str(&line, "|");
    line_uint(&line, value);
    line_str(&line, "|1|");
    line_str(&line, unit);
    line_end(&line);
}

static uint64_t window_start(void)
{
    bench_mark();
    return CNTVCT_read();
}

static uint64_t window_end(uint64_t start)
{
    uint64_t elapsed = CNTVCT_read() - start;

    bench_mark();
    return elapsed;
}

static void create(void (*task)(void *p_arg), OS_STK *stk, INT8U prio, const char *name)
{
    INT8U err = OSTaskCreateExt(task, NULL, &stk[STK_SIZE - 1u], prio, prio, stk, STK_SIZE, NULL,
                                OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR);

    check(name, err);
    OSTaskNameSet(prio, (INT8U *)name, &err);
    check(name, err);
}

static void suspender(void *p_arg)
{
    (void)p_arg;
    for (;;) {
        OSTaskSuspend(OS_PRIO_SELF);
    }
}

/* The partner sleeps whenever it runs, so each resumption is a switch there and one back. */
static void measure_switch(void)
{
    create(suspender, partner_stk, HIGH_PRIO, "Suspender");
    uint64_t start = window_start();
    for (INT32U i = 0u; i < SWITCHES / 2u; i++) {
        OSTaskResume(HIGH_PRIO);
    }
    uint64_t elapsed = window_end(start);
    check("delete the partner", OSTaskDel(HIGH_PRIO));
    print("switch", "COUNT", SWITCHES, "switch");
    print("switch", "TIME", to_ns(elapsed), "ns");
}

static void answerer(void *p_arg)
{
    INT8U err;

    (void)p_arg;
    for (;;) {
        OSSemPend(ping, 0u, &err);
        OSSemPost(pong);
    }
}

static void measure_semaphore(void)
{
    INT8U err;

    ping = OSSemCreate(0u);
    pong = OSSemCreate(0u);
    create(answerer, partner_stk, HIGH_PRIO, "Answerer");
    uint64_t start = window_start();
    for (INT32U i = 0u; i < ROUND_TRIPS; i++) {
        OSSemPost(ping);
        OSSemPend(pong, 0u, &err);
    }
    uint64_t elapsed = window_end(start);
    check("pend", err);
    check("delete the partner", OSTaskDel(HIGH_PRIO));
    print("semaphore", "COUNT", ROUND_TRIPS, "round trip");
    print("semaphore", "TIME", to_ns(elapsed), "ns");
}

static void on_timer(void)
{
    uint64_t late = CNTVCT_read() - expiry;

    latency.sum += late;
    if (late < latency.min) {
        latency.min = late;
    }
    if (late > latency.max) {
        latency.max = late;
    }
    CNTV_CTL_write(CNTV_CTL_OFF);
    isb(); /* the level has gone before the interrupt is ended */
    OSSemPost(expired);
}

/* The core sleeps until the timer fires, as that of a real-time system mostly does. */
static void measure_interrupt(void)
{
    uint64_t period = div_u64((uint64_t)CNTFRQ_read() * INTERRUPT_US, 1000000u, &(INT32U){0});
    INT8U err;

    expired = OSSemCreate(0u);
    latency = (struct latency){.min = UINT64_MAX};
    gic_enable(INTID_VTIMER, on_timer);
    bench_mark();
    for (INT32U i = 0u; i < INTERRUPTS; i++) {
        expiry = CNTVCT_read() + period;
        CNTV_CVAL_write(expiry);
        CNTV_CTL_write(CNTV_CTL_ENABLE);
        isb();
        OSSemPend(expired, 0u, &err);
    }
    bench_mark();
    check("pend", err);
    print("interrupt", "COUNT", INTERRUPTS, "interrupt");
    print("interrupt", "TIME", to_ns(latency.sum), "ns");
    print("interrupt", "MIN", to_ns(latency.min), "ns");
    print("interrupt", "MAX", to_ns(latency.max), "ns");
}

static void main_task(void *p_arg)
{
    struct line line;

    (void)p_arg;
    measure_switch();
    measure_semaphore();
    measure_interrupt();
    line_begin(&line);
    line_str(&line, "bench done");
    line_end(&line);
    OSTaskSuspend(OS_PRIO_SELF);
}

int main(void)
{
    uart_init();
    gic_init();
    OSInit();
    create(main_task, main_stk, MAIN_PRIO, "Benchmark");
    OSStart();
    return 0;
}
