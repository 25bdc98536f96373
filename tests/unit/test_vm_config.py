# SPDX-License-Identifier: MIT
"""The VM description against the C header that the hypervisor is compiled with."""

import struct
from pathlib import Path

import pytest
from cheader import measured

from orchestrator.config import ElfVm
from orchestrator.machine import vm_config
from orchestrator.machine.board import Device, DeviceKind, Image, Layout, VmLayout

ABI = Path(__file__).parents[2] / "images" / "abi"
MEMBERS = {
    "hv_image": ("source_pa", "ipa", "bytes"),
    "hv_device": ("kind", "irq", "ipa", "pa", "bytes", "backend", "phys_irq", "irq_count"),
    "hv_vcpu": ("core", "priority"),
    "hv_vm": (
        *("name", "ram_ipa", "ram_pa", "ram_bytes", "entry_ipa", "boot_r", "vcpu_count"),
        *("image_count", "device_count", "vcpu", "image", "device"),
    ),
    "hv_config": (
        *("magic", "version", "bytes", "vm_count", "time_slice_ns", "core_count", "flags", "vm"),
    ),
}


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Every size, offset and constant of the header, as the host's compiler sees them."""
    names = [f"sizeof(struct {struct_name})" for struct_name in MEMBERS]
    names += [
        f"offsetof(struct {struct_name}, {member})"
        for struct_name, members in MEMBERS.items()
        for member in members
    ]
    names += [*vm_config.CONSTANTS, *(f"HV_DEVICE_{kind.name}" for kind in DeviceKind)]
    return measured(ABI / "vm_config.h", names, tmp_path_factory.mktemp("header"))


def example() -> Layout:
    """One VM in which every number is different, so that no two fields can be mixed up."""
    vm = VmLayout(
        config=ElfVm(name="guest", ram_bytes=0x0060_0000, vcpus=2, pin=(3, 5), priority=77),
        ram_ipa=0x4000_0000,
        ram_pa=0x4120_0000,
        entry_ipa=0x4001_0001,
        boot_r=(11, 12, 13),
        images=(
            Image(source_pa=0x5000_0000, ipa=0x4000_8000, bytes=101),
            Image(source_pa=0x5100_0000, ipa=0x4010_8000, bytes=102),
        ),
        devices=(
            Device(
                kind=DeviceKind.PASSTHROUGH,
                ipa=0x0900_0000,
                irq=33,
                irq_count=4,
                bytes=0x2000,
                pa=0x0904_0000,
                phys_irq=40,
            ),
            Device(kind=DeviceKind.PL011, ipa=0x0901_0000, irq=35, backend=2),
        ),
        uart=1,
        serial_port=None,
        virtio_buses=(),
    )
    return Layout(
        cores=4,
        ram_bytes=1 << 28,
        kernel=Path("hypervisor.elf"),
        virtualization=True,
        time_slice_ns=9_999_999,
        vms=(vm,),
        blobs=(),
    )


def field(header: dict[str, int], blob: bytes, at: int, owner: str, member: str) -> int:
    """An unsigned member by the compiler's offset; its width is the distance to the next one."""
    members = MEMBERS[owner]
    offset = header[f"offsetof(struct {owner}, {member})"]
    later = members.index(member) + 1
    end = (
        header[f"offsetof(struct {owner}, {members[later]})"]
        if later < len(members)
        else header[f"sizeof(struct {owner})"]
    )
    width = 8 if end - offset >= 8 and (offset + at) % 8 == 0 else 4
    return int.from_bytes(blob[at + offset : at + offset + width], "little")


def test_constants_are_the_headers(header: dict[str, int]) -> None:
    assert {name: header[name] for name in vm_config.CONSTANTS} == vm_config.CONSTANTS
    assert {kind: header[f"HV_DEVICE_{kind.name}"] for kind in DeviceKind} == {
        kind: kind.value for kind in DeviceKind
    }


def test_sizes_are_the_headers(header: dict[str, int]) -> None:
    assert vm_config.IMAGE.size == header["sizeof(struct hv_image)"]
    assert vm_config.DEVICE.size == header["sizeof(struct hv_device)"]
    assert vm_config.VCPU.size == header["sizeof(struct hv_vcpu)"]
    assert header["sizeof(struct hv_vm)"] == vm_config.VM_BYTES
    assert header["sizeof(struct hv_config)"] == vm_config.CONFIG_BYTES


def test_every_field_is_where_c_looks_for_it(header: dict[str, int]) -> None:
    blob = vm_config.pack(example())
    at = dict.fromkeys(MEMBERS, 0)
    vm_at = header["offsetof(struct hv_config, vm)"]
    at["hv_vm"] = vm_at
    at["hv_vcpu"] = vm_at + header["offsetof(struct hv_vm, vcpu)"]
    at["hv_image"] = vm_at + header["offsetof(struct hv_vm, image)"]
    at["hv_device"] = vm_at + header["offsetof(struct hv_vm, device)"]

    def get(owner: str, member: str, index: int = 0) -> int:
        start = at[owner] + index * header[f"sizeof(struct {owner})"]
        return field(header, blob, start, owner, member)

    assert len(blob) == header["sizeof(struct hv_config)"]
    assert blob[:4] == b"HMVC"
    config = {name: get("hv_config", name) for name in MEMBERS["hv_config"][1:-1]}
    assert config == {
        "version": header["HV_CONFIG_VERSION"],
        "bytes": len(blob),
        "vm_count": 1,
        "time_slice_ns": 9_999_999,
        "core_count": 4,
        "flags": 0,
    }
    assert blob[vm_at : vm_at + 16] == b"guest".ljust(16, b"\0")
    vm_names = ("ram_ipa", "ram_pa", "ram_bytes", "entry_ipa")
    assert [get("hv_vm", name) for name in vm_names] == [
        *(0x4000_0000, 0x4120_0000, 0x0060_0000, 0x4001_0001)
    ]
    boot_at = vm_at + header["offsetof(struct hv_vm, boot_r)"]
    assert struct.unpack_from("<3I", blob, boot_at) == (11, 12, 13)
    assert [get("hv_vm", f"{what}_count") for what in ("vcpu", "image", "device")] == [2, 2, 2]
    assert [get("hv_vcpu", "core", i) for i in (0, 1, 2)] == [3, 5, 0]
    assert [get("hv_vcpu", "priority", i) for i in (0, 1, 2)] == [77, 77, 0]
    assert [get("hv_image", name, 1) for name in MEMBERS["hv_image"]] == [
        *(0x5100_0000, 0x4010_8000, 102)
    ]
    devices = [[get("hv_device", name, i) for name in MEMBERS["hv_device"]] for i in (0, 1)]
    assert devices == [
        [1, 33, 0x0900_0000, 0x0904_0000, 0x2000, 0, 40, 4],
        [2, 35, 0x0901_0000, 0, 0x1000, 2, 0, 1],
    ]


def test_more_images_than_the_structure_holds_are_refused() -> None:
    layout = example()
    images = layout.vms[0].images * 5
    vm = VmLayout(**{**vars(layout.vms[0]), "images": images})
    with pytest.raises(ValueError, match="guest: 10 images, the description holds 8"):
        vm_config.pack(Layout(**{**vars(layout), "vms": (vm,)}))
