# SPDX-License-Identifier: MIT
"""The plan of the board: nothing overlaps, addresses that must be equal are."""

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.config import Config, ElfVm, LinuxVm, MachineConfig, VmConfig
from orchestrator.errors import ConfigError
from orchestrator.machine.board import HV_CONFIG_PA, MIB, DeviceKind, Layout
from orchestrator.machine.elf import ElfImage, Segment, read_elf
from orchestrator.machine.layout import boot_stub, plan
from orchestrator.machine.placement import LinuxImage, VmImage

HYPERVISOR = Path("hypervisor.elf")


@pytest.fixture
def linux_image(tmp_path: Path) -> LinuxImage:
    kernel, initramfs = tmp_path / "Image", tmp_path / "initramfs.cpio"
    kernel.write_bytes(bytes(20 * MIB + 12345))
    initramfs.write_bytes(bytes(2 * MIB + 333))
    return LinuxImage(
        kernel=kernel,
        text_offset=0x8000,
        memory_bytes=23 * MIB,
        initramfs=initramfs,
        files=b"070701fil",
        job=bytes(0x10000),
        bootargs="console=ttyAMA0 quiet",
    )


def elf_image(*, ipa: int = 0x4001_0000) -> ElfImage:
    return ElfImage(
        path=Path("guest.elf"),
        entry_ipa=ipa,
        segments=(Segment(ipa=ipa, content=b"code"), Segment(ipa=ipa + 0x1_0000, content=b"data")),
    )


def config(*vms: VmConfig, **machine: object) -> Config:
    return Config(path=Path("/etc/x.toml"), machine=MachineConfig(**machine), vms=vms)  # type: ignore[arg-type]


def linux(name: str, **more: object) -> LinuxVm:
    return LinuxVm(name=name, ram_bytes=256 * MIB, **more)  # type: ignore[arg-type]


def elf(name: str, **more: object) -> ElfVm:
    return ElfVm(name=name, ram_bytes=16 * MIB, **more)  # type: ignore[arg-type]


def five(linux_image: LinuxImage) -> Layout:
    vms = (linux("linux"), elf("rtos"), linux("second"), elf("third"), elf("quiet", console=False))
    images: dict[str, VmImage] = {
        vm.name: linux_image if isinstance(vm, LinuxVm) else elf_image() for vm in vms
    }
    return plan(config(*vms), images, hypervisor=HYPERVISOR)


def test_no_two_things_share_physical_memory(linux_image: LinuxImage) -> None:
    layout = five(linux_image)
    areas = sorted(
        [(vm.ram_pa, vm.ram_pa + vm.config.ram_bytes, vm.name) for vm in layout.vms]
        + [(blob.pa, blob.end_pa, blob.name) for blob in layout.blobs]
    )
    for low, high in itertools.pairwise(areas):
        assert low[1] <= high[0], f"{low} and {high}"
    assert areas[0][0] == HV_CONFIG_PA
    assert areas[-1][1] <= 0x4000_0000 + layout.ram_bytes < areas[-1][1] + MIB


def test_linux_has_its_ram_where_the_board_has_it_and_others_do_not(
    linux_image: LinuxImage,
) -> None:
    layout = five(linux_image)
    by_name = {vm.name: vm for vm in layout.vms}
    for name in ("linux", "second"):
        assert by_name[name].ram_ipa == by_name[name].ram_pa
        assert by_name[name].ram_pa % (16 * MIB) == 0
    for name in ("rtos", "third", "quiet"):
        assert by_name[name].ram_ipa == 0x4000_0000 != by_name[name].ram_pa
        assert by_name[name].ram_pa % (2 * MIB) == 0


