/* SPDX-License-Identifier: MIT */
/*
 * What the observers of a run leave in shared memory: rings of fixed-size records, and the table of
 * probes that tells the hypervisor which HVC is which. docs/record-format.md explains it for people.
 *
 * Two observers write rings of one format: the hypervisor into its trace region, which the host maps
 * with the guest's RAM, and the TCG plugin into a file. Every field is little-endian; every offset is
 * asserted below, and a test compiles this header and holds the Python mirror against it
 * (orchestrator/records.py). A change of layout or meaning raises TRACE_VERSION.
 */
#ifndef ABI_TRACE_H
#define ABI_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC 0x52545648u /* "HVTR" in memory order */
#define TRACE_VERSION 4u

/* The hypervisor's trace region, in its own physical memory (vm_config.h: HV_RAM_PA). */
#define HV_TRACE_PA 0x41000000u
#define HV_TRACE_BYTES 0x02000000u
#define HV_TRACE_PROBES 0x00100000u  /* offset of struct trace_probe [TRACE_MAX_PROBES] */
#define HV_TRACE_OPS 0x00200000u     /* offset of struct trace_op [TRACE_MAX_OPS] */
#define HV_TRACE_RINGS 0x00800000u   /* offset of the ring of core 0; one for each core follows */
#define HV_TRACE_RING_STRIDE 0x00240000u
#define HV_TRACE_RING_RECORDS 16384u

#define TRACE_MAX_PROBES 8192u /* index: the HVC's immediate; 0 is the calling convention's */
#define TRACE_MAX_OPS 131072u
#define TRACE_MAX_CPUS 8u
#define TRACE_WORDS 19u
#define TRACE_MAX_EXTENT 256u
#define TRACE_MAX_STRING 32u /* bytes */
#define TRACE_NAME_BYTES 16u

#define TRACE_NO_VM 0xffu

enum trace_kind {
    /* Records that could not be kept: word[0], word[1] are their number, low half first. */
    TRACE_LOSS = 0,
    /* A probe was hit. id: the probe. word[]: what its fetches found. */
    TRACE_PROBE = 1,
    /* The core enters the guest `vm`, `vcpu` at pc. */
    TRACE_VM_ENTRY = 2,
    /* The core left it. id: enum trace_exit; word[0]: HSR (0 for an interrupt). */
    TRACE_VM_EXIT = 3,
    /* The core's vCPU changes: word[0..3] = old vm, old vcpu, new vm, new vcpu; 0xff: none. */
    TRACE_VCPU_SWITCH = 4,
    /* An interrupt becomes pending for a vCPU. id: its number in the VM; word[0]: the board's, or 0. */
    TRACE_VIRQ = 5,
};

/* TRACE_VM_EXIT: exception class of HSR (DDI 0406C, B3.13.6), or: */
enum trace_exit { TRACE_EXIT_IRQ = 0x100 };

enum trace_observer { TRACE_BY_HYPERVISOR = 0, TRACE_BY_PLUGIN = 1 };

/* The first page of a ring; record [0] begins TRACE_RING_HEADER_BYTES behind it. */
#define TRACE_RING_HEADER_BYTES 4096u
struct trace_ring {
    uint32_t magic;
    uint32_t version;
    uint32_t record_bytes;
    uint32_t capacity; /* records, a power of two */
    uint32_t cpu;
    uint32_t observer; /* enum trace_observer */
    uint8_t reserved0[40];
    uint64_t head; /* records written since the start; only the observer writes it */
    uint8_t reserved1[56];
    uint64_t tail; /* records taken since the start; only the reader writes it */
    uint8_t reserved2[56];
    uint64_t lost; /* records dropped since the start: 0 where the observer can wait */
};

struct trace_record {
    uint64_t time_ns; /* generic counter in ns since power-on; exact in the plugin, 16 ns steps else */
    uint64_t seq;     /* position in its ring's stream, from 0 */
    uint16_t kind;    /* enum trace_kind */
    uint8_t cpu;      /* core of the board */
    uint8_t vm;       /* position in the VM description, or TRACE_NO_VM */
    uint32_t id;
    uint32_t pc;
    uint32_t lr; /* of the guest's current mode */
    uint32_t sp;
    uint32_t cpsr;
    uint32_t valid; /* bit i: word[i] was read; else the address was not mapped, and it is 0 */
    uint32_t cost;  /* plugin: instructions from the HVC until a guest went on; 0: not known */
    uint8_t vcpu;
    uint8_t words; /* used elements of word[]; the others are not defined */
    uint16_t reserved;
    uint32_t word[TRACE_WORDS];
};

/* The first page of the hypervisor's trace region. The hypervisor writes the geometry at boot. */
struct trace_control {
    uint32_t magic;
    uint32_t version;
    uint32_t ring_count;
    uint32_t events; /* host: mask of 1 << enum trace_kind that the hypervisor shall record */
};

/*
 * One probe. The host fills it in, `state` last, and then has the HVC written; the hypervisor owns
 * hits[] and recorded[].
 */
