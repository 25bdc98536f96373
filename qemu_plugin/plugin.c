/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plugin's entry point: checks QEMU and the arguments, then hands over to clock.c.
 *
 * Whatever does not fit is refused here, with one line on standard error and a failed start of
 * QEMU, so that no run goes on with a clock other than the one asked for.
 */
#include <stdbool.h>
#include <stdio.h>

#include "args.h"
#include "clock.h"
#include "qemu_api.h"

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
    if (!started) {
        started = true;
        clock_start(args.quantum_ns, args.stop_ns);
    }
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    char error[160];
    const char *missing;

    if (info->version.min > PLUGIN_API_VERSION || info->version.cur < PLUGIN_API_VERSION) {
        snprintf(error, sizeof(error), "%d to %d, this plugin needs %d", info->version.min,
                 info->version.cur, PLUGIN_API_VERSION);
        return refuse("QEMU offers plugin interface ", error);
    }
    if (!info->system_emulation) {
        return refuse("it needs a QEMU that emulates a whole machine, ", "not a single program");
    }
    if (args_parse(argc, argv, &args, error, sizeof(error)) != 0) {
        return refuse(error, "");
    }
    missing = clock_missing();
    if (missing != NULL && (args.quantum_ns != 0 || args.stop_ns != 0)) {
        return refuse("this QEMU does not export the function ", missing);
    }
    if (info->system.max_vcpus == 1) {
        args.quantum_ns = 0; /* one core has nobody to share its slice with */
    }
    qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
    return 0;
}
