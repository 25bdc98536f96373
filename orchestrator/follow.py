# SPDX-License-Identifier: MIT
"""Looks at ftrace's pages in the memory of a running Linux guest, for those who watch.

Nothing of it reaches the guest: its memory is read by another thread of the host, so it takes no guest
time and changes no byte of a deterministic run. The guest goes on writing meanwhile, so a look may
find the list of pages in a state that makes no sense, or a page that is being used again: that look
does not count, and the next one follows soon. The pages that a run keeps are taken when the machine
stands still (`orchestrator.pull`).
"""

import threading
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import GuestError
from orchestrator.machine.ram import GuestRam
from orchestrator.probe.guest import View
from orchestrator.pull import kernel_memory
from orchestrator.trace.memory import ring_pages
from orchestrator.trace.pages import COMMIT_MASK, PAGE_BYTES, PAGE_HEADER_BYTES

OnPages = Callable[[int, NDArray[np.uint8], NDArray[np.int64]], None]
"""Gets Linux's CPU, whole pages of which there is something new, and in each how many bytes of data
are old."""

_PAUSE_S: Final = 0.1
_COMMIT_WORD: Final = 2


class PageFollower:
    """The thread that looks.

    Args:
        view: The guest's memory; made while the machine stood still.
        ram: The board's.
        cpus: How many the guest has.
        instance: Name of ftrace's instance; "" for the first buffer.
        on_pages: Called in the thread.
    """

    def __init__(
        self, view: View, ram: GuestRam, *, cpus: int, instance: str, on_pages: OnPages
    ) -> None:
        self._memory = kernel_memory(view, ram)
        self._functions = {each.name: each.va for each in view.guest.symbols.matching("*")}
        self._cpus = cpus
        self._instance = instance
        self._on_pages = on_pages
        self._known: dict[tuple[int, int], int] = {}
        self._failure: Exception | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page-follower", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """A last look; the machine must stand still or be gone. Safe to repeat.

        Raises:
            Exception: What `on_pages` raised.
        """
        self.stop()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ends the thread. Safe to call at any time."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ending.wait(_PAUSE_S):
                self._look()
            self._look()
        except Exception as error:  # noqa: BLE001 - finish() raises it
            self._failure = error
        del self._memory  # its views keep guest RAM mapped

    def _look(self) -> None:
        try:
            found = ring_pages(
                self._memory, self._functions, cpus=self._cpus, instance=self._instance
            )
        except GuestError:
            return  # not there yet, or in the middle of a change
        for each in found:
            self._take(each.cpu, each.offsets)

    def _take(self, cpu: int, offsets: NDArray[np.int64]) -> None:
        """Hands on what is new in some pages, the oldest first."""
        pages = self._memory.ram.reshape(-1, PAGE_BYTES)
        copies, old = [], []
        for number in (offsets // PAGE_BYTES).tolist():
            page = pages[number]
            # Its head first: the guest writes events before it counts them in, so what is counted
            # there is in the copy, however that is made.
            head = page[:PAGE_HEADER_BYTES].copy()
            copy = page.copy()
            copy[:PAGE_HEADER_BYTES] = head
            # A page that is used again gets its new time and an empty commit before its events.
            time, commit = _head(copy)
            if _head(page)[0] != time:
                continue
            before = self._known.get((number, time), 0)
            if commit > before:
                self._known[number, time] = commit
                copies.append(copy)
                old.append(before)
        if copies:
            self._on_pages(cpu, np.concatenate(copies), np.array(old, np.int64))


def _head(page: NDArray[np.uint8]) -> tuple[int, int]:
    """Time stamp and size of the data of a page."""
    commit = int(page.view("<u4")[_COMMIT_WORD]) & COMMIT_MASK
    return int(page[:8].view("<u8")[0]), commit
