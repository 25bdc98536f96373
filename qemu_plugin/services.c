/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * To add an operation: its number and messages in protocol.h, a function here, a line in `known`,
 * and the method in orchestrator/machine/channel.py.
 */
#include "services.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "board.h"
#include "hits.h"
#include "hyp.h"
#include "instrument.h"
#include "places.h"
#include "qemu_api.h"
#include "slices.h"

#define NAME_BYTES 32

struct operation {
    const char *name;
    bool needs_stop; /* the machine must not run */
    uint32_t least;  /* bytes of payload */
    uint32_t most;
    void (*serve)(const uint8_t *payload, uint32_t bytes, struct reply *reply);
};

void reply_error(struct reply *reply, enum channel_status status, const char *format, ...)
{
    va_list values;
    int written;

    va_start(values, format);
    written = vsnprintf((char *)reply->data, sizeof(reply->data), format, values);
    va_end(values);
    reply->status = status;
    reply->bytes = written < 0                             ? 0
                   : (size_t)written < sizeof(reply->data) ? (uint32_t)written
                                                           : (uint32_t)sizeof(reply->data) - 1;
}

static void reply_with(struct reply *reply, const void *data, size_t bytes)
{
    memcpy(reply->data, data, bytes);
    reply->bytes = (uint32_t)bytes;
}

void services_welcome(struct reply *reply)
{
    struct channel_welcome welcome = {
        .magic = CHANNEL_MAGIC,
        .version = CHANNEL_VERSION,
        .cores = board_cores(),
        .abilities = (board_deterministic() ? CHANNEL_DETERMINISTIC : 0u) |
                     (board_has_hyp() ? CHANNEL_HAS_HYP : 0u) |
                     (hits_recorded() ? CHANNEL_HAS_RING : 0u),
    };

    reply_with(reply, &welcome, sizeof(welcome));
}

static void serve_time(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct channel_time now = {.ns = board_time_ns(0), .instructions = board_instructions(0)};

    (void)payload;
    (void)bytes;
    reply_with(reply, &now, sizeof(now));
}

static void serve_register(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct channel_register asked;
    struct channel_value value = {0};
    char name[NAME_BYTES] = "";

    memcpy(&asked, payload, sizeof(asked));
    memcpy(name, payload + sizeof(asked), bytes - sizeof(asked));
    if (asked.cpu >= board_cores()) {
        reply_error(reply, CHANNEL_MISSING, "there is no core %u, the board has %u", asked.cpu,
                    board_cores());
        return;
    }
    value.bits = board_read_named(asked.cpu, name, &value.value);
    if (value.bits == 0 || value.bits > 64) {
        reply_error(reply, CHANNEL_MISSING, "there is no register %s of 64 bits or less", name);
        return;
    }
    reply_with(reply, &value, sizeof(value));
}

static void serve_write(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct channel_address at;

    memcpy(&at, payload, sizeof(at));
    bytes -= (uint32_t)sizeof(at);
    if (board_ram(at.pa, bytes) == NULL) {
        reply_error(reply, CHANNEL_MISSING, "not all of the %u bytes at 0x%llx are RAM", bytes,
                    (unsigned long long)at.pa);
        return;
    }
    board_write(at.pa, payload + sizeof(at), bytes);
}

static void serve_add(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct channel_probe spec;
    struct trace_op program[CHANNEL_MAX_OPS];

    memcpy(&spec, payload, sizeof(spec));
    bytes -= (uint32_t)sizeof(spec);
    if (spec.ops > CHANNEL_MAX_OPS || bytes != spec.ops * sizeof(program[0])) {
        reply_error(reply, CHANNEL_BAD, "probe %u has %u bytes for its %u operations", spec.id, bytes,
                    spec.ops);
        return;
    }
    memcpy(program, payload + sizeof(spec), bytes);
    if (!hits_recorded()) {
        reply_error(reply, CHANNEL_CANNOT, "the plugin was started without ring=");
        return;
    }
    if (board_ram(spec.pa, sizeof(uint32_t)) == NULL) {
        reply_error(reply, CHANNEL_MISSING, "probe %u: 0x%llx is not RAM", spec.id,
                    (unsigned long long)spec.pa);
        return;
    }
    switch (places_add(&spec, program)) {
    case 0:
        instrument_again(spec.pa);
        break;
    case -EEXIST:
        reply_error(reply, CHANNEL_TAKEN, "there is a probe %u already", spec.id);
        break;
    case -ENOMEM:
        reply_error(reply, CHANNEL_TAKEN, "no memory for probe %u", spec.id);
        break;
    default:
        reply_error(reply, CHANNEL_BAD, "probe %u: mode, vm, address or program is out of range",
                    spec.id);
    }
}

static struct place *asked_place(const uint8_t *payload, struct reply *reply)
{
    struct channel_probe_id asked;
    struct place *place;

    memcpy(&asked, payload, sizeof(asked));
    place = places_find(asked.id);
    if (place == NULL) {
        reply_error(reply, CHANNEL_MISSING, "there is no probe %u", asked.id);
    }
    return place;
}

static void serve_counts(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct place *place = asked_place(payload, reply);
    struct channel_counts counts;

    (void)bytes;
    if (place != NULL) {
        places_counts(place, &counts);
        reply_with(reply, &counts, sizeof(counts));
    }
}

