/* SPDX-License-Identifier: MIT */
/*
 * An emulated PL011 (Arm DDI 0183) for a VM that has none of the board's: transmits at once,
 * receives from its port of the serial card through a FIFO of 16.
 */
#include "hypervisor.h"

enum {
    UARTDR = 0x000, UARTRSR = 0x004, UARTFR = 0x018, UARTIBRD = 0x024, UARTFBRD = 0x028,
    UARTLCR_H = 0x02c, UARTCR = 0x030, UARTIFLS = 0x034, UARTIMSC = 0x038, UARTRIS = 0x03c,
    UARTMIS = 0x040, UARTICR = 0x044, UARTDMACR = 0x048, UARTPERIPHID0 = 0xfe0,
};

#define FR_RXFE 0x10u
#define FR_RXFF 0x40u
#define FR_TXFE 0x80u
#define INT_RX 0x10u
#define INT_TX 0x20u
#define INT_RT 0x40u
#define CR_RESET 0x300u

static const uint8_t ids[8] = {0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1};

void pl011_init(struct vm *vm, const struct hv_device *device)
{
    struct pl011 *uart = &vm->uart;

    if (uart->device || device->backend == 0 || device->backend > 3)
        panic("vm %s: one emulated UART per VM, on port 1, 2 or 3", vm->config->name);
    uart->device = device;
    uart->port = device->backend;
    uart->cr = CR_RESET;
    serial_enable_rx(uart->port);
    if (serial_irq())
        gic_enable(serial_irq(), 0);
}

static void update_line(struct vm *vm)
{
    vgic_set_line(vm, vm->uart.device->irq, vm->uart.ris & vm->uart.imsc);
}

static uint32_t read(struct pl011 *uart, uint32_t offset)
{
    uint32_t value;

    switch (offset) {
    case UARTDR:
        if (!uart->rx_count)
            return 0;
        value = uart->rx[uart->rx_head];
        uart->rx_head = (uart->rx_head + 1) % sizeof(uart->rx);
        if (--uart->rx_count == 0)
            uart->ris &= ~(INT_RX | INT_RT);
        return value;
    case UARTFR:
        return FR_TXFE | (uart->rx_count ? 0 : FR_RXFE) |
               (uart->rx_count == sizeof(uart->rx) ? FR_RXFF : 0);
    case UARTIBRD:
        return uart->ibrd;
    case UARTFBRD:
        return uart->fbrd;
    case UARTLCR_H:
        return uart->lcr_h;
    case UARTCR:
        return uart->cr;
    case UARTIFLS:
        return uart->ifls;
    case UARTIMSC:
        return uart->imsc;
    case UARTRIS:
        return uart->ris;
    case UARTMIS:
        return uart->ris & uart->imsc;
    default:
        if (offset >= UARTPERIPHID0 && offset < 0x1000)
            return ids[(offset - UARTPERIPHID0) / 4];
        return 0;
    }
}

static void write(struct pl011 *uart, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case UARTDR:
        serial_put(uart->port, (uint8_t)value);
        uart->ris |= INT_TX;
        break;
    case UARTIBRD:
        uart->ibrd = value;
        break;
    case UARTFBRD:
        uart->fbrd = value;
        break;
    case UARTLCR_H:
        uart->lcr_h = value;
        break;
    case UARTCR:
        uart->cr = value;
        break;
    case UARTIFLS:
        uart->ifls = value;
        break;
    case UARTIMSC:
        uart->imsc = value & 0x7ff;
        break;
    case UARTICR:
        uart->ris &= ~value;
        break;
    default:
        break;
    }
}

/* Registers are words; narrower accesses read the low part, as the device does. */
bool pl011_access(struct vm *vm, uint32_t offset, bool is_write, uint32_t *value)
{
    if (offset & 3)
        return false;
    if (is_write)
        write(&vm->uart, offset, *value);
    else
        *value = read(&vm->uart, offset);
    update_line(vm);
    return true;
}

/* The serial card has received something: hand it to the UART whose port it is. */
void pl011_poll(void)
{
    for (uint32_t i = 0; i < config()->vm_count; i++) {
        struct pl011 *uart = &vms[i].uart;
        int byte;

        if (!uart->device)
            continue;
        while (uart->rx_count < sizeof(uart->rx) && (byte = serial_get(uart->port)) >= 0) {
            uart->rx[(uart->rx_head + uart->rx_count++) % sizeof(uart->rx)] = (uint8_t)byte;
            uart->ris |= INT_RX;
        }
        update_line(&vms[i]);
    }
}
