# SPDX-License-Identifier: MIT
"""Hypervisor, Linux and the RTOS together: what one boot shows, and that two are the same."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from children import running

pytestmark = pytest.mark.system

ORCHESTRATE = (sys.executable, "-m", "orchestrator.cli")
HOST_LIMIT_S = 800


def dual(*, kernel: str = "armmp", cores: int = 2, vcpus: int = 1, rtos_core: int = 1) -> str:
    """A config like dual.toml's, with what the tests vary."""
    pins = [index % cores for index in range(vcpus)]
    return f"""
[machine]
cores = {cores}
[vm.linux]
type = "linux"
kernel = "{kernel}"
ram = "256M"
pin = {pins}
[vm.rtos]
type = "elf"
ram = "16M"
pin = [{rtos_core}]
[timeouts]
ready = "700s"
"""


def boot(folder: Path, toml: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs `orchestrate boot` with its run directory at folder/run."""
    folder.mkdir(exist_ok=True)
    path = folder / "test.toml"
    path.write_text(toml)
    return subprocess.run(
        (*ORCHESTRATE, "boot", "--config", path, "--out", folder / "run", *options),
        capture_output=True,
        text=True,
        timeout=HOST_LIMIT_S,
        check=False,
    )


def logs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "run").glob("*.log")}


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"kernel": "armmp-lpae"},
        {"cores": 1, "rtos_core": 0},
        {"vcpus": 2},
        {"vcpus": 2, "kernel": "armmp-lpae", "cores": 4, "rtos_core": 2},
        {"vcpus": 2, "cores": 1, "rtos_core": 0},
    ],
    ids=["short", "long", "one-core", "smp", "smp-four-cores", "smp-one-core"],
)
def test_two_boots_of_one_config_give_the_same_logs(
    tmp_path: Path, variant: dict[str, str | int]
) -> None:
    """Two runs side by side, so that the host is busy, end with equal logs to the byte."""
    toml = dual(**variant)  # type: ignore[arg-type]
    with ThreadPoolExecutor() as pool:
        folders = tmp_path / "a", tmp_path / "b"
        ends = list(pool.map(lambda folder: boot(folder, toml, "--for", "3s"), folders))
    assert [end.returncode for end in ends] == [0, 0], ends[0].stderr + ends[1].stderr
    first, second = (logs(folder) for folder in folders)
    assert first["linux.log"].count(b"\n") > 100
    assert b"orchestrate: ready" in first["linux.log"]
    assert b"rtos: ready" in first["rtos.log"]
    assert first == second


def test_a_command_runs_in_linux_beside_the_rtos(tmp_path: Path) -> None:
    """Its output and exit code come through, and the kernel is Debian's own."""
    end = boot(
        tmp_path, dual(), "--", "sh", "-c", "uname -r; grep -c ^processor /proc/cpuinfo; exit 7"
    )
    assert end.returncode == 7, end.stderr
    release, processors = end.stdout.split()
    assert re.fullmatch(r"[\d.]+[-+].*armmp", release)
    assert processors == "1"


def test_a_real_time_vcpu_goes_before_linux_on_its_core(tmp_path: Path) -> None:
    """On one core with a busy Linux, no tick of the RTOS is more than 100 us late."""
    load = "context1 10000 >/dev/null; dd if=/dev/zero of=/dev/null bs=1M count=5000"
    end = boot(tmp_path, dual(cores=1, rtos_core=0), "--", "sh", "-c", load)
    assert end.returncode == 0, end.stderr
    log = (tmp_path / "run" / "rtos.log").read_text()
    late_ns = [int(ns) for ns in re.findall(r"tick jitter ns min=\d+ max=(\d+)", log)]
    assert late_ns
    assert max(late_ns) <= 100_000


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGINT ends a running system with exit code 130 and no QEMU."""
    path = tmp_path / "test.toml"
    path.write_text(dual())
    with running(
        (*ORCHESTRATE, "boot", "--config", path, "--out", tmp_path / "run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if "orchestrate: ready" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(HOST_LIMIT_S) == 130
    left = subprocess.run(("ps", "-eo", "args"), capture_output=True, text=True, check=True)
    assert str(tmp_path) not in left.stdout
