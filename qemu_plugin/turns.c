/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See turns.h. */
#include "turns.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "qemu_api.h"

/* Where QEMU's two threads take its lock, by the file name that the hook is given. */
#define VCPU_LOOP_FILE "accel/tcg/tcg-accel-ops-rr.c"
#define MAIN_LOOP_FILE "util/main-loop.c"
#define VCPU_ENTRY_FILE "accel/tcg/cpu-exec.c"

static pthread_t vcpu_thread;
static qemu_lock_func lock_original;
static qemu_wait_func wait_original;
static qemu_cpu *(*boundary)(void);
static void (*entry)(void);
static qemu_cpu *entering; /* whose entry has been asked for and has not come yet */
static bool boundary_seen;

/*
 * `away`: the vCPU thread may be in guest code. `wanted`: the main loop wants its turn, and the vCPU
 * thread keeps still until it has got the lock. Both change under `turn`; `wanted` is also read
 * without, because a boundary is passed some 100,000 times a second.
 */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static bool away = true;
static atomic_bool wanted;

static bool ends_with(const char *text, const char *end)
{
    size_t text_bytes = strlen(text);
    size_t end_bytes = strlen(end);

    return text_bytes >= end_bytes && strcmp(text + text_bytes - end_bytes, end) == 0;
}

/* String constants of one file are one constant: after the first match a pointer tells. */
static bool is_file(const char *file, const char *name, const char **known)
{
    if (*known != NULL) {
        return file == *known;
    }
    if (!ends_with(file, name)) {
        return false;
    }
    *known = file;
    return true;
}

static void set_away(bool value)
{
    pthread_mutex_lock(&turn);
    away = value;
    pthread_cond_broadcast(&turn_changed);
    pthread_mutex_unlock(&turn);
}

static void give_turn(void)
{
    pthread_mutex_lock(&turn);
    away = false;
    pthread_cond_broadcast(&turn_changed);
    while (wanted) {
        pthread_cond_wait(&turn_changed, &turn);
    }
    away = true;
    pthread_mutex_unlock(&turn);
}

static void lock_in_main_loop(qemu_mutex *mutex, const char *file, int line)
{
    pthread_mutex_lock(&turn);
    wanted = true;
    while (away) {
        pthread_cond_wait(&turn_changed, &turn);
    }
    pthread_mutex_unlock(&turn);

    lock_original(mutex, file, line);

    pthread_mutex_lock(&turn);
    wanted = false;
    pthread_cond_broadcast(&turn_changed);
    pthread_mutex_unlock(&turn);
}

/*
 * A core that has an interrupt takes the lock before the first instruction, to handle it. This
 * interrupt means no more than that QEMU has to look for the next block.
 */
static void ask_for_entry(qemu_cpu *core, qemu_mutex *mutex, const char *file, int line)
{
    entering = core;
    /* The lock is QEMU's own affair again: what asks for interrupts makes sure that QEMU knows it. */
    qemu_mutex_unlock_impl(mutex, file, line);
    bql_lock_impl(__FILE__, __LINE__);
    cpu_interrupt(core, QEMU_INTERRUPT_EXIT_BLOCK);
    bql_unlock();
    lock_original(mutex, file, line);
}

static void at_boundary(qemu_mutex *mutex, const char *file, int line)
{
    qemu_cpu *next = boundary();

    /* Only now: the main loop must not take a core that waits for its slice for an idle one. */
    if (wanted) {
        qemu_mutex_unlock_impl(mutex, file, line);
        give_turn();
        lock_original(mutex, file, line);
        next = boundary();
    }
    if (next != NULL && next != entering) {
        ask_for_entry(next, mutex, file, line);
    }
}

static void on_lock(qemu_mutex *mutex, const char *file, int line)
{
    static const char *vcpu_loop;
    static const char *main_loop;
    static const char *vcpu_entry;

    if (turns_in_vcpu_thread()) {
        if (is_file(file, VCPU_LOOP_FILE, &vcpu_loop)) {
            lock_original(mutex, file, line);
            boundary_seen = true;
            at_boundary(mutex, file, line);
            return;
        }
        if (entering != NULL && entering == current_cpu &&
            is_file(file, VCPU_ENTRY_FILE, &vcpu_entry)) {
            entering = NULL;
            entry();
        }
        lock_original(mutex, file, line); /* in the middle of guest code */
    } else if (is_file(file, MAIN_LOOP_FILE, &main_loop)) {
        lock_in_main_loop(mutex, file, line);
    } else {
        lock_original(mutex, file, line);
    }
}

static void on_wait(qemu_cond *cond, qemu_mutex *mutex, const char *file, int line)
{
    if (!turns_in_vcpu_thread()) {
        wait_original(cond, mutex, file, line);
        return;
    }
    set_away(false);
    wait_original(cond, mutex, file, line);
    set_away(true);
}

void turns_start(qemu_cpu *(*on_boundary)(void), void (*on_entry)(void))
{
    vcpu_thread = pthread_self();
    boundary = on_boundary;
    entry = on_entry;
    lock_original = __atomic_load_n(&bql_mutex_lock_func, __ATOMIC_SEQ_CST);
    wait_original = __atomic_load_n(&qemu_cond_wait_func, __ATOMIC_SEQ_CST);
    __atomic_store_n(&qemu_cond_wait_func, on_wait, __ATOMIC_SEQ_CST);
    __atomic_store_n(&bql_mutex_lock_func, on_lock, __ATOMIC_SEQ_CST);
}

bool turns_boundary_seen(void)
{
    return boundary_seen;
}

bool turns_in_vcpu_thread(void)
{
    return pthread_equal(pthread_self(), vcpu_thread) != 0;
}
