/* SPDX-License-Identifier: MIT */
/* PL011 (DDI 0183), output only. */
#include "board.h"
#include "mmio.h"

#define UARTDR 0x00u
#define UARTFR 0x18u
#define UARTFR_TXFF (1u << 5)
#define UARTIBRD 0x24u
#define UARTFBRD 0x28u
#define UARTLCR_H 0x2cu
#define UARTLCR_H_8N1_FIFO 0x70u
#define UARTCR 0x30u
#define UARTCR_ENABLE 0x301u /* RXE, TXE, UARTEN */
#define UARTIMSC 0x38u

/* 115200 Bd from 24 MHz: 13 + 1/64 */
#define BAUD_INTEGER 13u
#define BAUD_FRACTION 1u

void uart_init(void)
{
    mmio_write32(UART_PA + UARTCR, 0);
    mmio_write32(UART_PA + UARTIMSC, 0);
    mmio_write32(UART_PA + UARTIBRD, BAUD_INTEGER);
    mmio_write32(UART_PA + UARTFBRD, BAUD_FRACTION);
    mmio_write32(UART_PA + UARTLCR_H, UARTLCR_H_8N1_FIFO);
    mmio_write32(UART_PA + UARTCR, UARTCR_ENABLE);
}

void uart_write(const char *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        while ((mmio_read32(UART_PA + UARTFR) & UARTFR_TXFF) != 0u) {
        }
        mmio_write32(UART_PA + UARTDR, (uint8_t)text[i]);
    }
}
