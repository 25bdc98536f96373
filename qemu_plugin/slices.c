/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU under icount runs one core after the other on one thread, each for a share of the time that
 * is left until the next timer. The shares shrink towards that timer, and each kick of a core, some
 * of them at moments that the host chooses, deals them anew. So here one core at a time is picked
 * and all others are held: then it does not matter how often QEMU goes round in a slice.
 *
 * A slice ends when its time is over, or when the core waits for an interrupt or for another core.
 * While n cores have work, each gets a n-th of the quantum, so all have had their turn within one.
 *
 * The end of a slice is dear: QEMU translates the block in which it lies anew, to end right there. A
 * core that alone has work therefore gets a long slice. An interrupt that wakes another one makes QEMU
 * come by here at once, and a new plan is made for both.
 *
 * QEMU's own shares have ends as well: of the time until the next timer of a guest the core would run
 * a half, then a half of the rest, and so on. It gets all of that time at once instead.
 */
#include "slices.h"

#include <stdbool.h>
#include <stddef.h>

#include "qemu_api.h"

#define MAX_CORES 64
#define NO_CORE (-1)
#define PINS 4 /* IRQ, FIQ and their virtual ones: what wakes a core from WFI */

/* The slice of a core that alone has work. QEMU's main loop waits for its turn as long. */
#define ALONE_NS 1000000

static int64_t quantum_ns;
static void (*arm_timer)(int64_t expire_ns);
static void (*tell_turn)(int core);

static qemu_cpu *core[MAX_CORES];
static bool held[MAX_CORES]; /* by us: a core that a debugger stopped is not ours to resume */
static int core_count;
static int running = NO_CORE;
static int last; /* core that ran last: the next one is looked for after it */
static int64_t slice_end_ns;
static bool armed; /* the timer, for this end */
static bool yielded;
static bool alone; /* no other core had work when the slice began, and none is held */
static bool frozen;
static bool resumed; /* QEMU has let all cores go, and the slice is not over */

/* A core with an errand, such as to flush its TLB, is looked at when QEMU has done that: very soon. */
static bool another_woke(void)
{
    for (int i = 0; i < core_count; i++) {
        if (i != running && cpu_work_list_empty(core[i]) && !cpu_thread_is_idle(core[i])) {
            return true;
        }
    }
    return false;
}

static void on_pin(void *opaque, int number, int level)
{
    qemu_pin *const *pin = opaque;

    (void)number;
    qemu_set_irq(*pin, level);
    if (alone && another_woke()) {
        /* By a device's access, the last instruction of its block: what comes next is the boundary. */
        cpu_exit(core[running]);
        /* By a timer, between the last boundary and guest code: no core has time to execute any. */
        armed = false;
        arm_timer(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    }
}

static void find_cores(void)
{
    if (core_count != 0) {
        return;
    }
    while (core_count < MAX_CORES && (core[core_count] = qemu_get_cpu(core_count)) != NULL) {
        qemu_pin *pins[PINS];

        for (int i = 0; i < PINS; i++) {
            pins[i] = qdev_get_gpio_in(core[core_count], i);
        }
        qemu_irq_intercept_in(pins, on_pin, PINS);
        core_count++;
    }
}

static void release_all(void)
{
    for (int i = 0; i < core_count; i++) {
        if (held[i]) {
            held[i] = false;
            cpu_resume(core[i]);
        }
    }
}

static void hold_all_but(int picked)
{
    for (int i = 0; i < core_count; i++) {
        if (i != picked) {
            held[i] = true;
            cpu_pause(core[i]);
        }
    }
}

static void arm_slice(void)
{
    armed = true;
    arm_timer(slice_end_ns);
}

static void pick(int64_t now_ns)
{
    int ready = 0;
    int next = NO_CORE;

    release_all(); /* a held core counts as idle */
    for (int i = 1; i <= core_count; i++) {
        int candidate = (last + i) % core_count;

        if (!cpu_work_list_empty(core[candidate])) {
            /* It counts as busy, whether it is or not, until QEMU has done the errand. */
            next = NO_CORE;
            break;
        }
        if (!cpu_thread_is_idle(core[candidate])) {
            next = next == NO_CORE ? candidate : next;
            ready++;
        }
    }
    running = next;
    yielded = false;
    alone = ready == 1;
    if (next == NO_CORE) {
        alone = false;
        armed = false;
        /*
         * No slice is planned for whichever core wakes first, and the timer is over at once: QEMU
         * comes back here before the core has run an instruction.
         */
        arm_timer(now_ns);
        return;
    }
    last = next;
    if (tell_turn != NULL) {
        tell_turn(next);
    }
    if (alone) {
        slice_end_ns = now_ns + (quantum_ns > ALONE_NS ? quantum_ns : ALONE_NS);
    } else {
        slice_end_ns = now_ns + quantum_ns / ready;
        hold_all_but(next);
    }
    arm_slice();
    /* QEMU may be half way round with the time that was left before: it has to reckon anew. */
    cpu_exit(core[next]);
}

void slices_start(int64_t new_quantum_ns, void (*arm)(int64_t expire_ns))
{
    quantum_ns = new_quantum_ns;
    arm_timer = arm;
}

void slices_tell(void (*on_turn)(int core))
{
    tell_turn = on_turn;
}

qemu_cpu *slices_boundary(void)
{
    int64_t now_ns;

    if (frozen || !runstate_is_running()) {
        return NULL;
    }
    find_cores();
    if (resumed) {
        resumed = false;
        if (!alone) {
            hold_all_but(running);
        }
    }
    now_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    if (running == NO_CORE || yielded || now_ns >= slice_end_ns ||
        cpu_thread_is_idle(core[running]) || (alone && another_woke())) {
        pick(now_ns);
    } else if (!armed) {
        arm_slice();
    }
    return running != NO_CORE && core_count > 1 ? core[running] : NULL;
}

void slices_entry(void)
{
    icount_process_data(current_cpu);
    icount_prepare_for_run(current_cpu, INT64_MAX);
}

void slices_yield(void)
{
    yielded = true;
}

void slices_save(struct slices_plan *plan)
{
    *plan = (struct slices_plan){.slice_end_ns = slice_end_ns,
                                 .running = running,
                                 .last = last,
                                 .yielded = yielded,
                                 .alone = alone};
}

bool slices_load(const struct slices_plan *plan)
{
    find_cores();
    if (plan->running < NO_CORE || plan->running >= core_count || plan->last < 0 ||
        plan->last >= core_count) {
        return false;
    }
    slice_end_ns = plan->slice_end_ns;
    running = plan->running;
    last = plan->last;
    yielded = plan->yielded != 0;
    alone = plan->alone != 0;
    armed = false;
    resumed = running != NO_CORE;
    return true;
}

void slices_freeze(void)
{
    frozen = true;
    find_cores();
    hold_all_but(NO_CORE);
}

void slices_thaw(void)
{
    /* QEMU resumes every core by itself when the machine goes on. */
    for (int i = 0; i < core_count; i++) {
        held[i] = false;
    }
    frozen = false;
    /* A stop at an instant that the host chose must not change the plan. */
    resumed = running != NO_CORE;
}
