# SPDX-License-Identifier: MIT
"""The device tree, read back by dtc and by libfdt's reader."""

import shutil
import subprocess
from typing import Any

import libfdt
import pytest

from orchestrator.images import devicetree
from orchestrator.images.devicetree import RTC, MmioDevice, virt_dtb, virtio_transport

RAM: dict[str, Any] = {"ram_ipa": 0x41000000, "ram_bytes": 256 << 20, "bootargs": "console=ttyAMA0"}


def full() -> bytes:
    return virt_dtb(
        **RAM,
        vcpus=2,
        initrd=(0x43200000, 0x43400123),
        job=(0x50FF0000, 0x51000000),
        rtc=RTC,
        virtio=[virtio_transport(8), virtio_transport(9)],
    )


def cells(tree: Any, path: str, name: str) -> list[int]:
    prop = tree.getprop(tree.path_offset(path), name)
    data = bytes(prop)
    return [int.from_bytes(data[i : i + 4], "big") for i in range(0, len(data), 4)]


@pytest.mark.skipif(shutil.which("dtc") is None, reason="dtc is not installed")
def test_dtc_accepts_the_tree_without_a_warning() -> None:
    """dtc's own checks (unit addresses, cell counts, phandles, interrupts) find nothing."""
    result = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", "-o", "-", "-"],
        input=full(),
        capture_output=True,
        check=True,
    )
    assert result.stderr == b""
    source = result.stdout.decode()
    assert 'compatible = "arm,cortex-a15-gic"' in source
    assert (
        "interrupts = <0x01 0x0d 0x304 0x01 0x0e 0x304 0x01 0x0b 0x304 0x01 0x0a 0x304>" in source
    )
    assert "seed" not in source


def test_equal_arguments_give_equal_bytes() -> None:
    assert full() == full()


def test_memory_initrd_and_arguments_are_where_linux_looks_for_them() -> None:
    tree = libfdt.FdtRo(full())
    assert cells(tree, "/memory@41000000", "reg") == [0, 0x41000000, 0, 256 << 20]
    assert cells(tree, "/chosen", "linux,initrd-start") == [0, 0x43200000]
    assert cells(tree, "/chosen", "linux,initrd-end") == [0, 0x43400123]
    chosen = tree.path_offset("/chosen")
    assert tree.getprop(chosen, "bootargs").as_str() == "console=ttyAMA0"
    assert tree.path_offset(tree.getprop(chosen, "stdout-path").as_str()) > 0


def test_cpus_have_their_index_as_reg() -> None:
    tree = libfdt.FdtRo(virt_dtb(**RAM, vcpus=4))
    for index in range(4):
        assert cells(tree, f"/cpus/cpu@{index}", "reg") == [index]
    with pytest.raises(libfdt.FdtException):
        tree.path_offset("/cpus/cpu@4")


def test_devices_have_their_place_and_interrupt() -> None:
    """Interrupts are written as SPI numbers: the GIC's interrupt id less 32."""
    tree = libfdt.FdtRo(full())
    assert cells(tree, "/pl011@9000000", "interrupts") == [0, 1, 4]
    assert cells(tree, "/pl031@9010000", "interrupts") == [0, 2, 4]
    assert cells(tree, "/virtio_mmio@a001000", "reg") == [0, 0x0A001000, 0, 0x200]
    assert cells(tree, "/virtio_mmio@a001000", "interrupts") == [0, 16 + 8, 1]
    assert tree.hasprop(tree.path_offset("/virtio_mmio@a001200"), "dma-coherent")


def test_what_a_vm_has_not_is_not_in_its_tree() -> None:
    tree = libfdt.FdtRo(virt_dtb(**RAM, vcpus=1))
    for path in ("/pl031@9010000", "/virtio_mmio@a000000"):
        with pytest.raises(libfdt.FdtException):
            tree.path_offset(path)
    assert not tree.hasprop(tree.path_offset("/chosen"), "linux,initrd-start")


def test_another_uart_becomes_the_console() -> None:
    tree = libfdt.FdtRo(virt_dtb(**RAM, vcpus=1, uart=MmioDevice(ipa=0x09040000, intid=40)))
    assert cells(tree, "/pl011@9040000", "interrupts") == [0, 8, 4]
    assert tree.getprop(tree.path_offset("/aliases"), "serial0").as_str() == "/pl011@9040000"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vcpus": 0}, "0 vCPUs"),
        ({"vcpus": 9}, "9 vCPUs"),
        ({"ram_ipa": 0x41000000 + 0x1000}, "2 MiB"),
        ({"ram_bytes": 0}, "RAM at"),
        ({"initrd": (0x40000000, 0x40001000)}, "not inside"),
        ({"initrd": (0x43000000, 0x43000000)}, "not inside"),
    ],
)
def test_impossible_numbers_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        virt_dtb(**({**RAM, "vcpus": 1} | changed))


def test_there_are_32_transports() -> None:
    assert virtio_transport(31) == MmioDevice(ipa=0x0A003E00, intid=79)
    with pytest.raises(ValueError, match=r"0\.\.31"):
        virtio_transport(devicetree.VIRTIO_TRANSPORTS)
