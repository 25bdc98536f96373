/* SPDX-License-Identifier: MIT */
/* Console output, a line at a time, stamped with the guest's counter. */
#include "board.h"

#include "cp15.h"

static void put(struct line *line, char c)
{
    if (line->bytes < sizeof(line->text) - 2u) { /* room for the line's end */
        line->text[line->bytes++] = c;
    }
}

static void put_padded(struct line *line, uint32_t value, uint32_t digits)
{
    uint32_t unit = 1;

    for (uint32_t i = 1; i < digits; i++) {
        unit *= 10u;
    }
    for (; unit > 0u; unit /= 10u) {
        put(line, (char)('0' + value / unit % 10u));
    }
}

/* Bit by bit: neither compiler brings a 64-bit division that links without its library. */
uint64_t div_u64(uint64_t dividend, uint32_t divisor, uint32_t *remainder)
{
    uint64_t quotient = 0;
    uint64_t rest = 0;

    for (int bit = 63; bit >= 0; bit--) {
        rest = rest << 1 | (dividend >> bit & 1u);
        if (rest >= divisor) {
            rest -= divisor;
            quotient |= 1ull << bit;
        }
    }
    *remainder = (uint32_t)rest;
    return quotient;
}

void line_begin(struct line *line)
{
    uint32_t frequency_hz = CNTFRQ_read();
    uint32_t rest;
    uint32_t seconds = (uint32_t)div_u64(CNTVCT_read(), frequency_hz, &rest);
    uint32_t unused;

    line->bytes = 0;
    put(line, '[');
    put_padded(line, seconds, 6);
    put(line, '.');
    put_padded(line, (uint32_t)div_u64(rest * 1000000ull, frequency_hz, &unused), 6);
    line_str(line, "] rtos: ");
}

void line_str(struct line *line, const char *text)
{
    while (*text != '\0') {
        put(line, *text++);
    }
}

void line_uint(struct line *line, uint64_t value)
{
    char digits[20];
    uint32_t n = 0;

    do {
        uint32_t digit;

        value = div_u64(value, 10, &digit);
        digits[n++] = (char)('0' + digit);
    } while (value != 0u);
    while (n > 0u) {
        put(line, digits[--n]);
    }
}

void line_hex(struct line *line, uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4) {
        put(line, "0123456789abcdef"[value >> shift & 0xfu]);
    }
}

void line_end(struct line *line)
{
    line->text[line->bytes++] = '\r';
    line->text[line->bytes++] = '\n';
    uart_write(line->text, line->bytes);
}
