/* SPDX-License-Identifier: MIT */
/* Device registers. */
#ifndef MMIO_H
#define MMIO_H

#include <stdint.h>

/*
 * Plain loads and stores without write-back: a hypervisor that emulates the device gets a valid
 * syndrome for these only (DDI 0406C, B3.13.6), and compilers like to form others.
 */
static inline uint32_t mmio_read32(uint32_t pa)
{
    uint32_t value;

    __asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(pa) : "memory");
    return value;
}

static inline void mmio_write32(uint32_t pa, uint32_t value)
{
    __asm__ volatile("str %0, [%1]" : : "r"(value), "r"(pa) : "memory");
}

static inline void mmio_write8(uint32_t pa, uint8_t value)
{
    __asm__ volatile("strb %0, [%1]" : : "r"(value), "r"(pa) : "memory");
}

#endif
