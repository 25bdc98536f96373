# SPDX-License-Identifier: MIT
"""Which of its functions Linux executes while it works, told by Linux's own function tracer.

A kernel has 40,000 functions, of which a workload calls one in thirty. Probes that are to be hit are
best put at those.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from orchestrator import session
from orchestrator.bench.run import SilentReporter
from orchestrator.config import Config, LinuxTraceConfig
from orchestrator.errors import CheckFailed
from orchestrator.options import BootOptions
from orchestrator.probe.guest import Guest
from orchestrator.trace.linux import read_rings

_TRACER: Final = LinuxTraceConfig(events=(), tracer="function", buffer_bytes=64 << 20)
_COMMON_BYTES: Final = 8
"""Of each event; then ip and parent_ip (events/ftrace/function/format)."""


def executed(wanted: Config, script: str, guest: Guest, run: Path) -> frozenset[int]:
    """Addresses of functions that are executed, by the tracer itself or as the caller of another.

    What is closed to the tracer, such as the kernel's assembly, is not among them unless it calls.

    Args:
        wanted: A system with one Linux of one CPU.
        script: What it does, for its shell.
        guest: That Linux.
        run: Directory of the run, not there yet.

    Raises:
        CheckFailed: The tracer's buffer was too small.
        OrchestrateError: The run failed.
    """
    traced = replace(wanted, trace=replace(wanted.trace, linux=_TRACER))
    command = ("sh", "-c", script)
    options = BootOptions(out=run, command=command, ftrace=True, saved_start=True)
    session.boot(traced, options, SilentReporter())
    pages, rings = read_rings(run / "trace" / "ftrace")
    words = pages.view("<u4")
    found: set[int] = set()
    for ring in rings.values():
        if ring.missed:
            raise CheckFailed(
                f"the function tracer has lost {ring.missed} events; make less of them"
            )
        at = (ring.offset + np.uint64(_COMMON_BYTES)).astype(np.int64) // 4
        at = at[ring.bytes == _COMMON_BYTES + 8]
        for addresses in (words[at], words[at + 1]):
            found.update(np.unique(addresses).tolist())
    functions = (guest.symbols.at(va) for va in found)
    return frozenset(each[0].va for each in functions if each is not None)
