/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The emulated board as the rest of the plugin sees it: which core this is, its registers, RAM by
 * physical and by virtual address, the exact time. Knows ARM and QEMU, no guest.
 */
#ifndef PLUGIN_BOARD_H
#define PLUGIN_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#define BOARD_MAX_CORES 8u
#define BOARD_RAM_PA UINT64_C(0x40000000)

/* Registers that the hot paths read, by the names of QEMU's gdbstub. */
enum board_register {
    BOARD_R0 = 0, /* ... r0 to r12 */
    BOARD_SP = 13,
    BOARD_LR = 14,
    BOARD_CPSR,
    BOARD_TPIDRURO,
    BOARD_VTTBR,
    BOARD_VMPIDR,
    BOARD_HVBAR,
    BOARD_REGISTERS,
};

/* Name of the first QEMU function that is needed and missing, or NULL if none is. */
const char *board_missing(void);

/*
 * Find registers and RAM. Called once, in QEMU's vCPU thread, before any guest instruction has run.
 *
 * Returns 0, or -ENODEV if the board has no RAM that can be addressed, or no known registers.
 */
int board_start(unsigned int cores);

unsigned int board_cores(void);
bool board_has_hyp(void);       /* cores have Hyp mode */
bool board_deterministic(void); /* guest time counts instructions */

/* In a vCPU thread: the core that executes or translates. QEMU's own vcpu_index can be wrong. */
unsigned int board_this_core(void);

uint64_t board_read(unsigned int core, enum board_register which);

/* Any register of QEMU's. Returns its bits, 0 if there is none of that name. */
unsigned int board_read_named(unsigned int core, const char *name, uint64_t *value);

/* Host address of RAM, or NULL if not all of it is RAM. */
void *board_ram(uint64_t pa, uint64_t bytes);

/* Physical address of what lies at a host address in RAM; UINT64_MAX if it is not RAM. */
uint64_t board_pa(const void *host);

/* Write RAM, and throw away what was translated from it. With QEMU's lock held, machine stopped. */
void board_write(uint64_t pa, const void *data, uint64_t bytes);

/* Read the memory of the guest that runs on this core. False: not mapped, or not RAM. */
bool board_read_virtual(unsigned int core, uint32_t va, void *to, uint32_t bytes);

/*
 * Guest time, and instructions of all cores, right after the instruction that lies `distance` before
 * the end of the block that is being executed; 0 outside of guest code.
 */
uint64_t board_time_ns(unsigned int distance);
uint64_t board_instructions(unsigned int distance);

#endif
