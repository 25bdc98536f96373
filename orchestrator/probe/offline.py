# SPDX-License-Identifier: MIT
"""A guest's code as its image has it, for looking at places without a running system.

A kernel changes some of its own code while it boots: what is right for the guest as it runs is told
by the running system.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from elftools.elf.elffile import ELFFile

from orchestrator.config import Config, LinuxVm, VmConfig
from orchestrator.guest.symbols_kallsyms import page_offset
from orchestrator.images import sources
from orchestrator.images.kernel import linux_kernel
from orchestrator.images.store import Store
from orchestrator.mmu import Mmu, Registers
from orchestrator.probe.guest import Guest, View

_PIECES = list[tuple[int, bytes]]
_READ_MAX: Final = 1 << 24


def guests_of(config: Config) -> dict[str, Guest]:
    """The VMs of a config, by name.

    Raises:
        OrchestrateError: An image is not there and cannot be made.
    """
    return {
        vm.name: Guest(vm, index=index, image=_image(vm)) for index, vm in enumerate(config.vms)
    }


def _image(vm: VmConfig) -> Path:
    if isinstance(vm, LinuxVm):
        return linux_kernel(Store(), vm.kernel).path
    return sources.build("rtos") if vm.image == "rtos" else Path(vm.image)


def image_views(guests: Mapping[str, Guest]) -> dict[str, View]:
    """By VM, its image at the addresses that it is linked to."""
    return {name: _ImageView(guest) for name, guest in guests.items()}


class _ImageView(View):
    """A guest's image, with the MMU off."""

    def __init__(self, guest: Guest) -> None:
        self._image = _Image(guest)
        super().__init__(guest, Mmu(Registers(), self._image.read))

    def unknown(self, va: int) -> str:
        """Why the image has nothing at an address; "": it has."""
        if self.guest.is_user(va):
            what = "it is in user space, whose programs are not in the kernel's image"
        elif self._image.read(va & ~1, 1):
            return ""
        else:
            what = "it is not in the image"
        return (
            f"{what}; boot the system and look into that: probe check with --run, without --config"
        )


class _Image:
    """Reads an image by virtual addresses: with the MMU off they are the physical ones."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._pieces: _PIECES | None = None

    def read(self, va: int, size: int) -> bytes:
        if self._pieces is None:
            self._pieces = self._load()
        for start, content in self._pieces:
            if 0 <= va - start < len(content):
                return content[va - start : va - start + min(size, _READ_MAX)]
        return b""

    def _load(self) -> _PIECES:
        guest = self._guest
        if isinstance(guest.vm, LinuxVm):
            kernel = linux_kernel(Store(), guest.vm.kernel)
            va = page_offset(guest.symbols) + kernel.text_offset
            return [(va, kernel.path.read_bytes())]
        with guest.image.open("rb") as file:
            return [
                (segment["p_vaddr"], segment.data())
                for segment in ELFFile(file).iter_segments(type="PT_LOAD")
            ]
