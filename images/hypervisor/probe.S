/* SPDX-License-Identifier: MIT */
/*
 * HVC of a guest with an immediate: which probe it is, and a short way for the probes there are most
 * of, at the entry of a function that begins with a push, the move of a constant or a barrier. What is
 * to be recorded is recorded first (record.S). Other probes, and any push that is not quite so simple,
 * go the long way through trace.c and emulate.c, which can do all of it: nothing else has changed by
 * then.
 *
 * In: r0 = vCPU, its registers stored in it, r1 = the immediate, below 8192, r3 = core, r4 = pc,
 * r5 = cpsr.
 * The offsets are asserted in trace.c.
 */
    .syntax unified
    .arch_extension virt
    .arm

    .equ VCPU_VM, 64
    .equ VM_PROBE_KEY, 8
    .equ VM_RAM_IPA, 12
    .equ VM_RAM_BYTES, 16
    .equ VM_RAM_PA, 20
    .equ CORE_ID, 4
    .equ CORE_PROBES, 8
    .equ PROBE_KEY, 8                   @ state, vm, flags, emulation
    .equ PROBE_HITS, 48
    .equ PROBE_OPERAND, 80              @ cond, op, flags, shift
    .equ PROBE_RD, 84
    .equ PROBE_EXTRA, 92
    .equ EMULATE_PUSH, 24               @ and the others, up to 27
    .equ EMULATE_AL, 14
    .equ RECORD, 4
    .equ BOUNDED, 8
    .equ LINK, 8 << 16
    .equ IN_IRQ, 1 << 7                 @ a bit of cond that is free
    .equ CPSR_E, 1 << 9
    .equ VCPU_PC, 56
    .equ CORE_RESCHED, 53
    .equ PROBE_VALUE, 88
    .equ EMULATE_NOP, 1
    .equ EMULATE_MOVE, 28

    .text
    .global guest_probe
    .type   guest_probe, %function
