/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strict reading of the plugin's arguments: a key that is unknown, given twice or out of range is
 * refused, because a run with a misread clock looks like a good one.
 *
 * To add an argument: a member in struct plugin_args and one line in `known`.
 */
#include "args.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum arg_form { ARG_NUMBER, ARG_TEXT };

struct known_arg {
    const char *key;
    size_t offset; /* in struct plugin_args, of an int64_t or a const char * */
    enum arg_form form;
    int64_t min; /* numbers only */
    int64_t max;
};

static const struct known_arg known[] = {
    {"quantum_ns", offsetof(struct plugin_args, quantum_ns), ARG_NUMBER, ARGS_QUANTUM_MIN_NS,
     ARGS_QUANTUM_MAX_NS},
    {"stop_ns", offsetof(struct plugin_args, stop_ns), ARG_NUMBER, 1, ARGS_NS_MAX},
    {"channel", offsetof(struct plugin_args, channel), ARG_TEXT, 0, 0},
    {"ring", offsetof(struct plugin_args, ring), ARG_TEXT, 0, 0},
};

#define KNOWN_COUNT (sizeof(known) / sizeof(known[0]))

/* Decimal digits only, no sign, no space, no suffix. */
static bool parse_decimal(const char *text, int64_t max, int64_t *value)
{
    int64_t sum = 0;

    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        int digit = *text - '0';

        if (sum > (max - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

static const struct known_arg *find_known(const char *key, size_t key_bytes)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strlen(known[i].key) == key_bytes && memcmp(known[i].key, key, key_bytes) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

/* Put the value after `equals` (NULL: there is none) where it belongs. */
static int take_value(const struct known_arg *arg, const char *equals, struct plugin_args *args)
{
    void *target = (char *)args + arg->offset;

    if (arg->form == ARG_NUMBER) {
        int64_t value;

        if (equals == NULL || !parse_decimal(equals + 1, arg->max, &value) || value < arg->min) {
            return -EINVAL;
        }
        memcpy(target, &value, sizeof(value));
        return 0;
    }
    if (equals == NULL || equals[1] == '\0') {
        return -EINVAL;
    }
    equals++;
    memcpy(target, &equals, sizeof(equals));
    return 0;
}

int args_parse(int argc, char *const argv[], struct plugin_args *args, char *error,
               size_t error_bytes)
{
    struct plugin_args parsed = {0};
    bool seen[KNOWN_COUNT] = {false};

    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        size_t key_bytes = equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        const struct known_arg *arg = find_known(argv[i], key_bytes);

        if (arg == NULL) {
            snprintf(error, error_bytes, "unknown argument '%s': quantum_ns=N, stop_ns=N, "
                     "channel=PATH and ring=PATH exist", argv[i]);
            return -EINVAL;
        }
        if (seen[arg - known]) {
            snprintf(error, error_bytes, "argument '%s' is given twice", arg->key);
            return -EINVAL;
        }
        if (take_value(arg, equals, &parsed) != 0) {
            if (arg->form == ARG_TEXT) {
                snprintf(error, error_bytes, "argument '%s': a path is needed", argv[i]);
            } else {
                snprintf(error, error_bytes,
                         "argument '%s': a whole number from %lld to %lld is needed", argv[i],
                         (long long)arg->min, (long long)arg->max);
            }
            return -EINVAL;
        }
        seen[arg - known] = true;
    }
    *args = parsed;
    return 0;
}
