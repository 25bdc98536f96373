/* SPDX-License-Identifier: MIT */
/*
 * Translation tables, all in the long-descriptor format (DDI 0406C, B3.6).
 *
 * Hyp mode: VA = PA. Devices below 1 GiB; the hypervisor's code read-only, all other memory XN.
 * Stage 2: 32-bit IPAs from level 2 on, four concatenated tables, so that a 2 MiB block takes
 * one fetch. Emulated walks are the main cost of virtualization under TCG.
 */
#include "hypervisor.h"

#define DESC_VALID 1u
#define DESC_TABLE 3u /* also: a page, at level 3 */
#define DESC_BLOCK 1u
#define DESC_AF (1u << 10)
#define DESC_INNER_SHAREABLE (3u << 8)
#define DESC_XN (1ull << 54)
#define DESC_ADDRESS 0xfffffff000ull

#define HYP_ATTR_NORMAL (0u << 2) /* index into HMAIR0 */
#define HYP_ATTR_DEVICE (1u << 2)
#define HYP_AP_RW (1u << 6)
#define HYP_AP_RO (3u << 6)
#define HMAIR0_VALUE 0x000004ffu /* 0: normal, write back; 1: device */

#define S2_NORMAL (0xfu << 2)
#define S2_DEVICE (0x1u << 2)
#define S2_RW (3u << 6)

#define TCR_WALK_CACHED 0x3500u /* inner shareable, inner and outer write back */
#define TCR_RES1 0x80000000u
#define VTCR_SL0_LEVEL2 (0u << 6)

#define HSCTLR_M (1u << 0)
#define HSCTLR_C (1u << 2)
#define HSCTLR_I (1u << 12)
#define HSCTLR_WXN (1u << 19)
#define HSCTLR_RES1 0x30c50838u

#define ENTRIES 512u
#define S2_LEVEL2_ENTRIES (4u * ENTRIES)
#define S2_LEVEL3_TABLES 64u

extern char text_start[], text_end[];

static uint64_t hyp_level1[4] __attribute__((aligned(32)));
static uint64_t hyp_level2[ENTRIES] __attribute__((aligned(4096)));
static uint64_t s2_level2[HV_MAX_VMS][S2_LEVEL2_ENTRIES] __attribute__((aligned(16384)));
static uint64_t s2_level3[S2_LEVEL3_TABLES][ENTRIES] __attribute__((aligned(4096)));
static uint32_t s2_level3_used;

void mm_init(void)
{
    const uint64_t ram = DESC_BLOCK | DESC_AF | DESC_INNER_SHAREABLE | HYP_ATTR_NORMAL;

    hyp_level1[0] = DESC_BLOCK | DESC_AF | HYP_ATTR_DEVICE | HYP_AP_RW | DESC_XN;
    hyp_level1[1] = (uint32_t)hyp_level2 | DESC_TABLE;
    hyp_level1[2] = 0x80000000ull | ram | HYP_AP_RW | DESC_XN;
    hyp_level1[3] = 0xc0000000ull | ram | HYP_AP_RW | DESC_XN;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t pa = HV_RAM_PA + i * BLOCK_BYTES;
        bool text = pa >= (uint32_t)text_start && pa < (uint32_t)text_end;

        hyp_level2[i] = pa | ram | (text ? HYP_AP_RO : HYP_AP_RW | DESC_XN);
    }
    dsb();
}

void mm_core_init(void)
{
    write_HMAIR0(HMAIR0_VALUE);
    write_HMAIR1(0);
    write_HTCR(TCR_RES1 | (1u << 23) | TCR_WALK_CACHED);
    write_HTTBR((uint32_t)hyp_level1);
    write_VTCR(TCR_RES1 | TCR_WALK_CACHED | VTCR_SL0_LEVEL2);
    isb();
    __asm__ volatile("mcr p15, 4, %0, c8, c7, 0" ::"r"(0)); /* TLBIALLH */
    __asm__ volatile("mcr p15, 4, %0, c8, c7, 4" ::"r"(0)); /* TLBIALLNSNH */
    dsb();
    isb();
    /* Without A: what a probe fetches from a guest need not be aligned. */
    write_HSCTLR(HSCTLR_RES1 | HSCTLR_WXN | HSCTLR_I | HSCTLR_C | HSCTLR_M);
    isb();
}

void stage2_init(struct vm *vm)
{
    vm->vttbr = (uint64_t)(vm->id + 1) << 48 | (uint32_t)s2_level2[vm->id];
}

static uint64_t *level3_of(uint64_t *entry)
{
    if (!(*entry & DESC_VALID)) {
        if (s2_level3_used == S2_LEVEL3_TABLES)
            panic("VM description needs more than %u stage-2 page tables", S2_LEVEL3_TABLES);
        *entry = (uint32_t)s2_level3[s2_level3_used++] | DESC_TABLE;
    }
    if ((*entry & 3) != DESC_TABLE)
        panic("VM description maps an address twice");
    return (uint64_t *)(uint32_t)(*entry & DESC_ADDRESS);
}

/* ipa, pa and bytes are multiples of the page size; blocks are used wherever they fit. */
void stage2_map(struct vm *vm, uint64_t ipa, uint64_t pa, uint64_t bytes, bool device)
{
    uint64_t attributes = DESC_AF | DESC_INNER_SHAREABLE | S2_RW |
                          (device ? S2_DEVICE | DESC_XN : S2_NORMAL);

    if ((ipa | pa | bytes) & (PAGE_BYTES - 1) || ipa + bytes > 0x100000000ull)
        panic("vm %s: bad mapping of 0x%x", vm->config->name, (uint32_t)ipa);
    while (bytes) {
        uint64_t *entry = &s2_level2[vm->id][ipa / BLOCK_BYTES];
        bool block = ((ipa | pa) & (BLOCK_BYTES - 1)) == 0 && bytes >= BLOCK_BYTES;
        uint64_t step = block ? BLOCK_BYTES : PAGE_BYTES;

        if (!block)
            entry = &level3_of(entry)[ipa / PAGE_BYTES % ENTRIES];
        if (*entry & DESC_VALID)
            panic("vm %s: 0x%x is mapped twice", vm->config->name, (uint32_t)ipa);
        *entry = pa | attributes | (block ? DESC_BLOCK : DESC_TABLE);
        ipa += step;
        pa += step;
        bytes -= step;
    }
    dsb();
}

/* Guest code was written through the data side: make it visible to instruction fetch. */
void mm_sync_code(uint32_t pa, uint32_t bytes)
{
    for (uint32_t line = pa & ~63u; line < pa + bytes; line += 64)
        __asm__ volatile("mcr p15, 0, %0, c7, c14, 1" ::"r"(line)); /* DCCIMVAC */
    dsb();
    __asm__ volatile("mcr p15, 0, %0, c7, c1, 0" ::"r"(0)); /* ICIALLUIS */
    dsb();
    isb();
}
