/* SPDX-License-Identifier: MIT */
/*
 * The tick: the virtual timer with absolute compare values, so that a late interrupt does not
 * shift the ones that follow. Ticks that were missed are served one after the other, each with
 * its own lateness; OSTime never loses one.
 */
#include "board.h"

#include "cp15.h"
#include "ucos_ii.h"

#include <stddef.h>

#define CNTV_CTL_ENABLE 1u

static uint64_t compare;       /* what raised, or will raise, the tick that is served next */
static uint32_t period;        /* whole counter ticks */
static uint32_t period_rest;   /* what is lost by that, in 1/OS_TICKS_PER_SEC of a counter tick */
static uint32_t rest;
static struct tick_jitter jitter_now;

static void tick_serve(void)
{
    OSTimeTick();
    compare += period;
    rest += period_rest;
    if (rest >= OS_TICKS_PER_SEC) {
        rest -= OS_TICKS_PER_SEC;
        compare++;
    }
    CNTV_CVAL_write(compare);
    isb(); /* the level has gone before the interrupt is ended */
}

void tick_start(void)
{
    uint32_t frequency_hz = CNTFRQ_read();

    period = frequency_hz / OS_TICKS_PER_SEC;
    period_rest = frequency_hz % OS_TICKS_PER_SEC;
    compare = CNTVCT_read() + period;
    CNTV_CVAL_write(compare);
    CNTV_CTL_write(CNTV_CTL_ENABLE);
    isb();
    gic_enable(INTID_VTIMER, tick_serve);
}

void tick_record(uint64_t counter)
{
    uint64_t late = counter - compare;
    uint32_t late_ticks = late > UINT32_MAX ? UINT32_MAX : (uint32_t)late;
    uint32_t bucket = late_ticks == 0u ? 0u : 32u - (uint32_t)__builtin_clz(late_ticks);
    struct tick_jitter *jitter = &jitter_now;

    if (jitter->n == 0u || late_ticks < jitter->min) {
        jitter->min = late_ticks;
    }
    if (late_ticks > jitter->max) {
        jitter->max = late_ticks;
    }
    jitter->n++;
    jitter->sum += late_ticks;
    jitter->bucket[bucket < TICK_BUCKETS ? bucket : TICK_BUCKETS - 1u]++;
}

void tick_jitter_take(struct tick_jitter *jitter)
{
    OS_CPU_SR cpu_sr;

    OS_ENTER_CRITICAL();
    *jitter = jitter_now;
    jitter_now = (struct tick_jitter){0};
    OS_EXIT_CRITICAL();
}
