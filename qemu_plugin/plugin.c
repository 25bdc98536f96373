/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plugin's entry point: checks QEMU and the arguments, then hands over to clock.c for the time
 * and, if there is a channel, to instrument.c for what is to be seen.
 *
 * Whatever does not fit is refused here, with one line on standard error and a failed start of
 * QEMU, so that no run goes on with a clock other than the one asked for.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "board.h"
#include "channel.h"
#include "clock.h"
#include "decode.h"
#include "hits.h"
#include "hyp.h"
#include "instrument.h"
#include "qemu_api.h"
#include "slices.h"

int qemu_plugin_version = PLUGIN_API_VERSION;

static struct plugin_args args;
static unsigned int core_count;
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
    if (args.channel == NULL) {
        return;
    }
    if (board_start(core_count) != 0) {
        exit(refuse("the board has no RAM or no registers that the plugin knows", ""));
    }
    if (board_deterministic() && args.quantum_ns == 0) {
        exit(refuse("channel needs quantum_ns in a deterministic clock", ""));
    }
    hyp_start();
    channel_serve();
}

/* Their encodings differ in the two instruction sets, so no word of one is a hint in the other. */
static bool is_wait_hint(const plugin_insn *insn)
{
    uint8_t memory[4] = {0};
    size_t bytes = qemu_plugin_insn_data(insn, memory, sizeof(memory));

    return decode_is_wait_hint(decode_code(memory, bytes, false)) ||
           decode_is_wait_hint(decode_code(memory, bytes, true));
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
    if (core_count > 1 && args.quantum_ns != 0 && is_wait_hint(insn)) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_wait_hint, PLUGIN_NO_REGS, NULL);
    }
    if (args.channel != NULL) {
        instrument_block(tb);
    }
}

static void on_qemu_exit(qemu_plugin_id_t id, void *opaque)
{
    (void)id;
    (void)opaque;
    hits_flush();
}

/* The first function that QEMU lacks of those that these arguments need. */
static const char *missing_function(void)
{
    const char *missing = clock_missing();

    if (args.channel != NULL) {
        missing = missing != NULL ? missing : board_missing();
        missing = missing != NULL ? missing : channel_missing();
    }
    return missing;
}

/* What is left of a half-made start is the socket's file, which the caller's directory takes away. */
static int start_channel(qemu_plugin_id_t id)
{
    int error;

    if (core_count > BOARD_MAX_CORES) {
        return refuse("channel serves at most 8 cores", "");
    }
    if (args.ring != NULL && (error = hits_start(args.ring, core_count)) != 0) {
        fprintf(stderr, "liborchestrate: ring=%s: %s\n", args.ring, strerror(-error));
        return 1;
    }
    if ((error = channel_listen(args.channel)) != 0) {
        fprintf(stderr, "liborchestrate: channel=%s: %s\n", args.channel, strerror(-error));
        return 1;
    }
    qemu_plugin_register_atexit_cb(id, on_qemu_exit, NULL);
    return 0;
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
    if (args.ring != NULL && args.channel == NULL) {
        return refuse("ring needs channel", "");
    }
    if (args.quantum_ns == 0 && args.stop_ns == 0 && args.channel == NULL) {
        return 0;
    }
    missing = missing_function();
    if (missing != NULL) {
        return refuse("this QEMU does not export ", missing);
    }
    core_count = (unsigned int)info->system.max_vcpus;
    if (args.channel != NULL && start_channel(id) != 0) {
        return 1;
    }
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
    /* A core alone yields to nobody; a look at each block would make translation dearer. */
    if ((args.quantum_ns != 0 && core_count > 1) || args.channel != NULL) {
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    }
    return 0;
}
