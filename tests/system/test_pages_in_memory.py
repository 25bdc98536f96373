# SPDX-License-Identifier: MIT
"""What is known of a Linux from outside is what lies in its memory while it runs.

ftrace's pages are those that the guest itself hands over, and the code that the kernel has changed
is at the places that its image tells.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from children import running

from orchestrator import config
from orchestrator.config.probes import parse_probe
from orchestrator.images.kernel import text_offset_of_code
from orchestrator.probe.offline import guests_of, image_views
from orchestrator.probe.place import Place, Refusal, find
from orchestrator.probe.spec import resolve
from orchestrator.trace.memory import KernelMemory, ring_pages

pytestmark = pytest.mark.system

HOST_LIMIT_S = 800
PAGE = 4096
PADDING = 29  # type_len, include/linux/ring_buffer.h
NOP, B = 0xE320_F000, 0xEA
RAM_PA, LINUX_RAM_PA, PAGE_OFFSET = 0x4000_0000, 0x4300_0000, 0xC000_0000

CONFIG = """
[machine]
cores = 2
[vm.linux]
type = "linux"
kernel = "{kernel}"
ram = "256M"
pin = [0, 1]
[vm.linux.files]
"/run/job.sh" = "job.sh"
"""
# The buffer is small, so that the ring has gone round. The host looks while the guest waits for
# a line on its console.
JOB = """
mount -t tracefs t /sys/kernel/tracing
cd /sys/kernel/tracing
echo 64 > buffer_size_kb
echo 1 > events/sched/enable
cat /proc/kallsyms > /results/kallsyms
context1 2000 > /dev/null
echo 0 > tracing_on
echo look now > /dev/console
read line < /dev/console
for cpu in 0 1; do
    cat per_cpu/cpu$cpu/stats > /results/stats$cpu
    timeout 1 dd if=per_cpu/cpu$cpu/trace_pipe_raw of=/results/cpu$cpu.raw bs=4096
done
exit 0
"""


def guest_ram(pid: int) -> bytes:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if "memory-backend-memfd" in str(link.readlink()):
            return link.read_bytes()
    raise AssertionError("QEMU has no RAM file")


def wait_for(text: str, log: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + HOST_LIMIT_S
    while not log.exists() or text not in log.read_text(errors="replace"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{log} never says {text!r}"
        time.sleep(0.05)


def events_of(page: bytes) -> tuple[int, bytes]:
    """Time stamp and data of a page, without what lies behind them."""
    time_stamp, commit = struct.unpack_from("<QI", page)
    return time_stamp, page[12 : 12 + (commit & 0xFFFFF)]


def pulled(run: Path, ram: bytes) -> Mapping[int, tuple[list[bytes], int]]:
    """By CPU the pages found in memory, and how many events the kernel counts in them."""

    def translate(va: int) -> int:
        if va < PAGE_OFFSET:
            raise LookupError(f"{va:#x} is not in the kernel's linear mapping")
        return va - PAGE_OFFSET + LINUX_RAM_PA - RAM_PA

    lines = [line.split() for line in (run / "results/kallsyms").read_text().splitlines()]
    functions = {words[2]: int(words[0], 16) for words in lines if words[1] in "tT"}
    memory = KernelMemory(np.frombuffer(ram, np.uint8), translate)
    return {
        each.cpu: ([ram[at : at + PAGE] for at in each.offsets.tolist()], each.entries)
        for each in ring_pages(memory, functions, cpus=2)
    }


@pytest.fixture(scope="module", params=["armmp", "armmp-lpae"])
def looked_at(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, bytes]:
    """A run, and the board's RAM when the job said so."""
    folder = tmp_path_factory.mktemp("memory")
    (folder / "job.sh").write_text(JOB)
    toml = folder / "test.toml"
    toml.write_text(CONFIG.format(kernel=request.param))
    run = folder / "run"
    command = (sys.executable, "-m", "orchestrator.cli", "boot", "-c", toml, "-o", run)
    with running(
        (*command, "--", "sh", "/run/job.sh"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for("look now", run / "linux.log", process)
        live = json.loads((run / "live.json").read_text())
        ram = guest_ram(live["qemu_pid"])
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(live["consoles"]["linux"])
            console.sendall(b"\n")
            _, errors = process.communicate(timeout=HOST_LIMIT_S)
        assert process.returncode == 0, errors
    return run, ram


def test_code_that_linux_has_changed_is_where_its_image_tells(
    looked_at: tuple[Path, bytes],
) -> None:
    """Wherever a NOP has become a branch while it booted, and nothing else."""
    run, ram = looked_at
    linux = guests_of(config.load(run.parent / "test.toml"))["linux"]
    kernel = linux.image.read_bytes()
    functions = [each.va for each in linux.symbols.functions if each.va not in linux.symbols.init]
    first, last = min(functions), max(functions)
    at = first - PAGE_OFFSET
    before = np.frombuffer(kernel, "<u4", (last - first) // 4, at - text_offset_of_code(kernel))
    now = np.frombuffer(ram, "<u4", len(before), at + LINUX_RAM_PA - RAM_PA)
    changed = np.flatnonzero((before == NOP) & (now >> 24 == B)) * 4 + first
    assert len(changed) > 20
    assert set(changed.tolist()) <= linux.static_branches
    # They are few; were every second instruction taken for one, nothing could be probed.
    assert len(linux.static_branches) < len(linux.symbols.functions) / 5
    view = image_views({"linux": linux})["linux"]
    hvc, shadow = (
        find(resolve(parse_probe(f"linux:{changed[0]:#x} mode={mode}"), linux)[0], view)
        for mode in ("hvc", "shadow")
    )
    assert isinstance(shadow, Place)
    assert isinstance(hvc, Refusal)
    assert "a static branch" in hvc.reason
    assert hvc.nearest


def test_pages_in_memory_are_the_pages_handed_over(looked_at: tuple[Path, bytes]) -> None:
    """Every page of a ring that has gone round, on both CPUs, with both kernels."""
    run, ram = looked_at
    found = pulled(run, ram)
    assert set(found) == {0, 1}
    for cpu, (pages, entries) in found.items():
        raw = (run / f"results/cpu{cpu}.raw").read_bytes()
        expected = [events_of(raw[at : at + PAGE]) for at in range(0, len(raw), PAGE)]
        assert len(expected) >= 10
        assert len(pages) == len(expected)
        assert f"entries: {entries}\n" in (run / f"results/stats{cpu}").read_text()
        for page, (time_stamp, data) in zip(pages, expected, strict=True):
            own_time_stamp, own_data = events_of(page)
            assert own_time_stamp == time_stamp
            assert own_data.startswith(data)
            # In memory a full page ends with padding, which the reader of the pipe is spared.
            rest = own_data[len(data) :]
            assert not rest or rest[0] & 0x1F == PADDING
