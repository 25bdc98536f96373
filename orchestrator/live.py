# SPDX-License-Identifier: MIT
"""Linux's events as lines of text while the system runs, from pages that were just read.

What a page needs to be understood - event formats, symbols, the clock - a guest hands over when it has
ended. The same boot gives the same, so they are taken from another boot of the config.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import GuestError
from orchestrator.export.text import Lines
from orchestrator.trace.linux import LinuxTrace
from orchestrator.trace.pages import PAGE_BYTES, PAGE_HEADER_BYTES, decode_pages
from orchestrator.trace.timeline import Source, Task, Timeline

_NS = 1_000_000_000


class LinuxLines:
    """Makes lines of Linux's events.

    Args:
        like: What another boot of the config has left.
        vm: Name of the VM.
        cores: The core of each of its CPUs.
        show: Takes a line.
    """

    def __init__(
        self, like: LinuxTrace, vm: str, cores: tuple[int, ...], show: Callable[[str], None]
    ) -> None:
        nothing = np.empty(0, np.uint64)
        self._tasks = {pid: Task(pid=pid, comm=comm, source=0) for pid, comm in like.comms.items()}
        self._offset_ns = like.fit.offset_ns
        self._cores = cores
        self._show = show
        self._empty = Timeline(
            time_ns=nothing,
            cpu=nothing.astype(np.uint16),
            event=nothing.astype(np.uint16),
            source=nothing.astype(np.uint8),
            offset=nothing,
            bytes=nothing.astype(np.uint32),
            payload=nothing.view(np.uint8),
            formats={form.id: form for form in like.formats},
            sources=(Source(name=vm, kind="linux", clock=like.fit, cores=cores),),
            tasks={},
            cores=max(cores) + 1,
            kallsyms=like.kallsyms,
            printk_formats=like.printk_formats,
        )
        self._lines = Lines(self._empty)

    def pages(self, cpu: int, pages: NDArray[np.uint8], old_bytes: NDArray[np.int64]) -> None:
        """Shows what is new in some pages.

        Args:
            cpu: Linux's.
            pages: uint8[n * 4096].
            old_bytes: Of each page, how many bytes of its data were shown before; int64[n].
        """
        try:
            events = decode_pages(pages)
        except GuestError:
            return  # read while it was being written; what it held is in the finished trace
        offset = events.offset.astype(np.int64)
        new = offset % PAGE_BYTES >= PAGE_HEADER_BYTES + old_bytes[offset // PAGE_BYTES]
        ids = pages.view("<u2")[offset >> 1]
        kept = np.flatnonzero(new & np.isin(ids, list(self._empty.formats)))
        count = len(kept)
        batch = replace(
            self._empty,
            time_ns=events.time[kept] + np.uint64(self._offset_ns % (1 << 64)),
            cpu=np.full(count, self._cores[cpu], np.uint16),
            event=ids[kept],
            source=np.zeros(count, np.uint8),
            offset=events.offset[kept],
            bytes=events.bytes[kept],
            payload=pages,
        )
        self._learn(batch)
        rows = np.arange(count)
        self._lines.go_on(batch)
        details = self._lines.details(rows)
        for row, text in zip(rows.tolist(), details, strict=True):
            time_ns = int(batch.time_ns[row])
            pid = int(batch.values(rows[row : row + 1], "common_pid")[0])
            task = self._tasks.get(pid)
            comm = "<idle>" if pid == 0 else task.comm if task else "<...>"
            at = f"{time_ns // _NS}.{time_ns % _NS:09d}"
            name = self._empty.formats[int(batch.event[row])].name
            self._show(
                f"{at:>16} [{batch.cpu[row]:03d}] {batch.sources[0].name}: {comm}-{pid} "
                f"{name}: {text}"
            )

    def _learn(self, batch: Timeline) -> None:
        """Names of tasks, from the switches to them."""
        rows = batch.rows("sched_switch")
        if not len(rows):
            return
        for which in ("prev", "next"):
            pids = batch.values(rows, f"{which}_pid").tolist()
            for pid, comm in zip(pids, batch.values(rows, f"{which}_comm").tolist(), strict=True):
                text = comm.partition(b"\0")[0].decode(errors="replace")
                self._tasks[pid] = Task(pid=pid, comm=text, source=0)
