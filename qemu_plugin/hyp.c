/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See hyp.h. */
#include "hyp.h"

#include <string.h>
#include <time.h>

#include "../images/abi/trace.h"
#include "board.h"
#include "hits.h"
#include "ring.h"
#include "slices.h"

#define MODE(cpsr) ((cpsr) & 0x1f)
#define MODE_HYP 0x1a
#define VECTORS_BYTES 0x20
#define VTTBR_VMID(vttbr) ((uint8_t)((vttbr) >> 48))
#define FULL_RING_NS 50000
/* More than the hypervisor writes between two looks: one trap, or one round of its idle loop. */
#define ROOM_RECORDS 256

_Static_assert(LEDGER_VMS == CHANNEL_COUNTER_VMS, "counters are copied");
_Static_assert(LEDGER_CORES == BOARD_MAX_CORES, "one account for each core");

static struct ledger ledger;
static bool watched; /* the hypervisor's ways; in the realtime clock they never are */
static bool counting;
static struct {
    struct hyp_guest guest;
    bool known;
} core_state[BOARD_MAX_CORES];

static void on_turn(int core)
{
    ledger_turn(&ledger, board_instructions(0), (unsigned int)core);
}

void hyp_start(void)
{
    ledger_init(&ledger, LEDGER_UNKNOWN);
    slices_tell(on_turn);
}

bool hyp_mode(uint32_t cpsr)
{
    return board_has_hyp() && MODE(cpsr) == MODE_HYP;
}

struct hyp_guest hyp_guest(unsigned int core)
{
    if (!board_has_hyp()) {
        return (struct hyp_guest){.vm = 0, .vcpu = (uint8_t)core};
    }
    if (!core_state[core].known || !watched) {
        uint8_t vmid = VTTBR_VMID(board_read(core, BOARD_VTTBR));

        core_state[core].guest.vm = vmid != 0 ? (uint8_t)(vmid - 1) : TRACE_NO_VM;
        core_state[core].guest.vcpu = (uint8_t)board_read(core, BOARD_VMPIDR);
        core_state[core].known = true;
    }
    return core_state[core].guest;
}

uint64_t hyp_executed(unsigned int core, unsigned int distance)
{
    return board_deterministic() ? ledger_executed(&ledger, board_instructions(distance), core) : 0;
}

/*
 * Hold this core until the hypervisor's ring of it has room for more. What the hypervisor does with a
 * full ring takes instructions, and so their number would depend on how fast the reader is. Therefore
 * it shall not see a full one: the core waits where the hypervisor begins to work. Where guest time is
 * host time nobody waits: the hypervisor counts what it loses.
 */
static void wait_for_room(unsigned int core, uint32_t records)
{
    uint64_t pa = HV_TRACE_PA + HV_TRACE_RINGS + core * (uint64_t)HV_TRACE_RING_STRIDE;
    const struct trace_ring *ring = board_ram(pa, HV_TRACE_RING_STRIDE);
    const struct timespec pause = {.tv_nsec = FULL_RING_NS};

    if (!hits_recorded() || ring == NULL) {
        return;
    }
    while (ring_lacks_room(ring, records)) {
        nanosleep(&pause, NULL);
    }
}

static unsigned int guest_owner(unsigned int core)
{
    uint8_t vm = hyp_guest(core).vm;

    return vm < LEDGER_VMS ? vm : LEDGER_OTHER;
}

/* The first instruction of a vector is the block's first: all before the block was a guest's. */
static void on_vector(unsigned int vcpu_index, void *block_count)
{
    unsigned int core = board_this_core();

    (void)vcpu_index;
    if (watched) {
        ledger_own(&ledger, board_instructions((unsigned int)(uintptr_t)block_count), core,
                   LEDGER_HYPERVISOR);
        wait_for_room(core, ROOM_RECORDS);
    }
}

