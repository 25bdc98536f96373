/* SPDX-License-Identifier: MIT */
/* What the host port offers to host/platform.c. */
#ifndef HOST_PORT_H
#define HOST_PORT_H

#include "ucos_ii.h"

/* Enters an interrupt: masks, counts, runs fn, leaves through OSIntExit(). May be nested. */
void host_interrupt(void (*fn)(void));

/* Stops the process with a message when the kernel broke the port's contract. */
void host_port_broken(const char *what) __attribute__((noreturn));

#endif
