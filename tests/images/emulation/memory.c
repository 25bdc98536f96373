/* SPDX-License-Identifier: MIT */
/*
 * Where the sites and the windows are, in each way to translate: pages that can be read, written,
 * partly or not at all. Everything of the program's own is mapped flat.
 */
#include "guest.h"

#define UART 0x09000000u
#define OWN_PA 0x40200000u /* guest.lds */

/* Short descriptors (DDI 0406C, B3.5.1) */
#define SECTION 0x00002u
#define PAGE_TABLE 0x00001u
#define AP_SECTION_RW 0x00c00u /* at PL1 and PL0 */
#define AP_SECTION_RO 0x08c00u
#define SECTION_NORMAL 0x0100cu /* TEX 1, C, B */
#define DOMAIN(n) ((n) << 5)
#define SMALL_PAGE 0x002u
#define AP_PAGE_RW 0x030u
#define AP_PAGE_PL1 0x010u
#define AP_PAGE_RO 0x230u
#define AP_PAGE_NONE 0x000u
#define PAGE_NORMAL 0x04cu

/* Long descriptors (B3.6.1, B3.6.2) */
#define BLOCK 0x001u
#define TABLE_OR_PAGE 0x003u
#define NORMAL 0x300u /* MAIR0's first attribute, inner shareable */
#define DEVICE 0x004u /* its second one */
#define AF 0x400u
#define RW (AF | 0x040u) /* at PL1 and PL0 */
#define RO (AF | 0x0c0u)
#define PL1 AF
#define TABLE_RO (1ull << 62)
#define MAIR0 0x000004ffu
#define EAE (1u << 31)

#define IN_GIB(va) ((va) >> 21 & 511)

static uint32_t level1[4096] __attribute__((aligned(16384)));
static uint32_t level2[3][256] __attribute__((aligned(1024))); /* windows, domain 1, sites */
static uint64_t long_level1[4] __attribute__((aligned(32)));
static uint64_t long_level2[512] __attribute__((aligned(4096)));
static uint64_t long_level3[3][512] __attribute__((aligned(4096))); /* windows, read-only, sites */
uint8_t windows[8][PAGE] __attribute__((aligned(4096), section(".windows")));
uint32_t sites[PAGE / 4] __attribute__((aligned(4096), section(".sites")));

static void translate(uint32_t ttbr, uint32_t ttbcr)
{
    uint32_t sctlr;

    __asm__ volatile("mcrr p15, 0, %1, %3, c2\n"  /* TTBR0 */
                     "mcr p15, 0, %2, c2, c0, 2\n" /* TTBCR */
                     "mcr p15, 0, %3, c8, c7, 0\n" /* TLBIALL */
                     "dsb\n isb\n"
                     "mrc p15, 0, %0, c1, c0, 0\n"
                     "orr %0, %0, #1\n"
                     "mcr p15, 0, %0, c1, c0, 0\n isb"
                     : "=&r"(sctlr) : "r"(ttbr), "r"(ttbcr), "r"(0) : "memory");
}

static void short_descriptors(const struct layout *to)
{
    static const uint16_t access[8] = {AP_PAGE_RW, AP_PAGE_RW, 0,          AP_PAGE_RO,
                                       AP_PAGE_RW, AP_PAGE_NONE, AP_PAGE_PL1, AP_PAGE_RW};

    for (uint32_t i = 0; i < 8; i++)
        if (i != 2)
            level2[0][i] = (uint32_t)windows[i] | access[i] | PAGE_NORMAL | SMALL_PAGE;
    level2[1][0] = (uint32_t)windows[7] | AP_PAGE_RW | PAGE_NORMAL | SMALL_PAGE;
    level2[2][0] = (uint32_t)sites | AP_PAGE_RW | PAGE_NORMAL | SMALL_PAGE;
    for (uint32_t va = OWN_PA; va < OWN_PA + 0x200000; va += 0x100000)
        level1[va >> 20] = va | AP_SECTION_RW | SECTION_NORMAL | SECTION;
    level1[UART >> 20] = UART | AP_SECTION_RW | SECTION;
    level1[(to->windows_va >> 20) + 0] = (uint32_t)level2[0] | PAGE_TABLE;
    level1[(to->windows_va >> 20) + 1] = OWN_PA | AP_SECTION_RW | SECTION_NORMAL | DOMAIN(1) | SECTION;
    level1[(to->windows_va >> 20) + 2] = (uint32_t)level2[1] | DOMAIN(1) | PAGE_TABLE;
    level1[(to->windows_va >> 20) + 4] = OWN_PA | AP_SECTION_RO | SECTION_NORMAL | SECTION;
    level1[to->sites_va >> 20] = (uint32_t)level2[2] | PAGE_TABLE;
    __asm__ volatile("mcr p15, 0, %0, c3, c0, 0" ::"r"(1)); /* DACR: client of domain 0 alone */
    translate((uint32_t)level1, 0);
}

