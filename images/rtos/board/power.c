/* SPDX-License-Identifier: MIT */
/* Power off by PSCI (DEN 0022), whose conduit is HVC on the board and in a guest. */
#include "board.h"

#include "../../abi/hypercall.h"

void power_off(void)
{
    register uint32_t r0 __asm__("r0") = PSCI_SYSTEM_OFF;

    __asm__ volatile(".arch_extension virt\n\thvc #0" : "+r"(r0) : : "r1", "r2", "r3", "memory");
    for (;;) { /* nobody is there to do it */
        __asm__ volatile("wfi");
    }
}
