# SPDX-License-Identifier: MIT
"""The plan of the board: who owns which memory, UART, virtio page and interrupt.

The plan is made once, before anything runs, and everything else follows it: the VM description
for the hypervisor (`vm_config`), each VM's device tree, and QEMU's command line (`command`).

Physical memory, from the bottom::

    0x40000000  the hypervisor's: QEMU's own device tree, the ELF, the VM description
    0x41000000  still its own: probes and trace rings
    0x43000000  RAM of one VM after the other
    ...         staging area: the images, from which the hypervisor fills the VMs' RAM

A Linux VM's RAM has IPA = PA, so that virtio devices, which know nothing of stage 2, reach it.
Any other VM's RAM is at the IPA of the config. Without a hypervisor a Linux VM has the same
addresses, its images in place at once; an ELF is then loaded by QEMU itself.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.config import Config, LinuxVm
from orchestrator.errors import ConfigError
from orchestrator.images import devicetree
from orchestrator.machine.board import (
    BOARD_UARTS,
    HV_CONFIG_PA,
    HV_ENTRY_PA,
    HV_RAM_BYTES,
    LINUX_RAM_ALIGN_BYTES,
    MIB,
    PA_END,
    PAGE_BYTES,
    RAM_ALIGN_BYTES,
    RAM_PA,
    SERIAL_PORTS,
    VIRTIO_TRANSPORTS_PER_VM,
    Blob,
    Device,
    DeviceKind,
    Image,
    Layout,
    VmLayout,
)
from orchestrator.machine.elf import ElfImage
from orchestrator.machine.placement import Piece, Placement, VmImage, align, place
from orchestrator.machine.vm_config import pack


def plan(config: Config, images: Mapping[str, VmImage], *, hypervisor: Path | None) -> Layout:
    """Gives every VM of the config its place.

    Args:
        config: The validated config: what it promises, such as the number of consoles, holds.
        images: By VM name, what the VM starts from.
        hypervisor: The hypervisor's ELF; None puts the one VM directly on the board.

    Raises:
        ConfigError: It does not fit; every reason at once. Nothing was placed.
        OSError: An image cannot be examined.
    """
    faults: list[str] = []
    consoles = _Consoles()
    placed: list[tuple[VmLayout, Placement]] = []
    top_pa = RAM_PA + HV_RAM_BYTES
    linux_count = 0
    for vm in config.vms:
        buses: tuple[int, ...] = ()
        if isinstance(vm, LinuxVm):
            ram_pa = align(top_pa, LINUX_RAM_ALIGN_BYTES)
            buses = (linux_count * VIRTIO_TRANSPORTS_PER_VM,)
        elif hypervisor is None:
            ram_pa = vm.ram_ipa
        else:
            ram_pa = align(top_pa, RAM_ALIGN_BYTES)
        top_pa = ram_pa + vm.ram_bytes
        rtc = isinstance(vm, LinuxVm) and linux_count == 0
        uart, port = consoles.take() if vm.console else (None, None)
        try:
            placement = place(vm, images[vm.name], ram_pa=ram_pa, rtc=rtc, virtio_buses=buses)
        except ConfigError as error:
            faults += [f"{config.path}: {fault}" for fault in error.faults]
            continue
        layout = VmLayout(
            config=vm,
            ram_ipa=placement.ram_ipa,
            ram_pa=ram_pa,
            entry_ipa=placement.entry_ipa,
            boot_r=placement.boot_r,
            images=(),
            devices=_devices(uart, port, rtc=rtc, virtio_buses=buses),
            uart=uart,
            serial_port=port,
            virtio_buses=buses,
        )
        placed.append((layout, placement))
        linux_count += isinstance(vm, LinuxVm)
    if faults:
        raise ConfigError(faults)
    if hypervisor is None:
        return _bare(config, images[config.vms[0].name], *placed[0], top_pa=top_pa)
    return _staged(config, hypervisor, placed, top_pa=top_pa)


def boot_stub(*, entry_pa: int, dtb_pa: int) -> bytes:
    """A tiny ELF at the hypervisor's place that enters a Linux kernel as a boot loader would."""
    code = struct.pack(
        "<6I",
        0xE3A00000,  # mov r0, #0
        0xE3E01000,  # mvn r1, #0
        0xE59F2000,  # ldr r2, [pc]      the next word but two: dtb_pa
        0xE59FF000,  # ldr pc, [pc]      likewise: entry_pa
        dtb_pa,
        entry_pa,
    )
    header, program = 52, 32
    at = header + program
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    fields = (2, 40, 1, HV_ENTRY_PA, header, 0, 0x05000000, header, program, 1, 0, 0, 0)
    segment = (1, at, HV_ENTRY_PA, HV_ENTRY_PA, len(code), len(code), 5, 4)
    return ident + struct.pack("<2H5I6H", *fields) + struct.pack("<8I", *segment) + code


