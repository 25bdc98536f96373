/* SPDX-License-Identifier: MIT */
/*
 * A hit made a record, the short way: the guest is in Supervisor or IRQ mode, the probe has no bounds,
 * the ring has room. The program of its fetches (trace.h, struct trace_op) runs here as long as all that
 * it asks for is there, in memory that plain translations lead to; else, and for all that is not so
 * simple, trace.c does the whole of it. Both give the same record: fetch.h is what it must be.
 *
 * Entered from probe.S: r0 = vCPU, r1 = the HVC's immediate, r3 = core, r4 = pc + 4, r5 = cpsr,
 * r7 = probe, r8 = its flags and class. All of these but r1 are the same afterwards.
 * The offsets are asserted in trace.c.
 */
    .syntax unified
    .arch_extension virt
    .arm

    .equ VCPU_PC, 76
    .equ VCPU_CPSR, 80
    .equ VCPU_RAM_IPA, 88
    .equ VCPU_RAM_BYTES, 92             @ and ram_pa
    .equ VCPU_INDEX, 100                @ and the first word of its records
    .equ VCPU_WITH, 108                 @ SCTLR, TTBR0, DACR
    .equ VCPU_SECTIONS, 120             @ number, entry_pa, entry, pa; twice
    .equ SLOT_BYTES, 16
    .equ VCPU_PAGE, 152                 @ start, reach, pa
    .equ CORE_RING, 16                  @ and its room, 0 while records are lost
    .equ PROBE_FLAGS, 10
    .equ PROBE_PROGRAM, 12              @ and the words that it writes
    .equ T32, 2
    .equ BOUNDED, 8
    .equ CONDITIONAL, 16
    .equ RING_HEAD, 64
    .equ RING_TAIL, 128
    .equ RING_HEADER_BYTES, 4096
    .equ RING_BITS, 14
    .equ MAX_EXTENT, 256
    .equ SECTION_REACH, 0xff << 12      @ 1 MiB, less MAX_EXTENT and what no constant can say
    .equ SECTION_MASK, 0x40403          @ kind, AP[0], supersection; guest_memory.c has it, too
    .equ SVC, 0x13
    .equ IRQ, 0x12
    .equ SVC_NOT_IRQ, 1                 @ a bit of cpsr
    .equ REG_SP, 13
    .equ REG_LR, 14
    .equ REG_CPSR, 16
    .equ REG_TPIDRURO_BIT, 2 << 16      @ of 17 and 18, in an operation
    .equ OF_VALUE, 32 << 24             @ a bit of its code that REGISTER has not

    .text
    .global probe_record
    .type   probe_record, %function
