# SPDX-License-Identifier: MIT
"""Takes ftrace's pages out of a Linux guest's memory while the machine stands still.

That is how a trace is pulled when its command has ended: it takes the guest no time, and the guest's
own counts say whether all is there. It is also what is left of a Linux that cannot hand anything over
any more. Where the pages are is `orchestrator.trace.memory`'s to find, what is in them
`orchestrator.trace`'s to read.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from orchestrator.errors import GuestError, OrchestrateError, StorageError
from orchestrator.images import job
from orchestrator.machine.board import RAM_PA, VmLayout
from orchestrator.machine.ram import GuestRam
from orchestrator.mmu import TranslationFault
from orchestrator.probe.arm import Probes
from orchestrator.probe.guest import Guest, View
from orchestrator.rundir import storage_errors
from orchestrator.trace.memory import FUNCTIONS, KernelMemory, ring_pages
from orchestrator.trace.pages import PAGE_BYTES

_PAGES_AT_ONCE: Final = 4096


async def pull_trace(
    probes: Probes,
    guest: Guest,
    ram: GuestRam,
    *,
    linux: VmLayout,
    job_has_ended: bool,
    instance: str,
    folder: Path,
) -> str:
    """Takes the trace of a Linux; what its agent need not hand over, it is told.

    Args:
        probes: See into the guest.
        guest: A Linux.
        ram: The board's.
        linux: Its place on the board.
        job_has_ended: Whether the agent has reported how much is in its rings, and waits.
        instance: Name of ftrace's instance; "" for the first buffer.
        folder: For the pages; must not exist.

    Returns:
        What the user should know of it; "": it went as it should.

    Raises:
        StorageError: The pages cannot be written.
    """
    report_pa = linux.ram_pa + linux.config.ram_bytes - job.REPORT_BYTES
    entries = None
    if job_has_ended:
        entries = job.reported_entries(ram.read(report_pa, job.REPORT_BYTES)) or {}
    try:
        pages = save_pages(
            await probes.view(linux.name),
            guest,
            ram,
            cpus=len(linux.config.pin),
            instance=instance,
            entries=entries,
            folder=folder,
        )
    except StorageError:
        raise
    except OrchestrateError as error:
        what = "has to hand over its trace itself" if job_has_ended else "its trace is lost"
        return f"{what}: {error.message}"
    if job_has_ended:
        ram.write(report_pa, job.TAKEN)
        return ""
    return f"{pages} pages of its trace saved from its memory" if pages else ""


def save_pages(
    view: View,
    guest: Guest,
    ram: GuestRam,
    *,
    cpus: int,
    instance: str,
    entries: Mapping[int, int] | None,
    folder: Path,
) -> int:
    """Writes each CPU's pages into a file of `folder`, which is made.

    Args:
        view: The guest's memory as it is now.
        guest: A Linux.
        ram: The board's.
        cpus: How many the guest has.
        instance: Name of ftrace's instance; "" for the first buffer.
        entries: Events that each CPU's pages must hold; None: that is not known.
        folder: Must not exist.

    Returns:
        The number of pages.

    Raises:
        GuestError: They cannot be found, or do not hold as many events; nothing was written.
        StorageError: They cannot be written.
    """
    known = {name: guest.symbols.get(name) for name in FUNCTIONS}
    functions = {name: symbol.va for name, symbol in known.items() if symbol is not None}
    memory = kernel_memory(view, ram)
    found = ring_pages(memory, functions, cpus=cpus, instance=instance)
    held = {each.cpu: each.entries for each in found}
    if entries is not None and held != entries:
        raise GuestError(
            f"the pages in memory hold {held} events by CPU, but Linux counts {dict(entries)}"
        )
    pages = memory.ram.reshape(-1, PAGE_BYTES)
    with storage_errors(folder):
        folder.mkdir()
        for each in found:
            numbers = each.offsets // PAGE_BYTES
            with (folder / f"cpu{each.cpu}.raw").open("wb") as file:
                for start in range(0, len(numbers), _PAGES_AT_ONCE):
                    file.write(pages[numbers[start : start + _PAGES_AT_ONCE]].data)
    return sum(len(each.offsets) for each in found)


def kernel_memory(view: View, ram: GuestRam) -> KernelMemory:
    """A guest kernel's memory, by the registers that the view was made with."""
    return KernelMemory(
        ram.view(RAM_PA, np.dtype(np.uint8), ram.bytes), _translation(view.mmu.translate)
    )


def _translation(translate: Callable[[int], int]) -> Callable[[int], int]:
    """A guest's translation, to offsets in RAM; what is not mapped is a LookupError."""

    def offset(va: int) -> int:
        try:
            return translate(va) - RAM_PA
        except TranslationFault as fault:
            raise LookupError(str(fault)) from fault

    return offset
