/* SPDX-License-Identifier: MIT */
/*
 * HVC of a guest with an immediate: which probe it is, and the way of what it has displaced. What is to
 * be recorded is recorded first (record.S). Then there are
 *
 *   short ways, here: moves of constants, barriers, loads and stores of a guest in Supervisor or IRQ
 *       mode, little-endian, aligned, in one page of memory that is there;
 *   general: the other classes in these modes, a function of emulate.c each;
 *   long_way: all that is left, and all that turns out not to be so simple. Nothing has changed by
 *       then but r4 and the copies of sp and lr in the vCPU.
 *
 * In: r0 = sp = vCPU, its general registers stored in it, r1 = the immediate, below 8192, r3 = core,
 * r4 = pc + 4, r5 = cpsr.
 * The offsets are asserted in trace.c.
 */
    .syntax unified
    .arch_extension virt
    .arm

    .equ VCPU_SP, 56                    @ and lr
    .equ VCPU_LR, 60
    .equ VCPU_PC_OPERAND, 64
    .equ VCPU_PC, 76
    .equ VCPU_CPSR, 80
    .equ VCPU_PROBE_KEY, 84
    .equ VCPU_RAM_IPA, 88
    .equ VCPU_RAM_BYTES, 92             @ and ram_pa
    .equ REG_PC, 16
    .equ CORE_ID, 4
    .equ CORE_PROBES, 8
    .equ CORE_RESCHED, 53
    .equ PROBE_KEY, 8                   @ state, vm
    .equ PROBE_FLAGS, 10                @ and class
    .equ PROBE_NEXT, 44
    .equ PROBE_HITS, 48
    .equ PROBE_OPERAND, 80              @ last, op, flags, shift; rd, rn, rm, ra
    .equ PROBE_RD, 84
    .equ PROBE_VALUE, 88                @ and extra
    .equ PROBE_EXTRA, 92
    .equ PROBE_COND, 96

    @ trace_probe.flags
    .equ T32, 2                         @ N and C after a shift by 30
    .equ RECORD, 4
    .equ CONDITIONAL, 16

    @ emulation_operand.flags, where they lie in its first word
    .equ INDEXED, 1 << 16
    .equ ONE_BY_ONE, 1 << 16
    .equ MOVES_BASE, 2 << 16
    .equ LINK, 8 << 16                  @ bit 19; LOADS_PC is bit 18
    .equ PRE, 16 << 16
    .equ WRITEBACK, 32 << 16
    .equ SUBTRACT, 64 << 16
    .equ UNPRIVILEGED, 128 << 16

    .equ OUTCOME_BRANCH, 1
    .equ MODE, 0x1f
    .equ MODE_E, 0x21f
    .equ SVC, 0x13
    .equ IRQ, 0x12
    .equ SVC_NOT_IRQ, 1                 @ a bit of cpsr
    .equ CPSR_IT, 0x0600fc00

    .equ READ, 4                        @ opc2 of ATS12NSOPR and ATS12NSOPW
    .equ WRITE, 5

    .text
    .global guest_probe
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
    b       load
    b       store
    b       load_dual
    b       store_dual
    b       load_multiple
    b       store_multiple
    .rept   4
    b       general
    .endr
    b       move

special:
    lsls    r2, r8, #30
    bcs     probe_record                @ it tells of what is before
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

    .global probe_recorded
probe_recorded:
    tst     r8, #T32 | CONDITIONAL
    beq     dispatch
    tst     r8, #T32
    beq     conditional
thumb:
    ldr     r2, =CPSR_IT
    tst     r5, r2
    bne     long_way                    @ in an IT block: that has to go on
    tst     r8, #CONDITIONAL
    beq     dispatch
    b       conditional

    @ Move a constant to one of r0 to r7.
move:
    ldrb    r2, [r7, #PROBE_RD]
    ldr     r6, [r7, #PROBE_VALUE]
    str     r6, [r0, r2, lsl #2]
    .macro  count n=r2, at=r6
    ldr     \n, [r3, #CORE_ID]
    add     \at, r7, \n, lsl #2
    ldr     \n, [\at, #PROBE_HITS]
    add     \n, \n, #1
    str     \n, [\at, #PROBE_HITS]
    .endm
    @ The guest goes on where ELR_hyp is: behind the HVC, if nobody has changed it.
    .macro  go_on
    clrex
    pop     {r0-r12, lr}
    eret
    .endm
count_hit:
    count
    go_on

barrier:
    dsb
    b       count_hit
    .ltorg

    @ The guest's sp and lr into the vCPU, if it is in Supervisor or IRQ mode.
    .macro  banked_in
    cmp     r2, #SVC
    bne     8f
    mrs     r10, sp_svc
    mrs     r11, lr_svc
9:  strd    r10, r11, [r0, #VCPU_SP]
    .subsection 1
8:  cmp     r2, #IRQ
    bne     long_way
    mrs     r10, sp_irq
    mrs     r11, lr_irq
    b       9b
    .previous
    .endm

    @ And back: r5 is as it was.
    .macro  banked_out vcpu=r0
    ldrd    r10, r11, [\vcpu, #VCPU_SP]
    tst     r5, #SVC_NOT_IRQ
    beq     8f
    msr     sp_svc, r10
    msr     lr_svc, r11
9:
    .subsection 1
8:  msr     sp_irq, r10
    msr     lr_irq, r11
    b       9b
    .previous
    .endm

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

load:
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

store:
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

load_dual:
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

store_dual:
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

load_multiple:
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
store_multiple:
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
