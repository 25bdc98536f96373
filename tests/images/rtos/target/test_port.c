/* SPDX-License-Identifier: MIT */
/* The ARM port: contexts, interrupts, the tick against the counter. Needs the target. */
#include "platform.h"

#include "cp15.h"

#define CPSR_MODE 0x1fu
#define CPSR_SVC 0x13u
#define CPSR_I 0x80u
#define CPSR_T 0x20u

/* ---- VFP ------------------------------------------------------------------------------------ */

struct vfp {
    uint64_t d[32];
    uint32_t fpscr;
};

/* This file is built for soft float: between these two calls only the kernel could touch VFP. */
static void vfp_load(const struct vfp *v)
{
    __asm__ volatile(".fpu neon-vfpv4\n\t"
                     "mov r1, %0\n\t"
                     "vldmia r1!, {d0-d15}\n\t"
                     "vldmia r1!, {d16-d31}\n\t"
                     "ldr r1, [r1]\n\t"
                     "vmsr fpscr, r1"
                     :
                     : "r"(v)
                     : "r1", "memory");
}

static void vfp_store(struct vfp *v)
{
    __asm__ volatile(".fpu neon-vfpv4\n\t"
                     "mov r1, %0\n\t"
                     "vstmia r1!, {d0-d15}\n\t"
                     "vstmia r1!, {d16-d31}\n\t"
                     "vmrs r2, fpscr\n\t"
                     "str r2, [r1]"
                     :
                     : "r"(v)
                     : "r1", "r2", "memory");
}

static void vfp_pattern(struct vfp *v, uint32_t seed)
{
    for (uint32_t i = 0; i < 32u; i++) {
        v->d[i] = (uint64_t)(seed << 16 | i) << 32 | (~seed << 16 | (i + 100u));
    }
    v->fpscr = (seed & 3u) << 22; /* rounding mode */
}

static void vfp_check(const struct vfp *want)
{
    struct vfp got;

    vfp_store(&got);
    for (uint32_t i = 0; i < 32u; i++) {
        CHECK_EQ(got.d[i] >> 32, want->d[i] >> 32);
        CHECK_EQ((uint32_t)got.d[i], (uint32_t)want->d[i]);
    }
    CHECK_EQ(got.fpscr, want->fpscr);
}

static volatile INT32U vfp_rounds[4];

static void vfp_task(void *p)
{
    uint32_t seed = *(uint32_t *)p;

    for (;;) {
        struct vfp mine;

        vfp_pattern(&mine, seed + 4u * vfp_rounds[seed]);
        vfp_load(&mine);
        OSTimeDly(1u + seed % 2u); /* a switch that the task asks for */
        vfp_check(&mine);
        vfp_rounds[seed]++;
    }
}

TEST(port_vfp_is_kept_over_switches)
{
    static uint32_t seeds[3] = {1, 2, 3};
    struct vfp mine;

    for (uint32_t i = 0; i < 3u; i++) {
        vfp_rounds[i + 1u] = 0;
        t_task((INT8U)(10u + i), vfp_task, &seeds[i]);
    }
    vfp_pattern(&mine, 77);
    vfp_load(&mine);
    plat_burn(20); /* switches by interrupts only, for this task */
    vfp_check(&mine);
    for (uint32_t i = 1; i <= 3u; i++) {
        CHECK(vfp_rounds[i] >= 9u);
    }
}

static void vfp_is_zero(void *p)
{
    struct vfp zero = {{0}, 0};

    (void)p;
    vfp_check(&zero);
    t_mark('z');
}

TEST(port_vfp_of_a_new_task_is_zero)
{
    struct vfp mine;

    vfp_pattern(&mine, 5);
    vfp_load(&mine);
    t_task(10, vfp_is_zero, (void *)0);
    CHECK_MARKS("z");
    vfp_check(&mine);
}

/* ---- core registers ------------------------------------------------------------------------- */

/*
 * Fills r0-r10, r12 and lr, turns for a while, and returns how many of them changed.
 * A tick that wakes a higher task switches this one away in the middle of it.
 */
