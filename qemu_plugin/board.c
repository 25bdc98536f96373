/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See board.h. */
#include "board.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "qemu_api.h"

#define PAGE_BYTES 0x1000u
#define NO_REGISTER (-1)

static const char *const register_names[BOARD_REGISTERS] = {
    "r0", "r1",  "r2",  "r3",  "r4", "r5", "r6",   "r7",    "r8",     "r9",
    "r10", "r11", "r12", "sp", "lr", "cpsr", "TPIDRURO", "VTTBR", "VMPIDR", "VBAR_EL2",
};

static unsigned int core_count;
static qemu_cpu *cores[BOARD_MAX_CORES];
static struct qemu_array *register_list; /* of struct qemu_register; the same for all cores */
static int register_number[BOARD_REGISTERS];
/* One for each core, which only its own thread uses while the machine runs. */
static struct qemu_array *buffer[BOARD_MAX_CORES];
static uint8_t *ram;
static uint64_t ram_bytes;

const char *board_missing(void)
{
#define NEEDED(symbol) {(const void *)&symbol, #symbol}
    const struct {
        const void *address;
        const char *name;
    } needed[] = {
        {dlsym(RTLD_DEFAULT, "current_cpu"), "current_cpu"},
        NEEDED(use_icount),
        NEEDED(qemu_get_cpu),
        NEEDED(qemu_clock_get_ns),
        NEEDED(icount_get_raw),
        NEEDED(icount_to_ns),
        NEEDED(icount_update),
        NEEDED(g_byte_array_new),
        NEEDED(gdb_get_register_list),
        NEEDED(gdb_read_register),
        NEEDED(qemu_ram_block_by_name),
        NEEDED(qemu_ram_get_host_addr),
        NEEDED(qemu_ram_get_used_length),
        NEEDED(cpu_get_phys_page_attrs_debug),
        NEEDED(cpu_physical_memory_rw),
    };
#undef NEEDED

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (needed[i].address == NULL) {
            return needed[i].name;
        }
    }
    return NULL;
}

static const struct qemu_register *find_register(const char *name)
{
    const struct qemu_register *known = (const void *)register_list->data;

    for (unsigned int i = 0; i < register_list->count; i++) {
        if (known[i].name != NULL && strcmp(known[i].name, name) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

/* Cores come one after the other while the board is made; each is asked for when it is there. */
static qemu_cpu *core_at(unsigned int core)
{
    if (cores[core] == NULL) {
        cores[core] = qemu_get_cpu((int)core);
    }
    return cores[core];
}

static unsigned int read_number(unsigned int core, int number, uint64_t *value)
{
    struct qemu_array *bytes = buffer[core];

    bytes->count = 0;
    *value = 0;
    gdb_read_register(core_at(core), bytes, number);
    memcpy(value, bytes->data, bytes->count < sizeof(*value) ? bytes->count : sizeof(*value));
    return bytes->count * 8;
}

int board_start(unsigned int count)
{
    qemu_ram *block = qemu_ram_block_by_name("ram");

    if (block == NULL) {
        block = qemu_ram_block_by_name("mach-virt.ram");
    }
    if (block == NULL) {
        return -ENODEV;
    }
    ram = qemu_ram_get_host_addr(block);
    ram_bytes = qemu_ram_get_used_length(block);
    core_count = count;
    register_list = gdb_get_register_list(core_at(0));
    for (int i = 0; i < BOARD_REGISTERS; i++) {
        const struct qemu_register *found = find_register(register_names[i]);

        register_number[i] = found != NULL ? found->number : NO_REGISTER;
        if (found == NULL && i <= BOARD_CPSR) {
            return -ENODEV;
        }
    }
    for (unsigned int i = 0; i < core_count; i++) {
        buffer[i] = g_byte_array_new();
    }
    return 0;
}

unsigned int board_cores(void)
{
    return core_count;
}

bool board_has_hyp(void)
{
    return register_number[BOARD_VTTBR] != NO_REGISTER;
}

bool board_deterministic(void)
{
    return use_icount != 0;
}

unsigned int board_this_core(void)
{
    unsigned int core = 0;

    while (core < core_count - 1 && core_at(core) != current_cpu) {
        core++;
    }
    return core;
}

uint64_t board_read(unsigned int core, enum board_register which)
{
    uint64_t value;

    if (register_number[which] == NO_REGISTER) {
        return 0;
    }
    read_number(core, register_number[which], &value);
    return value;
}

unsigned int board_read_named(unsigned int core, const char *name, uint64_t *value)
{
    const struct qemu_register *found = find_register(name);

    return found != NULL ? read_number(core, found->number, value) : 0;
}

void *board_ram(uint64_t pa, uint64_t bytes)
{
    uint64_t offset = pa - BOARD_RAM_PA;

    return offset < ram_bytes && bytes <= ram_bytes - offset ? ram + offset : NULL;
}

uint64_t board_pa(const void *host)
{
    uint64_t offset = (uint64_t)((uintptr_t)host - (uintptr_t)ram);

    return offset < ram_bytes ? BOARD_RAM_PA + offset : UINT64_MAX;
}

void board_write(uint64_t pa, const void *data, uint64_t bytes)
{
    cpu_physical_memory_rw(pa, (void *)(uintptr_t)data, bytes, true);
}

bool board_read_virtual(unsigned int core, uint32_t va, void *to, uint32_t bytes)
{
    uint64_t attributes[4]; /* QEMU's structure takes 8 bytes in version 10 */
    uint8_t *next = to;

    while (bytes > 0) {
        uint32_t in_page = PAGE_BYTES - va % PAGE_BYTES;
        uint32_t now = bytes < in_page ? bytes : in_page;
        uint64_t page_pa =
            cpu_get_phys_page_attrs_debug(core_at(core), va & ~(PAGE_BYTES - 1), attributes);
        const void *from;

        if (page_pa == QEMU_NO_PAGE) {
            return false;
        }
        from = board_ram(page_pa + va % PAGE_BYTES, now);
        if (from == NULL) { /* a device: reading it could change what it does */
            return false;
        }
        memcpy(next, from, now);
        next += now;
        va += now;
        bytes -= now;
    }
    return true;
}

/*
 * QEMU reckons a block's instructions as executed when it is entered, and lets the clock be read only
 * at the last one, where this is true. With the account settled first and the core out of sight, the
 * clock shows the end of the block wherever in it we are. A block that is left early is put right by
 * QEMU itself, in the core's account.
 */
static int64_t at_block_end(int64_t (*read)(void))
{
    qemu_cpu *self = current_cpu;
    int64_t value;

    if (self == NULL || use_icount == 0) {
        return read();
    }
    icount_update(self);
    current_cpu = NULL;
    value = read();
    current_cpu = self;
    return value;
}

static int64_t virtual_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

uint64_t board_time_ns(unsigned int distance)
{
    int64_t end_ns = at_block_end(virtual_ns);

    return (uint64_t)(use_icount != 0 ? end_ns - icount_to_ns(distance) : end_ns);
}

uint64_t board_instructions(unsigned int distance)
{
    return use_icount != 0 ? (uint64_t)at_block_end(icount_get_raw) - distance : 0;
}
