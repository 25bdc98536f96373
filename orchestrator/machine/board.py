# SPDX-License-Identifier: MIT
"""The board as data: fixed addresses, and the objects in which a plan of it is written down.

The numbers of the hypervisor's interface are those of `images/abi/vm_config.h`; a test compiles
that header and compares. `layout` makes the plan, this module only has the words for it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.config import VmConfig

MIB: Final = 1 << 20
PAGE_BYTES: Final = 0x1000

RAM_PA: Final = 0x4000_0000
PA_END: Final = 1 << 32

HV_RAM_BYTES: Final = 48 * MIB
HV_ENTRY_PA: Final = 0x4020_0000
HV_CONFIG_PA: Final = 0x40F0_0000

MAX_VMS: Final = 8
MAX_VCPUS: Final = 8
MAX_IMAGES: Final = 8
MAX_DEVICES: Final = 16
MAX_NAME_BYTES: Final = 15

RAM_ALIGN_BYTES: Final = 2 * MIB
LINUX_RAM_ALIGN_BYTES: Final = 16 * MIB
"""Old ARM kernels find PHYS_OFFSET only on this alignment."""

BOARD_UARTS: Final = ((0x0900_0000, 33), (0x0904_0000, 40))
"""Physical address and interrupt of the UARTs that QEMU's board has."""
SERIAL_PORTS: Final = (1, 2, 3)
"""Ports of the PCI serial card that are left for consoles; port 0 is the hypervisor's log."""
VIRTIO_TRANSPORTS_PER_VM: Final = 8
"""Transports share a page by eight, and a page is the smallest thing that a VM can own."""


class DeviceKind(enum.IntEnum):
    """`enum hv_device_kind`."""

    PASSTHROUGH = 1
    PL011 = 2


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device as a VM sees it, and what is behind it; `struct hv_device`.

    Attributes:
        kind: What is behind it.
        ipa: Where the VM sees it, page aligned.
        irq: Its first interrupt as the VM sees it.
        irq_count: Number of consecutive interrupts.
        bytes: Its size, a multiple of the page size.
        pa: Where it lies on the board (passthrough only).
        phys_irq: Its first interrupt on the board (passthrough only).
        backend: Port of the serial card (emulated PL011 only).
    """

    kind: DeviceKind
    ipa: int
    irq: int
    irq_count: int = 1
    bytes: int = PAGE_BYTES
    pa: int = 0
    phys_irq: int = 0
    backend: int = 0


@dataclass(frozen=True, kw_only=True)
class Image:
    """A piece of a VM's memory and where its copy is kept; `struct hv_image`."""

    source_pa: int
    ipa: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Blob:
    """What QEMU loads into physical memory before the first instruction.

    Attributes:
        name: File name in the run directory, for content that was made for this run.
        pa: Where its first byte lies.
        content: The bytes, or a file that has them.
        bytes: Its size.
    """

    name: str
    pa: int
    content: bytes | Path
    bytes: int

    @property
    def end_pa(self) -> int:
        """One past the last byte."""
        return self.pa + self.bytes


@dataclass(frozen=True, kw_only=True)
class VmLayout:
    """One VM on the board.

    Attributes:
        config: What the user asked for.
        entry_ipa: First instruction of vCPU 0; bit 0 set means Thumb.
        boot_r: r0, r1, r2 at the entry.
        images: What the hypervisor copies into the RAM at start and at each reset.
        devices: All that the VM has beside interrupt controller and timer.
        uart: Number of the board's UART that is the VM's console, if it has one.
        serial_port: Port of the serial card behind the VM's emulated console, if it has one.
        virtio_buses: Numbers of the board's virtio-mmio buses that the VM uses.
    """

    config: VmConfig
    ram_ipa: int
    ram_pa: int
    entry_ipa: int
    boot_r: tuple[int, int, int]
    images: tuple[Image, ...]
    devices: tuple[Device, ...]
    uart: int | None
    serial_port: int | None
    virtio_buses: tuple[int, ...]

    @property
    def name(self) -> str:
        """The VM's name in the config."""
        return self.config.name

    @property
    def has_console(self) -> bool:
        """Whether anything that the VM writes can be seen."""
        return self.uart is not None or self.serial_port is not None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The whole board.

    Attributes:
        cores: Number of cores QEMU emulates.
        ram_bytes: RAM of the board, from `RAM_PA`.
        kernel: The ELF that QEMU enters: the hypervisor, a bare guest, or a boot stub's bytes.
        virtualization: Whether the cores have Hyp mode, that is, whether there is a hypervisor.
        time_slice_ns: See `MachineConfig`.
        recheck_irqs: Whether the hypervisor has to look for interrupts by itself
            (`HV_FLAG_RECHECK_IRQS`).
        vms: In the order of the config.
        blobs: What else is in memory at power-on.
    """

    cores: int
    ram_bytes: int
    kernel: Path | bytes
    virtualization: bool
    time_slice_ns: int
    vms: tuple[VmLayout, ...]
    blobs: tuple[Blob, ...]
    recheck_irqs: bool = False