guest_probe:
    ldr     r7, [r3, #CORE_PROBES]
    add     r7, r7, r1, lsl #7
    sub     r4, r4, #4

    @ Armed, in this VM, and at this address?
    ldr     r8, [r7, #PROBE_KEY]
    ldr     r9, [r0, #VCPU_VM]
    ldr     r2, [r9, #VM_PROBE_KEY]
    ldr     r6, [r7]
    uxth    r12, r8
    cmp     r12, r2
    cmpeq   r6, r4
    bne     no_probe

    @ A push of A32 code: no flags. The record comes first, it tells of what is before.
    lsr     r8, r8, #16
    tst     r8, #RECORD
    bne     probe_record
    .global probe_recorded
probe_recorded:
    bic     r8, r8, #RECORD | BOUNDED
    cmp     r8, #EMULATE_MOVE << 8
    beq     move
    bic     r2, r8, #3 << 8
    cmp     r2, #EMULATE_PUSH << 8
    bne     no_push

    @ Unconditional, little-endian, A32 in Supervisor mode, or in IRQ mode: IN_IRQ.
    ldr     r6, [r7, #PROBE_OPERAND]
    uxtb    r2, r6
    cmp     r2, #EMULATE_AL
    lsl     r2, r5, #26
    bne     long_way
    cmp     r2, #0x13 << 26
    bne     irq_mode
    mrs     r8, sp_svc
stack_found:
    tst     r5, #CPSR_E
    bne     long_way

    @ The frame is aligned and in one page: r10 = its start, the new sp.
    ldr     r11, [r7, #PROBE_EXTRA]
    add     r10, r8, r11, asr #16
    sub     r8, r8, #1
    eor     r8, r8, r10
    tst     r10, #3
    lsrseq  r8, r8, #12
    bne     long_way

    @ Its domain has access (guest_memory.c says why it must be looked at before).
    mrc     p15, 0, r2, c2, c0, 2       @ TTBCR
    cmp     r2, #0
    bne     long_descriptors
    mrc     p15, 0, r2, c2, c0, 0       @ TTBR0
    ldr     r8, [r9, #VM_RAM_IPA]
    bfc     r2, #0, #14
    lsr     r12, r10, #20
    sub     r2, r2, r8
    ldrd    r8, r9, [r9, #VM_RAM_BYTES]
    add     r2, r2, r12, lsl #2
    cmp     r2, r8
    bhs     long_way
    ldr     r2, [r2, r9]
    mrc     p15, 0, r8, c3, c0, 0       @ DACR
    ubfx    r12, r2, #5, #4
    tst     r2, #2
    tstne   r2, #1 << 18
    bne     long_way                    @ a supersection has no domain
    lsl     r12, r12, #1
    lsr     r8, r8, r12
    tst     r8, #1
    beq     long_way

walk:
    mrrc    p15, 0, r2, r8, c7          @ the guest's PAR
    mcr     p15, 0, r10, c7, c8, 5      @ ATS12NSOPW
    isb
    mrrc    p15, 0, r12, lr, c7
    mcrr    p15, 0, r2, r8, c7
    tst     r12, #1
    bne     long_way
    bfi     r12, r10, #0, #12

    @ Nothing can fail any more.
    ldr     r2, [r3, #CORE_ID]
    ldrb    r5, [r7, #PROBE_RD]
    add     r7, r7, r2, lsl #2
    ldr     r2, [r7, #PROBE_HITS]
    add     r8, r0, r5, lsl #2          @ the first register in the vCPU
    add     r2, r2, #1
    str     r2, [r7, #PROBE_HITS]
    lsr     r2, r6, #24
    add     pc, pc, r2, lsl #4
    nop
rows:
    .macro  row next, regs:vararg
    ldm     r8, {\regs}
    stm     r12!, {\regs}
    b       \next
    nop
    .endm
    .macro  rows next
    row     \next, r1
    row     \next, r1, r2
    row     \next, r1, r2, r3
    row     \next, r1, r2, r3, r5
    row     \next, r1, r2, r3, r5, r7
    row     \next, r1, r2, r3, r5, r7, r8
    row     \next, r1, r2, r3, r5, r7, r8, r9
    row     \next, r1, r2, r3, r5, r7, r8, r9, r11
    row     \next, r1, r2, r3, r5, r7, r8, r9, r11, lr
    .endm
    b       1f
    nop
    nop
    nop
    rows    1f
    rows    second_row
second_row:
    ubfx    r2, r6, #8, #4              @ its first register, and how many
    add     r8, r0, r2, lsl #2
    ubfx    r2, r6, #12, #4
    add     r2, pc, r2, lsl #4
    sub     pc, r2, #. + 4 - rows
1:  tst     r6, #IN_IRQ
    bne     irq_mode_end
    tst     r6, #LINK
    mrsne   r2, lr_svc
    strne   r2, [r12]
    msr     sp_svc, r10
finish:
    add     r4, r4, #4
    mov     sp, r0
    msr     elr_hyp, r4
    clrex
    pop     {r0-r12, lr}
    eret

irq_mode:
    cmp     r2, #0x12 << 26
    bne     long_way
    mrs     r8, sp_irq
    orr     r6, r6, #IN_IRQ
    b       stack_found

irq_mode_end:
    tst     r6, #LINK
    mrsne   r2, lr_irq
    strne   r2, [r12]
    msr     sp_irq, r10
    b       finish

long_descriptors:
    cmp     r2, #0
    bmi     walk                        @ TTBCR.EAE

no_push:
    cmp     r8, #EMULATE_NOP << 8
    bne     long_way
    dsb
    b       count_hit

    @ Move a constant to one of r0 to r7.
move:
    ldrb    r2, [r7, #PROBE_RD]
    ldr     r6, [r7, #PROBE_VALUE]
    str     r6, [r0, r2, lsl #2]
count_hit:
    ldr     r2, [r3, #CORE_ID]
    add     r7, r7, r2, lsl #2
    ldr     r2, [r7, #PROBE_HITS]
    add     r2, r2, #1
    str     r2, [r7, #PROBE_HITS]
    b       finish

long_way:
    mov     r1, r7
    mov     r2, r4
    mov     r4, r0
    mov     r5, r3
    bl      trace_hit                   @ vCPU, probe, pc, core
    ldrb    r3, [r5, #CORE_RESCHED]
    cmp     r3, #0
    bne     1f
    ldrd    r2, r3, [r4, #VCPU_PC]
    mov     sp, r4
    msr     elr_hyp, r2
    msr     spsr_cxsf, r3
    clrex
    pop     {r0-r12, lr}
    eret
1:  bl      schedule
    b       enter_guest

no_probe:
    bl      trace_hvc
    b       enter_guest
    .size   guest_probe, . - guest_probe
    .section .note.GNU-stack, "", %progbits
