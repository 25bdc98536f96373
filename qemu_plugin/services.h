/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the channel's requests ask for, each a line in a table. Called in QEMU's main loop with its
 * lock held, so that no core runs guest code that a request changes.
 */
#ifndef PLUGIN_SERVICES_H
#define PLUGIN_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

struct reply {
    enum channel_status status;
    uint32_t bytes;     /* used of data */
    uint8_t data[2048]; /* of an error: what is wrong, in words */
};

__attribute__((format(printf, 3, 4))) void reply_error(struct reply *reply,
                                                       enum channel_status status,
                                                       const char *format, ...);

/* The answer to HELLO. */
void services_welcome(struct reply *reply);

void services_serve(uint16_t operation, const uint8_t *payload, uint32_t bytes,
                    struct reply *reply);

#endif
