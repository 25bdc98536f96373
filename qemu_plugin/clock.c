/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU under icount runs one core after the other on one thread, each until the next timer of the
 * virtual clock. Without a near timer a core that waits for another one in a loop burns the whole
 * slice. The quantum is such a timer; nothing in the guest sees it.
 *
 * Both timers expire in the vCPU thread, between two guest instructions, with QEMU's lock held.
 */
#include "clock.h"

#include <stddef.h>

#include "qemu_api.h"

static struct qemu_timer quantum_timer;
static struct qemu_timer stop_timer;
static int64_t quantum;

const char *clock_missing(void)
{
    const struct {
        const void *address;
        const char *name;
    } needed[] = {
        {(const void *)timer_init_full, "timer_init_full"},
        {(const void *)timer_mod_ns, "timer_mod_ns"},
        {(const void *)qemu_clock_get_ns, "qemu_clock_get_ns"},
        {(const void *)qemu_get_cpu, "qemu_get_cpu"},
        {(const void *)cpu_pause, "cpu_pause"},
        {(const void *)qemu_system_vmstop_request_prepare, "qemu_system_vmstop_request_prepare"},
        {(const void *)qemu_system_vmstop_request, "qemu_system_vmstop_request"},
    };

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (needed[i].address == NULL) {
            return needed[i].name;
        }
    }
    return NULL;
}

/* Expiry times are multiples of the quantum, so a restored machine goes on where it was saved. */
static void arm_quantum(void)
{
    int64_t now_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    timer_mod_ns(&quantum_timer, (now_ns / quantum + 1) * quantum);
}

static void on_quantum(void *opaque)
{
    (void)opaque;
    arm_quantum();
}

static void on_stop(void *opaque)
{
    qemu_cpu *cpu;

    (void)opaque;
    /*
     * All cores share this thread, so each is stopped on the spot and none runs another
     * instruction while QEMU's main loop is on its way to the request.
     */
    for (int i = 0; (cpu = qemu_get_cpu(i)) != NULL; i++) {
        cpu_pause(cpu);
    }
    qemu_system_vmstop_request_prepare();
    qemu_system_vmstop_request(QEMU_RUN_STATE_PAUSED);
}

void clock_start(int64_t quantum_ns, int64_t stop_ns)
{
    if (quantum_ns != 0) {
        quantum = quantum_ns;
        timer_init_full(&quantum_timer, NULL, QEMU_CLOCK_VIRTUAL, QEMU_SCALE_NS,
                        QEMU_TIMER_EXTERNAL, on_quantum, NULL);
        arm_quantum();
    }
    if (stop_ns != 0) {
        timer_init_full(&stop_timer, NULL, QEMU_CLOCK_VIRTUAL, QEMU_SCALE_NS, QEMU_TIMER_ORDINARY,
                        on_stop, NULL);
        timer_mod_ns(&stop_timer, stop_ns);
    }
}
