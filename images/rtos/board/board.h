/* SPDX-License-Identifier: MIT */
/*
 * The part of QEMU's `virt` board that the image uses: PL011, GICv2, the generic timer's virtual
 * counter and timer, power off. The same devices appear at the same addresses in a guest.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define GICD_PA 0x08000000u
#define GICC_PA 0x08010000u
#define UART_PA 0x09000000u

#define INTID_VTIMER 27u

/* ---- uart.c --------------------------------------------------------------------------------- */

void uart_init(void);
void uart_write(const char *text, uint32_t bytes); /* waits for room in the FIFO */

/* ---- gic.c ---------------------------------------------------------------------------------- */

void gic_init(void);
/* `handler` runs in IRQ mode between OSIntEnter() and OSIntExit(); `intid` < 32: this core's. */
void gic_enable(uint32_t intid, void (*handler)(void));

/* ---- timer.c -------------------------------------------------------------------------------- */

#define TICK_BUCKETS 24u

/*
 * How late OSTimeTickHook() was, against the compare value that raised the interrupt. In counter
 * ticks; bucket i counts ticks that were less than 2^i late (and not less than 2^(i-1)).
 */
struct tick_jitter {
    uint32_t n;
    uint32_t min;
    uint32_t max;
    uint64_t sum;
    uint32_t bucket[TICK_BUCKETS]; /* the last one takes all that is later */
};

void tick_start(void); /* OS_TICKS_PER_SEC interrupts a second from now on */
void tick_record(uint64_t counter);
void tick_jitter_take(struct tick_jitter *jitter); /* since the last call */

/* ---- line.c --------------------------------------------------------------------------------- */

/* One line of console output, "[ssssss.uuuuuu] rtos: ...", written at once when it is ended. */
struct line {
    uint32_t bytes;
    char text[400]; /* what is longer is cut */
};

void line_begin(struct line *line);
void line_str(struct line *line, const char *text);
void line_uint(struct line *line, uint64_t value);
void line_hex(struct line *line, uint32_t value); /* eight digits */
void line_end(struct line *line);
uint64_t div_u64(uint64_t dividend, uint32_t divisor, uint32_t *remainder);

/* ---- power.c -------------------------------------------------------------------------------- */

void power_off(void) __attribute__((noreturn)); /* PSCI SYSTEM_OFF */

#endif