probe_record:
    tst     r8, #BOUNDED
    bne     record_long
    ldrd    r10, r11, [r3, #CORE_RING]
    ldrd    r8, r9, [r10, #RING_HEAD]
    ldr     r2, [r10, #RING_TAIL]
    sub     r2, r8, r2
    cmp     r2, r11
    bhs     record_long
    ubfx    r12, r8, #0, #RING_BITS
    add     r12, r10, r12, lsl #7
    add     r12, r12, #RING_HEADER_BYTES

    mrrc    p15, 0, r2, r6, c14         @ CNTPCT, in steps of 16 ns
    ldrd    r10, r11, [r0, #VCPU_INDEX]
    lsl     r6, r6, #4
    orr     r6, r6, r2, lsr #28
    lsl     r2, r2, #4
    stm     r12!, {r2, r6, r8, r9, r11} @ time_ns, seq, kind and where
    and     r2, r5, #0x1f
    cmp     r2, #SVC
    bne     irq_mode
    mrs     r6, lr_svc
    mrs     r8, sp_svc
banked_known:
    sub     r2, r4, #4
    mov     r9, r5
    stm     r12!, {r1, r2, r6, r8, r9}  @ id, pc, lr, sp, cpsr
    ldrd    r2, r3, [r7, #PROBE_PROGRAM]
    mvn     r8, #0
    mov     r6, #0
    orr     r10, r10, r3, lsl #8
    mvn     r3, r8, lsl r3
    stm     r12!, {r3, r6, r10}         @ valid, cost, vcpu and words

    @ r10 = operation, r12 = next word; lr = p, r1 = where it is. What was looked up last: r3 = its
    @ start, at r11; a p less than r6 bytes behind it has all that is in reach there. In the vCPU: the
    @ same three of the page looked up last. None of them yet. There is no stack: sp = operations.
    mov     r10, r2
    str     r6, [r0, #VCPU_PAGE + 4]
    adr     sp, operations

    .macro  next
    ldrd    r8, r9, [r10], #8           @ extent, register, code; value
    add     pc, sp, r8, lsr #21
    .endm

    @ Where p points to, and all that is read from there.
    .macro  point
    sub     r2, lr, r3
    cmp     r2, r6
    bhs     look_up
    add     r1, r11, r2
    .endm

    next

    .macro  operation
    .balign 64
    .endm

    .macro  recorded
    tst     r8, #T32 | CONDITIONAL
    beq     dispatch
    tst     r8, #T32
    bne     thumb
    b       conditional
    .endm

    .balign 64
operations:
    @ END
commit:
    mrc     p15, 4, r3, c13, c0, 2      @ HTPIDR
    ldr     r10, [r3, #CORE_RING]
    dmb
    ldrd    r8, r9, [r10, #RING_HEAD]
    adds    r8, r8, #1
    adc     r9, r9, #0
    strd    r8, r9, [r10, #RING_HEAD]
    ldrh    r8, [r7, #PROBE_FLAGS]
    mov     sp, r0
    recorded

    operation                           @ SET
    mov     lr, r9
    point
    next

    operation                           @ REGISTER
    ubfx    r2, r8, #16, #5
    cmp     r2, #REG_SP
    bhs     banked
    ldr     r2, [r0, r2, lsl #2]
to_pointer:
    add     lr, r2, r9
    point
    next

    operation                           @ LOAD
    ldr     lr, [r1, r9]
    point
    next

    operation                           @ ADD
    add     lr, lr, r9
    point
    next

    operation                           @ VALUE
    ubfx    r2, r8, #16, #5
    cmp     r2, #REG_SP
    bhs     banked
    ldr     r2, [r0, r2, lsl #2]
to_value:
    add     r2, r2, r9
    str     r2, [r12], #4
    next

    operation                           @ POINTER
    ldr     lr, [r1, r9]
    str     lr, [r12], #4
    point
    next

    operation                           @ U8
    ldrb    r2, [r1, r9]
    str     r2, [r12], #4
    next

    operation                           @ U16
    ldrh    r2, [r1, r9]
    str     r2, [r12], #4
    next

    operation                           @ U32
    ldr     r2, [r1, r9]
    str     r2, [r12], #4
    next

    operation                           @ U64, not aligned, perhaps
    add     r9, r1, r9
    ldr     r2, [r9]
    ldr     r8, [r9, #4]
    stm     r12!, {r2, r8}
    next

    operation                           @ STRING
    uxth    r8, r8
    tst     r8, #3
    add     r9, r1, r9
    bne     program_long
1:  ldr     r2, [r9], #4
    subs    r8, r8, #4
    str     r2, [r12], #4
    bhi     1b
    next

    operation                           @ NAME
    add     r9, r1, r9
    ldr     r2, [r9]
    ldr     r8, [r9, #4]
    stm     r12!, {r2, r8}
    ldr     r2, [r9, #8]
    ldr     r8, [r9, #12]
    stm     r12!, {r2, r8}
    next

irq_mode:
    cmp     r2, #IRQ
    bne     record_long
    mrs     r6, lr_irq
    mrs     r8, sp_irq
    b       banked_known

    @ A register that is not in the vCPU, or is there under another number.
banked:
    cmp     r2, #REG_LR
    bhi     2f
    tst     r5, #SVC_NOT_IRQ
    beq     3f
    cmp     r2, #REG_LR
    mrslo   r2, sp_svc
    mrseq   r2, lr_svc
    b       1f
3:  cmp     r2, #REG_LR
    mrslo   r2, sp_irq
    mrseq   r2, lr_irq
    b       1f
2:  cmp     r2, #REG_CPSR
    sublo   r2, r4, #4
    moveq   r2, r5
    bls     1f
    tst     r8, #REG_TPIDRURO_BIT
    mrcne   p15, 0, r2, c13, c0, 3
    moveq   r2, #0
1:  tst     r8, #OF_VALUE
    bne     to_value
    b       to_pointer

    @ Finds the memory behind p = lr: a section that an earlier hit has looked up, if all that it hung
    @ on is as it was then; the page looked up last; a section that PL1 may read; or else what the MMU
    @ says. The MMU must not be asked about a domain without access (guest_memory.c says why).
look_up:
    tst     lr, #1 << 20
    addeq   r2, r0, #VCPU_SECTIONS
    addne   r2, r0, #VCPU_SECTIONS + SLOT_BYTES
    cmp     r6, #0
    beq     compare_registers           @ once a record: nothing has been looked up yet
registers_compared:
    ldm     r2, {r3, r8, r9, r11}       @ number, entry_pa, entry, pa
    cmp     r3, lr, lsr #20
    ldreq   r8, [r8]
    cmpeq   r8, r9
    bne     last_page
    lsl     r3, r3, #20
    mov     r6, #SECTION_REACH
looked_up:
    sub     r2, lr, r3
    cmp     r2, r6
    addlo   r1, r11, r2
    bhs     at_its_end
    next

at_its_end:
    ldrh    r8, [r10, #-8]
    cmp     r6, #SECTION_REACH
    moveq   r9, #1 << 20
    movne   r9, #1 << 12
    add     r1, r11, r2
    add     r8, r2, r8
    cmp     r8, r9
    bhi     program_long                @ it goes on in another one
    next

compare_registers:
    mrc     p15, 0, r3, c2, c0, 2       @ TTBCR
    mrc     p15, 0, r6, c1, c0, 0       @ SCTLR
    mrc     p15, 0, r8, c2, c0, 0       @ TTBR0
    mrc     p15, 0, r9, c3, c0, 0       @ DACR
    cmp     r3, #0
    add     r11, r0, #VCPU_WITH
    ldm     r11, {r1, r3, r11}
    cmpeq   r1, r6
    cmpeq   r3, r8
    cmpeq   r11, r9
    beq     registers_compared
    add     r11, r0, #VCPU_WITH
    mvn     r3, #0                      @ no section has this number
    stm     r11, {r6, r8, r9}
    str     r3, [r0, #VCPU_SECTIONS]
    str     r3, [r0, #VCPU_SECTIONS + SLOT_BYTES]
    b       registers_compared

last_page:
    add     r3, r0, #VCPU_PAGE
    ldm     r3, {r3, r6, r11}
    sub     r2, lr, r3
    cmp     r2, r6
    bhs     walk
    add     r1, r11, r2
    next

walk:
    mrc     p15, 0, r2, c2, c0, 2       @ TTBCR
    mrc     p15, 0, r6, c1, c0, 0       @ SCTLR
    cmp     r2, #0
    bne     other_tables
    tst     r6, #1
    beq     walk_page
    mrc     p15, 0, r2, c2, c0, 0       @ TTBR0
    ldr     r3, [r0, #VCPU_RAM_IPA]
    ldrd    r8, r9, [r0, #VCPU_RAM_BYTES]
    bfc     r2, #0, #14
    lsr     r6, lr, #20
    sub     r2, r2, r3
    add     r2, r2, r6, lsl #2
    cmp     r2, r8
    bhs     program_long
    add     r6, r2, r9
    ldr     r2, [r6]
    mrc     p15, 0, r11, c3, c0, 0      @ DACR
    ubfx    r1, r2, #4, #5
    orr     r1, r1, #1
    lsrs    r11, r11, r1                @ the carry: bit 2 * domain
    ldr     r11, =SECTION_MASK
    bcc     program_long
    and     r1, r2, r11
    sub     r1, r1, #2
    teq     r1, #1 << 10
    bne     no_section
    lsr     r1, r2, #20
    rsb     r11, r3, r1, lsl #20
    cmp     r11, r8                     @ RAM is a multiple of it
    bhs     program_long
    add     r11, r11, r9
    lsr     r1, lr, #20
    tst     r1, #1
    addeq   r3, r0, #VCPU_SECTIONS
    addne   r3, r0, #VCPU_SECTIONS + SLOT_BYTES
    mov     r9, r2
    stm     r3, {r1, r6, r9, r11}
    lsl     r3, r1, #20
    mov     r6, #SECTION_REACH
    b       looked_up

no_section:
    tst     r2, #2
    tstne   r2, #1 << 18
    bne     program_long                @ a supersection has no domain
walk_page:
    mrrc    p15, 0, r2, r3, c7          @ the guest's PAR
    mcr     p15, 0, lr, c7, c8, 4       @ ATS12NSOPR
    isb
    mrrc    p15, 0, r11, r6, c7
    mcrr    p15, 0, r2, r3, c7
    tst     r11, #1
    bne     program_long
    bfc     r11, #0, #12
    ldrd    r8, r9, [r0, #VCPU_RAM_BYTES]
    lsr     r3, lr, #12
    sub     r9, r11, r9
    lsl     r3, r3, #12
    cmp     r9, r8
    bhs     program_long
    mov     r6, #(1 << 12) - MAX_EXTENT
    add     r2, r0, #VCPU_PAGE
    stm     r2, {r3, r6, r11}
    b       looked_up

other_tables:
    bmi     walk_page                   @ TTBCR.EAE
    b       program_long

    @ The record is begun; its fetches go the long way.
program_long:
    mrc     p15, 4, r3, c13, c0, 2      @ HTPIDR
    ldr     sp, [r3]                    @ core.stack_top
    ldr     r2, [r3, #CORE_RING]
    ldr     r8, [r2, #RING_HEAD]
    sub     r1, r4, #4
    str     r1, [r0, #VCPU_PC]
    str     r5, [r0, #VCPU_CPSR]
    ubfx    r8, r8, #0, #RING_BITS
    add     r2, r2, r8, lsl #7
    add     r2, r2, #RING_HEADER_BYTES
    mov     r6, r0
    mov     r1, r7
    bl      trace_fetch                 @ vCPU, probe, record
    mov     r0, r6
    b       commit

record_long:
    ldr     sp, [r3]
    sub     r2, r4, #4
    str     r2, [r0, #VCPU_PC]
    str     r5, [r0, #VCPU_CPSR]
    mov     r10, r0
    mov     r11, r3
    mov     r1, r7
    mov     r2, r3
    bl      trace_record                @ vCPU, probe, core
    mov     r0, r10
    mov     r3, r11
    ldrh    r8, [r7, #PROBE_FLAGS]
    mov     sp, r0
    recorded
    .ltorg
    .size   probe_record, . - probe_record
    .section .note.GNU-stack, "", %progbits
