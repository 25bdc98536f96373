/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel's socket: connections, the framing of messages, the version. What the messages ask for
 * is done in services.c.
 */
#ifndef PLUGIN_CHANNEL_H
#define PLUGIN_CHANNEL_H

/* Name of the first QEMU function that is needed and missing, or NULL if none is. */
const char *channel_missing(void);

/* Make the socket. Returns 0 or a negative errno; then there is none. */
int channel_listen(const char *path);

/* Serve it from QEMU's main loop. Called once, with QEMU's lock held. */
void channel_serve(void);

#endif
