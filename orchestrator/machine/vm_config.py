# SPDX-License-Identifier: MIT
"""The VM description for the hypervisor: the Python mirror of `images/abi/vm_config.h`.

The header is the authority; a test compiles it and compares every offset below with it.
"""

from __future__ import annotations

import struct
from typing import Final

from orchestrator.machine.board import (
    HV_CONFIG_PA,
    HV_RAM_BYTES,
    MAX_DEVICES,
    MAX_IMAGES,
    MAX_NAME_BYTES,
    MAX_VCPUS,
    MAX_VMS,
    RAM_PA,
    Device,
    Image,
    Layout,
    VmLayout,
)

MAGIC: Final = 0x43564D48
VERSION: Final = 2

FLAG_RECHECK_IRQS: Final = 1

IMAGE: Final = struct.Struct("<QQQ")
DEVICE: Final = struct.Struct("<IIQQQIIII")
VCPU: Final = struct.Struct("<II")
VM_HEAD: Final = struct.Struct("<16sQQQQ3IIII")
HEAD: Final = struct.Struct("<IIIIQII")

VM_OFFSETS: Final = {
    "vcpu": VM_HEAD.size,
    "image": VM_HEAD.size + MAX_VCPUS * VCPU.size,
    "device": VM_HEAD.size + MAX_VCPUS * VCPU.size + MAX_IMAGES * IMAGE.size,
}
VM_BYTES: Final = VM_OFFSETS["device"] + MAX_DEVICES * DEVICE.size
CONFIG_BYTES: Final = HEAD.size + MAX_VMS * VM_BYTES

CONSTANTS: Final = {
    "HV_RAM_PA": RAM_PA,
    "HV_RAM_BYTES": HV_RAM_BYTES,
    "HV_CONFIG_PA": HV_CONFIG_PA,
    "HV_CONFIG_MAGIC": MAGIC,
    "HV_CONFIG_VERSION": VERSION,
    "HV_FLAG_RECHECK_IRQS": FLAG_RECHECK_IRQS,
    "HV_MAX_VMS": MAX_VMS,
    "HV_MAX_VCPUS": MAX_VCPUS,
    "HV_MAX_IMAGES": MAX_IMAGES,
    "HV_MAX_DEVICES": MAX_DEVICES,
}
"""The header's macros that Python knows too."""


def pack(layout: Layout) -> bytes:
    """`struct hv_config` for this board.

    Raises:
        ValueError: More of something than the structure holds; the config's checks and the
            layout keep this from happening.
    """
    if len(layout.vms) > MAX_VMS:
        raise ValueError(f"{len(layout.vms)} VMs, the description holds {MAX_VMS}")
    head = HEAD.pack(
        MAGIC,
        VERSION,
        CONFIG_BYTES,
        len(layout.vms),
        layout.time_slice_ns,
        layout.cores,
        FLAG_RECHECK_IRQS if layout.recheck_irqs else 0,
    )
    vms = b"".join(_pack_vm(vm) for vm in layout.vms)
    return (head + vms).ljust(CONFIG_BYTES, b"\0")


def _pack_vm(vm: VmLayout) -> bytes:
    name = vm.name.encode("ascii")
    counts = (
        ("name bytes", len(name), MAX_NAME_BYTES),
        ("vCPUs", vm.config.vcpus, MAX_VCPUS),
        ("images", len(vm.images), MAX_IMAGES),
        ("devices", len(vm.devices), MAX_DEVICES),
    )
    for what, count, limit in counts:
        if count > limit:
            raise ValueError(f"vm {vm.name}: {count} {what}, the description holds {limit}")
    head = VM_HEAD.pack(
        name,
        vm.ram_ipa,
        vm.ram_pa,
        vm.config.ram_bytes,
        vm.entry_ipa,
        *vm.boot_r,
        vm.config.vcpus,
        len(vm.images),
        len(vm.devices),
    )
    vcpus = b"".join(VCPU.pack(core, vm.config.priority) for core in vm.config.pin)
    images = b"".join(_pack_image(image) for image in vm.images)
    devices = b"".join(_pack_device(device) for device in vm.devices)
    return (
        head
        + vcpus.ljust(MAX_VCPUS * VCPU.size, b"\0")
        + images.ljust(MAX_IMAGES * IMAGE.size, b"\0")
        + devices.ljust(MAX_DEVICES * DEVICE.size, b"\0")
    )


def _pack_image(image: Image) -> bytes:
    return IMAGE.pack(image.source_pa, image.ipa, image.bytes)


def _pack_device(device: Device) -> bytes:
    return DEVICE.pack(
        device.kind,
        device.irq,
        device.ipa,
        device.pa,
        device.bytes,
        device.backend,
        device.phys_irq,
        device.irq_count,
        0,
    )
