/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that is to be seen is asked for while the machine stands still. So the one moment to
 * decide is when it goes on.
 */
#include "watch.h"

#include <stdbool.h>
#include <stddef.h>

#include "board.h"
#include "hyp.h"
#include "instrument.h"
#include "places.h"

static qemu_plugin_id_t plugin_id;
static bool watching;
static bool decided;
static bool unseen; /* there may be code that was translated while nobody watched */

const char *watch_missing(void)
{
    return tb_flush == NULL                           ? "tb_flush"
           : qemu_add_vm_change_state_handler == NULL ? "qemu_add_vm_change_state_handler"
                                                      : NULL;
}

static void on_translation(qemu_plugin_id_t id, plugin_tb *tb)
{
    (void)id;
    instrument_block(tb);
}

static bool wanted(void)
{
    return hyp_counting() || hyp_records() || instrument_stop_waits() || places_any();
}

static void on_state_change(void *opaque, bool machine_runs, int run_state)
{
    (void)opaque;
    (void)run_state;
    if (!machine_runs) {
        return;
    }
    instrument_go_on();
    if (decided && wanted() == watching) {
        return;
    }
    decided = true;
    watching = wanted();
    /* Each core takes note of it before it executes anything. */
    qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, watching ? on_translation : NULL);
    hyp_watch(watching);
    /* Where probes and stop points are, nothing translated is left. The hypervisor's ways are many. */
    if (watching && unseen && board_deterministic()) {
        tb_flush(qemu_get_cpu(0));
    }
    unseen = !watching;
}

void watch_start(qemu_plugin_id_t id)
{
    plugin_id = id;
    instrument_go_on();
    qemu_add_vm_change_state_handler(on_state_change, NULL);
}