static uint32_t __attribute__((naked, noinline))
core_registers(INT32U turns __attribute__((unused)))
{
    __asm__ volatile("push {r4-r11, lr}\n\t"
                     "mov r11, r0\n\t"
                     "mov r0, #0x10\n\t mov r1, #0x11\n\t mov r2, #0x12\n\t mov r3, #0x13\n\t"
                     "mov r4, #0x14\n\t mov r5, #0x15\n\t mov r6, #0x16\n\t mov r7, #0x17\n\t"
                     "mov r8, #0x18\n\t mov r9, #0x19\n\t mov r10, #0x1a\n\t mov r12, #0x1c\n\t"
                     "mov lr, #0x1e\n"
                     "1: subs r11, r11, #1\n\t"
                     "bne 1b\n\t"
                     "cmp r0, #0x10\n\t addne r11, r11, #1\n\t"
                     "cmp r1, #0x11\n\t addne r11, r11, #1\n\t"
                     "cmp r2, #0x12\n\t addne r11, r11, #1\n\t"
                     "cmp r3, #0x13\n\t addne r11, r11, #1\n\t"
                     "cmp r4, #0x14\n\t addne r11, r11, #1\n\t"
                     "cmp r5, #0x15\n\t addne r11, r11, #1\n\t"
                     "cmp r6, #0x16\n\t addne r11, r11, #1\n\t"
                     "cmp r7, #0x17\n\t addne r11, r11, #1\n\t"
                     "cmp r8, #0x18\n\t addne r11, r11, #1\n\t"
                     "cmp r9, #0x19\n\t addne r11, r11, #1\n\t"
                     "cmp r10, #0x1a\n\t addne r11, r11, #1\n\t"
                     "cmp r12, #0x1c\n\t addne r11, r11, #1\n\t"
                     "cmp lr, #0x1e\n\t addne r11, r11, #1\n\t"
                     "mov r0, r11\n\t"
                     "pop {r4-r11, pc}");
}

static void disturb(void *p)
{
    (void)p;
    for (;;) {
        __asm__ volatile("mvn r0, #0\n\t mvn r1, #1\n\t mvn r2, #2\n\t mvn r3, #3\n\t"
                         "mvn r4, #4\n\t mvn r5, #5\n\t mvn r6, #6\n\t mvn r8, #8\n\t"
                         "mvn r9, #9\n\t mvn r10, #10\n\t mvn r12, #12\n\t mvn lr, #14"
                         :
                         :
                         : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "lr",
                           "cc");
        OSTimeDly(1);
    }
}

TEST(port_core_registers_are_kept_over_preemption)
{
    INT32U switches;

    t_task(10, disturb, (void *)0);
    switches = OSCtxSwCtr;
    CHECK_EQ(core_registers(2000000), 0); /* several ticks long */
    CHECK(OSCtxSwCtr - switches >= 4u);
}

TEST(port_flags_are_kept_over_an_interrupt)
{
    t_task(10, disturb, (void *)0);
    for (uint32_t flags = 0; flags < 16u; flags++) {
        uint32_t turns = 400000;
        uint32_t after;

        /* Nothing in the loop changes N, Z, C, V. r3 counts down through addition only. */
        __asm__ volatile("msr cpsr_f, %2\n"
                         "1: sub %1, %1, #1\n\t"
                         "mvn r3, %1, asr #31\n\t" /* -1 while it is not negative */
                         "add r3, r3, #1\n\t"      /* 0 while it goes on, 1 at the end */
                         "add pc, pc, r3, lsl #2\n\t"
                         "nop\n\t"
                         "b 1b\n\t"
                         "mrs %0, cpsr"
                         : "=&r"(after), "+r"(turns)
                         : "r"(flags << 28)
                         : "r3", "cc");
        CHECK_EQ(after >> 28, flags);
    }
}

/* ---- the frame ------------------------------------------------------------------------------ */

static OS_STK *entry_sp;
static void *entry_arg;
static uint32_t entry_cpsr;

static void entry_seen(uint32_t arg, uint32_t sp, uint32_t cpsr)
{
    entry_arg = (void *)arg;
    entry_sp = (OS_STK *)sp;
    entry_cpsr = cpsr;
}

static void __attribute__((naked)) entry_probe(void *p __attribute__((unused)))
{
    __asm__ volatile("mov r1, sp\n\t"
                     "mrs r2, cpsr\n\t"
                     "push {r4, lr}\n\t"
                     "bl %c0\n\t"
                     "pop {r4, pc}"
                     :
                     : "i"(entry_seen));
}

TEST(port_a_task_starts_with_a_full_aligned_stack)
{
    OS_STK *stack = t_stack();
    int arg;

    /* Odd sizes too: the port aligns the first frame, not the caller. */
    for (INT32U words = T_STK_WORDS; words > T_STK_WORDS - 2u; words--) {
        CHECK_EQ(OSTaskCreate(entry_probe, &arg, &stack[words - 1u], 10), OS_ERR_NONE);
        CHECK_PTR(entry_arg, &arg);
        CHECK_EQ((uint32_t)entry_sp & 7u, 0); /* AAPCS */
        CHECK(entry_sp <= &stack[words]);
        CHECK(entry_sp >= &stack[words - 2u]); /* nothing of the frame is left behind */
        CHECK_EQ(entry_cpsr & CPSR_MODE, CPSR_SVC);
        CHECK_EQ(entry_cpsr & CPSR_I, 0);
        CHECK_EQ(OSTaskDel(10), OS_ERR_TASK_NOT_EXIST); /* its return deleted it */
    }
}

