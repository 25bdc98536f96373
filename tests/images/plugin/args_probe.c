/* SPDX-License-Identifier: MIT */
/* Feeds its own arguments to the plugin's parser and prints what came of it. */
#include <inttypes.h>
#include <stdio.h>

#include "args.h"

int main(int argc, char **argv)
{
    struct plugin_args args = {.quantum_ns = -1, .stop_ns = -1};
    char error[160] = "";
    int result = args_parse(argc - 1, argv + 1, &args, error, sizeof(error));

    printf("%d %" PRId64 " %" PRId64 "\n%s\n", result, args.quantum_ns, args.stop_ns, error);
    return 0;
}
