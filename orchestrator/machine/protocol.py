# SPDX-License-Identifier: MIT
"""The messages of the plugin's channel: the Python mirror of `qemu_plugin/protocol.h`.

The header is the authority; a test compiles it and compares. Who sends them: `channel`.
"""

import enum
import struct
from typing import Final

MAGIC: Final = 0x4350_5648
VERSION: Final = 3
MAX_BYTES: Final = 0x1_0100
MAX_OPS: Final = 512
MAX_PROBE_ID: Final = 0xFFFF
MAX_STOPS: Final = 16
ANY_VM: Final = 0xFF
COUNTER_VMS: Final = 8

HEADER: Final = struct.Struct("<IHH")
HELLO: Final = struct.Struct("<II")
WELCOME: Final = struct.Struct("<IIII")
TIME: Final = struct.Struct("<QQ")
REGISTER: Final = struct.Struct("<I")
VALUE: Final = struct.Struct("<QII")
ADDRESS: Final = struct.Struct("<Q")
PROBE: Final = struct.Struct("<IBBHIIQQQ")
PROBE_ID: Final = struct.Struct("<I")
COUNTS: Final = struct.Struct("<10Q")
COUNTERS: Final = struct.Struct("<11Q")
STOPPED: Final = struct.Struct("<QII")


class Operation(enum.IntEnum):
    """`enum channel_operation`."""

    HELLO = 1
    TIME = 2
    READ_REGISTER = 3
    WRITE_PHYSICAL = 4
    ADD_PROBE = 5
    REMOVE_PROBE = 6
    PROBE_COUNTS = 7
    STOP_AT = 8
    COUNTERS = 9
    STATE = 10
    COUNT = 11
    STOPPED = 12


class Status(enum.IntEnum):
    """`enum channel_status`."""

    OK = 0
    BAD = 1
    RUNNING = 2
    MISSING = 3
    TAKEN = 4
    CANNOT = 5


class Ability(enum.IntFlag):
    """`enum channel_ability`."""

    DETERMINISTIC = 1
    HAS_HYP = 2
    HAS_RING = 4


class ProbeMode(enum.IntEnum):
    """`enum channel_mode`."""

    HVC = 0
    SHADOW = 1