@dataclass
class _Consoles:
    """Hands out the board's UARTs, then the serial card's ports."""

    taken: int = 0

    def take(self) -> tuple[int | None, int | None]:
        index = self.taken
        self.taken += 1
        if index < len(BOARD_UARTS):
            return index, None
        return None, SERIAL_PORTS[index - len(BOARD_UARTS)]


def _devices(
    uart: int | None, port: int | None, *, rtc: bool, virtio_buses: Sequence[int]
) -> tuple[Device, ...]:
    devices = []
    guest_uart = devicetree.UART
    if uart is not None:
        pa, phys_irq = BOARD_UARTS[uart]
        devices.append(_passthrough(guest_uart, pa=pa, phys_irq=phys_irq))
    elif port is not None:
        devices.append(
            Device(kind=DeviceKind.PL011, ipa=guest_uart.ipa, irq=guest_uart.intid, backend=port)
        )
    if rtc:
        devices.append(_passthrough(devicetree.RTC))
    if virtio_buses:
        # Whichever transports of the page are used, all are the VM's own.
        transport = devicetree.virtio_transport(virtio_buses[0])
        devices.append(_passthrough(transport, irq_count=VIRTIO_TRANSPORTS_PER_VM))
    return tuple(devices)


def _passthrough(
    guest: devicetree.MmioDevice,
    *,
    pa: int | None = None,
    phys_irq: int | None = None,
    irq_count: int = 1,
) -> Device:
    return Device(
        kind=DeviceKind.PASSTHROUGH,
        ipa=guest.ipa,
        irq=guest.intid,
        irq_count=irq_count,
        pa=guest.ipa if pa is None else pa,
        phys_irq=guest.intid if phys_irq is None else phys_irq,
    )


def _bare(
    config: Config, image: VmImage, vm: VmLayout, placement: Placement, *, top_pa: int
) -> Layout:
    """No hypervisor: everything of the one VM is in its final place at power-on."""
    kernel: Path | bytes
    blobs: tuple[Blob, ...]
    if isinstance(image, ElfImage):
        # QEMU loads it as it loads any ELF, its own device tree below it included.
        kernel, blobs = image.path, ()
    else:
        kernel = boot_stub(entry_pa=vm.entry_ipa, dtb_pa=vm.boot_r[2])
        blobs = tuple(_blob(piece, piece.ipa) for piece in placement.pieces)
    return Layout(
        cores=vm.config.vcpus,
        ram_bytes=_board_ram(config, top_pa),
        kernel=kernel,
        virtualization=False,
        time_slice_ns=config.machine.time_slice_ns,
        vms=(vm,),
        blobs=blobs,
    )


def _staged(
    config: Config,
    hypervisor: Path,
    placed: Sequence[tuple[VmLayout, Placement]],
    *,
    top_pa: int,
) -> Layout:
    """Each piece behind the VMs' RAM; a file that several VMs start from only once."""
    blobs: list[Blob] = []
    shared: dict[Path, int] = {}
    vms = []
    for vm, placement in placed:
        images = []
        for piece in placement.pieces:
            source_pa = shared.get(piece.content) if isinstance(piece.content, Path) else None
            if source_pa is None:
                source_pa = align(top_pa, PAGE_BYTES)
                top_pa = source_pa + piece.bytes
                blobs.append(_blob(piece, source_pa))
                if isinstance(piece.content, Path):
                    shared[piece.content] = source_pa
            images.append(Image(source_pa=source_pa, ipa=piece.ipa, bytes=piece.bytes))
        vms.append(replace(vm, images=tuple(images)))
    layout = Layout(
        cores=config.machine.cores,
        ram_bytes=_board_ram(config, top_pa),
        kernel=hypervisor,
        virtualization=True,
        time_slice_ns=config.machine.time_slice_ns,
        recheck_irqs=config.clock.mode == "realtime",
        vms=tuple(vms),
        blobs=(),
    )
    description = pack(layout)
    blobs.insert(
        0,
        Blob(name="vm_config.bin", pa=HV_CONFIG_PA, content=description, bytes=len(description)),
    )
    return replace(layout, blobs=tuple(blobs))


def _blob(piece: Piece, pa: int) -> Blob:
    return Blob(name=piece.name, pa=pa, content=piece.content, bytes=piece.bytes)


def _board_ram(config: Config, top_pa: int) -> int:
    """RAM of the board in bytes, by config or as much as is in use."""
    need_bytes = align(top_pa, MIB) - RAM_PA
    asked_bytes = config.machine.ram_bytes
    where = f"{config.path}: machine.ram"
    if RAM_PA + need_bytes > PA_END:
        limit = (PA_END - RAM_PA) // MIB
        raise ConfigError(
            f"{where}: VMs and images need {need_bytes // MIB} MiB, the board has at most "
            f"{limit} MiB; make the VMs smaller"
        )
    if asked_bytes is not None and asked_bytes < need_bytes:
        raise ConfigError(
            f"{where}: {asked_bytes // MIB} MiB, but VMs and images need "
            f"{need_bytes // MIB} MiB; give at least {need_bytes // MIB}M or leave the key out"
        )
    return need_bytes if asked_bytes is None else asked_bytes
