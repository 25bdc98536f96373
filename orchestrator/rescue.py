# SPDX-License-Identifier: MIT
"""Saves ftrace's pages out of the memory of a Linux that cannot hand them over any more.

Where they are is `orchestrator.trace.postmortem`'s to find, and what is in them its to read.
"""

from collections.abc import Callable
from pathlib import Path

from orchestrator.mmu import TranslationFault
from orchestrator.probe.guest import Guest, View
from orchestrator.rundir import storage_errors
from orchestrator.trace.postmortem import ReadVirtual, ring_pages


def save_pages(view: View, guest: Guest, *, cpus: int, folder: Path) -> int:
    """Writes each CPU's pages into a file of `folder`, which is made.

    Args:
        view: The guest's memory as it is now.
        guest: A Linux.
        cpus: How many it has.
        folder: Must not exist.

    Returns:
        The number of pages.

    Raises:
        OrchestrateError: They cannot be found, or written.
    """
    functions = {each.name: each.va for each in guest.symbols.matching("*")}
    found = ring_pages(_lookup(view.mmu.read), functions, cpus=cpus)
    with storage_errors(folder):
        folder.mkdir()
        for each in found:
            (folder / f"cpu{each.cpu}.raw").write_bytes(b"".join(each.pages))
    return sum(len(each.pages) for each in found)


def _lookup(read: Callable[[int, int], bytes]) -> ReadVirtual:
    """Reads a guest's memory; what is not mapped is a LookupError."""

    def read_virtual(va: int, size: int) -> bytes:
        try:
            return read(va, size)
        except TranslationFault as fault:
            raise LookupError(str(fault)) from fault

    return read_virtual
