/* SPDX-License-Identifier: MIT */
/*
 * Start of each core, the Hyp vectors, and the way into and out of a guest.
 *
 * While a guest runs, SP_hyp points just behind vcpu->lr_usr. An exception pushes r0-r12 and lr
 * there, so that sp is the vCPU itself; only then the core's stack is taken. That makes a trap
 * cost eight instructions before C code runs.
 */
    .syntax unified
    .arch_extension virt
    .arch_extension sec
    .fpu    neon-vfpv4
    .arm

    .equ VCPU_PC, 76
    .equ VCPU_CPSR, 80
    .equ STACK_BYTES, 8192
    .equ TRACE_CONTROL, 0x41000000      @ struct trace_control, asserted in trace.c
    .equ TRACE_EVENTS, 12
    .equ TRACE_ENTRY_OR_EXIT, 0xc
    .equ HSR_HVC, 0x4a << 24            @ class 0x12, an instruction of 32 bits; its immediate is added
    .equ MAX_PROBES, 8192

    .section .text.entry, "ax"
    .global _start, secondary_start
_start:
    ldr     r0, =bss_start
    ldr     r1, =bss_end
    mov     r2, #0
    mov     r3, #0
1:  cmp     r0, r1
    strdlo  r2, r3, [r0], #8
    blo     1b
    mov     r0, #0
    b       common_start

    /* PSCI CPU_ON of the board: r0 = context id = core number. */
secondary_start:
common_start:
    cpsid   aif
    ldr     r1, =stacks
    add     r2, r0, #1
    mov     r3, #STACK_BYTES
    mla     sp, r2, r3, r1
    ldr     r1, =hyp_vectors
    mcr     p15, 4, r1, c12, c0, 0      @ HVBAR
    ldr     r1, =cores
    ldr     r2, =core_bytes
    ldr     r2, [r2]
    mla     r0, r0, r2, r1
    mov     r1, sp
    str     r1, [r0]                    @ core.stack_top
    mcr     p15, 4, r0, c13, c0, 2      @ HTPIDR
    isb
    b       core_main

    .balign 32
    .global hyp_vectors
hyp_vectors:
    b       .
    b       hyp_undefined
    b       hyp_call
    b       hyp_prefetch_abort
    b       hyp_data_abort
    b       guest_trap
    b       guest_irq
    b       hyp_fiq

    /* Afterwards: r0 = vCPU, its general registers stored in it, r3 = core, r4 = pc, r5 = cpsr. */
    .macro  leave_guest
    push    {r0-r12, lr}
    mov     r0, sp
    mrs     r4, elr_hyp
    mrs     r5, spsr
    mrc     p15, 4, r3, c13, c0, 2      @ HTPIDR
    .endm

    /* What C code needs besides: all of the vCPU, and a stack. */
    .macro  enter_c
    strd    r4, r5, [r0, #VCPU_PC]
    ldr     sp, [r3]                    @ core.stack_top
    .endm

    /* Are guest entries or exits recorded? The one test that the trace service costs a trap. */
    .macro  test_tracing
    mov     r1, #TRACE_CONTROL
    ldr     r1, [r1, #TRACE_EVENTS]
    tst     r1, #TRACE_ENTRY_OR_EXIT
    .endm

guest_irq:
    leave_guest
    enter_c
    test_tracing
    bne     1f
    bl      trap_irq
    b       enter_guest
1:  bl      trap_irq_traced
    b       enter_guest

guest_trap_traced:
    enter_c
    bl      trap_sync_traced
    b       enter_guest

guest_trap:
    leave_guest
    test_tracing
    bne     guest_trap_traced
    mrc     p15, 4, r1, c5, c2, 0       @ HSR
    sub     r1, r1, #HSR_HVC
    cmp     r1, #MAX_PROBES
    blo     guest_probe
    .global guest_call
guest_call:
    enter_c
    bl      trap_sync

    .global enter_guest
enter_guest:
    ldrd    r4, r5, [r0, #VCPU_PC]
    mov     sp, r0
    msr     elr_hyp, r4
    msr     spsr_cxsf, r5
    clrex
    pop     {r0-r12, lr}
    eret

    /* A fault of the hypervisor itself: report and end. */
    .macro  hyp_report name, text
\name:
    mrs     r1, elr_hyp
    mov     r2, lr
    mrc     p15, 4, r3, c13, c0, 2
    ldr     sp, [r3]
    adr     r0, 1f
    b       hyp_fault
1:  .asciz  "\text"
    .balign 4
    .endm
    hyp_report hyp_undefined, "undefined instruction"
    hyp_report hyp_call, "call in Hyp mode"
    hyp_report hyp_prefetch_abort, "prefetch abort"
    hyp_report hyp_data_abort, "data abort"
    hyp_report hyp_fiq, "FIQ"

    .text
    .global smc
    .type   smc, %function
smc:
    smc     #0
    bx      lr
    .size   smc, . - smc

    .global vfp_save, vfp_load
    .type   vfp_save, %function
vfp_save:
    vmrs    r2, fpexc
    mov     r3, #(1 << 30)
    vmsr    fpexc, r3
    vstmia  r0!, {d0-d15}
    vstmia  r0!, {d16-d31}
    vmrs    r1, fpscr
    str     r1, [r0]
    str     r2, [r0, #4]
    bx      lr
    .size   vfp_save, . - vfp_save
    .type   vfp_load, %function
vfp_load:
    mov     r3, #(1 << 30)
    vmsr    fpexc, r3
    vldmia  r0!, {d0-d15}
    vldmia  r0!, {d16-d31}
    ldr     r1, [r0]
    ldr     r2, [r0, #4]
    vmsr    fpscr, r1
    vmsr    fpexc, r2
    bx      lr
    .size   vfp_load, . - vfp_load

    .bss
    .balign 16
stacks:
    .space  8 * STACK_BYTES

    .section .note.GNU-stack, "", %progbits
