# SPDX-License-Identifier: MIT
"""A million events: the memory that reading, merging and writing trace.dat take.

No guest is booted: its pages are made of a timeline, by the encoder that trace-cmd has confirmed
(tests/unit/test_export_trace_dat.py). The time of a real run is in test_pull.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from timelines import dual_timeline, repeated

from orchestrator.export import trace_dat

pytestmark = pytest.mark.system

EVENTS = 1_000_000
MAX_BYTES_OF_10_MILLION = 4 << 30
HOST_LIMIT_S = 800

# In a process of its own, so that its memory can be told.
WORK = """
import re, sys
from pathlib import Path
import numpy as np
from orchestrator.export import trace_dat
from orchestrator.records import RECORD
from orchestrator.trace.linux import LinuxTrace, read_rings
from orchestrator.trace.merge import Vm, merge
from orchestrator.trace.streams import Observed
from orchestrator.trace.timeline import ClockFit
sys.path.insert(0, sys.argv[3])
from timelines import LINUX_FORMATS
pages, events = read_rings(Path(sys.argv[1]))
linux = LinuxTrace(
    pages=pages, events=events, formats=tuple(LINUX_FORMATS), ended=1 << 62,
    fit=ClockFit(clock="local", offset_ns=1000, residual_ns=16, samples=1),
)
none = np.empty(0, RECORD)
timeline = merge(
    vms=[Vm(name="linux", is_linux=True, cores=(0,))], cores=1, linux=linux, host={},
    observed=Observed(probes={}, hits=none, hypervisor=none, lost={}, ready={}),
)
trace_dat.write(timeline, Path(sys.argv[2]))
# Not ru_maxrss: it counts the process that this one was made by, too.
peak_kb = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(len(timeline), int(peak_kb) << 10)
"""


def test_memory_is_in_proportion_to_the_events(tmp_path: Path) -> None:
    once = dual_timeline(ticks=500)
    linux = [row for row in range(len(once)) if once.cpu[row] == 0 and once.source[row] == 0]
    timeline = repeated(once, -(-EVENTS // len(linux)))
    rows = [(timeline.cpu == 0) & (timeline.source == 0)]
    pages = trace_dat._pack(timeline, rows[0].nonzero()[0])
    (tmp_path / "cpu0.raw").write_bytes(pages.data)
    dat = tmp_path / "trace.dat"
    done = subprocess.run(
        (sys.executable, "-c", WORK, tmp_path, dat, Path(__file__).parents[1]),
        capture_output=True, text=True, timeout=HOST_LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, size = (int(each) for each in done.stdout.split())
    assert count >= EVENTS
    assert size < MAX_BYTES_OF_10_MILLION / 10, f"{count} events: {size / 2**20:.0f} MiB"
