# SPDX-License-Identifier: MIT
"""Debian's kernels on the bare board, without hypervisor and without the machine layer.

Shows that kernel, initramfs, device tree and init are right by themselves: what fails here is not
the hypervisor's fault.
"""

import io
import re
import struct
import subprocess
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.images import sources
from orchestrator.images.devicetree import RTC, virt_dtb, virtio_transport
from orchestrator.images.initramfs import (
    DONE_LINE,
    PORTS,
    READY_LINE,
    base_initramfs,
    files_cpio,
)
from orchestrator.images.job import JOB_AREA_BYTES, job_area
from orchestrator.images.kernel import DEFAULT_BOOTARGS, FLAVOURS, linux_kernel
from orchestrator.images.store import Store

pytestmark = pytest.mark.system

MIB = 1 << 20
RAM_PA = 0x41000000
RAM_BYTES = 256 * MIB
STUB_PA = 0x40200000
DTB_OFFSET = 32 * MIB
INITRD_OFFSET = 34 * MIB
TIMEOUT_S = 800.0

JOB = """
echo to stdout
echo to stderr >&2
echo again > /dev/stderr
context1 200 | grep COUNT
grep -c ^processor /proc/cpuinfo
uname -r
cat /proc/sys/kernel/random/uuid /proc/interrupts
cat /opt/input > /results/copy
exit 42
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run of QEMU left."""

    console: str
    ports: dict[str, bytes]


def entry_stub(entry_pa: int, dtb_pa: int) -> bytes:
    """Registers as the boot protocol wants them, then the jump: mov, mvn, ldr, ldr, literals."""
    return struct.pack("<6I", 0xE3A00000, 0xE3E01000, 0xE59F2000, 0xE59FF000, dtb_pa, entry_pa)


