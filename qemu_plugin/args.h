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
    int64_t quantum_ns; /* longest slice of one core while others run; 0: no quantum */
    int64_t stop_ns;    /* virtual time at which the machine stops; 0: it does not */
};

/*
 * Read `argc` strings of the form key=value.
 *
 * Returns 0, or -EINVAL with one line in `error` that names the argument; `*args` is then untouched.
 */
int args_parse(int argc, char *const argv[], struct plugin_args *args, char *error,
               size_t error_bytes);

#endif
