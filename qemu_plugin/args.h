/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plugin's arguments. Plain C that knows nothing of QEMU, so that it is tested on its own.
 */
#ifndef PLUGIN_ARGS_H
#define PLUGIN_ARGS_H

#include <stddef.h>
#include <stdint.h>

#define ARGS_NS_MAX INT64_C(4000000000000000000) /* far future, no overflow when added to a clock */
#define ARGS_QUANTUM_MIN_NS 1000
#define ARGS_QUANTUM_MAX_NS 1000000000

struct plugin_args {
    int64_t quantum_ns; /* each core that has work runs once in it; 0: no slices */
    int64_t stop_ns;    /* virtual time at which the machine stops; 0: it does not */
    const char *channel; /* Unix socket to listen on; NULL: none */
    const char *ring;    /* file to make for the rings; NULL: nothing is recorded */
};

/*
 * Read `argc` strings of the form key=value.
 *
 * Texts are not copied: they live as long as `argv` does.
 *
 * Returns 0, or -EINVAL with one line in `error` that names the argument; `*args` is then untouched.
 */
int args_parse(int argc, char *const argv[], struct plugin_args *args, char *error,
               size_t error_bytes);

#endif