def boot(
    directory: Path,
    flavour: str,
    *,
    until: str,
    cpus: int = 1,
    command: Sequence[str] | None = None,
    ram_pa: int = RAM_PA,
) -> Run:
    """Boots in the deterministic clock until a line matches; QEMU is gone afterwards."""
    store = Store()
    kernel = linux_kernel(store, flavour)
    base = base_initramfs(store, kernel).read_bytes()
    (directory / "input").write_text("from the host")
    initrd = base + files_cpio([(directory / "input", "/opt/input")])
    initrd_pa = ram_pa + INITRD_OFFSET
    job_pa = ram_pa + RAM_BYTES - JOB_AREA_BYTES
    dtb = virt_dtb(
        ram_ipa=ram_pa,
        ram_bytes=RAM_BYTES,
        vcpus=cpus,
        bootargs=DEFAULT_BOOTARGS,
        initrd=(initrd_pa, initrd_pa + len(initrd)),
        job=(job_pa, ram_pa + RAM_BYTES),
        rtc=RTC,
        virtio=[virtio_transport(0)],
    )
    assert kernel.text_offset + kernel.memory_bytes <= DTB_OFFSET
    kernel_pa = ram_pa + kernel.text_offset
    stub = entry_stub(kernel_pa, ram_pa + DTB_OFFSET)
    # The stub lies behind the RAM that this kernel is told of, or in front of it.
    stub_pa = STUB_PA if ram_pa > STUB_PA else ram_pa + RAM_BYTES
    machine_bytes = max(ram_pa + RAM_BYTES, stub_pa + MIB) - 0x40000000
    command_line = [
        "qemu-system-arm",
        *("-M", "virt,gic-version=2,highmem=off,dtb-randomness=off", "-cpu", "cortex-a15"),
        *("-smp", str(cpus), "-m", f"{machine_bytes // MIB}M", "-nodefaults", "-display", "none"),
        *("-rtc", "base=2026-01-01T00:00:00,clock=vm", "-icount", "shift=0,sleep=off"),
        *("-plugin", f"{sources.build('plugin')},quantum_ns=20000"),
        *("-global", "virtio-mmio.force-legacy=false", "-global", "virtio-mmio.ioeventfd=off"),
        *("-device", "virtio-serial-device,bus=virtio-mmio-bus.0,id=ports"),
        *("-chardev", f"file,id=console,path={directory}/console", "-serial", "chardev:console"),
    ]
    pieces = [(kernel.path, kernel_pa)]
    for name, data, place in (
        ("stub", stub, stub_pa),
        ("dtb", dtb, ram_pa + DTB_OFFSET),
        ("initrd", initrd, initrd_pa),
        ("job", job_area(command), job_pa),
    ):
        (directory / name).write_bytes(data)
        pieces.append((directory / name, place))
    for path, place in pieces:
        command_line += ["-device", f"loader,file={path},addr={place:#x},force-raw=on"]
    command_line += ["-device", f"loader,addr={stub_pa:#x},cpu-num=0"]
    for port in PORTS:
        command_line += ["-chardev", f"file,id={port},path={directory}/{port}"]
        command_line += ["-device", f"virtserialport,bus=ports.0,chardev={port},name={port}"]

    pattern = re.compile(until)
    with subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True) as qemu:
        deadline = time.monotonic() + TIMEOUT_S
        console = ""
        while not pattern.search(console) and qemu.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            if (directory / "console").exists():
                console = (directory / "console").read_text(errors="replace")
        qemu.kill()
        _, errors = qemu.communicate()
    assert pattern.search(console), f"{errors}\n{console[-3000:]}"
    # What follows the awaited line depends on when QEMU was ended.
    console = console[: pattern.search(console).end()]  # type: ignore[union-attr]
    return Run(console=console, ports={port: (directory / port).read_bytes() for port in PORTS})


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_job_runs_and_its_output_reaches_the_host(
    tmp_path: Path, flavour: str, cpus: int
) -> None:
    """Command, exit code, both streams, files in and files out; twice, to the same byte."""
    runs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        job = ["sh", "-c", JOB]
        run = boot(tmp_path / name, flavour, cpus=cpus, command=job, until=DONE_LINE + "\n")
        runs.append(run)
    run = runs[0]
    assert re.search(READY_LINE, run.console)
    assert run.console.endswith("orchestrate: done 42\n")
    lines = run.ports["stdout"].decode().splitlines()
    assert lines[:3] == ["to stdout", "COUNT|200|1|iterations", str(cpus)]
    assert lines[3] == linux_kernel(Store(), flavour).release
    assert run.ports["stderr"].decode().splitlines() == ["to stderr", "again"]
    assert run.ports["status"] == b"42\n"
    with tarfile.open(fileobj=io.BytesIO(run.ports["results"])) as results:
        member = results.extractfile("./copy")
        assert member
        assert member.read() == b"from the host"
    assert runs[1] == run


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_without_a_job_a_shell_answers_after_ready(tmp_path: Path, flavour: str) -> None:
    """The prompt appears, and nothing in the log speaks of an error."""
    run = boot(tmp_path, flavour, until=READY_LINE + r"\n(.*\n)*/ # ")
    assert "orchestrate: error" not in run.console
    assert "Kernel panic" not in run.console
    assert all(data == b"" for data in run.ports.values())


def test_ram_may_start_where_the_board_has_it(tmp_path: Path) -> None:
    """PHYS_OFFSET 0x40000000 works as 0x41000000 does: the kernel finds its place by itself."""
    run = boot(tmp_path, "armmp", ram_pa=0x40000000, until=READY_LINE)
    assert "[mem 0x0000000040000000-0x000000004fffffff]" in run.console


@pytest.mark.parametrize(
    ("command", "code", "stderr"),
    [
        (["no-such-program"], 127, "no-such-program: No such file or directory\n"),
        (["/etc"], 126, "/etc: Permission denied\n"),
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["sh", "-c", "sleep 1000 & echo left behind >&2"], 0, "left behind\n"),
    ],
)
def test_every_end_of_a_job_is_reported(
    tmp_path: Path, command: list[str], code: int, stderr: str
) -> None:
    """A command that cannot start, is killed, or leaves a process behind still ends the job."""
    run = boot(tmp_path, "armmp", command=command, until=DONE_LINE + "\n")
    assert run.ports["status"] == f"{code}\n".encode()
    assert run.ports["stderr"].decode() == stderr
