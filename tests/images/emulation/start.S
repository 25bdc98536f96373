/* SPDX-License-Identifier: MIT */
/*
 * Entry, vectors, and the way into and out of the instruction under test. It ends in an exception:
 * undefined behind it (the page of sites is full of UDF), or an abort of its own.
 *
 * r0 to r12 go through the block at `frame`.
 */
#include "guest.h"
    .syntax unified
    .arch_extension virt
    .arm
    .section .text.start, "ax"
    .global _start
_start:
    cps     #0x13
    ldr     sp, =stack_top
    ldr     r0, =vectors
    mcr     p15, 0, r0, c12, c0, 0      @ VBAR
    isb
    bl      guest_main
1:  wfi
    b       1b

    .balign 32
vectors:
    b       .
    b       undefined
    b       .
    b       prefetch_abort
    b       data_abort
    b       .
    b       .
    b       .

    @ Banked registers in the order of struct state; r7 walks through it. CPS is cheaper under TCG
    @ than MRS and MSR of banked registers, each of which ends a block of code.
    .macro  load_bank mode, saved=1
    cps     #\mode
    ldr     sp, [r7], #4
    ldr     lr, [r7], #4
    .if     \saved
    ldr     r4, [r7], #4
    msr     spsr_cxsf, r4
    .endif
    .endm
    .macro  store_bank mode, saved=1
    cps     #\mode
    str     sp, [r7], #4
    str     lr, [r7], #4
    .if     \saved
    mrs     r4, spsr
    str     r4, [r7], #4
    .endif
    .endm

    .global run
    .type   run, %function
run:
    push    {r4-r11, lr}
    ldr     r4, =saved_sp
    str     sp, [r4]
    ldr     r4, =saved_out
    str     r3, [r4]
    add     r7, r0, #4 * STATE_FIQ
    cps     #MODE_FIQ
    ldm     r7!, {r8-r12}
    load_bank MODE_SYS, 0
    load_bank MODE_SVC
    load_bank MODE_IRQ
    load_bank MODE_FIQ
    load_bank MODE_ABT
    load_bank MODE_UND
    ldm     r7, {r4-r6}
    mcr     p15, 0, r4, c13, c0, 2
    mcr     p15, 0, r5, c13, c0, 3
    mcr     p15, 0, r6, c13, c0, 4
    mov     r4, #0
    mcr     p15, 0, r4, c5, c0, 0       @ DFSR
    mcr     p15, 0, r4, c5, c0, 1       @ IFSR
    mcr     p15, 0, r4, c6, c0, 0       @ DFAR
    mcr     p15, 0, r4, c6, c0, 2       @ IFAR
    mcr     p15, 0, r4, c7, c5, 0       @ ICIALLU: the site may have been patched
    dsb
    isb

    @ From a mode that the instruction does not start in, whose sp is lost.
    .macro  goes_from mode
    cps     #\mode
    ldr     sp, =frame
    str     r1, [sp, #52]
    str     r2, [sp, #56]
    ldm     r0, {r0-r12}
    add     sp, sp, #52
    rfeia   sp
    .endm
    and     r4, r2, #0x1f
    cmp     r4, #MODE_UND
    beq     1f
    goes_from MODE_UND
1:  goes_from MODE_ABT

    @ NMRR is a place for sp: nothing else uses it.
    .macro  ends how
    mcr     p15, 0, sp, c10, c2, 1
    ldr     sp, =frame
    stm     sp, {r0-r12}
    mov     r0, #\how
    mov     r1, lr
    mrs     r2, spsr
    b       ended
    .endm
undefined:
    ends    END_UNDEFINED
prefetch_abort:
    ends    END_PREFETCH
data_abort:
    ends    END_DATA

ended:
    mrc     p15, 0, r3, c5, c0, 0
    mrc     p15, 0, r4, c6, c0, 0
    mrc     p15, 0, r5, c5, c0, 1
    mrc     p15, 0, r6, c6, c0, 2
    ldr     r7, =saved_out
    ldr     r7, [r7]
    add     r8, r7, #4 * STATE_END
    stm     r8!, {r0-r6}
    mrc     p15, 0, r0, c10, c2, 1
    str     r0, [r8]
    ldm     sp!, {r0-r6}
    stm     r7!, {r0-r6}
    ldm     sp, {r0-r5}
    stm     r7!, {r0-r5}
    cps     #MODE_FIQ
    stm     r7!, {r8-r12}
    store_bank MODE_SYS, 0
    store_bank MODE_SVC
    store_bank MODE_IRQ
    store_bank MODE_FIQ
    store_bank MODE_ABT
    store_bank MODE_UND
    mrc     p15, 0, r4, c13, c0, 2
    mrc     p15, 0, r5, c13, c0, 3
    mrc     p15, 0, r6, c13, c0, 4
    stm     r7, {r4-r6}
    cpsid   aif, #0x13
    ldr     r4, =saved_sp
    ldr     sp, [r4]
    pop     {r4-r11, pc}
    .size   run, . - run

    .bss
    .balign 64
frame:
    .space  64
saved_sp:
    .space  4
saved_out:
    .space  4

    .section .rodata
    .balign 8
    .global instances, instance_count, instance_states, instance_tables
instance_count:
    .word   (instances_end - instances) / 20
instance_states:
    .word   STATES
instance_tables:
    .word   TABLES
instances:
    .incbin INSTANCES
instances_end:
    .section .note.GNU-stack, "", %progbits
