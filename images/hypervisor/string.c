/* SPDX-License-Identifier: MIT */
/* The functions that the compilers may call by themselves; the last one clang. */
#include "hypervisor.h"

void *memcpy(void *to, const void *from, size_t bytes)
{
    uint8_t *d = to;
    const uint8_t *s = from;

    if ((((uintptr_t)d | (uintptr_t)s) & 3) == 0) {
        for (; bytes >= 32; bytes -= 32)
            __asm__ volatile("ldmia %0!, {r3-r6, r8-r10, r12}\n stmia %1!, {r3-r6, r8-r10, r12}"
                             : "+r"(s), "+r"(d)::"r3", "r4", "r5", "r6", "r8", "r9", "r10",
                               "r12", "memory");
        for (; bytes >= 4; bytes -= 4, d += 4, s += 4)
            *(volatile uint32_t *)d = *(const uint32_t *)s;
    }
    for (; bytes; bytes--)
        *(volatile uint8_t *)d++ = *s++;
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    uint8_t *d = to;
    uint32_t word = (uint8_t)value * 0x01010101u;

    if (((uintptr_t)d & 3) == 0)
        for (; bytes >= 4; bytes -= 4, d += 4)
            *(volatile uint32_t *)d = word;
    for (; bytes; bytes--)
        *(volatile uint8_t *)d++ = (uint8_t)value;
    return to;
}

void __aeabi_memclr4(void *to, size_t bytes)
{
    memset(to, 0, bytes);
}
