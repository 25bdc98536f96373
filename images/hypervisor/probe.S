/* SPDX-License-Identifier: MIT */
/*
 * HVC of a guest with an immediate: which probe it is, and the way of what it has displaced. What is to
 * be recorded is recorded first (record.S). Then there are
 *
 *   short ways: moves of constants and barriers here, loads and stores in access.S;
 *   general: the other classes in Supervisor and IRQ mode, a function of emulate.c each;
 *   long_way: all that is left, and all that turns out not to be so simple.
 *
 * In: as in probe.inc, and r1 = the immediate, below 8192; r7 and r8 are found here.
 */
    .include "probe.inc"

    .equ VCPU_PC, 76
    .equ VCPU_CPSR, 80
    .equ VCPU_PROBE_KEY, 84
    .equ CORE_PROBES, 8
    .equ CORE_RESCHED, 53
    .equ PROBE_KEY, 8                   @ state, vm
    .equ PROBE_FLAGS, 10                @ and class
    .equ PROBE_NEXT, 44
    .equ PROBE_RD, 84
    .equ PROBE_COND, 96
    .equ T32, 2                         @ N after a shift by 30, RECORD is C
    .equ RECORD, 4
    .equ CONDITIONAL, 16
    .equ OUTCOME_BRANCH, 1
    .equ MODE, 0x1f
    .equ CPSR_IT, 0x0600fc00

    .text
    .global guest_probe, dispatch, thumb, conditional
    .type   guest_probe, %function
guest_probe:
    ldr     r7, [r3, #CORE_PROBES]
    add     r7, r7, r1, lsl #7

    @ Armed, in this VM, and at this address?
    ldrh    r12, [r7, #PROBE_KEY]
    ldr     r2, [r0, #VCPU_PROBE_KEY]
    ldr     r6, [r7, #PROBE_NEXT]
    cmp     r12, r2
    cmpeq   r6, r4
    ldrh    r8, [r7, #PROBE_FLAGS]
    bne     no_probe

    tst     r8, #T32 | RECORD | CONDITIONAL
    bne     special
dispatch:
    add     pc, pc, r8, lsr #6          @ 4 * class: the flags are below
    nop
    b       general                     @ EMULATE_NONE
    b       barrier
    .rept   10
    b       general
    .endr
    b       access_load
    b       access_store
    b       access_load_dual
    b       access_store_dual
    b       access_load_multiple
    b       access_store_multiple
    .rept   4
    b       general
    .endr
    b       move

special:
    lsls    r2, r8, #30
    bcs     probe_record                @ it tells of what is before, and goes on here
    bmi     thumb
conditional:
    ldrb    r2, [r7, #PROBE_COND]
    msr     cpsr_f, r5
    add     pc, pc, r2, lsl #3
    nop
    .irp    cond, eq, ne, cs, cc, mi, pl, vs, vc, hi, ls, ge, lt, gt, le
    b\cond  dispatch
    b       count_hit
    .endr

thumb:
    ldr     r2, =CPSR_IT
    tst     r5, r2
    tsteq   r8, #CONDITIONAL
    beq     dispatch
    tst     r5, r2
    beq     conditional
    b       long_way                    @ in an IT block: that has to go on

    @ Move a constant to one of r0 to r7.
move:
    ldrb    r2, [r7, #PROBE_RD]
    ldr     r6, [r7, #PROBE_VALUE]
    str     r6, [r0, r2, lsl #2]
count_hit:
    count
    go_on

barrier:
    dsb
    b       count_hit

    @ A function of emulate.c for the class, with sp and lr where it finds them.
general:
    and     r2, r5, #MODE
    banked_in
    sub     r4, r4, #4
    strd    r4, r5, [r0, #VCPU_PC]
    ldr     sp, [r3]                    @ core.stack_top
    add     r1, r7, #PROBE_OPERAND
    count
    add     r2, r4, #8
    str     r2, [r0, #VCPU_PC_OPERAND]
    ldr     r2, =emulations
    ldr     r2, [r2, r8, lsr #6]
    mov     r6, r0
    mov     r9, r3
    blx     r2
    ldrb    r3, [r9, #CORE_RESCHED]
    ldr     r8, [r6, #VCPU_CPSR]
    cmp     r0, #OUTCOME_BRANCH
    addlo   r4, r4, #4
    ldrhs   r4, [r6, #VCPU_PC]
    banked_out r6                       @ an exception is taken to another mode
    cmp     r3, #0
    bne     reschedule
    mov     sp, r6
    msr     elr_hyp, r4
    msr     spsr_cxsf, r8
    go_on

reschedule:
    str     r4, [r6, #VCPU_PC]
    bl      schedule
    b       enter_guest

    .global long_way
long_way:
    mrs     r4, elr_hyp
    sub     r4, r4, #4
    strd    r4, r5, [r0, #VCPU_PC]
    ldr     sp, [r3]
    mov     r1, r7
    mov     r2, r3
    mov     r4, r0
    mov     r5, r3
    bl      trace_hit                   @ vCPU, probe, core
    mov     r0, r4
    ldrb    r3, [r5, #CORE_RESCHED]
    cmp     r3, #0
    beq     enter_guest
    bl      schedule
    b       enter_guest

no_probe:
    cmp     r1, #0
    beq     guest_call                  @ HVC #0 is the calling convention's
    strd    r4, r5, [r0, #VCPU_PC]
    ldr     sp, [r3]
    bl      trace_hvc
    b       enter_guest
    .ltorg
    .size   guest_probe, . - guest_probe
    .section .note.GNU-stack, "", %progbits
