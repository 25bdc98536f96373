/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's log, and the extra consoles: the ports of QEMU's pci-serial-4x card (four
 * 16550 behind one PCI function). Port 0 is the log; ports 1 to 3 are behind emulated PL011s.
 * Without the card the log is lost and everything else works.
 */
#include "hypervisor.h"

#define PCI_ECAM_PA 0x3f000000u
#define PCI_IO_PA 0x3eff0000u
#define PCI_SLOTS 32u
#define PCI_SERIAL_4X 0x00041b36u /* device, vendor */
#define PCI_FIRST_IRQ 35u         /* SPI 3: INTA of slot 0; slots rotate over four */
#define SERIAL_IO 0x1000u

enum { REG_DATA = 0, REG_IER = 1, REG_FCR = 2, REG_MCR = 4, REG_LSR = 5 };
#define LSR_DATA_READY 0x01u
#define LSR_THR_EMPTY 0x20u

static bool present;
static uint32_t irq;
static struct spinlock log_lock;

static volatile uint8_t *reg(uint32_t port, uint32_t r)
{
    return (volatile uint8_t *)(PCI_IO_PA + SERIAL_IO + port * 8 + r);
}

int console_init(void)
{
    for (uint32_t slot = 0; slot < PCI_SLOTS; slot++) {
        uint32_t function = PCI_ECAM_PA + (slot << 15);

        if (mmio_read(function) != PCI_SERIAL_4X)
            continue;
        mmio_write(function + 0x10, SERIAL_IO | 1);
        mmio_write(function + 0x04, 1); /* I/O space on */
        irq = PCI_FIRST_IRQ + slot % 4;
        present = true;
        for (uint32_t port = 0; port < 4; port++)
            *reg(port, REG_FCR) = 1;
        return 0;
    }
    return -1;
}

uint32_t serial_irq(void)
{
    return irq;
}

void serial_put(uint32_t port, uint8_t byte)
{
    if (!present)
        return;
    while (!(*reg(port, REG_LSR) & LSR_THR_EMPTY))
        ;
    *reg(port, REG_DATA) = byte;
}

/* The next byte received, or -1. */
int serial_get(uint32_t port)
{
    if (!present || !(*reg(port, REG_LSR) & LSR_DATA_READY))
        return -1;
    return *reg(port, REG_DATA);
}

void serial_enable_rx(uint32_t port)
{
    if (!present)
        return;
    *reg(port, REG_MCR) = 8; /* OUT2 lets the interrupt through */
    *reg(port, REG_IER) = 1;
}

struct out {
    char *text;
    size_t used, bytes;
};

static void put(struct out *o, char c)
{
    if (o->used + 1 < o->bytes)
        o->text[o->used++] = c;
}

static void put_number(struct out *o, uint32_t v, uint32_t base, uint32_t width)
{
    char digits[12];
    uint32_t n = 0;

    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (n < width)
        digits[n++] = '0';
    while (n)
        put(o, digits[--n]);
}

/* %s %c %d %u %x and a zero-padded width of one digit: %06u is "%6u" here and nowhere else. */
void format_line(char *text, size_t bytes, const char *f, va_list args)
{
    struct out o = {text, 0, bytes};

    for (; *f; f++) {
        uint32_t width = 0;

        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        f++;
        while (*f >= '0' && *f <= '9')
            width = width * 10 + (uint32_t)(*f++ - '0');
        if (*f == 's') {
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(&o, *s);
        } else if (*f == 'c') {
            put(&o, (char)va_arg(args, int));
        } else if (*f == 'd') {
            int v = va_arg(args, int);

            if (v < 0)
                put(&o, '-');
            put_number(&o, v < 0 ? -(uint32_t)v : (uint32_t)v, 10, width);
        } else if (*f == 'u' || *f == 'x') {
            put_number(&o, va_arg(args, uint32_t), *f == 'u' ? 10 : 16, width);
        } else {
            put(&o, *f);
        }
    }
    o.text[o.used] = 0;
}

/* Seconds and microseconds of the counter. 62.5 MHz: 125 ticks are 2 us. */
static void put_time(char *text, size_t bytes, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    format_line(text, bytes, format, args);
    va_end(args);
}

/* 64 by 32 bit division, bit by bit: the log is no hot path, and libgcc is not linked. */
static uint64_t divide(uint64_t n, uint32_t by, uint32_t *rest)
{
    uint64_t quotient = 0, r = 0;

    for (int bit = 63; bit >= 0; bit--) {
        r = (r << 1) | ((n >> bit) & 1);
        if (r >= by) {
            r -= by;
            quotient |= 1ull << bit;
        }
    }
    *rest = (uint32_t)r;
    return quotient;
}

void log_line(const char *format, ...)
{
    char text[160], stamp[24];
    uint32_t ticks, unused;
    uint32_t seconds = (uint32_t)divide(read_CNTPCT(), read_CNTFRQ(), &ticks);
    uint32_t us = (uint32_t)divide((uint64_t)ticks * 1000000u, read_CNTFRQ(), &unused);
    va_list args;

    va_start(args, format);
    format_line(text, sizeof(text), format, args);
    va_end(args);
    put_time(stamp, sizeof(stamp), "[%6u.%06u] ", seconds, us);

    lock(&log_lock);
    for (const char *s = stamp; *s; s++)
        serial_put(0, (uint8_t)*s);
    for (const char *s = text; *s; s++)
        serial_put(0, (uint8_t)*s);
    serial_put(0, '\n');
    unlock(&log_lock);
}
