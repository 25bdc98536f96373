/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plugin's entry point: checks QEMU and the arguments, then hands over to clock.c for the time
 * and, if there is a channel, to watch.c for what is to be seen.
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
#include "hits.h"
#include "hints.h"
#include "hyp.h"
#include "qemu_api.h"
#include "slices.h"
#include "watch.h"

int qemu_plugin_version = PLUGIN_API_VERSION;

static struct plugin_args args;
static unsigned int core_count;
static bool started;

static int refuse(const char *what, const char *detail)
{
    fprintf(stderr, "liborchestrate: %s%s\n", what, detail);
    return 1;
}

/* A core alone yields to nobody. */
static bool yields_matter(void)
{
    return args.quantum_ns != 0 && core_count > 1;
}

static void on_vcpu_init(qemu_plugin_id_t id, unsigned int vcpu_index)
{
    (void)vcpu_index;
    if (started) {
        return;
    }
    started = true;
    if (clock_start(&args) != 0) {
        exit(refuse("quantum_ns needs a deterministic clock: ", "-icount shift=N,sleep=off"));
    }
    if (yields_matter()) {
        hints_start(slices_yield);
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
    watch_start(id);
    channel_serve();
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
        missing = missing != NULL ? missing : watch_missing();
    }
    if (yields_matter()) {
        missing = missing != NULL ? missing : hints_missing();
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
    core_count = (unsigned int)info->system.max_vcpus;
    missing = missing_function();
    if (missing != NULL) {
        return refuse("this QEMU does not export ", missing);
    }
    if (args.channel != NULL && start_channel(id) != 0) {
        return 1;
    }
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
    return 0;
}
