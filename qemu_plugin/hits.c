/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See hits.h. */
#include "hits.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../images/abi/fetch.h"
#include "board.h"
#include "hyp.h"
#include "places.h"
#include "ring.h"

#define FULL_RING_NS 50000
#define GENERAL_REGISTERS 13

static struct ring rings[BOARD_MAX_CORES];
static bool have_rings;

/* A trap whose way back to a guest is not over, at most one on each core. */
static struct {
    bool waits;
    uint64_t trapped; /* instructions of the core, the HVC included */
    struct trace_record record;
} trap[BOARD_MAX_CORES];

int hits_start(const char *path, unsigned int cores)
{
    uint64_t stride = ring_bytes(CHANNEL_RING_RECORDS);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char *memory;
    int error;

    if (fd < 0) {
        return -errno;
    }
    memory = ftruncate(fd, (off_t)(cores * stride)) == 0
                 ? mmap(NULL, cores * stride, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                 : MAP_FAILED;
    error = errno;
    close(fd);
    if (memory == MAP_FAILED) {
        unlink(path);
        return -error;
    }
    for (unsigned int i = 0; i < cores; i++) {
        ring_init(&rings[i], memory + i * stride, CHANNEL_RING_RECORDS, i);
    }
    have_rings = true;
    return 0;
}

bool hits_recorded(void)
{
    return have_rings;
}

/* Where guest time is not host time, a core waits for the reader; elsewhere the record is lost. */
static void push(unsigned int core, struct trace_record *record)
{
    const struct timespec pause = {.tv_nsec = FULL_RING_NS};

    while (!ring_push(&rings[core], record)) {
        if (!board_deterministic()) {
            ring_lose(&rings[core]);
            return;
        }
        nanosleep(&pause, NULL);
    }
}

static void publish_trap(unsigned int core)
{
    trap[core].waits = false;
    push(core, &trap[core].record);
}

static bool read_guest(void *context, uint32_t va, void *to, uint32_t bytes)
{
    return board_read_virtual(*(unsigned int *)context, va, to, bytes);
}

static void fill(struct trace_record *record, const struct site *site, unsigned int core,
                 struct hyp_guest guest, uint64_t time_ns)
{
    const struct place *place = site->place;
    struct fetch_state state = {.read = read_guest, .context = &core};

    for (unsigned int i = 0; i < GENERAL_REGISTERS; i++) {
        if (place->registers & 1u << i) {
            state.reg[i] = (uint32_t)board_read(core, (enum board_register)(BOARD_R0 + i));
        }
    }
    state.reg[13] = (uint32_t)board_read(core, BOARD_SP);
    state.reg[14] = (uint32_t)board_read(core, BOARD_LR);
    state.reg[15] = site->va;
    state.reg[TRACE_REG_CPSR] = (uint32_t)board_read(core, BOARD_CPSR);
    if (place->registers & 1u << TRACE_REG_TPIDRURO) {
        state.reg[TRACE_REG_TPIDRURO] = (uint32_t)board_read(core, BOARD_TPIDRURO);
    }
    *record = (struct trace_record){
        .time_ns = time_ns,
        .kind = TRACE_PROBE,
        .cpu = (uint8_t)core,
        .vm = guest.vm,
        .id = place->spec.id,
        .pc = site->va,
        .lr = state.reg[14],
        .sp = state.reg[13],
        .cpsr = state.reg[TRACE_REG_CPSR],
        .vcpu = guest.vcpu,
    };
    if (place->program != NULL) {
        fetch_run(&state, place->program, record);
    }
}

/* Fill in `record` if this hit is the probe's and is to be recorded. */
static bool take(struct trace_record *record, const struct site *site, unsigned int core)
{
    struct place *place = site->place;
    struct hyp_guest guest = hyp_guest(core);
    uint64_t time_ns;

    if (site->hyp) {
        guest = (struct hyp_guest){.vm = TRACE_NO_VM};
    }
    if (place->spec.vm != CHANNEL_ANY_VM && place->spec.vm != guest.vm) {
        return false;
    }
    time_ns = board_time_ns(site->distance);
    if (!places_hit(place, core, time_ns)) {
        return false;
    }
    fill(record, site, core, guest, time_ns);
    return true;
}

void hits_hvc(unsigned int vcpu_index, void *opaque)
{
    unsigned int core = board_this_core();

    (void)vcpu_index;
    if (trap[core].waits) { /* the hypervisor ended the guest that trapped last */
        publish_trap(core);
    }
    if (!take(&trap[core].record, opaque, core)) {
        return;
    }
    if (board_deterministic() && board_has_hyp()) {
        trap[core].waits = true;
        trap[core].trapped = hyp_executed(core, 0);
    } else {
        push(core, &trap[core].record);
    }
}

void hits_shadow(unsigned int vcpu_index, void *opaque)
{
    unsigned int core = board_this_core();
    struct trace_record record;

    (void)vcpu_index;
    if (!take(&record, opaque, core)) {
        return;
    }
    if (trap[core].waits) { /* a probe in the hypervisor's own code: the stream keeps its order */
        publish_trap(core);
    }
    push(core, &record);
}

void hits_returned(unsigned int core)
{
    if (trap[core].waits) {
        trap[core].record.cost = (uint32_t)(hyp_executed(core, 0) - trap[core].trapped);
        publish_trap(core);
    }
}

void hits_flush(void)
{
    for (unsigned int i = 0; i < BOARD_MAX_CORES; i++) {
        /* QEMU ends: nobody waits for a reader any more. */
        if (trap[i].waits && !ring_push(&rings[i], &trap[i].record)) {
            ring_lose(&rings[i]);
        }
        trap[i].waits = false;
    }
}
