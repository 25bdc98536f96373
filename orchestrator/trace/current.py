# SPDX-License-Identifier: MIT
"""Whose hit it was: the task that ran when a probe was hit.

In Linux a hit tells it itself, where the probe could fetch the running task. Elsewhere (user mode,
exception entry, `tasks=no`) it is the one that the switches before have left on the vCPU.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from orchestrator.trace.shared import Running
from orchestrator.trace.streams import Probe

_ID = "_id"
_IDLE = 0


def pids_by_switches(
    hits: NDArray[np.void], running: Callable[[int], Running]
) -> NDArray[np.int64]:
    """The task that ran at each hit, as the VM's switches tell.

    Args:
        hits: In one VM, in order of time.
        running: What ran on a vCPU.
    """
    pids = np.zeros(len(hits), np.int64)
    for vcpu in np.unique(hits["vcpu"]).tolist():
        rows = np.flatnonzero(hits["vcpu"] == vcpu)
        pids[rows] = running(vcpu).pid_at(hits["time_ns"][rows].astype(np.uint64))
    return pids


def pids_of_linux(
    hits: NDArray[np.void], probe: Probe, running: Callable[[int], Running]
) -> NDArray[np.int64]:
    """The same in Linux, where the hits know better.

    Args:
        hits: Of one probe, in order of time.
        probe: The probe.
        running: What ran on a vCPU.
    """
    if not probe.current:
        return pids_by_switches(hits, running)
    known = probe.one(probe.current).known(hits)
    pids = probe.value(probe.current, hits).astype(np.int64)
    if not known.all():
        pids[~known] = pids_by_switches(hits[~known], running)
    return pids


def tasks_of_hits(
    seen: Iterable[tuple[Probe, NDArray[np.void]]],
) -> dict[int, tuple[str, int | None]]:
    """Name and priority of each task of Linux that hits tell of, as they were last.

    Args:
        seen: Probes of one VM and their hits, in order of time.
    """
    found: dict[int, tuple[int, str, int | None]] = {}
    for probe, records in seen:
        facts = {each.name: each for each in probe.fetched}
        prefix = probe.current.removesuffix(_ID)
        name, prio = (facts.get(prefix + key) for key in ("_name", "_priority"))
        if not probe.current or name is None:
            continue
        hits = records[probe.one(probe.current).known(records)]
        if not len(hits):
            continue
        pids, last = np.unique(probe.value(probe.current, hits)[::-1], return_index=True)
        latest = hits[len(hits) - 1 - last]
        names = name.values(latest).tolist()
        prios = [None] * len(latest) if prio is None else prio.values(latest).tolist()
        times = latest["time_ns"].tolist()
        for pid, time_ns, comm, priority in zip(pids.tolist(), times, names, prios, strict=True):
            if pid != _IDLE and (pid not in found or found[pid][0] <= time_ns):
                text = comm.partition(b"\0")[0].decode(errors="replace")
                found[pid] = (time_ns, text, priority)
    return {pid: (comm, priority) for pid, (_, comm, priority) in found.items()}