def test_consoles_are_two_uarts_then_the_serial_card(linux_image: LinuxImage) -> None:
    layout = five(linux_image)
    assert [(vm.uart, vm.serial_port) for vm in layout.vms] == [
        (0, None),
        (1, None),
        (None, 1),
        (None, 2),
        (None, None),
    ]
    consoles = [vm.devices[0] for vm in layout.vms[:4]]
    assert [device.ipa for device in consoles] == [0x0900_0000] * 4
    assert [device.irq for device in consoles] == [33] * 4
    assert [(device.pa, device.phys_irq) for device in consoles[:2]] == [
        (0x0900_0000, 33),
        (0x0904_0000, 40),
    ]
    assert [(device.kind, device.backend) for device in consoles[2:]] == [
        (DeviceKind.PL011, 1),
        (DeviceKind.PL011, 2),
    ]
    assert layout.vms[4].devices == ()


def test_each_linux_owns_a_page_of_virtio_and_the_first_one_the_clock(
    linux_image: LinuxImage,
) -> None:
    layout = five(linux_image)
    first, second = (vm for vm in layout.vms if vm.virtio_buses)
    assert [(d.ipa, d.phys_irq, d.irq_count) for d in first.devices[1:]] == [
        (0x0901_0000, 34, 1),
        (0x0A00_0000, 48, 8),
    ]
    assert [(d.ipa, d.phys_irq, d.irq_count) for d in second.devices[1:]] == [(0x0A00_1000, 56, 8)]
    assert (first.virtio_buses, second.virtio_buses) == ((0,), (8,))


def test_a_file_that_two_vms_start_from_is_staged_once(linux_image: LinuxImage) -> None:
    layout = five(linux_image)
    assert [blob.content for blob in layout.blobs].count(linux_image.kernel) == 1
    first, second = (vm for vm in layout.vms if vm.virtio_buses)
    assert first.images[0].source_pa == second.images[0].source_pa
    assert first.images[0].ipa != second.images[0].ipa


def test_the_files_follow_the_initramfs_and_the_device_tree_names_both(
    linux_image: LinuxImage, tmp_path: Path
) -> None:
    """Read back with dtc, which is not what wrote the tree."""
    vm = five(linux_image).vms[0]
    kernel, initramfs, files, dtb, job = vm.images
    assert kernel.ipa == vm.ram_ipa + 0x8000 == vm.entry_ipa
    assert initramfs.ipa + initramfs.bytes <= files.ipa < initramfs.ipa + initramfs.bytes + 4
    assert files.ipa % 4 == 0
    assert job.ipa + job.bytes == vm.ram_ipa + vm.config.ram_bytes
    assert vm.boot_r == (0, 0xFFFF_FFFF, dtb.ipa)

    blob = next(blob for blob in five(linux_image).blobs if blob.name == "linux.dtb")
    assert isinstance(blob.content, bytes)
    (tmp_path / "linux.dtb").write_bytes(blob.content)
    fdtget = shutil.which("fdtget")
    assert fdtget, "the tests need fdtget: apt install device-tree-compiler"

    def get(*words: str) -> str:
        command = [fdtget, *words[:2], str(tmp_path / "linux.dtb"), *words[2:]]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert get("-t", "x", "/chosen", "linux,initrd-start").split() == ["0", f"{initramfs.ipa:x}"]
    assert get("-t", "x", "/chosen", "linux,initrd-end").split() == ["0", f"{files.ipa + 9:x}"]
    node = get("-t", "s", "/aliases", "job")
    assert get("-t", "x", node, "reg").split() == ["0", f"{job.ipa:x}", "0", "10000"]
    assert get("-t", "s", "/chosen", "bootargs") == "console=ttyAMA0 quiet"


def test_an_elf_guest_gets_a_device_tree_only_where_it_leaves_room() -> None:
    def place(ipa: int) -> tuple[list[int], tuple[int, int, int]]:
        layout = plan(config(elf("a")), {"a": elf_image(ipa=ipa)}, hypervisor=HYPERVISOR)
        return [image.ipa for image in layout.vms[0].images], layout.vms[0].boot_r

    assert place(0x4001_0000) == ([0x4000_0000, 0x4001_0000, 0x4002_0000], (0, 0, 0x4000_0000))
    assert place(0x4000_0000) == ([0x4000_0000, 0x4001_0000], (0, 0, 0))


