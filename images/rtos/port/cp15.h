/* SPDX-License-Identifier: MIT */
/* The CP15 registers that port and board use; names as in the ARM ARM (DDI 0406C). */
#ifndef CP15_H
#define CP15_H

#include <stdint.h>

#define CP15_READ32(name, op1, crn, crm, op2)                                              \
    static inline uint32_t name##_read(void)                                               \
    {                                                                                      \
        uint32_t value;                                                                    \
        __asm__ volatile("mrc p15, " #op1 ", %0, " #crn ", " #crm ", " #op2 : "=r"(value)); \
        return value;                                                                      \
    }
#define CP15_WRITE32(name, op1, crn, crm, op2)                                             \
    static inline void name##_write(uint32_t value)                                        \
    {                                                                                      \
        __asm__ volatile("mcr p15, " #op1 ", %0, " #crn ", " #crm ", " #op2                \
                         :                                                                 \
                         : "r"(value)                                                      \
                         : "memory");                                                      \
    }

CP15_READ32(SCTLR, 0, c1, c0, 0)
CP15_WRITE32(SCTLR, 0, c1, c0, 0)
CP15_WRITE32(TTBR0, 0, c2, c0, 0)
CP15_WRITE32(TTBCR, 0, c2, c0, 2)
CP15_WRITE32(DACR, 0, c3, c0, 0)
CP15_READ32(DFSR, 0, c5, c0, 0)
CP15_READ32(IFSR, 0, c5, c0, 1)
CP15_READ32(DFAR, 0, c6, c0, 0)
CP15_READ32(IFAR, 0, c6, c0, 2)
CP15_WRITE32(ICIALLU, 0, c7, c5, 0)
CP15_WRITE32(BPIALL, 0, c7, c5, 6)
CP15_WRITE32(TLBIALL, 0, c8, c7, 0)
CP15_READ32(CNTFRQ, 0, c14, c0, 0)
CP15_WRITE32(CNTV_CTL, 0, c14, c3, 1)

static inline void isb(void)
{
    __asm__ volatile("isb" : : : "memory");
}

static inline void dsb(void)
{
    __asm__ volatile("dsb" : : : "memory");
}

static inline uint64_t CNTVCT_read(void)
{
    uint64_t value;

    isb(); /* or the counter may be read ahead of earlier instructions */
    __asm__ volatile("mrrc p15, 1, %Q0, %R0, c14" : "=r"(value) : : "memory");
    return value;
}

static inline void CNTV_CVAL_write(uint64_t value)
{
    __asm__ volatile("mcrr p15, 3, %Q0, %R0, c14" : : "r"(value) : "memory");
}

#endif
