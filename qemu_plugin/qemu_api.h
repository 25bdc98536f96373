/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this plugin uses of QEMU, declared here because no header for it is packaged.
 *
 * The first part is QEMU's plugin interface, versioned by QEMU and asserted at install. The second
 * part are functions and hooks of QEMU itself: its binary exports them, but they are no interface.
 * They are weak, so that a QEMU without one of them loads the plugin and gets a clear refusal.
 */
#ifndef PLUGIN_QEMU_API_H
#define PLUGIN_QEMU_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QEMU_EXPORT __attribute__((visibility("default")))
#define QEMU_WEAK __attribute__((weak, visibility("default")))

/* ---- plugin interface ---- */

/* The version this plugin is written for. QEMU 10.0 serves 2 to 4. */
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

typedef struct plugin_tb plugin_tb;     /* a block that is being translated */
typedef struct plugin_insn plugin_insn; /* an instruction of it */

/* Whether a callback reads r0 to r15 and cpsr, which QEMU then has to put where they can be read. */
enum plugin_regs { PLUGIN_NO_REGS = 0, PLUGIN_READS_REGS = 1 };

typedef void (*plugin_vcpu_cb)(qemu_plugin_id_t id, unsigned int vcpu_index);
typedef void (*plugin_tb_cb)(qemu_plugin_id_t id, plugin_tb *tb);
typedef void (*plugin_exec_cb)(unsigned int vcpu_index, void *opaque);
typedef void (*plugin_exit_cb)(qemu_plugin_id_t id, void *opaque);

QEMU_EXPORT extern int qemu_plugin_version;
QEMU_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                    char **argv);

QEMU_EXPORT void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, plugin_vcpu_cb cb);
/* NULL: no more. QEMU lets this be changed at any time. */
QEMU_EXPORT void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, plugin_tb_cb cb);
QEMU_EXPORT size_t qemu_plugin_tb_n_insns(const plugin_tb *tb);
QEMU_EXPORT plugin_insn *qemu_plugin_tb_get_insn(const plugin_tb *tb, size_t index);
QEMU_EXPORT uint64_t qemu_plugin_insn_vaddr(const plugin_insn *insn);
QEMU_EXPORT void *qemu_plugin_insn_haddr(const plugin_insn *insn);
QEMU_EXPORT size_t qemu_plugin_insn_data(const plugin_insn *insn, void *dest, size_t bytes);
QEMU_EXPORT void qemu_plugin_register_vcpu_insn_exec_cb(plugin_insn *insn, plugin_exec_cb cb,
                                                        enum plugin_regs regs, void *opaque);
QEMU_EXPORT void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, plugin_exit_cb cb,
                                                void *opaque);

/* ---- QEMU's own ---- */

typedef struct qemu_cpu qemu_cpu;               /* one emulated core */
typedef struct qemu_timer_list qemu_timer_list; /* timers of one clock */
typedef struct qemu_mutex qemu_mutex;
typedef struct qemu_cond qemu_cond;
typedef struct qemu_pin qemu_pin; /* an input of a device */

#define QEMU_CLOCK_VIRTUAL 1 /* guest time; under icount it counts instructions */
#define QEMU_CLOCK_COUNT 4
#define QEMU_SCALE_NS 1
#define QEMU_TIMER_ORDINARY 0
/*
 * A timer that is none of the guest's business: it bounds how long cores run, but when all cores
 * wait for an interrupt, QEMU does not stop at it on the way to the next guest timer.
 */
#define QEMU_TIMER_EXTERNAL 1

#define QEMU_RUN_STATE_PAUSED 4 /* position in the RunState of QEMU's QMP schema */

/* QEMU's structure takes 48 bytes in version 10. */
struct qemu_timer {
    _Alignas(16) unsigned char opaque[128];
};

/* One list of timers for each of QEMU's clocks. */
struct qemu_timer_group {
    qemu_timer_list *list[QEMU_CLOCK_COUNT];
};

typedef void (*qemu_notify_cb)(void *opaque, int clock);
typedef void (*qemu_lock_func)(qemu_mutex *mutex, const char *file, int line);
typedef void (*qemu_wait_func)(qemu_cond *cond, qemu_mutex *mutex, const char *file, int line);
typedef void (*qemu_state_cb)(void *opaque, bool running, int run_state);

QEMU_WEAK extern int use_icount; /* 0: guest time is host time */

QEMU_WEAK qemu_timer_list *timerlist_new(int clock, qemu_notify_cb cb, void *opaque);
QEMU_WEAK void timer_init_full(struct qemu_timer *timer, struct qemu_timer_group *group, int clock,
                               int scale, int attributes, void (*cb)(void *opaque), void *opaque);
QEMU_WEAK void timer_mod_ns(struct qemu_timer *timer, int64_t expire_ns);
QEMU_WEAK void timer_del(struct qemu_timer *timer);
QEMU_WEAK int64_t qemu_clock_get_ns(int clock);

