/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this plugin uses of QEMU, declared here because no header for it is packaged.
 *
 * The first part is QEMU's plugin interface, versioned by QEMU and asserted at install. The second
 * part are functions of QEMU itself: its binary exports them, but they are no interface. They are
 * weak, so that a QEMU without one of them still loads the plugin and gets a clear refusal.
 */
#ifndef PLUGIN_QEMU_API_H
#define PLUGIN_QEMU_API_H

#include <stdbool.h>
#include <stdint.h>

#define QEMU_EXPORT __attribute__((visibility("default")))
#define QEMU_WEAK __attribute__((weak, visibility("default")))

/* ---- plugin interface ---- */

/* The version this plugin is written for. QEMU 10.0 offers 2..4. */
#define PLUGIN_API_VERSION 4

typedef uint64_t qemu_plugin_id_t;

typedef struct {
    const char *target_name;
    struct {
        int min; /* oldest interface that QEMU still serves */
        int cur; /* newest */
    } version;
    bool system_emulation;
    struct {
        int smp_vcpus;
        int max_vcpus;
    } system; /* meaningful if system_emulation */
} qemu_info_t;

typedef void (*plugin_vcpu_cb)(qemu_plugin_id_t id, unsigned int vcpu_index);

QEMU_EXPORT extern int qemu_plugin_version;
QEMU_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                    char **argv);

QEMU_EXPORT void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, plugin_vcpu_cb cb);

/* ---- QEMU's own functions ---- */

typedef struct qemu_cpu qemu_cpu;               /* one emulated core */
typedef struct qemu_timer_group qemu_timer_group;

#define QEMU_CLOCK_VIRTUAL 1 /* guest time; under icount a count of instructions */
#define QEMU_SCALE_NS 1
/*
 * A timer that is none of the guest's business: it bounds a slice of running cores, but when all
 * cores wait for an interrupt, QEMU does not stop at it on the way to the next guest timer.
 */
#define QEMU_TIMER_EXTERNAL 1
#define QEMU_TIMER_ORDINARY 0

/* QEMU fills it in; its own structure takes 48 bytes in QEMU 10. */
struct qemu_timer {
    _Alignas(16) unsigned char opaque[128];
};

/* QEMU's RunState, in the order of its QMP schema. */
#define QEMU_RUN_STATE_PAUSED 4

QEMU_WEAK void timer_init_full(struct qemu_timer *timer, qemu_timer_group *group, int clock,
                               int scale, int attributes, void (*cb)(void *opaque), void *opaque);
QEMU_WEAK void timer_mod_ns(struct qemu_timer *timer, int64_t expire_ns);
QEMU_WEAK int64_t qemu_clock_get_ns(int clock);
QEMU_WEAK qemu_cpu *qemu_get_cpu(int index);
QEMU_WEAK void cpu_pause(qemu_cpu *cpu);
QEMU_WEAK void qemu_system_vmstop_request_prepare(void);
QEMU_WEAK void qemu_system_vmstop_request(int run_state);

#endif