enum trace_probe_state { TRACE_PROBE_FREE = 0, TRACE_PROBE_ARMED = 1 };
enum {
    TRACE_PROBE_T32 = 2,     /* flags: the guest is in Thumb state there */
    TRACE_PROBE_RECORD = 4,  /* the hypervisor records hits; else it only emulates and counts */
    TRACE_PROBE_BOUNDED = 8, /* `limit`, `from_ns` or `until_ns` is not 0 */
    TRACE_PROBE_CONDITIONAL = 16, /* the displaced instruction's condition is not "always" */
};
struct trace_probe {
    uint32_t va;
    uint32_t word;  /* displaced instruction; a 32-bit T32 one: first halfword in the high half */
    uint8_t state;  /* enum trace_probe_state */
    uint8_t vm;
    uint8_t flags;
    uint8_t emulation; /* class of the displaced instruction: images/abi/emulation.h */
    uint32_t program_pa; /* of its first operation, in the table of them; there is an END at least */
    uint32_t words;      /* that the program writes, at most TRACE_WORDS */
    uint32_t limit;    /* hits to record on all cores together; 0: no limit */
    uint64_t from_ns;  /* time window of recording; until_ns 0: no end */
    uint64_t until_ns;
    uint32_t taken;    /* hits counted against the limit */
    uint32_t next;     /* va + 4: where the guest goes on */
    uint32_t hits[TRACE_MAX_CPUS];
    uint32_t operand[4]; /* decoded by the host, meaning by class: images/abi/emulation.h */
    uint8_t cond;        /* of the displaced instruction, 0 to 14 */
    uint8_t reserved1[31];
};

/*
 * What to read at a hit: a program, a row of operations. They work on a pointer p into the guest's
 * address space and write the record's words one behind the other. A load that cannot be done leaves
 * p unknown until the next SET or REGISTER; what is asked of an unknown p, or lies where nothing is
 * mapped, is 0 with its bits in `valid` clear. images/abi/fetch.h is what they mean, to the letter.
 *
 * Codes are multiples of 8: the hypervisor jumps by them.
 */
enum trace_op_code {
    TRACE_OP_END = 0,
    TRACE_OP_SET = 8,       /* p = value */
    TRACE_OP_REGISTER = 16, /* p = reg + value */
    TRACE_OP_LOAD = 24,     /* p = the word at p + value */
    TRACE_OP_ADD = 32,      /* p += value */
    TRACE_OP_VALUE = 40,    /* one word: reg + value */
    TRACE_OP_POINTER = 48,  /* p = the word at p + value. One word: p */
    TRACE_OP_U8 = 56,       /* one word: what is at p + value */
    TRACE_OP_U16 = 64,
    TRACE_OP_U32 = 72,
    TRACE_OP_U64 = 80, /* two words */
    /*
     * `extent` bytes, zeros behind them up to a whole word: the reader cuts them at their NUL. If they
     * cannot all be read, but those up to a NUL can: these, and zeros.
     */
    TRACE_OP_STRING = 88,
    TRACE_OP_NAME = 96, /* STRING of TRACE_NAME_BYTES, as most names are: the shortest way of it */
    TRACE_OP_CODES = 104,
};
enum trace_reg { /* 0 to 12: r0 to r12 */
    TRACE_REG_SP = 13, /* of the guest's current mode */
    TRACE_REG_LR = 14,
    TRACE_REG_PC = 15, /* of the probe */
    TRACE_REG_CPSR = 16,
    TRACE_REG_NONE = 17,     /* 0 */
    TRACE_REG_TPIDRURO = 18, /* Linux since 5.17: the current task, in its own modes */
    TRACE_REGS
};
struct trace_op {
    /*
     * STRING, NAME: bytes. Where p is changed: all that is read before it changes again lies in
     * [p, p + extent), 1 to TRACE_MAX_EXTENT.
     */
    uint16_t extent;
    uint8_t reg; /* enum trace_reg */
    uint8_t code;
    uint32_t value;
};

_Static_assert(offsetof(struct trace_ring, head) == 64, "trace_ring");
_Static_assert(offsetof(struct trace_ring, tail) == 128, "trace_ring");
_Static_assert(offsetof(struct trace_ring, lost) == 192, "trace_ring");
_Static_assert(offsetof(struct trace_record, kind) == 16, "trace_record");
_Static_assert(offsetof(struct trace_record, id) == 20, "trace_record");
_Static_assert(offsetof(struct trace_record, valid) == 40, "trace_record");
_Static_assert(offsetof(struct trace_record, vcpu) == 48, "trace_record");
_Static_assert(offsetof(struct trace_record, word) == 52, "trace_record");
_Static_assert(sizeof(struct trace_record) == 128, "trace_record");
_Static_assert(offsetof(struct trace_probe, program_pa) == 12, "trace_probe");
_Static_assert(offsetof(struct trace_probe, from_ns) == 24, "trace_probe");
_Static_assert(offsetof(struct trace_probe, hits) == 48, "trace_probe");
_Static_assert(offsetof(struct trace_probe, operand) == 80, "trace_probe");
_Static_assert(offsetof(struct trace_probe, cond) == 96, "trace_probe");
_Static_assert(sizeof(struct trace_probe) == 128, "trace_probe");
_Static_assert(offsetof(struct trace_op, code) == 3, "trace_op");
_Static_assert(sizeof(struct trace_op) == 8, "trace_op");

#endif
