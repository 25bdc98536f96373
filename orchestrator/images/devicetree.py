# SPDX-License-Identifier: MIT
"""The device tree of one VM: the part of QEMU's `virt` board that the VM can see.

Written with libfdt, node by node, so that equal arguments give equal bytes. Nothing random is put
in (no `rng-seed`, no `kaslr-seed`): two runs of one configuration must not differ. Which device
the VM has, and where, is the layout's decision (`orchestrator.machine.layout`); this module only
writes it down in the bindings that Linux documents below `Documentation/devicetree/bindings`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import libfdt

GICD_IPA: Final = 0x08000000
GICC_IPA: Final = 0x08010000
UART_IPA: Final = 0x09000000
UART_INTID: Final = 33
RTC_IPA: Final = 0x09010000
RTC_INTID: Final = 34
VIRTIO_IPA: Final = 0x0A000000
VIRTIO_STRIDE_BYTES: Final = 0x200
VIRTIO_TRANSPORTS: Final = 32
VIRTIO_INTID: Final = 48
"""Transport 0's place and interrupt; transport n lies n strides and n interrupts further."""

_INTID_FIRST_PPI: Final = 16
_INTID_FIRST_SPI: Final = 32
_TIMER_INTIDS: Final = (29, 30, 27, 26)
"""Secure physical, non-secure physical, virtual, hypervisor: the binding fixes the order."""

_RESERVED: Final = "reserved-memory"
_SPI, _PPI = 0, 1
_EDGE_RISING, _LEVEL_HIGH = 1, 4
_PHANDLE_GIC, _PHANDLE_CLOCK = 1, 2
_GIC_MAX_CPUS: Final = 8
_PCLK_HZ: Final = 24_000_000


@dataclass(frozen=True, kw_only=True)
class MmioDevice:
    """A device by its place in the VM's address space and its GIC interrupt id."""

    ipa: int
    intid: int


UART: Final = MmioDevice(ipa=UART_IPA, intid=UART_INTID)
RTC: Final = MmioDevice(ipa=RTC_IPA, intid=RTC_INTID)


def virtio_transport(index: int) -> MmioDevice:
    """The virtio-mmio transport behind the board's bus `virtio-mmio-bus.<index>` (0..31)."""
    if not 0 <= index < VIRTIO_TRANSPORTS:
        raise ValueError(f"virtio transport {index}: the board has 0..{VIRTIO_TRANSPORTS - 1}")
    return MmioDevice(ipa=VIRTIO_IPA + index * VIRTIO_STRIDE_BYTES, intid=VIRTIO_INTID + index)


class _Tree:
    """libfdt's sequential writer with the value types that a device tree has."""

    def __init__(self) -> None:
        self._sw = libfdt.FdtSw()
        self._sw.finish_reservemap()

    @contextmanager
    def node(self, name: str) -> Iterator[None]:
        self._sw.begin_node(name)
        yield
        self._sw.end_node()

    def empty(self, name: str) -> None:
        self._sw.property(name, b"")

    def cells(self, name: str, *values: int) -> None:
        self._sw.property(name, struct.pack(f">{len(values)}I", *values))

    def strings(self, name: str, *values: str) -> None:
        self._sw.property(name, b"".join(value.encode() + b"\0" for value in values))

    def reg(self, *regions: tuple[int, int]) -> None:
        """Writes `reg` with two address and two size cells a region."""
        self._sw.property("reg", b"".join(struct.pack(">QQ", *region) for region in regions))

    def spi(self, device: MmioDevice, trigger: int) -> None:
        self.cells("interrupts", _SPI, device.intid - _INTID_FIRST_SPI, trigger)

    def finish(self) -> bytes:
        tree = self._sw.as_fdt()
        tree.pack()
        return bytes(tree.as_bytearray())


