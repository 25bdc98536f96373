/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plugin that is shown every block and does nothing. What it costs is what QEMU takes for showing
 * them, and so the least that any plugin costs which watches: orchestrator/bench/idle.py.
 */
#include "../qemu_api.h"

int qemu_plugin_version = PLUGIN_API_VERSION;

static void on_translation(qemu_plugin_id_t id, plugin_tb *tb)
{
    (void)id;
    (void)tb;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    (void)argc;
    (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
