# SPDX-License-Identifier: MIT
"""The memory through which a Linux guest gets its job; images/abi/job.h.

It has one size, whatever the job, and init looks at it when it has booted: so all boots of a config
are the same, and a saved one serves every job. In its last page guest and host tell each other how the
trace's pages are handed over (`orchestrator.pull`).
"""

import re
import struct
from collections.abc import Sequence
from typing import Final

from orchestrator.errors import UsageError

JOB_AREA_BYTES: Final = 0x1_0000
REPORT_OFFSET: Final = 0xF000
REPORT_BYTES: Final = JOB_AREA_BYTES - REPORT_OFFSET
"""struct job_report."""
TAKEN: Final = struct.pack("<I", 1)
"""Written at its start: the host has all pages."""
MAX_COMMAND_BYTES: Final = 61000
MAX_COMMAND_WORDS: Final = 1024

_REPORT: Final = struct.Struct("<II")
_REPORT_CPUS: Final = 8
_STATS_BYTES: Final = 504


def job_area(command: Sequence[str] | None) -> bytes:
    """What init finds in its reserved memory: a length, then the words of the command.

    Args:
        command: The words; None for a shell on the console.

    Returns:
        `JOB_AREA_BYTES` of them.

    Raises:
        UsageError: The command is too long, or cannot be told to init.
    """
    content = b"" if command is None else _command(command)
    return (struct.pack("<I", len(content)) + content).ljust(JOB_AREA_BYTES, b"\0")


def _command(command: Sequence[str]) -> bytes:
    content = b"".join(word.encode() + b"\0" for word in command)
    if not command or any("\0" in word for word in command):
        raise UsageError("the command for the guest is empty, or a word of it holds a NUL")
    if len(content) > MAX_COMMAND_BYTES or len(command) > MAX_COMMAND_WORDS:
        raise UsageError(
            f"the command for the guest has {len(command)} words, {len(content)} bytes; "
            f"put it into a file: at most {MAX_COMMAND_WORDS} words, {MAX_COMMAND_BYTES} bytes"
        )
    return content


def reported_entries(report: bytes) -> dict[int, int] | None:
    """How many events the guest says that each CPU's ring holds.

    Args:
        report: The whole `struct job_report`.

    Returns:
        By CPU; None: the guest has reported nothing.
    """
    _, cpus = _REPORT.unpack_from(report)
    if not 0 < cpus <= _REPORT_CPUS:
        return None
    entries = {}
    for cpu in range(cpus):
        start = _REPORT.size + cpu * _STATS_BYTES
        text = report[start : start + _STATS_BYTES].decode("ascii", errors="replace")
        found = re.search(r"^entries: (\d+)$", text, re.MULTILINE)
        if found is None:
            return None
        entries[cpu] = int(found[1])
    return entries
