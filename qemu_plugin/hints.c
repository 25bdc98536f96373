/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translated code calls a helper of QEMU's for both, whose address the translator takes from a
 * description that lies in writable memory and begins with it.
 */
#include "hints.h"

#include <stddef.h>

#include "qemu_api.h"

static void (*tell)(void);

static void on_wfe(void *cpu_state)
{
    tell();
    helper_wfe(cpu_state);
}

static void on_yield(void *cpu_state)
{
    tell();
    helper_yield(cpu_state);
}

const char *hints_missing(void)
{
    if (&helper_info_wfe == NULL || helper_wfe == NULL || helper_info_wfe.function != helper_wfe) {
        return "helper_info_wfe";
    }
    if (&helper_info_yield == NULL || helper_yield == NULL ||
        helper_info_yield.function != helper_yield) {
        return "helper_info_yield";
    }
    return NULL;
}

void hints_start(void (*on_hint)(void))
{
    tell = on_hint;
    helper_info_wfe.function = on_wfe;
    helper_info_yield.function = on_yield;
}
