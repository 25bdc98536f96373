/* SPDX-License-Identifier: MIT */
/* The board's GICv2 (Arm IHI 0048B): distributor and the hypervisor's own CPU interface. */
#include "hypervisor.h"

#define GICD_PA 0x08000000u
#define GICC_PA 0x08010000u

#define GICD_CTLR 0x000u
#define GICD_ISENABLER 0x100u
#define GICD_ICENABLER 0x180u
#define GICD_ISACTIVER 0x300u
#define GICD_ICACTIVER 0x380u
#define GICD_IPRIORITYR 0x400u
#define GICD_ITARGETSR 0x800u
#define GICD_SGIR 0xf00u

#define GICC_CTLR 0x000u
#define GICC_PMR 0x004u
#define GICC_IAR 0x00cu
#define GICC_EOIR 0x010u
#define GICC_DIR 0x1000u
#define GICC_CTLR_EOIMODE (1u << 9)

void gic_init(void)
{
    for (uint32_t irq = PRIVATE_IRQS; irq < MAX_IRQS; irq += 4)
        mmio_write(GICD_PA + GICD_IPRIORITYR + irq, 0xa0a0a0a0u);
    mmio_write(GICD_PA + GICD_CTLR, 1);
}

void gic_core_init(void)
{
    for (uint32_t irq = 0; irq < PRIVATE_IRQS; irq += 4)
        mmio_write(GICD_PA + GICD_IPRIORITYR + irq, 0xa0a0a0a0u);
    mmio_write(GICD_PA + GICD_ISENABLER,
               1u << IPI_KICK | 1u << PPI_MAINTENANCE | 1u << PPI_HYP_TIMER);
    mmio_write(GICC_PA + GICC_PMR, 0xff);
    mmio_write(GICC_PA + GICC_CTLR, GICC_CTLR_EOIMODE | 1);
}

/* A private interrupt is enabled on the calling core, a shared one is routed to `core`. */
void gic_enable(uint32_t irq, uint32_t core)
{
    if (irq >= PRIVATE_IRQS)
        *(volatile uint8_t *)(GICD_PA + GICD_ITARGETSR + irq) = (uint8_t)(1u << core);
    mmio_write(GICD_PA + GICD_ISENABLER + irq / 32 * 4, 1u << irq % 32);
}

void gic_disable(uint32_t irq)
{
    mmio_write(GICD_PA + GICD_ICENABLER + irq / 32 * 4, 1u << irq % 32);
}

void gic_set_active(uint32_t irq, bool active)
{
    uint32_t reg = active ? GICD_ISACTIVER : GICD_ICACTIVER;

    mmio_write(GICD_PA + reg + irq / 32 * 4, 1u << irq % 32);
}

void gic_send_ipi(uint32_t core)
{
    dsb();
    mmio_write(GICD_PA + GICD_SGIR, 1u << (16 + core) | IPI_KICK);
}

uint32_t gic_acknowledge(void)
{
    return mmio_read(GICC_PA + GICC_IAR);
}

/* Priority drop: other interrupts may come; this one stays active. */
void gic_drop(uint32_t iar)
{
    mmio_write(GICC_PA + GICC_EOIR, iar);
}

void gic_deactivate(uint32_t iar)
{
    mmio_write(GICC_PA + GICC_DIR, iar);
}
