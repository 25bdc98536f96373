# SPDX-License-Identifier: MIT
"""The physical address of the place at whose first execution probes are placed.

It is needed at power-on, when no guest has tables yet, so it follows from where the images are
loaded: an ELF's segments, a Linux kernel's place in its linear map.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from elftools.elf.elffile import ELFFile

from orchestrator.config import Config, LinuxVm
from orchestrator.errors import UsageError
from orchestrator.guest.symbols_kallsyms import page_offset
from orchestrator.machine.board import Layout, VmLayout
from orchestrator.probe.guest import Guest, find_guest
from orchestrator.probe.spec import address

LINUX_READY: Final = "ksys_sync"
"""Linux's init calls sync() once, right before it says that user space is up."""


@dataclass(frozen=True, kw_only=True)
class StartPoint:
    """Where probes are placed.

    Attributes:
        text: The place as the user knows it.
        pa: Its physical address.
    """

    text: str
    pa: int


def start_point(config: Config, layout: Layout, guests: Mapping[str, Guest]) -> StartPoint:
    """Finds the place of `[trace] arm_at`, or its default.

    Raises:
        UsageError: There is no such place.
    """
    text = config.trace.arm_at
    if text is None:
        if not config.linux_vms:
            first = layout.vms[0]
            pa = _pa(first, first.entry_ipa & ~1)
            return StartPoint(text=f"{first.name}'s entry", pa=pa)
        text = f"{config.linux_vms[0].name}:{LINUX_READY}"
    return place_point(text, layout, guests)


def place_point(text: str, layout: Layout, guests: Mapping[str, Guest]) -> StartPoint:
    """Where a place will be, before its guest runs.

    Args:
        text: "VM:PLACE".
        layout: The board.
        guests: By VM.

    Raises:
        UsageError: There is no such place.
    """
    name, _, place = text.partition(":")
    guest = find_guest(guests, name)
    va = address(place, guest)
    vm = layout.vms[guest.index]
    if isinstance(vm.config, LinuxVm):
        return StartPoint(text=text, pa=va - page_offset(guest.symbols) + vm.ram_pa)
    return StartPoint(text=text, pa=_pa(vm, _loaded_at(guest, va)))


def _loaded_at(guest: Guest, va: int) -> int:
    """Where an ELF's segments put an address of their own."""
    with guest.image.open("rb") as file:
        for segment in ELFFile(file).iter_segments(type="PT_LOAD"):
            offset = va - segment["p_vaddr"]
            if 0 <= offset < segment["p_memsz"]:
                return int(segment["p_paddr"]) + offset
    raise UsageError(f"{guest.name}: {va:#x} is in no segment of {guest.image}")


def _pa(vm: VmLayout, ipa: int) -> int:
    return ipa - vm.ram_ipa + vm.ram_pa
