/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plugin's entry point: checks QEMU and the arguments, then hands over to clock.c.
 *
 * Whatever does not fit is refused here, with one line on standard error and a failed start of
 * QEMU, so that no run goes on with a clock other than the one asked for.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "clock.h"
#include "qemu_api.h"
#include "slices.h"

/* One core shares with nobody; its slices only let QEMU's main loop take its turn. */
#define ONE_CORE_QUANTUM_NS 1000000

int qemu_plugin_version = PLUGIN_API_VERSION;

static struct plugin_args args;
static bool started;

static int refuse(const char *what, const char *detail)
{
    fprintf(stderr, "liborchestrate: %s%s\n", what, detail);
    return 1;
}

static void on_vcpu_init(qemu_plugin_id_t id, unsigned int vcpu_index)
{
    (void)id;
    (void)vcpu_index;
    if (started) {
        return;
    }
    started = true;
    if (clock_start(&args) != 0) {
        exit(refuse("quantum_ns needs a deterministic clock: ", "-icount shift=N,sleep=off"));
    }
}

/* WFE and YIELD, A32 and T32: B1.8.13 of the ARMv7-A manual; their bytes are in guest order. */
static bool is_wait_hint(const plugin_insn *insn)
{
    uint32_t word = 0;
    size_t bytes = qemu_plugin_insn_data(insn, &word, sizeof(word));

    if (bytes == 2) {
        return word == 0xbf10 || word == 0xbf20;
    }
    return (word & 0x0fffffff) == 0x0320f001 || (word & 0x0fffffff) == 0x0320f002;
}

static void on_wait_hint(unsigned int vcpu_index, void *opaque)
{
    (void)vcpu_index;
    (void)opaque;
    slices_yield();
}

static void on_translation(qemu_plugin_id_t id, plugin_tb *tb)
{
    /* Both end a block, so only its last instruction can be one. */
    plugin_insn *insn = qemu_plugin_tb_get_insn(tb, qemu_plugin_tb_n_insns(tb) - 1);

    (void)id;
    if (is_wait_hint(insn)) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_wait_hint, PLUGIN_NO_REGS, NULL);
    }
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    char error[160];
    const char *missing;

    if (info->version.min > PLUGIN_API_VERSION || info->version.cur < PLUGIN_API_VERSION) {
        snprintf(error, sizeof(error), "%d to %d, this plugin needs %d", info->version.min,
                 info->version.cur, PLUGIN_API_VERSION);
        return refuse("QEMU serves plugin interface ", error);
    }
    if (!info->system_emulation || strcmp(info->target_name, "arm") != 0) {
        return refuse("it needs qemu-system-arm, this QEMU emulates ", info->target_name);
    }
    if (args_parse(argc, argv, &args, error, sizeof(error)) != 0) {
        return refuse(error, "");
    }
    if (args.quantum_ns == 0 && args.stop_ns == 0) {
        return 0;
    }
    missing = clock_missing();
    if (missing != NULL) {
        return refuse("this QEMU does not export ", missing);
    }
    if (info->system.max_vcpus == 1 && args.quantum_ns != 0) {
        args.quantum_ns = ONE_CORE_QUANTUM_NS;
    }
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
    if (args.quantum_ns != 0) {
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    }
    return 0;
}
