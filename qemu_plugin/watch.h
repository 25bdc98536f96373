/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether QEMU shows the plugin what it translates. That alone makes translating some 5 % dearer, and
 * so a boot of Linux, which is translated more than it is executed; so it is only done while there is
 * something to be seen. What is to be seen where is instrument.c's.
 */
#ifndef PLUGIN_WATCH_H
#define PLUGIN_WATCH_H

#include "qemu_api.h"

/* Name of the first QEMU function that is needed and missing, or NULL if none is. */
const char *watch_missing(void);

/* Called once, in QEMU's vCPU thread, before any guest instruction has run. */
void watch_start(qemu_plugin_id_t id);

#endif
