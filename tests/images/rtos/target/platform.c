/* SPDX-License-Identifier: MIT */
/*
 * The harness on the target: real ticks, software generated interrupts, and a main() that runs
 * all cases one after the other. Each prints one line, "TEST name ok" or "TEST name FAIL ...";
 * after the last one comes "TESTS n FAILED m", and the machine is switched off.
 *
 * A case ends wherever it is, in a task or in an interrupt handler. The next one starts on main()'s
 * stack with interrupts masked, as after a reset, and initialises the kernel again.
 */
#include "platform.h"

#include "cp15.h"
#include "mmio.h"

#define GICD_SGIR 0xf00u
#define GICD_SGIR_SELF (2u << 24)
#define GICC_EOIR 0x010u

#define CALIBRATION_TURNS 200000u

static const struct t_case *const *suite = t_suites;
static const struct t_case *next = 0;
static uint32_t cases_run;
static uint32_t cases_failed;

static INT32U turns_per_tick; /* of burn_turns() */

static void (*isr_fn)(void);
static volatile uint32_t isr_served;
static volatile uint32_t isr_active; /* INTID + 1 of the one whose function runs; 0: none */

static uint32_t main_sp; /* of SVC mode, 8-byte aligned */

void next_case(void) __attribute__((noreturn));

static void burn_turns(INT32U turns)
{
    __asm__ volatile("1: subs %0, %0, #1\n\tbne 1b" : "+r"(turns) : : "cc");
}

void plat_burn(INT32U ticks)
{
    /* A sixteenth more, so that this ends safely after the last tick, not just before it. */
    burn_turns(ticks * turns_per_tick + turns_per_tick / 16u);
}

static void calibrate(void)
{
    uint64_t start = CNTVCT_read();
    uint32_t took;

    burn_turns(CALIBRATION_TURNS);
    took = (uint32_t)(CNTVCT_read() - start);
    turns_per_tick = CNTFRQ_read() / OS_TICKS_PER_SEC * (CALIBRATION_TURNS / 1000u) /
                     (took / 1000u);
}

void plat_puts(const char *s)
{
    uint32_t bytes = 0;

    while (s[bytes] != '\0') {
        bytes++;
    }
    uart_write(s, bytes);
}

static void serve_sgi(void)
{
    isr_active = SGI_RUN + 1u;
    isr_fn();
    isr_active = 0;
    isr_served++;
}

void plat_raise(uint32_t intid)
{
    mmio_write32(GICD_PA + GICD_SGIR, GICD_SGIR_SELF | intid);
    dsb();
    isb();
}

void plat_isr(void (*fn)(void))
{
    uint32_t before = isr_served;

    isr_fn = fn;
    plat_raise(SGI_RUN);
    for (uint32_t i = 0; i < 1000u && isr_served == before; i++) {
    }
    if (isr_served == before) {
        t_fail(__FILE__, __LINE__, "the interrupt did not come");
    }
}

void plat_start_tick(void)
{
    tick_start();
}

void plat_leave(int failed)
{
    (void)OS_CPU_SR_Save();
    CNTV_CTL_write(0);
    isb();
    if (isr_active != 0u) {
        mmio_write32(GICC_PA + GICC_EOIR, isr_active - 1u);
        isr_active = 0;
    }
    cases_run++;
    if (failed) {
        cases_failed++;
    } else {
        plat_puts("ok\n");
    }
    __asm__ volatile("cpsid i, #0x12\n\t"
                     "ldr sp, =irq_stack_top\n\t"
                     "cpsid i, #0x13\n\t"
                     "mov sp, %0\n\t"
                     "b next_case\n\t"
                     ".ltorg"
                     :
                     : "r"(main_sp));
    __builtin_unreachable();
}

static void put_uint(uint32_t value)
{
    char text[11];
    char *p = &text[10];

    *p = '\0';
    do {
        *--p = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0u);
    plat_puts(p);
}

void next_case(void)
{
    while (*suite != 0) {
        const struct t_case *c = next != 0 ? next : *suite;

        if (c->name != 0) {
            next = c + 1;
            plat_puts("TEST ");
            plat_puts(c->name);
            plat_puts(" ");
            t_run(c);
        }
        next = 0;
        suite++;
    }
    plat_puts("TESTS ");
    put_uint(cases_run);
    plat_puts(" FAILED ");
    put_uint(cases_failed);
    plat_puts("\n");
    power_off();
}

int main(void)
{
    uart_init();
    gic_init();
    gic_enable(SGI_RUN, serve_sgi);
    calibrate();
    __asm__ volatile("bic %0, sp, #7" : "=r"(main_sp));
    next_case();
}
