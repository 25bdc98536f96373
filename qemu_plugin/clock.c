/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timers are on a list of their own that QEMU reckons with but never runs. A timer on it that is
 * over stands: guest time cannot pass it, neither by instructions nor by a jump to the next timer
 * while all cores wait. This makes the stop exact. For the slices it spares a wake-up of QEMU's main
 * loop at each: they are armed anew before QEMU sees them expire.
 */
#include "clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "qemu_api.h"
#include "slices.h"
#include "turns.h"

static struct qemu_timer_group group;
static struct qemu_timer slice_timer;
static struct qemu_timer stop_timer;
static struct qemu_timer hold_timer; /* keeps the time still at a stop point */
static int64_t stop_ns; /* 0: none, or behind us */
static bool stopping;
static bool stop_here; /* wanted at the next boundary */

const char *clock_missing(void)
{
#define NEEDED(symbol) {(const void *)&symbol, #symbol}
    const struct {
        const void *address;
        const char *name;
    } needed[] = {
        NEEDED(use_icount),
        NEEDED(timerlist_new),
        NEEDED(timer_init_full),
        NEEDED(timer_mod_ns),
        NEEDED(timer_del),
        NEEDED(qemu_clock_get_ns),
        NEEDED(qemu_get_cpu),
        NEEDED(cpu_thread_is_idle),
        NEEDED(cpu_work_list_empty),
        NEEDED(cpu_pause),
        NEEDED(cpu_resume),
        NEEDED(cpu_exit),
        NEEDED(runstate_is_running),
        NEEDED(qemu_system_vmstop_request_prepare),
        NEEDED(qemu_system_vmstop_request),
        NEEDED(qemu_add_vm_change_state_handler),
        NEEDED(bql_mutex_lock_func),
        NEEDED(qemu_cond_wait_func),
        NEEDED(qemu_mutex_unlock_impl),
        NEEDED(bql_lock_impl),
        NEEDED(bql_unlock),
        NEEDED(cpu_interrupt),
        NEEDED(icount_process_data),
        NEEDED(icount_prepare_for_run),
        NEEDED(qdev_get_gpio_in),
        NEEDED(qemu_irq_intercept_in),
        NEEDED(qemu_set_irq),
    };
#undef NEEDED

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (needed[i].address == NULL) {
            return needed[i].name;
        }
    }
    return NULL;
}

static void arm_slice_timer(int64_t expire_ns)
{
    timer_mod_ns(&slice_timer, expire_ns);
}

static void request_stop(void)
{
    qemu_system_vmstop_request_prepare();
    qemu_system_vmstop_request(QEMU_RUN_STATE_PAUSED);
}

/* QEMU tells every list of a clock when a timer of the clock is over; its lock is held. */
static void on_notify(void *opaque, int clock)
{
    const bool *has_slices = opaque;

    (void)clock;
    if (*has_slices && runstate_is_running() && turns_in_vcpu_thread() && !turns_boundary_seen()) {
        fputs("liborchestrate: this QEMU's vCPU loop is not one that the plugin knows\n", stderr);
        exit(1);
    }
    if (stop_ns == 0 || stopping || qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) < stop_ns) {
        return;
    }
    /*
     * The standing timer keeps the time. In the main loop all cores wait for an interrupt, and the
     * request is served next; in the vCPU thread no core may take as much as an interrupt until then.
     */
    if (turns_in_vcpu_thread()) {
        slices_freeze();
    }
    stopping = true;
    request_stop();
}

/* Between two pieces of guest code. */
static qemu_cpu *on_boundary(void)
{
    if (stop_here) {
        stop_here = false;
        /* A timer that is over: no core runs, so QEMU would move the clock to the next one. */
        timer_mod_ns(&hold_timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
        slices_freeze();
        request_stop();
    }
    return slices_boundary();
}

void clock_stop_here(void)
{
    if (use_icount == 0) {
        cpu_pause(current_cpu); /* this core at once; the others when QEMU tells them */
        request_stop();
        return;
    }
    stop_here = true;
    cpu_exit(current_cpu);
}

/* Guest time is host time: an ordinary timer in the main loop, as exact as that can be. */
static void on_host_time_stop(void *opaque)
{
    (void)opaque;
    stopping = true;
    request_stop();
}

static void on_state_change(void *opaque, bool machine_runs, int run_state)
{
    (void)opaque;
    (void)run_state;
    if (!machine_runs) {
        timer_del(&hold_timer);
    }
    if (!machine_runs && stopping) {
        stopping = false;
        stop_ns = 0;
        timer_del(&stop_timer);
    }
    slices_thaw();
}

int clock_start(const struct plugin_args *args)
{
    static bool has_slices;

    stop_ns = args->stop_ns;
    has_slices = args->quantum_ns != 0;
    if (use_icount == 0) {
        if (has_slices) {
            return -ENOTSUP;
        }
        timer_init_full(&stop_timer, NULL, QEMU_CLOCK_VIRTUAL, QEMU_SCALE_NS, QEMU_TIMER_ORDINARY,
                        on_host_time_stop, NULL);
        if (stop_ns != 0) {
            timer_mod_ns(&stop_timer, stop_ns);
        }
        return 0;
    }
    group.list[QEMU_CLOCK_VIRTUAL] = timerlist_new(QEMU_CLOCK_VIRTUAL, on_notify, &has_slices);
    timer_init_full(&slice_timer, &group, QEMU_CLOCK_VIRTUAL, QEMU_SCALE_NS, QEMU_TIMER_EXTERNAL,
                    NULL, NULL);
    timer_init_full(&stop_timer, &group, QEMU_CLOCK_VIRTUAL, QEMU_SCALE_NS, QEMU_TIMER_ORDINARY,
                    NULL, NULL);
    timer_init_full(&hold_timer, &group, QEMU_CLOCK_VIRTUAL, QEMU_SCALE_NS, QEMU_TIMER_ORDINARY,
                    NULL, NULL);
    if (stop_ns != 0) {
        timer_mod_ns(&stop_timer, stop_ns);
    }
    qemu_add_vm_change_state_handler(on_state_change, NULL);
    if (has_slices) {
        slices_start(args->quantum_ns, arm_slice_timer);
        turns_start(on_boundary, slices_entry);
    }
    return 0;
}
