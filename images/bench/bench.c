/* SPDX-License-Identifier: MIT */
/*
 * What the hypervisor costs, measured from inside a guest by the counter. With one instruction
 * a nanosecond (icount shift 0) a tick of the counter is 16 instructions.
 *
 * Runs on a bare virt board too (without the hypercalls): the difference of the two runs is what
 * the hypervisor adds. Two of these VMs on one core measure a switch between vCPUs.
 */
#include <stdint.h>

#include "hypercall.h"

#define ROUNDS 4096u
#define TICK_NS 16u

#define UART 0x09000000u
#define GICD 0x08000000u
#define GICC 0x08010000u
#define VTIMER 27u

uint32_t call(uint32_t function);
void bench(void);
void bench_fault(uint32_t lr);

volatile uint32_t interrupts;

static void mmio_write(uint32_t pa, uint32_t v)
{
    *(volatile uint32_t *)pa = v;
}

static void put(const char *s)
{
    for (; *s; s++)
        mmio_write(UART, (uint8_t)*s);
}

static void put_number(uint32_t v)
{
    char digits[11];
    int n = 10;

    digits[n] = 0;
    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    put(&digits[n]);
}

static uint64_t counter(void)
{
    uint64_t v;

    __asm__ volatile("isb\n mrrc p15, 0, %Q0, %R0, c14" : "=r"(v)::"memory");
    return v;
}

/* Instructions a round, times 100. 32 bits last for 42,000 instructions a round. */
static uint32_t per_round(uint64_t ticks)
{
    return (uint32_t)ticks * (TICK_NS * 100u / 64u) / (ROUNDS / 64u);
}

static void report(const char *name, uint32_t hundredths)
{
    put("bench: ");
    put(name);
    put(" ");
    put_number(hundredths / 100);
    put(".");
    put_number(hundredths / 10 % 10);
    put("\n");
}

static uint64_t loop_cost(void)
{
    uint64_t start = counter();

    for (uint32_t i = 0; i < ROUNDS; i++)
        __asm__ volatile("" ::: "memory");
    return counter() - start;
}

static uint64_t calls(uint32_t function)
{
    uint64_t start = counter();

    for (uint32_t i = 0; i < ROUNDS; i++)
        call(function);
    return counter() - start;
}

/* From the expiry of the virtual timer until the interrupted loop goes on. */
static uint64_t timer_interrupts(void)
{
    uint64_t start;

    mmio_write(GICD, 1);
    mmio_write(GICC + 4, 0xff);
    mmio_write(GICC, 1);
    mmio_write(GICD + 0x100, 1u << VTIMER);
    __asm__ volatile("cpsie i");
    start = counter();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t before = interrupts;

        __asm__ volatile("mcr p15, 0, %0, c14, c3, 0\n" /* CNTV_TVAL: now */
                         "mcr p15, 0, %1, c14, c3, 1\n" /* CNTV_CTL */
                         "isb" ::"r"(0), "r"(1) : "memory");
        while (interrupts == before)
            ;
    }
    start = counter() - start;
    __asm__ volatile("cpsid i");
    return start;
}

void bench_fault(uint32_t lr)
{
    put("bench: fault, lr ");
    put_number(lr);
    put("\n");
}

void bench(void)
{
    report("empty_loop", per_round(loop_cost()));
    report("timer_interrupt", per_round(timer_interrupts()));
    if (call(HVC_VENDOR_NULL) == 0) {
        report("null_hypercall", per_round(calls(HVC_VENDOR_NULL)));
        report("psci_version", per_round(calls(PSCI_VERSION)));
        report("yield", per_round(calls(HVC_VENDOR_YIELD)));
    }
    put("bench: done\n");
    for (;;)
        call(HVC_VENDOR_YIELD);
}
