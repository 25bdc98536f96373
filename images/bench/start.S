/* SPDX-License-Identifier: MIT */
/* Entry, vectors and the one interrupt handler of the bench guest. */
    .syntax unified
    .arch_extension virt
    .section .text.start, "ax"
    .global _start
_start:
    cps     #0x12
    ldr     sp, =irq_stack_top
    cps     #0x13
    ldr     sp, =stack_top
    ldr     r0, =vectors
    mcr     p15, 0, r0, c12, c0, 0      @ VBAR
    isb
    bl      bench
1:  wfi
    b       1b

    .balign 32
vectors:
    b       .
    b       fault
    b       .
    b       fault
    b       fault
    b       .
    b       irq
    b       .

    /* The virtual timer: acknowledge, switch it off, end of interrupt. */
irq:
    push    {r0-r3}
    ldr     r0, =0x08010000
    ldr     r1, [r0, #0x0c]             @ GICC_IAR
    mov     r2, #0
    mcr     p15, 0, r2, c14, c3, 1      @ CNTV_CTL
    isb
    str     r1, [r0, #0x10]             @ GICC_EOIR
    ldr     r2, =interrupts
    ldr     r3, [r2]
    add     r3, r3, #1
    str     r3, [r2]
    pop     {r0-r3}
    subs    pc, lr, #4

fault:
    mov     r0, lr
    ldr     sp, =stack_top
    bl      bench_fault
    b       .

    .global call
    .type   call, %function
call:
    hvc     #0
    bx      lr
    .size   call, . - call
    .section .note.GNU-stack, "", %progbits