static void serve_remove(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct place *place = asked_place(payload, reply);

    if (place != NULL) {
        serve_counts(payload, bytes, reply);
        places_remove(place->spec.id);
        instrument_again(place->spec.pa);
    }
}

static void serve_stop_at(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct channel_address at;

    (void)bytes;
    memcpy(&at, payload, sizeof(at));
    if (at.pa == UINT64_MAX) {
        instrument_cancel_stops();
    } else if (at.pa % 2 != 0 || board_ram(at.pa, sizeof(uint32_t)) == NULL) {
        reply_error(reply, CHANNEL_MISSING, "there is no code at 0x%llx",
                    (unsigned long long)at.pa);
    } else if (instrument_stop_at(at.pa) != 0) {
        reply_error(reply, CHANNEL_TAKEN, "%u stop points wait already", CHANNEL_MAX_STOPS);
    }
}

static void serve_stopped(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct instrument_stopped stopped;

    (void)payload;
    (void)bytes;
    instrument_stopped(&stopped);
    reply_with(reply, stopped.core, board_cores() * sizeof(stopped.core[0]));
}

static void serve_counters(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct channel_counters counters[BOARD_MAX_CORES];

    (void)payload;
    (void)bytes;
    if (!board_deterministic()) {
        reply_error(reply, CHANNEL_CANNOT, "only the deterministic clock counts instructions");
        return;
    }
    hyp_counters(counters);
    reply_with(reply, counters, board_cores() * sizeof(counters[0]));
}

static void serve_count(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    (void)payload;
    (void)bytes;
    if (!board_deterministic()) {
        reply_error(reply, CHANNEL_CANNOT, "only the deterministic clock counts instructions");
        return;
    }
    hyp_count();
}

/* What QEMU's own saved state lacks. Only the very same plugin reads it. */
struct state {
    struct slices_plan plan;
    struct hyp_state hyp;
    struct instrument_stopped stopped;
};

_Static_assert(sizeof(struct state) <= sizeof(((struct reply *)NULL)->data), "state");

static void serve_state(const uint8_t *payload, uint32_t bytes, struct reply *reply)
{
    struct state state;

    if (!board_deterministic()) {
        reply_error(reply, CHANNEL_CANNOT, "only the deterministic clock goes on where it was");
        return;
    }
    if (bytes == 0) {
        memset(&state, 0, sizeof(state));
        slices_save(&state.plan);
        hyp_save(&state.hyp);
        instrument_stopped(&state.stopped);
        reply_with(reply, &state, sizeof(state));
        return;
    }
    if (bytes == sizeof(state)) {
        memcpy(&state, payload, sizeof(state));
        if (slices_load(&state.plan) && hyp_load(&state.hyp)) {
            instrument_load_stopped(&state.stopped);
            return;
        }
    }
    reply_error(reply, CHANNEL_BAD, "this is no state of this board");
}

#define MOST (CHANNEL_MAX_BYTES - (uint32_t)sizeof(struct channel_header))

static const struct operation known[] = {
    [CHANNEL_TIME] = {"TIME", false, 0, 0, serve_time},
    [CHANNEL_READ_REGISTER] = {"READ_REGISTER", true, sizeof(struct channel_register) + 1,
                               sizeof(struct channel_register) + NAME_BYTES - 1, serve_register},
    [CHANNEL_WRITE_PHYSICAL] = {"WRITE_PHYSICAL", true, sizeof(struct channel_address) + 1, MOST,
                                serve_write},
    [CHANNEL_ADD_PROBE] = {"ADD_PROBE", true, sizeof(struct channel_probe), MOST, serve_add},
    [CHANNEL_REMOVE_PROBE] = {"REMOVE_PROBE", true, sizeof(struct channel_probe_id),
                              sizeof(struct channel_probe_id), serve_remove},
    [CHANNEL_PROBE_COUNTS] = {"PROBE_COUNTS", false, sizeof(struct channel_probe_id),
                              sizeof(struct channel_probe_id), serve_counts},
    [CHANNEL_STOP_AT] = {"STOP_AT", true, sizeof(struct channel_address),
                         sizeof(struct channel_address), serve_stop_at},
    [CHANNEL_COUNTERS] = {"COUNTERS", false, 0, 0, serve_counters},
    [CHANNEL_STOPPED] = {"STOPPED", true, 0, 0, serve_stopped},
    [CHANNEL_COUNT] = {"COUNT", true, 0, 0, serve_count},
    [CHANNEL_STATE] = {"STATE", true, 0, sizeof(struct state), serve_state},
};

void services_serve(uint16_t operation, const uint8_t *payload, uint32_t bytes,
                    struct reply *reply)
{
    const struct operation *asked;

    if (operation >= sizeof(known) / sizeof(known[0]) || known[operation].serve == NULL) {
        reply_error(reply, CHANNEL_BAD, "there is no operation %u", operation);
        return;
    }
    asked = &known[operation];
    if (bytes < asked->least || bytes > asked->most) {
        reply_error(reply, CHANNEL_BAD, "%s with %u bytes", asked->name, bytes);
    } else if (asked->needs_stop && runstate_is_running()) {
        reply_error(reply, CHANNEL_RUNNING, "the machine runs, stop it first");
    } else {
        asked->serve(payload, bytes, reply);
    }
}