static void long_descriptors(const struct layout *to)
{
    static const uint16_t access[8] = {RW, RW, 0, RO, RW, RW & ~AF, PL1, RW};
    uint64_t *at = &long_level2[IN_GIB(to->windows_va)];

    for (uint32_t i = 0; i < 8; i++)
        if (i != 2)
            long_level3[0][i] = (uint32_t)windows[i] | access[i] | NORMAL | TABLE_OR_PAGE;
    long_level3[1][0] = (uint32_t)windows[7] | RW | NORMAL | TABLE_OR_PAGE;
    long_level3[2][0] = (uint32_t)sites | RW | NORMAL | TABLE_OR_PAGE;
    at[0] = (uint32_t)long_level3[0] | TABLE_OR_PAGE;
    at[1] = OWN_PA | (RW & ~AF) | NORMAL | BLOCK;
    at[2] = (uint32_t)long_level3[1] | TABLE_RO | TABLE_OR_PAGE;
    at[4] = OWN_PA | RO | NORMAL | BLOCK;
    long_level2[IN_GIB(OWN_PA)] = OWN_PA | RW | NORMAL | BLOCK;
    long_level2[IN_GIB(to->sites_va)] = (uint32_t)long_level3[2] | TABLE_OR_PAGE;
    long_level1[UART >> 30] = RW | DEVICE | BLOCK;
    long_level1[OWN_PA >> 30] = (uint32_t)long_level2 | TABLE_OR_PAGE;
    __asm__ volatile("mcr p15, 0, %0, c10, c2, 0" ::"r"(MAIR0));
    translate((uint32_t)long_level1, EAE);
}

static void no_translation(const struct layout *to)
{
    (void)to;
}

/* The first two windows are ordinary; the others end in a fault, or may, where there is an MMU. */
static const struct layout layouts[] = {
    {
        .sites_va = 0x60000000,
        .windows_va = 0x50000000,
        .windows = 10,
        .window = {
            0x0800,   /* in a page */
            0x1000,   /* over two pages */
            0x2000,   /* into one that is not mapped */
            0x3800,   /* read-only */
            0x5000,   /* into one without access */
            0x6800,   /* not at PL0 */
            0x100800, /* a section of a domain without access */
            0x200800, /* a page of it */
            0x300800, /* no section */
            0x400800, /* a read-only section */
        },
        .begin = short_descriptors,
    },
    {
        .sites_va = 0x60000000,
        .windows_va = 0x50000000,
        .windows = 10,
        .window = {
            0x0800,   /* as above; without access is without access flag */
            0x1000,
            0x2000,
            0x3800,
            0x5000,
            0x6800,
            0x200800, /* a block without access flag */
            0x400800, /* a page that its table makes read-only */
            0x600800, /* no block */
            0x800800, /* a read-only block */
        },
        .begin = long_descriptors,
    },
    {
        .sites_va = 0x40300000, /* guest.lds */
        .windows_va = 0x40310000,
        .windows = FILLED_WINDOWS,
        .window = {0x0800, 0x1000, 0x2000, 0x3800, 0x5000, 0x6800},
        .begin = no_translation,
    },
};

const struct layout *memory_begin(enum tables tables)
{
    const struct layout *layout = &layouts[tables];

    layout->begin(layout);
    return layout;
}
