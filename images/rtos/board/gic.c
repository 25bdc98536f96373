/* SPDX-License-Identifier: MIT */
/* GICv2 (IHI 0048B): this core's interface, and the interrupts that were asked for. */
#include "board.h"
#include "mmio.h"
#include "ucos_ii.h"

#include <stddef.h>

#define GICD_CTLR 0x000u
#define GICD_ISENABLER 0x100u
#define GICD_IPRIORITYR 0x400u
#define GICD_ITARGETSR 0x800u
#define GICC_CTLR 0x000u
#define GICC_PMR 0x004u
#define GICC_IAR 0x00cu
#define GICC_EOIR 0x010u

#define INTID_COUNT 64u
#define INTID_FIRST_SPI 32u
#define INTID_MASK 0x3ffu
#define INTID_SPECIAL 1020u /* this one and above: nothing to serve */
#define PRIORITY 0xa0u
#define PRIORITY_MASK_ALL 0xf0u

static void (*handlers[INTID_COUNT])(void);

void gic_init(void)
{
    mmio_write32(GICD_PA + GICD_CTLR, 1);
    mmio_write32(GICC_PA + GICC_PMR, PRIORITY_MASK_ALL);
    mmio_write32(GICC_PA + GICC_CTLR, 1);
}

void gic_enable(uint32_t intid, void (*handler)(void))
{
    handlers[intid] = handler;
    mmio_write8(GICD_PA + GICD_IPRIORITYR + intid, PRIORITY);
    if (intid >= INTID_FIRST_SPI) {
        mmio_write8(GICD_PA + GICD_ITARGETSR + intid, 1);
    }
    mmio_write32(GICD_PA + GICD_ISENABLER + intid / 32u * 4u, 1u << intid % 32u);
}

void OS_CPU_IRQHandler(void)
{
    uint32_t iar;

    OSIntEnter();
    while (((iar = mmio_read32(GICC_PA + GICC_IAR)) & INTID_MASK) < INTID_SPECIAL) {
        uint32_t intid = iar & INTID_MASK;

        if (intid < INTID_COUNT && handlers[intid] != NULL) {
            handlers[intid]();
        }
        mmio_write32(GICC_PA + GICC_EOIR, iar);
    }
    OSIntExit();
}
