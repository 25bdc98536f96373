/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few instructions that the plugin knows by their encoding (ARM DDI 0406C). Plain C.
 *
 * A word is an A32 instruction, a 32-bit T32 one with its first halfword in the high half, or a
 * 16-bit T32 one.
 */
#ifndef PLUGIN_DECODE_H
#define PLUGIN_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct code {
    uint32_t word;
    uint8_t bytes; /* 2 or 4 */
    bool thumb;
};

/* From memory order; `bytes` is 2 or 4. */
static inline struct code decode_code(const uint8_t *memory, size_t bytes, bool thumb)
{
    uint32_t low = (uint32_t)memory[0] | (uint32_t)memory[1] << 8;
    uint32_t high = bytes == 4 ? (uint32_t)memory[2] | (uint32_t)memory[3] << 8 : 0;
    uint32_t word = bytes == 2 ? low : thumb ? low << 16 | high : high << 16 | low;

    return (struct code){.word = word, .bytes = (uint8_t)bytes, .thumb = thumb};
}

/* WFI (B1.8.13): a hypervisor without work waits so. */
static inline bool decode_is_wfi(struct code code)
{
    if (code.thumb) {
        return code.bytes == 2 ? code.word == 0xbf30 : code.word == 0xf3af8003;
    }
    return (code.word & 0x0fffffff) == 0x0320f003;
}

/* HVC (B9.3.4): its immediate, or -1 if it is none. */
static inline int32_t decode_hvc(struct code code)
{
    if (code.thumb) {
        return code.bytes == 4 && (code.word & 0xfff0f000) == 0xf7e08000
                   ? (int32_t)((code.word >> 4 & 0xf000) | (code.word & 0xfff))
                   : -1;
    }
    return (code.word & 0xfff000f0) == 0xe1400070
               ? (int32_t)((code.word >> 4 & 0xfff0) | (code.word & 0xf))
               : -1;
}

/* ERET (B9.3.3); the T32 one is SUBS PC, LR, #0, which is an ERET in Hyp mode only. */
static inline bool decode_is_eret(struct code code)
{
    return code.thumb ? code.bytes == 4 && code.word == 0xf3de8f00
                      : (code.word & 0x0fffffff) == 0x0160006e;
}

/* DBG #15 (F8.1 of DDI 0406C: a hint): the hypervisor says that its ring is full. */
static inline bool decode_is_doorbell(struct code code)
{
    return code.thumb ? code.bytes == 4 && code.word == 0xf3af80ff
                      : (code.word & 0x0fffffff) == 0x0320f0ff;
}

/* MCRR to VTTBR, MCR to VMPIDR: afterwards another guest, or another vCPU, is in the core. */
static inline bool decode_is_guest_switch(struct code code)
{
    return code.bytes == 4 &&
           ((code.word & 0x0ff00fff) == 0x0c400f62 || (code.word & 0x0fff0fff) == 0x0e800fb0);
}

#endif
