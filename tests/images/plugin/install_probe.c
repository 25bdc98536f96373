/* SPDX-License-Identifier: MIT */
/*
 * Loads the plugin as a QEMU would that serves the plugin interface and exports nothing else.
 *
 * install_probe PLUGIN TARGET OLDEST NEWEST [ARGUMENT...]: exits as the plugin's install returns.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "qemu_api.h"

int main(int argc, char **argv)
{
    int (*install)(qemu_plugin_id_t, const qemu_info_t *, int, char **);
    const int *version;
    void *plugin;

    if (argc < 5) {
        return 2;
    }
    plugin = dlopen(argv[1], RTLD_NOW);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    version = dlsym(plugin, "qemu_plugin_version");
    *(void **)&install = dlsym(plugin, "qemu_plugin_install");
    printf("%d\n", *version);

    qemu_info_t info = {
        .target_name = argv[2],
        .version = {.min = atoi(argv[3]), .cur = atoi(argv[4])},
        .system_emulation = true,
        .system = {.smp_vcpus = 2, .max_vcpus = 2},
    };

    return install(1, &info, argc - 5, argv + 5);
}
