# SPDX-License-Identifier: MIT
"""Trace records as numpy arrays: the Python mirror of `images/abi/trace.h`.

The header is the authority; a test compiles it and compares every offset below with it. What the
records mean is in docs/record-format.md. Who drains the rings: `orchestrator.machine`; who reads
the records: `orchestrator.trace`.
"""

import enum
from typing import Final

import numpy as np

MAGIC: Final = 0x52545648
VERSION: Final = 4

HV_TRACE_PA: Final = 0x4100_0000
HV_TRACE_BYTES: Final = 0x0200_0000
HV_TRACE_PROBES: Final = 0x0010_0000
HV_TRACE_OPS: Final = 0x0020_0000
HV_TRACE_RINGS: Final = 0x0080_0000
HV_TRACE_RING_STRIDE: Final = 0x0024_0000
HV_TRACE_RING_RECORDS: Final = 16384

MAX_PROBES: Final = 8192
MAX_OPS: Final = 131072
MAX_CPUS: Final = 8
WORDS: Final = 19
MAX_EXTENT: Final = 256
MAX_STRING: Final = 32
NAME_BYTES: Final = 16
NO_VM: Final = 0xFF
RING_HEADER_BYTES: Final = 4096

PROBES_FORMAT: Final = 2
"""Of `probes.json`, without which the records of probes mean nothing; docs/probes.md."""


class Kind(enum.IntEnum):
    """`enum trace_kind`."""

    LOSS = 0
    PROBE = 1
    VM_ENTRY = 2
    VM_EXIT = 3
    VCPU_SWITCH = 4
    VIRQ = 5


class ProbeFlag(enum.IntFlag):
    """`flags` of `struct trace_probe`."""

    T32 = 2
    RECORD = 4
    BOUNDED = 8
    CONDITIONAL = 16


class Observer(enum.IntEnum):
    """`enum trace_observer`."""

    HYPERVISOR = 0
    PLUGIN = 1


EXIT_IRQ: Final = 0x100
"""`id` of a VM_EXIT that is an interrupt; else it is the exception class of HSR."""

RECORD: Final = np.dtype(
    [
        ("time_ns", "<u8"),
        ("seq", "<u8"),
        ("kind", "<u2"),
        ("cpu", "u1"),
        ("vm", "u1"),
        ("id", "<u4"),
        ("pc", "<u4"),
        ("lr", "<u4"),
        ("sp", "<u4"),
        ("cpsr", "<u4"),
        ("valid", "<u4"),
        ("cost", "<u4"),
        ("vcpu", "u1"),
        ("words", "u1"),
        ("reserved", "<u2"),
        ("word", "<u4", (WORDS,)),
    ]
)
"""`struct trace_record`, 128 bytes."""

RING: Final = np.dtype(
    {
        "names": [
            *("magic", "version", "record_bytes", "capacity", "cpu", "observer"),
            *("head", "tail", "lost"),
        ],
        "formats": ["<u4"] * 6 + ["<u8"] * 3,
        "offsets": [0, 4, 8, 12, 16, 20, 64, 128, 192],
        "itemsize": 200,
    }
)
"""`struct trace_ring`."""

CONTROL: Final = np.dtype(
    [("magic", "<u4"), ("version", "<u4"), ("ring_count", "<u4"), ("events", "<u4")]
)
"""`struct trace_control`."""

PROBE: Final = np.dtype(
    [
        ("va", "<u4"),
        ("word", "<u4"),
        ("state", "u1"),
        ("vm", "u1"),
        ("flags", "u1"),
        ("emulation", "u1"),
        ("program_pa", "<u4"),
        ("words", "<u4"),
        ("limit", "<u4"),
        ("from_ns", "<u8"),
        ("until_ns", "<u8"),
        ("taken", "<u4"),
        ("next", "<u4"),
        ("hits", "<u4", (MAX_CPUS,)),
        ("operand", "<u4", (4,)),
        ("cond", "u1"),
        ("reserved1", "u1", (31,)),
    ]
)
"""`struct trace_probe`, 128 bytes."""

OP: Final = np.dtype([("extent", "<u2"), ("reg", "u1"), ("code", "u1"), ("value", "<u4")])
"""`struct trace_op`, 8 bytes."""