static void on_idle(unsigned int vcpu_index, void *opaque)
{
    (void)vcpu_index;
    (void)opaque;
    wait_for_room(board_this_core(), ROOM_RECORDS);
}

static void on_eret(unsigned int vcpu_index, void *opaque)
{
    unsigned int core = board_this_core();

    (void)vcpu_index;
    (void)opaque;
    if (watched) {
        ledger_own(&ledger, board_instructions(0), core, guest_owner(core));
    }
    hits_returned(core);
}

static void on_guest_switch(unsigned int vcpu_index, void *opaque)
{
    (void)vcpu_index;
    (void)opaque;
    core_state[board_this_core()].known = false;
}

/* The hypervisor itself says that its ring is full: it wrote more at once than was reckoned with. */
static void on_doorbell(unsigned int vcpu_index, void *opaque)
{
    (void)vcpu_index;
    (void)opaque;
    wait_for_room(board_this_core(), 2); /* the record, and one that tells of loss */
}

void hyp_instrument_entry(plugin_insn *first, unsigned int core, size_t count)
{
    uint64_t in_vectors = qemu_plugin_insn_vaddr(first) - board_read(core, BOARD_HVBAR);

    if (in_vectors < VECTORS_BYTES) {
        qemu_plugin_register_vcpu_insn_exec_cb(first, on_vector, PLUGIN_NO_REGS,
                                               (void *)(uintptr_t)count);
    }
}

void hyp_instrument(plugin_insn *insn, struct code code)
{
    if (decode_is_eret(code)) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_eret, PLUGIN_NO_REGS, NULL);
    } else if (decode_is_guest_switch(code)) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_guest_switch, PLUGIN_NO_REGS, NULL);
    } else if (decode_is_wfi(code)) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_idle, PLUGIN_NO_REGS, NULL);
    } else if (decode_is_doorbell(code)) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, on_doorbell, PLUGIN_NO_REGS, NULL);
    }
}

static unsigned int owner_now(unsigned int core)
{
    uint32_t cpsr = (uint32_t)board_read(core, BOARD_CPSR);

    if (!board_has_hyp()) {
        return 0;
    }
    /* A core that has not started will do so in the hypervisor, wherever its registers are now. */
    return hyp_mode(cpsr) || hyp_executed(core, 0) == 0 ? LEDGER_HYPERVISOR : guest_owner(core);
}

void hyp_watch(bool on)
{
    watched = on && board_deterministic();
    for (unsigned int core = 0; core < board_cores(); core++) {
        core_state[core].known = false;
        if (board_deterministic()) {
            ledger_own(&ledger, board_instructions(0), core, on ? owner_now(core) : LEDGER_UNKNOWN);
        }
    }
}

void hyp_count(void)
{
    counting = true;
}

bool hyp_counting(void)
{
    return counting;
}

bool hyp_records(void)
{
    const struct trace_control *control = board_ram(HV_TRACE_PA, sizeof(*control));

    return board_deterministic() && board_has_hyp() && hits_recorded() && control != NULL &&
           control->magic == TRACE_MAGIC && control->events != 0;
}

void hyp_save(struct hyp_state *saved)
{
    saved->ledger = ledger;
    saved->counting = counting;
}

bool hyp_load(const struct hyp_state *saved)
{
    if (!ledger_is_sound(&saved->ledger)) {
        return false;
    }
    ledger = saved->ledger;
    counting = saved->counting != 0;
    return true;
}

void hyp_counters(struct channel_counters *counters)
{
    uint64_t now = board_instructions(0);

    for (unsigned int core = 0; core < board_cores(); core++) {
        uint64_t spent[LEDGER_OWNERS];

        ledger_read(&ledger, now, core, spent);
        memcpy(counters[core].vm, spent, sizeof(counters[core].vm));
        counters[core].other = spent[LEDGER_OTHER];
        counters[core].hypervisor = spent[LEDGER_HYPERVISOR];
        counters[core].uncounted = spent[LEDGER_UNKNOWN];
    }
}