def virt_dtb(  # noqa: PLR0913 - a device tree has as many parts
    *,
    ram_ipa: int,
    ram_bytes: int,
    vcpus: int,
    bootargs: str,
    initrd: tuple[int, int] | None = None,
    job: tuple[int, int] | None = None,
    uart: MmioDevice = UART,
    rtc: MmioDevice | None = None,
    virtio: Sequence[MmioDevice] = (),
) -> bytes:
    """Builds the device tree blob of one VM.

    Args:
        ram_ipa: Start of the VM's memory. Linux takes it as PHYS_OFFSET: 2 MiB aligned.
        ram_bytes: Size of the VM's memory.
        vcpus: 1..8; `reg` of a CPU node is the vCPU's index, which is also its MPIDR.Aff0.
        bootargs: Kernel command line.
        initrd: First byte and one past the last byte of the initramfs, as IPAs.
        job: The same of the part of the RAM that is kept for init's job; Linux never touches it.
        uart: The PL011 that is `ttyAMA0` and `stdout-path`.
        rtc: A PL031, or None where the VM has none.
        virtio: virtio-mmio transports that the VM owns, in the order Linux shall probe them.

    Returns:
        A packed flattened device tree, the same bytes for the same arguments.

    Raises:
        ValueError: A number that no VM can have; nothing was built.
    """
    if not 1 <= vcpus <= _GIC_MAX_CPUS:
        raise ValueError(f"{vcpus} vCPUs: a GICv2 serves 1..{_GIC_MAX_CPUS}")
    if ram_ipa % 0x200000 or ram_bytes <= 0:
        raise ValueError(f"RAM at {ram_ipa:#x}, {ram_bytes:#x} bytes: must start on 2 MiB")
    if initrd and not ram_ipa <= initrd[0] < initrd[1] <= ram_ipa + ram_bytes:
        raise ValueError(f"initramfs {initrd[0]:#x}..{initrd[1]:#x} is not inside the RAM")

    tree = _Tree()
    with tree.node(""):
        tree.cells("#address-cells", 2)
        tree.cells("#size-cells", 2)
        tree.cells("interrupt-parent", _PHANDLE_GIC)
        tree.strings("model", "orchestrate,virt")
        tree.strings("compatible", "linux,dummy-virt")
        _chosen(tree, bootargs=bootargs, initrd=initrd, uart=uart, job=job)
        with tree.node(f"memory@{ram_ipa:x}"):
            tree.strings("device_type", "memory")
            tree.reg((ram_ipa, ram_bytes))
        if job:
            _reserved(tree, job)
        _cpus(tree, vcpus)
        _gic(tree)
        _timer(tree, vcpus)
        with tree.node("apb-pclk"):
            tree.strings("compatible", "fixed-clock")
            tree.cells("#clock-cells", 0)
            tree.cells("clock-frequency", _PCLK_HZ)
            tree.strings("clock-output-names", "clk24mhz")
            tree.cells("phandle", _PHANDLE_CLOCK)
        _primecell(tree, "pl011", uart, clocks=("uartclk", "apb_pclk"))
        if rtc:
            _primecell(tree, "pl031", rtc, clocks=("apb_pclk",))
        for transport in virtio:
            with tree.node(f"virtio_mmio@{transport.ipa:x}"):
                tree.strings("compatible", "virtio,mmio")
                tree.reg((transport.ipa, VIRTIO_STRIDE_BYTES))
                tree.spi(transport, _EDGE_RISING)
                tree.empty("dma-coherent")
    return tree.finish()


def _chosen(
    tree: _Tree,
    *,
    bootargs: str,
    initrd: tuple[int, int] | None,
    uart: MmioDevice,
    job: tuple[int, int] | None,
) -> None:
    uart_path = f"/pl011@{uart.ipa:x}"
    with tree.node("aliases"):
        tree.strings("serial0", uart_path)
        if job:
            tree.strings("job", f"/{_RESERVED}/job@{job[0]:x}")
    with tree.node("chosen"):
        tree.strings("bootargs", bootargs)
        tree.strings("stdout-path", uart_path)
        if initrd:
            tree.cells("linux,initrd-start", initrd[0] >> 32, initrd[0] & 0xFFFFFFFF)
            tree.cells("linux,initrd-end", initrd[1] >> 32, initrd[1] & 0xFFFFFFFF)


def _reserved(tree: _Tree, job: tuple[int, int]) -> None:
    """Reserved memory (reserved-memory/reserved-memory.yaml), of which Linux makes no mapping."""
    start, end = job
    with tree.node(_RESERVED):
        tree.cells("#address-cells", 2)
        tree.cells("#size-cells", 2)
        tree.empty("ranges")
        with tree.node(f"job@{start:x}"):
            tree.reg((start, end - start))
            tree.empty("no-map")


def _cpus(tree: _Tree, vcpus: int) -> None:
    with tree.node("psci"):
        tree.strings("compatible", "arm,psci-1.0", "arm,psci-0.2")
        tree.strings("method", "hvc")
    with tree.node("cpus"):
        tree.cells("#address-cells", 1)
        tree.cells("#size-cells", 0)
        for index in range(vcpus):
            with tree.node(f"cpu@{index:x}"):
                tree.strings("device_type", "cpu")
                tree.strings("compatible", "arm,cortex-a15")
                tree.strings("enable-method", "psci")
                tree.cells("reg", index)


def _gic(tree: _Tree) -> None:
    with tree.node(f"intc@{GICD_IPA:x}"):
        tree.strings("compatible", "arm,cortex-a15-gic")
        tree.cells("#interrupt-cells", 3)
        tree.cells("#address-cells", 0)
        tree.empty("interrupt-controller")
        tree.reg((GICD_IPA, 0x1000), (GICC_IPA, 0x2000))
        tree.cells("phandle", _PHANDLE_GIC)


def _timer(tree: _Tree, vcpus: int) -> None:
    flags = ((1 << vcpus) - 1) << 8 | _LEVEL_HIGH
    with tree.node("timer"):
        tree.strings("compatible", "arm,armv7-timer")
        # The counter goes on while a vCPU idles: no broadcast timer is needed.
        tree.empty("always-on")
        cells = [
            cell for intid in _TIMER_INTIDS for cell in (_PPI, intid - _INTID_FIRST_PPI, flags)
        ]
        tree.cells("interrupts", *cells)


def _primecell(tree: _Tree, kind: str, device: MmioDevice, *, clocks: Sequence[str]) -> None:
    with tree.node(f"{kind}@{device.ipa:x}"):
        tree.strings("compatible", f"arm,{kind}", "arm,primecell")
        tree.reg((device.ipa, 0x1000))
        tree.spi(device, _LEVEL_HIGH)
        tree.cells("clocks", *(_PHANDLE_CLOCK for _ in clocks))
        tree.strings("clock-names", *clocks)
