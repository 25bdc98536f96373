/* SPDX-License-Identifier: MIT */
/*
 * The short ways of loads and stores that a probe has displaced: of a guest in Supervisor or IRQ mode,
 * little-endian, aligned, in one page of memory that is there. What turns out to be otherwise goes the
 * long way: nothing has changed by then but r4 and the copies of sp and lr in the vCPU.
 *
 * A new form: emulate_memory.c first, which does all of them; here only if it is frequent.
 */
    .include "probe.inc"

    .equ VCPU_RAM_IPA, 88
    .equ VCPU_RAM_BYTES, 92             @ and ram_pa
    .equ REG_PC, 16
    .equ PROBE_EXTRA, 92
    .equ INDEXED, 1 << 16
    .equ ONE_BY_ONE, 1 << 16
    .equ MOVES_BASE, 2 << 16
    .equ LINK, 8 << 16                  @ bit 19; LOADS_PC is bit 18
    .equ PRE, 16 << 16
    .equ WRITEBACK, 32 << 16
    .equ SUBTRACT, 64 << 16
    .equ UNPRIVILEGED, 128 << 16
    .equ MODE_E, 0x21f
    .equ READ, 4                        @ opc2 of ATS12NSOPR and ATS12NSOPW
    .equ WRITE, 5

    .text
    @ r10, r11 = operand, if an access can be as simple as it has to be here.
    .macro  memory_begin
    movw    r2, #MODE_E
    and     r2, r2, r5
    banked_in
    ldrd    r10, r11, [r7, #PROBE_OPERAND]
    .endm

    @ Where a load or store goes: r1, and r6 = what is written back to the base, number r4.
    .macro  address
    ldrd    r8, r9, [r7, #PROBE_VALUE]
    tst     r10, #INDEXED | UNPRIVILEGED
    blne    index
    ubfx    r4, r11, #8, #8             @ rn
    ldr     r1, [r0, r4, lsl #2]
    add     r6, r1, r8
    tst     r10, #PRE
    movne   r1, r6
    tst     r1, r9
    bne     long_way                    @ not aligned
    .endm

    @ r12 = where r1 is. Its domain has to have access (guest_memory.c says why it is looked at before).
    .macro  translate how
    mrc     p15, 0, r2, c2, c0, 2       @ TTBCR
    cmp     r2, #0
    bne     8f
    mrc     p15, 0, r2, c2, c0, 0       @ TTBR0
    ldr     r12, [r0, #VCPU_RAM_IPA]
    ldrd    r8, r9, [r0, #VCPU_RAM_BYTES]
    bfc     r2, #0, #14
    sub     r2, r2, r12
    lsr     r12, r1, #20
    add     r2, r2, r12, lsl #2
    cmp     r2, r8
    bhs     7f
    ldr     r2, [r2, r9]
    mrc     p15, 0, r8, c3, c0, 0       @ DACR
    tst     r2, #2
    tstne   r2, #1 << 18
    bne     long_way                    @ a supersection has no domain
    ubfx    r12, r2, #4, #5
    orr     r12, r12, #1
    lsrs    r8, r8, r12                 @ the carry: bit 2 * domain
    bcc     long_way
9:  mrrc    p15, 0, r2, r8, c7          @ the guest's PAR
    mcr     p15, 0, r1, c7, c8, \how
    isb
    mrrc    p15, 0, r12, lr, c7
    mcrr    p15, 0, r2, r8, c7
    tst     r12, #1
    bne     long_way
    bfi     r12, r1, #0, #12
    .subsection 1
8:  bmi     9b                          @ TTBCR.EAE
    b       long_way
7:  mrc     p15, 0, r2, c1, c0, 0       @ SCTLR
    tst     r2, #1
    beq     9b                          @ there are no tables
    b       long_way
    .previous
    .endm

    .macro  write_back flag=WRITEBACK
    tst     r10, #\flag
    strne   r6, [r0, r4, lsl #2]
    .endm

    @ The guest goes on at r2: bit 0 is the instruction set.
    .macro  branch_to_r2
    bfi     r5, r2, #5, #1
    bic     r2, r2, #1
    msr     spsr_c, r5
    msr     elr_hyp, r2
    .endm

    .macro  end
    count
    go_on
    .endm

    .global access_load
access_load:
    memory_begin
    address
    translate READ
    ubfx    r8, r10, #8, #8             @ op: enum access
    add     pc, pc, r8, lsl #3
    nop
    .irp    size, , b, h, sb, sh
    ldr\size r2, [r12]
    b       1f
    .endr
1:  write_back
    uxtb    r8, r11
    cmp     r8, #REG_PC
    str     r2, [r0, r8, lsl #2]
    beq     2f
    banked_out
    end
2:  banked_out
    branch_to_r2
    count
    go_on

    .global access_store
access_store:
    memory_begin
    add     r2, r4, #4
    str     r2, [r0, #VCPU_PC_OPERAND]
    address
    translate WRITE
    uxtb    r2, r11
    ubfx    r8, r10, #8, #8
    ldr     r2, [r0, r2, lsl #2]
    add     pc, pc, r8, lsl #3
    nop
    .irp    size, , b, h
    str\size r2, [r12]
    b       1f
    .endr
1:  write_back
    banked_out
    end

    .macro  both_in_page
    lsl     r2, r1, #20
    cmn     r2, #4 << 20
    bcs     long_way
    .endm

    .global access_load_dual
access_load_dual:
    memory_begin
    address
    both_in_page
    translate READ
    ldm     r12, {r1, r2}
    write_back
    uxtb    r8, r11
    lsr     r11, r11, #24
    str     r1, [r0, r8, lsl #2]
    str     r2, [r0, r11, lsl #2]
    banked_out
    end

    .global access_store_dual
access_store_dual:
    memory_begin
    address
    both_in_page
    translate WRITE
    uxtb    r8, r11
    lsr     r9, r11, #24
    ldr     r1, [r0, r8, lsl #2]
    ldr     r2, [r0, r9, lsl #2]
    stm     r12, {r1, r2}
    write_back
    banked_out
    end

    @ r8 = rm shifted by r8, and its sign: a row of code for each.
index:
    add     r2, r4, #4
    str     r2, [r0, #VCPU_PC_OPERAND]
    ubfx    r2, r11, #16, #8
    lsr     r1, r10, #22                @ shift, UNPRIVILEGED, SUBTRACT
    ldr     r2, [r0, r2, lsl #2]
    add     pc, pc, r1, lsl #4
    nop
    .macro  unprivileged
    .rept   2
    b       long_way
    nop
    nop
    nop
    .endr
    .endm
    .macro  index_rows kind
    \kind   r8, r2, r8
    bx      lr
    nop
    nop
    \kind   r8, r2, r8
    rsb     r8, r8, #0
    bx      lr
    nop
    unprivileged
    .endm
    .irp    kind, lsl, lsr, asr, ror
    index_rows \kind
    .endr
    msr     cpsr_f, r5
    rrx     r8, r2
    bx      lr
    nop
    msr     cpsr_f, r5
    rrx     r8, r2
    rsb     r8, r8, #0
    bx      lr
    unprivileged

    @ Several registers. Nothing is left that can fail when they begin, and all but r0, r5, r8, r10
    @ and r12 are for them.
    .macro  multiple how
    memory_begin
    ldr     r6, [r7, #PROBE_EXTRA]
    ubfx    r4, r11, #8, #8             @ rn
    ldr     r8, [r0, r4, lsl #2]
    sxtah   r1, r8, r6
    add     r6, r8, r6, asr #16
    add     r12, r1, r11, lsr #24       @ ra
    eor     r12, r12, r1
    tst     r1, #3
    tsteq   r10, #ONE_BY_ONE
    lsrseq  r12, r12, #12
    bne     long_way
    translate \how
    write_back MOVES_BASE
    count   r2, r9
    uxtab   r8, r0, r11                 @ rd
    add     pc, pc, r10, lsr #20        @ 16 * shift: the flags above bit 19 are not those of a list
    nop
    .endm

    @ 1 to 9 registers, 16 bytes of code each.
    .macro  rows next
    row     \next, r1
    row     \next, r1, r2
    row     \next, r1, r2, r3
    row     \next, r1, r2, r3, r4
    row     \next, r1, r2, r3, r4, r6
    row     \next, r1, r2, r3, r4, r6, r7
    row     \next, r1, r2, r3, r4, r6, r7, r9
    row     \next, r1, r2, r3, r4, r6, r7, r9, r11
    row     \next, r1, r2, r3, r4, r6, r7, r9, r11, lr
    .endm

    .macro  next_row bit, next
    .if \bit
    ubfx    r2, r10, #\bit, #4
    .else
    and     r2, r10, #15
    .endif
    ubfx    r1, r10, #\bit + 4, #4
    add     r8, r0, r2, lsl #2
    add     pc, pc, r1, lsl #4
    nop
    .rept   4
    nop
    .endr
    rows    \next
    .endm

    @ No row or one; the first of two; the first of three; or each register by itself, as bits tell.
    .macro  list
    b       9f
    nop
    nop
    nop
    rows    9f
    rows    6f
    rows    5f
    ldr     r9, [r7, #PROBE_VALUE]
    mov     r6, #1 << 31
    ubfx    r9, r9, #0, #13
    rbit    r9, r9
4:  clz     r2, r9
    single
    bics    r9, r9, r6, lsr r2
    bne     4b
    b       9f
5:  next_row 8, 7f
6:  next_row 8, 9f
7:  next_row 0, 9f
    .endm

    .global access_load_multiple
access_load_multiple:
    .macro  row next, regs:vararg
    ldm     r12!, {\regs}
    stm     r8, {\regs}
    b       \next
    nop
    .endm
    .macro  single
    ldr     r1, [r12], #4
    str     r1, [r0, r2, lsl #2]
    .endm
    multiple READ
    list
9:  lsls    r2, r10, #13                @ C: LINK, N: LOADS_PC
    ldrcs   r2, [r12], #4
    strcs   r2, [r0, #VCPU_LR]
    bmi     1f
    banked_out
    go_on
1:  ldr     r2, [r12]
    banked_out
    branch_to_r2
    go_on

    .purgem row
    .purgem single
    .global access_store_multiple
access_store_multiple:
    .macro  row next, regs:vararg
    ldm     r8, {\regs}
    stm     r12!, {\regs}
    b       \next
    nop
    .endm
    .macro  single
    ldr     r1, [r0, r2, lsl #2]
    str     r1, [r12], #4
    .endm
    multiple WRITE
    list
9:  tst     r10, #LINK
    ldrne   r2, [r0, #VCPU_LR]
    strne   r2, [r12]
    banked_out
    go_on
    .section .note.GNU-stack, "", %progbits