QEMU_WEAK qemu_cpu *qemu_get_cpu(int index);
QEMU_WEAK bool cpu_thread_is_idle(qemu_cpu *cpu);
QEMU_WEAK bool cpu_work_list_empty(qemu_cpu *cpu);
QEMU_WEAK void cpu_pause(qemu_cpu *cpu);
QEMU_WEAK void cpu_resume(qemu_cpu *cpu);

#define QEMU_INTERRUPT_EXIT_BLOCK 4
QEMU_WEAK void cpu_interrupt(qemu_cpu *cpu, int interrupts);

/* A core is a device as well. `handler` gets a pointer to what the pin was before. */
QEMU_WEAK qemu_pin *qdev_get_gpio_in(qemu_cpu *device, int number);
QEMU_WEAK void qemu_set_irq(qemu_pin *pin, int level);
QEMU_WEAK void qemu_irq_intercept_in(qemu_pin **pins,
                                     void (*handler)(void *opaque, int number, int level),
                                     int count);

QEMU_WEAK bool runstate_is_running(void);
QEMU_WEAK void qemu_system_vmstop_request_prepare(void);
QEMU_WEAK void qemu_system_vmstop_request(int run_state);
QEMU_WEAK void *qemu_add_vm_change_state_handler(qemu_state_cb cb, void *opaque);

/* A core whose thread this is; NULL in the main loop. */
QEMU_WEAK extern __thread qemu_cpu *current_cpu;
QEMU_WEAK void cpu_exit(qemu_cpu *cpu); /* the core leaves guest code after this block */

/* All code of all cores is forgotten: at once if one thread runs them, else before they go on. */
QEMU_WEAK void tb_flush(qemu_cpu *cpu);

/* What translated code calls for WFE and YIELD, and how QEMU's translator knows of it. */
typedef void (*qemu_helper)(void *cpu_state);
struct qemu_helper_info {
    qemu_helper function; /* more follows */
};
QEMU_WEAK extern struct qemu_helper_info helper_info_wfe;
QEMU_WEAK extern struct qemu_helper_info helper_info_yield;
QEMU_WEAK void helper_wfe(void *cpu_state);
QEMU_WEAK void helper_yield(void *cpu_state);

/* Instructions that all cores have executed, with those of a core's slice as of its last update. */
QEMU_WEAK int64_t icount_get_raw(void);
QEMU_WEAK int64_t icount_to_ns(int64_t instructions);
QEMU_WEAK void icount_update(qemu_cpu *cpu);

/*
 * A core stands before guest code, and executes up to `instructions` there, but none after the next
 * timer; before that, it has been out of guest code, and what it executed is reckoned. As QEMU's loop
 * does both, without its lock.
 */
QEMU_WEAK void icount_prepare_for_run(qemu_cpu *cpu, int64_t instructions);
QEMU_WEAK void icount_process_data(qemu_cpu *cpu);

/* GLib's GArray and GByteArray begin alike. */
struct qemu_array {
    uint8_t *data;
    unsigned int count;
};
struct qemu_register {
    int number;
    const char *name; /* NULL: a gap in the numbers */
    const char *feature;
};
QEMU_WEAK struct qemu_array *g_byte_array_new(void);
QEMU_WEAK struct qemu_array *gdb_get_register_list(qemu_cpu *cpu); /* of struct qemu_register */
QEMU_WEAK int gdb_read_register(qemu_cpu *cpu, struct qemu_array *appended_to, int number);

typedef struct qemu_ram qemu_ram;
#define QEMU_NO_PAGE UINT64_MAX
QEMU_WEAK qemu_ram *qemu_ram_block_by_name(const char *name);
QEMU_WEAK void *qemu_ram_get_host_addr(qemu_ram *ram);
QEMU_WEAK size_t qemu_ram_get_used_length(qemu_ram *ram);
/* Physical address of a virtual page as the core sees it now, or QEMU_NO_PAGE. */
QEMU_WEAK uint64_t cpu_get_phys_page_attrs_debug(qemu_cpu *cpu, uint64_t va_page, void *attributes);
QEMU_WEAK void cpu_physical_memory_rw(uint64_t pa, void *data, uint64_t bytes, bool is_write);

/* Have QEMU's main loop call back when a descriptor can be read; NULL: no more. */
QEMU_WEAK void qemu_set_fd_handler(int fd, void (*can_read)(void *), void (*can_write)(void *),
                                   void *opaque);

/* How QEMU takes its one big lock, and waits for a condition: meant for its lock profiler. */
QEMU_WEAK extern qemu_lock_func bql_mutex_lock_func;
QEMU_WEAK extern qemu_wait_func qemu_cond_wait_func;
QEMU_WEAK void qemu_mutex_unlock_impl(qemu_mutex *mutex, const char *file, int line);
/* The same by QEMU's own way, which calls the hook. After it, and only then, QEMU knows who has it. */
QEMU_WEAK void bql_lock_impl(const char *file, int line);
QEMU_WEAK void bql_unlock(void);

#endif
