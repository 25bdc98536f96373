# SPDX-License-Identifier: MIT
"""Which process each thread of a Linux belongs to.

Trace events know threads only. What the kernel could note of their processes (ftrace's `record-tgid`)
it notes anew at each task switch; here it is learnt once a thread: of those that were there before
recording began from a list of the agent's (images/linux/trace/tasks.c), of later ones from a shadow
probe where the kernel wakes a new task, which takes the guest no instruction.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.trace.streams import BIRTH, Probe

_LINE: Final = re.compile(r"(\d{1,9}) (\d{1,9}) (\d{1,9})", re.ASCII)
NOT_KNOWN: Final = (None, None)
"""tgid and ppid of a thread of which they are not known."""


class Process(NamedTuple):
    """The process of a thread.

    Attributes:
        tgid: Its number, which is that of its first thread.
        ppid: The number of the process that made it; 0: the kernel itself.
    """

    tgid: int
    ppid: int


def read_processes(text: str) -> dict[int, Process]:
    """Reads the agent's list: thread, process, and the process's parent in each line.

    Raises:
        ValueError: It is something else.
    """
    found = {}
    for line in text.splitlines():
        numbers = _LINE.fullmatch(line)
        if numbers is None:
            raise ValueError(f"a line of the list of tasks is {line!r}")
        thread, tgid, ppid = map(int, numbers.groups())
        found[thread] = Process(tgid, ppid)
    return found


def with_births(
    known: Mapping[int, Process], births: Iterable[tuple[Probe, NDArray[np.void]]]
) -> dict[int, Process]:
    """Adds the threads that were made later; of a number that is used again the last one counts.

    Args:
        known: By thread.
        births: Probes that saw them (`Probe.is_birth`), and their hits in order of time.
    """
    processes = dict(known)
    for probe, seen in births:
        hits = seen[np.all([each.known(seen) for each in probe.fetched], axis=0)]
        if not len(hits):
            continue
        rows = (probe.value(name, hits).tolist() for name in BIRTH)
        for thread, process, creator in zip(*rows, strict=True):
            # A thread's parent is its process's; a process's is who made it.
            siblings = processes.get(process) if thread != process else None
            processes[thread] = Process(process, siblings.ppid if siblings else creator)
    return processes
