/* SPDX-License-Identifier: MIT */
/*
 * One level of 1 MiB sections, VA = PA, for the board's memory map: code read-only, data not
 * executable, devices, and nothing anywhere else. The caches are clean when a board or a
 * hypervisor starts an image, so they are only switched on.
 */
#include "port.h"

#include "cp15.h"

#include <stddef.h>

#define SECTION_SHIFT 20u

/* Section descriptor, short format (DDI 0406C, B3.5.1), domain 0, AFE = TRE = 0. */
#define SECTION 0x2u
#define SECTION_B (1u << 2)
#define SECTION_C (1u << 3)
#define SECTION_XN (1u << 4)
#define SECTION_AP_PL1 (1u << 10)
#define SECTION_TEX0 (1u << 12)
#define SECTION_READ_ONLY (1u << 15)
#define SECTION_S (1u << 16)

#define NORMAL (SECTION | SECTION_TEX0 | SECTION_C | SECTION_B | SECTION_S | SECTION_AP_PL1)
#define CODE (NORMAL | SECTION_READ_ONLY)
#define DATA (NORMAL | SECTION_XN)
#define DEVICE (SECTION | SECTION_B | SECTION_XN | SECTION_AP_PL1)

#define DACR_CLIENT 1u           /* domain 0: check permissions */
#define TTBR_WBWA_SHARED 0x4au   /* table walks: inner and outer write-back, shareable */
#define SCTLR_M (1u << 0)
#define SCTLR_C (1u << 2)
#define SCTLR_Z (1u << 11)
#define SCTLR_I (1u << 12)
#define SCTLR_TRE (1u << 28)
#define SCTLR_AFE (1u << 29)

static const struct {
    uint32_t first_pa;
    uint32_t bytes;
    uint32_t attributes;
} map[] = {
    {0x08000000u, 0x00100000u, DEVICE}, /* GIC */
    {0x09000000u, 0x00100000u, DEVICE}, /* PL011 */
    {0x40000000u, 0x00100000u, CODE},   /* .text, .rodata: see rtos.ld */
    {0x40100000u, 0x00f00000u, DATA},   /* the rest of 16 MiB */
};

static uint32_t l1_table[4096] __attribute__((aligned(16384)));

void mmu_init(void)
{
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        for (uint32_t offset = 0; offset < map[i].bytes; offset += 1u << SECTION_SHIFT) {
            uint32_t pa = map[i].first_pa + offset;

            l1_table[pa >> SECTION_SHIFT] = pa | map[i].attributes;
        }
    }
    TTBCR_write(0);
    TTBR0_write((uint32_t)(uintptr_t)l1_table | TTBR_WBWA_SHARED);
    DACR_write(DACR_CLIENT);
    dsb();
    TLBIALL_write(0);
    ICIALLU_write(0);
    BPIALL_write(0);
    dsb();
    isb();
    SCTLR_write((SCTLR_read() & ~(SCTLR_TRE | SCTLR_AFE)) | SCTLR_M | SCTLR_C | SCTLR_Z | SCTLR_I);
    isb();
}
