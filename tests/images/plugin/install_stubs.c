/* SPDX-License-Identifier: MIT */
/*
 * The functions of QEMU's plugin interface by their names alone, so that the plugin can be loaded; a
 * file of its own, because their types do not matter here. None of them may be called.
 */
#include <stdlib.h>

#define STUB(name)         \
    void name(void);       \
    void name(void)        \
    {                      \
        abort();           \
    }

STUB(qemu_plugin_register_vcpu_init_cb)
STUB(qemu_plugin_register_vcpu_tb_trans_cb)
STUB(qemu_plugin_register_vcpu_insn_exec_cb)
STUB(qemu_plugin_register_atexit_cb)
STUB(qemu_plugin_tb_n_insns)
STUB(qemu_plugin_tb_get_insn)
STUB(qemu_plugin_insn_data)
STUB(qemu_plugin_insn_vaddr)
STUB(qemu_plugin_insn_haddr)
