/* SPDX-License-Identifier: MIT */
/* Entry, vectors and the places of the guest that is probed; places.c says what it is for. */
    .syntax unified
    .arch_extension virt
    .section .text.start, "ax"
    .global _start
_start:
    mrc     p15, 0, r4, c0, c0, 5       @ MPIDR
    and     r4, r4, #3
    b       core_start

    /* PSCI CPU_ON: the context id is the vCPU's number. */
    .global second_start
second_start:
    mov     r4, r0
core_start:
    ldr     r1, =stacks_top
    sub     r1, r1, r4, lsl #12
    cps     #0x1b
    sub     sp, r1, #2048
    cps     #0x13
    mov     sp, r1
    ldr     r0, =vectors
    mcr     p15, 0, r0, c12, c0, 0      @ VBAR
    isb
    mov     r0, r4
    bl      run
1:  wfi
    b       1b

    .balign 32
vectors:
    b       .
    b       undefined
    b       .
    b       .
    b       .
    b       .
    b       .
    b       .

    /* An HVC that no hypervisor takes for a probe: count it and go on behind it. */
undefined:
    push    {r0-r1}
    mrc     p15, 0, r0, c0, c0, 5
    and     r0, r0, #3
    ldr     r1, =undefined_count
    add     r1, r1, r0, lsl #2
    ldr     r0, [r1]
    add     r0, r0, #1
    str     r0, [r1]
    pop     {r0-r1}
    movs    pc, lr

    .global call
    .type   call, %function
call:
    hvc     #0
    bx      lr
    .size   call, . - call

    /* A place is a function whose first instruction a test may put a probe on. */
    .macro  place name, insn:vararg
    .global \name
    .type   \name, %function
\name:
    \insn
    bx      lr
    .size   \name, . - \name
    .endm
    .balign 4
    place   place_0, nop
    place   place_1, mov r3, #7
    place   place_2, add r3, sp, #4
    place   place_3, cmp r0, r1
    place   place_4, orr r3, r0, r1, lsl #3
    place   place_5, movw r3, #0x1234
    place   place_6, mvn r3, r0
    place   place_7, ldr r3, [sp]
    .thumb
    .thumb_func
    place   place_8, mov.w r3, #0x10000
    .thumb_func
    place   place_9, add.w r3, r0, r1, lsl #2

    .ltorg
    /* Nobody comes here: for probes that are never hit. */
    .arm
    .balign 4
    .global never
    .type   never, %function
never:
    .rept   1000
    add     r3, r3, #1
    .endr
    bx      lr
    .size   never, . - never
    .section .note.GNU-stack, "", %progbits
