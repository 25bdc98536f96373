/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a core executes WFE or YIELD: it waits for another one. Seen where QEMU carries them out, so
 * that code need not be looked at as it is translated.
 */
#ifndef PLUGIN_HINTS_H
#define PLUGIN_HINTS_H

/* Name of what QEMU lacks or has in a form that the plugin does not know, or NULL. */
const char *hints_missing(void);

/* Called once, before any guest code is translated. `on_hint` is called in the vCPU thread. */
void hints_start(void (*on_hint)(void));

#endif