static void sleep_long(void *p)
{
    (void)p;
    OSTimeDly(1000);
}

/* The frame that a debugger or a tracer reads: see port/os_cpu_a.S. Offsets in words. */
#define FRAME_R0 66u
#define FRAME_LR 79u
#define FRAME_PC 80u
#define FRAME_CPSR 81u
#define FRAME_WORDS 82u

TEST(port_first_frame)
{
    OS_STK *stack = t_stack();
    OS_STK *frame;
    int arg;

    CHECK_EQ(OSTaskCreate(sleep_long, &arg, &stack[T_STK_WORDS - 1u], 30), OS_ERR_NONE);
    frame = OSTCBPrioTbl[30]->OSTCBStkPtr;
    CHECK_PTR(frame, &stack[T_STK_WORDS - FRAME_WORDS]);
    CHECK_EQ(frame[FRAME_R0], (uint32_t)&arg);
    CHECK_EQ(frame[FRAME_LR], (uint32_t)OS_TaskReturn);
    CHECK_EQ(frame[FRAME_PC], (uint32_t)sleep_long);
    CHECK_EQ(frame[FRAME_CPSR] & (CPSR_MODE | CPSR_I | CPSR_T), CPSR_SVC);
}

extern const char spin_here[];

static void spin(void *p)
{
    (void)p;
    __asm__ volatile("mov r4, #0x44\n\t"
                     "mov r12, #0xcc\n\t"
                     "mov lr, #0xee\n\t"
                     ".global spin_here\n"
                     "spin_here: b spin_here" ::
                         : "r4", "r12", "lr");
}

TEST(port_frame_of_a_preempted_task)
{
    OS_STK *frame;

    t_task(30, spin, (void *)0);
    OSTimeDly(2);
    frame = OSTCBPrioTbl[30]->OSTCBStkPtr;
    CHECK_EQ(frame[FRAME_R0 + 4u], 0x44);
    CHECK_EQ(frame[FRAME_R0 + 12u], 0xcc);
    CHECK_EQ(frame[FRAME_LR], 0xee);
    CHECK_EQ(frame[FRAME_PC], (uint32_t)spin_here);
    CHECK_EQ(frame[FRAME_CPSR] & (CPSR_MODE | CPSR_I | CPSR_T), CPSR_SVC);
}

static void __attribute__((target("thumb"), noinline)) thumb_task(void *p)
{
    uint32_t cpsr_t;

    (void)p;
    /* In Thumb state pc reads 4 ahead, in ARM state 8: the address of 1 plus 4 or not. */
    __asm__ volatile(".balign 4\n"
                     "1: mov %0, pc\n\t"
                     "adr r3, 1b\n\t"
                     "subs %0, %0, r3"
                     : "=l"(cpsr_t)
                     :
                     : "r3", "cc");
    CHECK_EQ(cpsr_t, 4);
    plat_burn(3);
    OSTimeDly(1);
    t_mark('t');
}

TEST(port_thumb_task)
{
    t_task(10, thumb_task, (void *)0);
    OSTimeDly(5);
    CHECK_MARKS("t");
}

/* ---- interrupts ----------------------------------------------------------------------------- */

static OS_EVENT *sem;
static uint32_t isr_sp;

static void sp_seen(uint32_t sp)
{
    isr_sp = sp;
}

static void __attribute__((naked)) isr_read_sp(void)
{
    __asm__ volatile("mov r0, sp\n\t"
                     "push {r4, lr}\n\t"
                     "bl %c0\n\t"
                     "pop {r4, pc}"
                     :
                     : "i"(sp_seen));
}

TEST(port_interrupt_stack_is_aligned)
{
    isr_sp = 1;
    plat_isr(isr_read_sp);
    CHECK_EQ(isr_sp & 7u, 0);
}

static void serve_other(void)
{
    CHECK_EQ(OSSemPost(sem), OS_ERR_NONE);
    t_mark('2');
}

static void raise_other(void)
{
    t_mark('1');
    plat_raise(SGI_OTHER); /* becomes pending while this one is served */
    t_mark('-');
}

