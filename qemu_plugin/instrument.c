/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See instrument.h. */
#include "instrument.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "board.h"
#include "clock.h"
#include "decode.h"
#include "hits.h"
#include "hyp.h"
#include "places.h"

#define CPSR_T 0x20u
#define PAGE_BYTES 0x1000u

struct stop {
    uint64_t pa;
    atomic_bool waits;
};

static struct stop stops[CHANNEL_MAX_STOPS];
static unsigned int stop_count; /* of those that wait or have waited */

static struct instrument_stopped stopped_at;
static _Atomic uint64_t stopping_pa = UINT64_MAX;

/*
 * Code that was translated for a point that is gone may run on: only those that wait count. Where
 * cores run side by side a second one may come by before the machine stands still.
 */
static void on_stop(unsigned int vcpu_index, void *opaque)
{
    uint64_t pa = (uintptr_t)opaque;
    bool stops_here = stopping_pa == pa;

    (void)vcpu_index;
    for (unsigned int i = 0; i < stop_count; i++) {
        bool waits = true;

        if (stops[i].pa == pa && atomic_compare_exchange_strong(&stops[i].waits, &waits, false)) {
            stops_here = true;
        }
    }
    if (stops_here) {
        unsigned int core = board_this_core();

        stopping_pa = pa;
        stopped_at.core[core] =
            (struct channel_stopped){.pa = pa, .sp = (uint32_t)board_read(core, BOARD_SP)};
        clock_stop_here();
    }
}

void instrument_stopped(struct instrument_stopped *stopped)
{
    *stopped = stopped_at;
}

void instrument_load_stopped(const struct instrument_stopped *stopped)
{
    stopped_at = *stopped;
}

void instrument_go_on(void)
{
    stopping_pa = UINT64_MAX;
    for (unsigned int i = 0; i < BOARD_MAX_CORES; i++) {
        stopped_at.core[i] = (struct channel_stopped){.pa = UINT64_MAX};
    }
}

int instrument_stop_at(uint64_t pa)
{
    for (unsigned int i = 0; i < CHANNEL_MAX_STOPS; i++) {
        if (!stops[i].waits) {
            stops[i].pa = pa;
            stops[i].waits = true;
            stop_count = i + 1 > stop_count ? i + 1 : stop_count;
            instrument_again(pa);
            return 0;
        }
    }
    return -ENOSPC;
}

void instrument_cancel_stops(void)
{
    for (unsigned int i = 0; i < CHANNEL_MAX_STOPS; i++) {
        stops[i].waits = false;
    }
    stop_count = 0;
}

bool instrument_stop_waits(void)
{
    for (unsigned int i = 0; i < stop_count; i++) {
        if (stops[i].waits) {
            return true;
        }
    }
    return false;
}

void instrument_again(uint64_t pa)
{
    const void *code = board_ram(pa, 2);

    board_write(pa, code, 2);
}

/*
 * Blocks come and go, and QEMU does not say when; a place is translated in few forms, though, which
 * are kept for as long as the place has its id.
 */
static struct site *site_of(struct place *place, const struct site *wanted)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* cores may translate side by side */
    struct site *site;

    pthread_mutex_lock(&lock);
    site = place->sites;
    while (site != NULL && (site->va != wanted->va || site->distance != wanted->distance ||
                            site->thumb != wanted->thumb || site->hyp != wanted->hyp)) {
        site = site->next;
    }
    if (site == NULL && (site = malloc(sizeof(*site))) != NULL) {
        *site = *wanted;
        site->place = place;
        site->next = place->sites;
        place->sites = site;
    }
    pthread_mutex_unlock(&lock);
    return site;
}

static void watch(plugin_insn *insn, struct place *place, const struct site *form,
                  plugin_exec_cb cb)
{
    struct site *site = site_of(place, form);

    if (site == NULL) {
        abort(); /* a probe that is silently not watched is worse */
    }
    qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, PLUGIN_READS_REGS, site);
}

static void instrument_hvc(plugin_insn *insn, uint64_t pa, const struct site *form,
                           struct code code)
{
    int32_t id = decode_hvc(code);
    struct place *place;

    if (id <= 0) {
        return;
    }
    place = places_find((uint32_t)id);
    if (place != NULL && place->spec.mode == CHANNEL_HVC && place->spec.pa == pa &&
        place->spec.va == form->va) {
        watch(insn, place, form, hits_hvc);
    }
}

static bool is_stop_page(uint64_t pa)
{
    for (unsigned int i = 0; i < stop_count; i++) {
        if (stops[i].waits && stops[i].pa / PAGE_BYTES == pa / PAGE_BYTES) {
            return true;
        }
    }
    return false;
}

static void instrument_stops(plugin_insn *insn, uint64_t pa)
{
    for (unsigned int i = 0; i < stop_count; i++) {
        if (stops[i].waits && stops[i].pa == pa) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_stop, PLUGIN_READS_REGS,
                                                   (void *)(uintptr_t)pa);
            return;
        }
    }
}

static uint64_t insn_pa(const plugin_insn *insn)
{
    return board_pa(qemu_plugin_insn_haddr(insn));
}

static struct code insn_code(const plugin_insn *insn, bool thumb)
{
    uint8_t memory[4] = {0};
    size_t bytes = qemu_plugin_insn_data(insn, memory, sizeof(memory));

    return decode_code(memory, bytes, thumb);
}

/*
 * Most blocks are of no interest, and each is looked at: what their pages tell comes first, registers
 * are read if need be, and instructions are gone through only where there is something among them.
 */
void instrument_block(const plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    uint64_t first_pa = insn_pa(qemu_plugin_tb_get_insn(tb, 0));
    uint64_t last_pa = insn_pa(qemu_plugin_tb_get_insn(tb, count - 1));
    bool stop = is_stop_page(first_pa) || is_stop_page(last_pa);
    bool shadow = places_in_page(first_pa, CHANNEL_SHADOW) || places_in_page(last_pa, CHANNEL_SHADOW);
    bool hvc = places_in_page(last_pa, CHANNEL_HVC); /* HVC ends a block */
    bool ways = board_deterministic(); /* where guest time is host time nothing is counted */
    unsigned int core;
    uint32_t cpsr;
    bool thumb;
    bool hyp;

    if (!stop && !shadow && !hvc && !ways) {
        return;
    }
    core = board_this_core();
    cpsr = (uint32_t)board_read(core, BOARD_CPSR);
    thumb = (cpsr & CPSR_T) != 0;
    hyp = hyp_mode(cpsr);
    ways = ways && hyp;
    hvc = hvc && !hyp;
    if (!stop && !shadow && !hvc && !ways) {
        return;
    }
    if (ways) {
        hyp_instrument_entry(qemu_plugin_tb_get_insn(tb, 0), core, count);
    }
    for (size_t i = ways || stop || shadow ? 0 : count - 1; i < count; i++) {
        plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t pa = insn_pa(insn);
        struct site form = {
            .va = (uint32_t)qemu_plugin_insn_vaddr(insn),
            .distance = (uint16_t)(count - 1 - i),
            .thumb = thumb,
            .hyp = hyp,
        };

        if (shadow) {
            for (struct place *at = places_at(pa, CHANNEL_SHADOW); at != NULL;
                 at = places_next(at)) {
                watch(insn, at, &form, hits_shadow);
            }
        }
        if (stop) {
            instrument_stops(insn, pa);
        }
        if (ways) {
            hyp_instrument(insn, insn_code(insn, thumb));
        } else if (hvc && i == count - 1) {
            instrument_hvc(insn, pa, &form, insn_code(insn, thumb));
        }
    }
}
