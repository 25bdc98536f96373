/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages of the plugin's channel: docs/plugin-channel.md says what they mean. Every field is
 * little-endian; orchestrator/machine/protocol.py mirrors the layout and a test holds it against this
 * header. A change of layout or meaning raises CHANNEL_VERSION.
 */
#ifndef PLUGIN_PROTOCOL_H
#define PLUGIN_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#define CHANNEL_MAGIC 0x43505648u /* "HVPC" in memory order */
#define CHANNEL_VERSION 3u
#define CHANNEL_MAX_CLIENTS 4u
#define CHANNEL_MAX_BYTES 0x10100u  /* of a message: 64 KiB of data and their header fit */
#define CHANNEL_MAX_OPS 512u         /* of a probe: a record holds far fewer words */
#define CHANNEL_MAX_PROBE_ID 65535u
#define CHANNEL_MAX_STOPS 16u
#define CHANNEL_ANY_VM 0xffu
#define CHANNEL_RING_RECORDS 16384u

enum channel_operation {
    CHANNEL_HELLO = 1,
    CHANNEL_TIME = 2,
    CHANNEL_READ_REGISTER = 3,
    CHANNEL_WRITE_PHYSICAL = 4,
    CHANNEL_ADD_PROBE = 5,
    CHANNEL_REMOVE_PROBE = 6,
    CHANNEL_PROBE_COUNTS = 7,
    CHANNEL_STOP_AT = 8,
    CHANNEL_COUNTERS = 9,
    CHANNEL_STATE = 10, /* bytes that mean nothing to a client: out if none come in */
    CHANNEL_COUNT = 11, /* no payload: instructions are counted from now on, whatever is watched */
    CHANNEL_STOPPED = 12,
};

enum channel_status {
    CHANNEL_OK = 0,
    CHANNEL_BAD = 1,     /* the request makes no sense: unknown, too short, out of range */
    CHANNEL_RUNNING = 2, /* stop the machine first */
    CHANNEL_MISSING = 3, /* there is no such register, probe or memory */
    CHANNEL_TAKEN = 4,   /* there is one already, or no room for more */
    CHANNEL_CANNOT = 5,  /* not in this clock, or not with these plugin arguments */
};

/* What the plugin can do in this run. */
enum channel_ability {
    CHANNEL_DETERMINISTIC = 1, /* guest time counts instructions */
    CHANNEL_HAS_HYP = 2,       /* the cores have Hyp mode */
    CHANNEL_HAS_RING = 4,      /* probes are recorded */
};

enum channel_mode { CHANNEL_HVC = 0, CHANNEL_SHADOW = 1 };

struct channel_header {
    uint32_t bytes; /* of the message, this header included */
    uint16_t operation;
    uint16_t status; /* in requests 0 */
};

/* HELLO: request and reply. */
struct channel_hello {
    uint32_t magic;
    uint32_t version;
};
struct channel_welcome {
    uint32_t magic;
    uint32_t version;
    uint32_t cores;
    uint32_t abilities; /* enum channel_ability */
};

/* TIME: reply. */
struct channel_time {
    uint64_t ns;
    uint64_t instructions; /* 0 without a deterministic clock */
};

/* READ_REGISTER: request, followed by the name, and reply. */
struct channel_register {
    uint32_t cpu;
};
struct channel_value {
    uint64_t value;
    uint32_t bits;
    uint32_t reserved;
};

/* WRITE_PHYSICAL: request, followed by the data. STOP_AT: request. */
struct channel_address {
    uint64_t pa;
};

/* ADD_PROBE: request, followed by its program, `ops` of struct trace_op (images/abi/trace.h). */
struct channel_probe {
    uint32_t id;
    uint8_t mode; /* enum channel_mode */
    uint8_t vm;
    uint16_t ops;
    uint32_t va;    /* hvc: of the instruction; shadow: not looked at */
    uint32_t limit; /* records on all cores together; 0: no limit */
    uint64_t pa;
    uint64_t from_ns;
    uint64_t until_ns; /* 0: no end */
};

/* REMOVE_PROBE, PROBE_COUNTS: request and reply. */
struct channel_probe_id {
    uint32_t id;
};
struct channel_counts {
    uint64_t hits; /* on all cores, recorded or not */
    uint64_t recorded;
    uint64_t cpu_hits[8];
};

/* COUNTERS: reply, one for each core. */
#define CHANNEL_COUNTER_VMS 8u
struct channel_counters {
    uint64_t vm[CHANNEL_COUNTER_VMS]; /* instructions in a guest, by its position */
    uint64_t other;                   /* in a guest whose VMID is not that of a known position */
    uint64_t hypervisor;              /* in Hyp mode */
    uint64_t uncounted;               /* whoever's, while nothing was watched */
};

/* STOPPED: reply, one for each core. */
struct channel_stopped {
    uint64_t pa; /* of the stop point; UINT64_MAX: it came by none since the machine went on */
    uint32_t sp; /* there */
    uint32_t reserved;
};

_Static_assert(sizeof(struct channel_header) == 8, "channel_header");
_Static_assert(sizeof(struct channel_welcome) == 16, "channel_welcome");
_Static_assert(sizeof(struct channel_value) == 16, "channel_value");
_Static_assert(offsetof(struct channel_probe, pa) == 16, "channel_probe");
_Static_assert(sizeof(struct channel_probe) == 40, "channel_probe");
_Static_assert(sizeof(struct channel_counts) == 80, "channel_counts");
_Static_assert(sizeof(struct channel_counters) == 88, "channel_counters");
_Static_assert(sizeof(struct channel_stopped) == 16, "channel_stopped");

#endif