static void wait_for_sem(void *p)
{
    INT8U err;

    (void)p;
    for (;;) {
        OSSemPend(sem, 0, &err);
        t_mark('w');
    }
}

TEST(port_interrupt_during_an_interrupt_waits)
{
    sem = OSSemCreate(0);
    gic_enable(SGI_OTHER, serve_other);
    t_task(10, wait_for_sem, (void *)0);
    plat_isr(raise_other);
    t_mark('m');
    CHECK_MARKS("1-2wm");
    CHECK_EQ(OSIntNesting, 0);
}

static void burn_in_isr(void)
{
    plat_burn(4);
}

TEST(port_ticks_during_a_long_interrupt_are_not_lost)
{
    INT32U start = OSTimeGet();

    plat_isr(burn_in_isr);
    CHECK_EQ(OSTimeGet() - start, 4);
}

TEST(port_ticks_during_a_critical_section_are_not_lost)
{
    OS_CPU_SR cpu_sr;
    INT32U start = OSTimeGet();

    OS_ENTER_CRITICAL();
    plat_burn(6);
    CHECK_EQ(OSTime - start, 0); /* really masked */
    OS_EXIT_CRITICAL();
    isb();
    for (uint32_t i = 0; i < 100u; i++) { /* the level comes back after each tick served */
        isb();
    }
    CHECK_EQ(OSTimeGet() - start, 6);
}

TEST(port_exclusive_access_does_not_survive_a_switch)
{
    static uint32_t word;
    uint32_t failed;

    sem = OSSemCreate(0);
    gic_enable(SGI_OTHER, serve_other);
    t_task(10, wait_for_sem, (void *)0);
    __asm__ volatile("ldrex r3, [%1]\n\t"
                     "strex %0, r3, [%1]"
                     : "=&r"(failed)
                     : "r"(&word)
                     : "r3", "memory");
    CHECK_EQ(failed, 0);
    __asm__ volatile("ldrex r3, [%1]\n\t"
                     "str %3, [%2]\n\t" /* the interrupt, and in it a switch to and fro */
                     "dsb\n\t"
                     "isb\n\t"
                     "nop\n\t"
                     "strex %0, r3, [%1]"
                     : "=&r"(failed)
                     : "r"(&word), "r"(GICD_PA + 0xf00u), "r"(2u << 24 | SGI_OTHER)
                     : "r3", "memory");
    CHECK_MARKS("2w");
    CHECK_EQ(failed, 1);
}

/* ---- time ----------------------------------------------------------------------------------- */

TEST(port_tick_agrees_with_the_counter)
{
    INT32U per_tick = CNTFRQ_read() / OS_TICKS_PER_SEC;
    INT32U slack = per_tick / 20u; /* of one tick, over ten thousand: nothing adds up */
    uint64_t start = CNTVCT_read();

    for (INT32U n = 1; n <= 10000u; n += n) {
        uint32_t got;
        uint32_t want = n * per_tick;
        uint64_t now;

        OSTimeDly(n);
        now = CNTVCT_read();
        got = (uint32_t)(now - start);
        start = now;
        CHECK(got > want - slack);
        CHECK(got < want + slack);
    }
}

TEST(port_cycles_of_a_task_are_counted)
{
    OS_TCB *tcb = OSTCBCur;
    INT32U per_tick = CNTFRQ_read() / OS_TICKS_PER_SEC;
    INT32U before;
    INT32U spent;

    OSTimeDly(1);
    before = tcb->OSTCBCyclesTot;
    plat_burn(50);
    OSTimeDly(50); /* not this task's time */
    spent = tcb->OSTCBCyclesTot - before;
    CHECK(spent > 50u * per_tick);
    CHECK(spent < 51u * per_tick);
}

const struct t_case port_cases[] = {
    CASE(port_vfp_is_kept_over_switches),
    CASE(port_vfp_of_a_new_task_is_zero),
    CASE(port_core_registers_are_kept_over_preemption),
    CASE(port_flags_are_kept_over_an_interrupt),
    CASE(port_a_task_starts_with_a_full_aligned_stack),
    CASE(port_first_frame),
    CASE(port_frame_of_a_preempted_task),
    CASE(port_thumb_task),
    CASE(port_interrupt_stack_is_aligned),
    CASE(port_interrupt_during_an_interrupt_waits),
    CASE(port_ticks_during_a_long_interrupt_are_not_lost),
    CASE(port_ticks_during_a_critical_section_are_not_lost),
    CASE(port_exclusive_access_does_not_survive_a_switch),
    CASE(port_tick_agrees_with_the_counter),
    CASE(port_cycles_of_a_task_are_counted),
    CASES_END,
};
