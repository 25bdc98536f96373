/* SPDX-License-Identifier: MIT */
/*
 * Vectors and context switches. A task that does not run has this frame on its stack, lowest
 * address first, at OSTCBStkPtr (os_cpu_c.c builds the first one):
 *
 *   FPSCR, 0, d0-d31, r0-r12, lr, pc, cpsr
 *
 * An interrupt pushes only the part from r0 on; OSIntCtxSw adds the rest when another task is
 * to run, so that a tick that wakes nobody does not touch VFP.
 */
    .syntax unified
    .arch armv7-a
    .fpu neon-vfpv4

    .equ MODE_IRQ, 0x12
    .equ MODE_SVC, 0x13

    /* struct os_cpu_fault */
    .equ FAULT_SP, 52
    .equ FAULT_PC, 60
    .equ FAULT_VECTOR, 68
    .equ FAULT_BYTES, 72

    .macro save_vfp                         /* clobbers r0, r1 */
    vpush   {d16-d31}
    vpush   {d0-d15}
    vmrs    r0, fpscr
    mov     r1, #0
    push    {r0, r1}
    .endm

    .macro restore_vfp                      /* clobbers r0, r1 */
    pop     {r0, r1}
    vmsr    fpscr, r0
    vpop    {d0-d15}
    vpop    {d16-d31}
    .endm

    .macro save_sp                          /* OSTCBCur->OSTCBStkPtr = sp; clobbers r0 */
    ldr     r0, =OSTCBCur
    ldr     r0, [r0]
    str     sp, [r0]
    .endm

    .text

    .global OSStartHighRdy
    .type OSStartHighRdy, %function
OSStartHighRdy:
    cpsid   i
    bl      OSTaskSwHook
    ldr     r0, =OSRunning
    mov     r1, #1
    strb    r1, [r0]
    b       switch_in
    .size OSStartHighRdy, . - OSStartHighRdy

    .global OSCtxSw
    .type OSCtxSw, %function
OSCtxSw:
    mrs     r12, cpsr
    bfi     r12, lr, #5, #1                 /* T: a caller in Thumb code goes on there */
    str     r12, [sp, #-4]!
    str     lr, [sp, #-4]!
    push    {r0-r12, lr}
    save_vfp
    save_sp
    bl      OSTaskSwHook
    b       switch_in
    .size OSCtxSw, . - OSCtxSw

    /* In IRQ mode, called by OSIntExit(); what the handler left on its stack is dropped. */
    .global OSIntCtxSw
    .type OSIntCtxSw, %function
OSIntCtxSw:
    bl      OSTaskSwHook
    ldr     sp, =irq_stack_top
    cps     #MODE_SVC
    save_vfp
    save_sp
    b       switch_in
    .size OSIntCtxSw, . - OSIntCtxSw

    .type switch_in, %function
switch_in:
    ldr     r0, =OSPrioHighRdy
    ldrb    r1, [r0]
    ldr     r0, =OSPrioCur
    strb    r1, [r0]
    ldr     r0, =OSTCBHighRdy
    ldr     r1, [r0]
    ldr     r0, =OSTCBCur
    str     r1, [r0]
    ldr     sp, [r1]
    clrex                                   /* an exclusive access of the other task ends here */
    restore_vfp
    pop     {r0-r12, lr}
    rfeia   sp!
    .size switch_in, . - switch_in

    .type irq_entry, %function
irq_entry:
    sub     lr, lr, #4
    srsdb   sp!, #MODE_SVC
    cps     #MODE_SVC
    push    {r0-r12, lr}
    cps     #MODE_IRQ
    bl      OS_CPU_IRQHandler
    cps     #MODE_SVC
    clrex
    pop     {r0-r12, lr}
    rfeia   sp!
    .size irq_entry, . - irq_entry

    /*
     * Fills in a struct os_cpu_fault and hands it over. `lr_offset`: from the banked lr to the
     * instruction that faulted (DDI 0406C, table B1-7). `own_bytes`: what the entry itself has
     * put on the task's stack, when it runs on that.
     */
    .macro fault name, vector, lr_offset, own_bytes
    .type \name, %function
\name:
    sub     sp, sp, #FAULT_BYTES
    stm     sp, {r0-r12}
    sub     r1, lr, #\lr_offset
    mrs     r2, spsr
    mov     r3, #\vector
    add     r0, sp, #FAULT_PC
    stm     r0, {r1-r3}
    mov     r0, sp
    mrs     r3, cpsr
    cps     #MODE_SVC
    add     r1, sp, #\own_bytes
    mov     r2, lr
    msr     cpsr_c, r3
    add     r3, r0, #FAULT_SP
    stm     r3, {r1, r2}
    bic     sp, sp, #7
    bl      OS_CPU_FaultHandler
    .size \name, . - \name
    .endm

    fault   reset_entry, 0x00, 0, FAULT_BYTES
    fault   undefined_entry, 0x04, 4, 0
    fault   svc_entry, 0x08, 4, FAULT_BYTES
    fault   prefetch_abort_entry, 0x0c, 4, 0
    fault   data_abort_entry, 0x10, 8, 0
    fault   unused_entry, 0x14, 4, 0
    fault   fiq_entry, 0x1c, 4, 0

    .balign 32
    .global os_cpu_vectors
    .type os_cpu_vectors, %function
os_cpu_vectors:
    b       reset_entry
    b       undefined_entry
    b       svc_entry
    b       prefetch_abort_entry
    b       data_abort_entry
    b       unused_entry
    b       irq_entry
    b       fiq_entry
    .size os_cpu_vectors, . - os_cpu_vectors
