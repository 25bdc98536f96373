/* SPDX-License-Identifier: MIT */
/*
 * A guest that is probed: each of its vCPUs calls ten places `rounds` times in turn, the last two of
 * them Thumb code, and nothing else happens in it. So the number of hits is known, on one vCPU or on two at once.
 *
 * `rounds` can be changed by whoever loads or stops the guest before it has begun.
 */
#include <stdint.h>

#include "hypercall.h"

#define UART 0x09000000u
#define VCPUS 2u

uint32_t call(uint32_t function, uint32_t a, uint32_t b, uint32_t c);
void second_start(void);
void run(uint32_t vcpu);
void all_done(void);
void place_0(void);
void place_1(void);
void place_2(void);
void place_3(void);
void place_4(void);
void place_5(void);
void place_6(void);
void place_7(void);
void place_8(void);
void place_9(void);

volatile uint32_t rounds = 1000;
volatile uint32_t undefined_count[VCPUS];
static volatile uint32_t finished[VCPUS];

static void put(const char *s)
{
    for (; *s; s++)
        *(volatile uint32_t *)UART = (uint8_t)*s;
}

/* Both vCPUs have made all of their calls: a symbol to stop at. */
__attribute__((noinline)) void all_done(void)
{
    put("places: done\n");
    call(PSCI_SYSTEM_OFF, 0, 0, 0);
}

void run(uint32_t vcpu)
{
    uint32_t other = vcpu ^ 1;

    /* Refused where the VM has one vCPU only. */
    if (!vcpu && call(PSCI_CPU_ON, 1, (uint32_t)(uintptr_t)second_start, 1))
        finished[1] = 1;
    for (uint32_t n = rounds; n; n--) {
        place_0();
        place_1();
        place_2();
        place_3();
        place_4();
        place_5();
        place_6();
        place_7();
        place_8();
        place_9();
    }
    finished[vcpu] = 1;
    while (!finished[other])
        __asm__ volatile("yield");
    if (!vcpu)
        all_done();
}
