# SPDX-License-Identifier: MIT
"""Events that cannot be what they say they are: left out, and counted."""

import struct

import numpy as np
from timelines import LINUX_FORMATS, pack

from orchestrator.trace.linux import _understood
from orchestrator.trace.pages import RingEvents

SWITCH = next(each for each in LINUX_FORMATS if each.name == "sched_switch")
UNKNOWN_ID = 40_000


def test_events_of_no_known_format_and_too_short_ones_are_left_out_and_counted() -> None:
    whole = pack(SWITCH, next_pid=77)
    records = [whole, struct.pack("<HHi", UNKNOWN_ID, 0, 5), whole[:12], whole]
    sizes = [len(each) for each in records]
    ring = RingEvents(
        time=np.arange(4, dtype=np.uint64),
        offset=np.cumsum([0, *sizes[:-1]]).astype(np.uint64),
        bytes=np.array(sizes, np.uint32),
        missed=3,
    )
    pages = np.frombuffer(b"".join(records), np.uint8)
    events, left_out = _understood(pages, {1: ring}, tuple(LINUX_FORMATS))
    assert events[1].time.tolist() == [0, 3]
    assert events[1].bytes.tolist() == [len(whole)] * 2
    assert events[1].missed == 3
    assert left_out == {1: 2}
    assert _understood(pages, events, tuple(LINUX_FORMATS)) == (events, {})