def test_an_elf_outside_of_its_ram_names_both_ranges() -> None:
    with pytest.raises(ConfigError) as caught:
        plan(config(elf("a")), {"a": elf_image(ipa=0x6000_0000)}, hypervisor=HYPERVISOR)
    assert len(caught.value.faults) == 2
    assert caught.value.faults[0] == (
        "/etc/x.toml: vm.a.image: guest.elf wants memory at 0x60000000..0x60000003, "
        "but the VM's RAM is 0x40000000..0x40ffffff"
    )


def test_linux_without_enough_ram_is_told_how_much_it_takes(linux_image: LinuxImage) -> None:
    small = LinuxVm(name="linux", ram_bytes=40 * MIB)
    with pytest.raises(ConfigError, match="give at least 48M") as caught:
        plan(config(small), {"linux": linux_image}, hypervisor=HYPERVISOR)
    assert "vm.linux.ram: 40 MiB" in caught.value.message
    enough = LinuxVm(name="linux", ram_bytes=48 * MIB)
    plan(config(enough), {"linux": linux_image}, hypervisor=HYPERVISOR)


def test_a_board_smaller_than_its_contents_is_refused(linux_image: LinuxImage) -> None:
    images: dict[str, VmImage] = {"linux": linux_image}
    with pytest.raises(
        ConfigError, match=r"machine\.ram: 304 MiB, but VMs and images need 327 MiB"
    ):
        plan(config(linux("linux"), ram_bytes=304 * MIB), images, hypervisor=HYPERVISOR)
    layout = plan(config(linux("linux"), ram_bytes=512 * MIB), images, hypervisor=HYPERVISOR)
    assert layout.ram_bytes == 512 * MIB


def test_without_hypervisor_linux_lies_at_the_same_addresses(linux_image: LinuxImage) -> None:
    under = plan(config(linux("linux")), {"linux": linux_image}, hypervisor=HYPERVISOR)
    bare = plan(config(linux("linux"), hypervisor="none"), {"linux": linux_image}, hypervisor=None)
    assert [blob.pa for blob in bare.blobs] == [image.ipa for image in under.vms[0].images]
    assert not bare.virtualization
    assert under.virtualization
    assert bare.kernel == boot_stub(entry_pa=under.vms[0].entry_ipa, dtb_pa=under.vms[0].boot_r[2])


def test_the_boot_stub_is_an_elf_that_sets_registers_and_jumps(tmp_path: Path) -> None:
    """Disassembled by binutils: the words were encoded by hand."""
    path = tmp_path / "stub.elf"
    path.write_bytes(boot_stub(entry_pa=0x4100_8000, dtb_pa=0x4765_4000))
    image = read_elf(path, max_segments=1)
    assert image.entry_ipa == image.segments[0].ipa == 0x4020_0000
    objdump = shutil.which("arm-linux-gnueabihf-objdump")
    assert objdump, "the tests need binutils-arm-linux-gnueabihf"
    raw = tmp_path / "code"
    raw.write_bytes(image.segments[0].content)
    command = [objdump, "-D", "-b", "binary", "-m", "arm", str(raw)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    code = [" ".join(line.split("\t")[2:4]) for line in text.splitlines() if "\t" in line]
    bare_code = [line.split("@")[0].split(";")[0].strip() for line in code[:4]]
    assert bare_code == ["mov r0, #0", "mvn r1, #0", "ldr r2, [pc]", "ldr pc, [pc]"]
    assert image.segments[0].content[16:] == (0x4765_4000).to_bytes(4, "little") + (
        0x4100_8000
    ).to_bytes(4, "little")
