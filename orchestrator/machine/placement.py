# SPDX-License-Identifier: MIT
"""What goes where inside one VM's RAM.

To add a type of guest: an image class, its `_place_*` function, one line in `place`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.config import ElfVm, LinuxVm, VmConfig
from orchestrator.errors import ConfigError
from orchestrator.images import devicetree
from orchestrator.machine.board import (
    MIB,
    PAGE_BYTES,
    RAM_ALIGN_BYTES,
)
from orchestrator.machine.elf import ElfImage

_INITRD_OFFSET_MAX: Final = 128 * MIB
"""Within what any kernel maps early (Documentation/arch/arm/booting)."""
_DTB_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class LinuxImage:
    """What a Linux VM starts from.

    Attributes:
        kernel: The decompressed `Image`.
        text_offset: Where in RAM it has to lie, in bytes from the start.
        memory_bytes: What the kernel uses from there on, its zeroed data included.
        initramfs: A cpio archive, compressed or not.
        files: A further cpio archive with the config's files; may be empty.
        job: What init finds in the memory that is kept for its job; of the same size in every run.
        bootargs: The kernel command line.
    """

    kernel: Path
    text_offset: int
    memory_bytes: int
    initramfs: Path
    files: bytes
    job: bytes
    bootargs: str


VmImage = LinuxImage | ElfImage


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a VM's initial memory.

    Attributes:
        name: For the file that is written when the content was made for this run.
        ipa: Where the guest sees it.
        content: The bytes, or a file that has them.
        bytes: Its size.
    """

    name: str
    ipa: int
    content: bytes | Path
    bytes: int

    @property
    def end_ipa(self) -> int:
        """One past the last byte."""
        return self.ipa + self.bytes


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A VM's memory at power-on, and how vCPU 0 enters it."""

    ram_ipa: int
    pieces: tuple[Piece, ...]
    entry_ipa: int
    boot_r: tuple[int, int, int]


def job_name(vm: str) -> str:
    """Name of the piece that holds a Linux VM's job."""
    return f"{vm}.job"


def align(address: int, unit: int) -> int:
    """The next multiple of unit that is not below the address."""
    return -(-address // unit) * unit


def place(
    vm: VmConfig, image: VmImage, *, ram_pa: int, rtc: bool, virtio_buses: Sequence[int]
) -> Placement:
    """Fills a VM's RAM.

    Args:
        vm: The VM.
        image: What it starts from; must be of the VM's type.
        ram_pa: Where its RAM lies on the board.
        rtc: Whether it owns the real-time clock (Linux only).
        virtio_buses: Its virtio-mmio buses (Linux only).

    Raises:
        ConfigError: It does not fit. The faults start with the VM's key, without the file.
        OSError: A file cannot be examined.
    """
    if isinstance(vm, LinuxVm) and isinstance(image, LinuxImage):
        return _place_linux(vm, image, ram_ipa=ram_pa, rtc=rtc, virtio_buses=virtio_buses)
    if isinstance(vm, ElfVm) and isinstance(image, ElfImage):
        return _place_elf(vm, image)
    raise TypeError(f"vm {vm.name}: {type(vm).__name__} cannot start {type(image).__name__}")


def _piece(name: str, ipa: int, content: bytes | Path) -> Piece:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    return Piece(name=name, ipa=ipa, content=content, bytes=size)


def _place_linux(
    vm: LinuxVm, image: LinuxImage, *, ram_ipa: int, rtc: bool, virtio_buses: Sequence[int]
) -> Placement:
    """Kernel at its text offset, initramfs in the middle, device tree behind it, job at the end."""
    job_end = ram_ipa + vm.ram_bytes
    ram_end = job_end - len(image.job)
    kernel = _piece(f"{vm.name}.kernel", ram_ipa + image.text_offset, image.kernel)
    initrd_ipa = ram_ipa + min(vm.ram_bytes // 2, _INITRD_OFFSET_MAX)
    pieces = [kernel, _piece(f"{vm.name}.initramfs", initrd_ipa, image.initramfs)]
    if image.files:
        # The kernel takes a further archive where the last one ended, on a multiple of four.
        pieces.append(_piece(f"{vm.name}.files.cpio", align(pieces[-1].end_ipa, 4), image.files))
    initrd_end = pieces[-1].end_ipa
    dtb_ipa = align(initrd_end, PAGE_BYTES)

    low_bytes = image.text_offset + image.memory_bytes
    high_bytes = dtb_ipa + _DTB_MAX_BYTES - initrd_ipa
    if ram_ipa + low_bytes > initrd_ipa or initrd_ipa + high_bytes > ram_end:
        need_bytes = align(2 * max(low_bytes, high_bytes + len(image.job)), RAM_ALIGN_BYTES)
        raise ConfigError(
            f"vm.{vm.name}.ram: {vm.ram_bytes // MIB} MiB do not hold kernel and initramfs; "
            f"give at least {need_bytes // MIB}M"
        )
    dtb = devicetree.virt_dtb(
        ram_ipa=ram_ipa,
        ram_bytes=vm.ram_bytes,
        vcpus=vm.vcpus,
        bootargs=image.bootargs,
        initrd=(initrd_ipa, initrd_end),
        job=(ram_end, job_end),
        rtc=devicetree.RTC if rtc else None,
        virtio=[devicetree.virtio_transport(bus) for bus in virtio_buses],
    )
    pieces.append(_piece(f"{vm.name}.dtb", dtb_ipa, dtb))
    pieces.append(_piece(job_name(vm.name), ram_end, image.job))
    return Placement(
        ram_ipa=ram_ipa,
        pieces=tuple(pieces),
        entry_ipa=kernel.ipa,
        boot_r=(0, 0xFFFF_FFFF, dtb_ipa),
    )


def _place_elf(vm: ElfVm, image: ElfImage) -> Placement:
    """The segments where they want to be, and a device tree below them if there is room."""
    faults = _check_elf(vm, image)
    if faults:
        raise ConfigError(faults)
    pieces = [
        _piece(f"{vm.name}.{number}.bin", segment.ipa, segment.content)
        for number, segment in enumerate(image.segments)
    ]
    dtb_ipa = 0
    dtb = devicetree.virt_dtb(
        ram_ipa=vm.ram_ipa, ram_bytes=vm.ram_bytes, vcpus=vm.vcpus, bootargs=""
    )
    if vm.ram_ipa + len(dtb) <= pieces[0].ipa:
        dtb_ipa = vm.ram_ipa
        pieces.insert(0, _piece(f"{vm.name}.dtb", dtb_ipa, dtb))
    return Placement(
        ram_ipa=vm.ram_ipa,
        pieces=tuple(pieces),
        entry_ipa=image.entry_ipa,
        boot_r=(0, 0, dtb_ipa),
    )


def _check_elf(vm: ElfVm, image: ElfImage) -> list[str]:
    start, end = vm.ram_ipa, vm.ram_ipa + vm.ram_bytes
    return [
        f"vm.{vm.name}.image: {image.path} wants memory at {segment.ipa:#x}.."
        f"{segment.end_ipa - 1:#x}, but the VM's RAM is {start:#x}..{end - 1:#x}"
        for segment in image.segments
        if not start <= segment.ipa <= segment.end_ipa <= end
    ]
