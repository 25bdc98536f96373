/* SPDX-License-Identifier: MIT */
/*
 * From reset to main(): a stack for each mode, vectors, zeroed .bss, VFP, MMU. Entered in SVC mode
 * with the MMU off, by an emulator's loader or as a guest.
 */
    .syntax unified
    .arch armv7-a
    .fpu neon-vfpv4

    .equ MODE_FIQ, 0x11
    .equ MODE_IRQ, 0x12
    .equ MODE_SVC, 0x13
    .equ MODE_ABT, 0x17
    .equ MODE_UND, 0x1b

    .section .text.start, "ax"
    .global _start
    .type _start, %function
_start:
    cpsid   if, #MODE_IRQ
    ldr     sp, =irq_stack_top
    cpsid   if, #MODE_FIQ
    ldr     sp, =fault_stack_top
    cpsid   if, #MODE_ABT
    ldr     sp, =fault_stack_top
    cpsid   if, #MODE_UND
    ldr     sp, =fault_stack_top
    cpsid   if, #MODE_SVC
    ldr     sp, =main_stack_top

    ldr     r0, =os_cpu_vectors
    mcr     p15, 0, r0, c12, c0, 0          /* VBAR */

    ldr     r0, =__bss_start
    ldr     r1, =__bss_end
    mov     r2, #0
1:  cmp     r0, r1
    strlo   r2, [r0], #4
    blo     1b

    mrc     p15, 0, r0, c1, c0, 2           /* CPACR: CP10 and CP11, full access */
    orr     r0, r0, #0xf << 20
    mcr     p15, 0, r0, c1, c0, 2
    isb
    mov     r0, #1 << 30                    /* FPEXC.EN */
    vmsr    fpexc, r0
    mov     r0, #0
    vmsr    fpscr, r0

    bl      mmu_init
    bl      main
2:  wfi                                     /* main() does not return */
    b       2b
    .size _start, . - _start

    .section .bss.stacks, "aw", %nobits
    .balign 8
    .space 4096                             /* one interrupt at a time */
    .global irq_stack_top
irq_stack_top:
    .space 2048                             /* a fault ends everything: one for all modes */
fault_stack_top:
    .space 4096                             /* main(), until the first task runs */
main_stack_top:
