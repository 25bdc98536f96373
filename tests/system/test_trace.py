# SPDX-License-Identifier: MIT
"""`orchestrate trace` end to end: what trace-cmd and KernelShark see in the files it leaves.

The numbers come from `trace-cmd report`; what Linux did is held against trace-cmd's own recording in
the guest, in the same run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tracecmd import HOST_LIMIT_S, guest_files, switches, traced

from orchestrator import export

pytestmark = pytest.mark.system

TASKS = tuple(f"RTOS-Task{n}" for n in (1, 2, 3, 4))
NOBODY = "65534"
SHARK_SIZE = (1600, 1000)
SHARK_LIMIT_S = 400
CONFIG = """
[machine]
cores = 2
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.linux.files]
{files}
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
[trace.linux]
instance = "own"
"""
# Linux sleeps while the RTOS works: cores share guest time when both are busy.
JOB = """
tc start -e sched:sched_switch > /dev/null
context1 100 > /dev/null
sleep 0.35
tc stop
tc extract -o /results/peer.dat > /dev/null
exit 3
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run directories of two runs of one config."""
    files = guest_files(tmp_path_factory.mktemp("armhf"), JOB)
    out = []
    for name in ("first", "second"):
        folder = tmp_path_factory.mktemp(name)
        (folder / "test.toml").write_text(CONFIG.format(files=files))
        options = ("--live",) if name == "first" else ()
        out.append(traced(folder, *options, command=("sh", "/run/job.sh"), code=3))
    return out[0], out[1]


def test_the_tasks_work_1_2_4_8(runs: tuple[Path, Path]) -> None:
    """Run times of whole periods, out of trace.dat, as far as `trace-cmd report` tells."""
    began: dict[str, int] = {}
    spent: dict[str, list[int]] = {task: [] for task in TASKS}
    for each in switches(runs[0] / "trace.dat"):
        if each.cpu != 1:
            continue
        if each.prev in began:
            spent[each.prev].append(each.time_ns - began.pop(each.prev))
        if each.next in spent:
            began[each.next] = each.time_ns
    # Where Linux works, too, the cores share guest time and all takes longer.
    shortest = [min(spent[task]) for task in TASKS]
    assert all(len(spent[task]) >= 3 for task in TASKS)
    for times, measured in zip((1, 2, 4, 8), shortest, strict=True):
        assert measured == pytest.approx(times * shortest[0], rel=0.01)


def test_linux_is_in_the_same_file(runs: tuple[Path, Path]) -> None:
    on_cpu = {
        cpu: {each.next for each in switches(runs[0] / "trace.dat") if each.cpu == cpu}
        for cpu in (0, 1)
    }
    assert {"context1", "init", "sleep"} <= on_cpu[0]
    assert set(TASKS) <= on_cpu[1]
    assert not on_cpu[0] & set(TASKS)
    assert not on_cpu[1] & {"context1", "init"}


def test_each_switch_of_linux_is_what_trace_cmd_recorded(runs: tuple[Path, Path]) -> None:
    """Field by field; both buffers stamp an event themselves, one right after the other."""
    peer = switches(runs[0] / "results/peer.dat")
    assert len(peer) > 100
    own = [each for each in switches(runs[0] / "trace.dat") if each.cpu == 0]
    # Ours began earlier and ended later.
    found = [
        own[first : first + len(peer)]
        for first in range(len(own))
        if [each.what for each in own[first : first + len(peer)]] == [each.what for each in peer]
    ]
    assert len(found) == 1
    apart = np.array([a.time_ns - b.time_ns for a, b in zip(found[0], peer, strict=True)])
    assert np.ptp(apart) < 10_000


def test_two_runs_give_the_same_bytes(runs: tuple[Path, Path]) -> None:
    """Every exported file."""
    first, second = runs
    files = [
        path.relative_to(first)
        for path in first.rglob("*")
        if path.is_file() and {each.file for each in export.FORMATS.values()} & {*path.parts}
    ]
    assert len(files) >= len(export.FORMATS)
    for path in files:
        assert (second / path).read_bytes() == (first / path).read_bytes(), path


def test_the_clock_is_known_to_100_ns(runs: tuple[Path, Path]) -> None:
    told = (runs[1].parent / "stderr").read_text()
    residual = re.search(r"clock local fitted by (\d+) pieces of evidence, at most (\d+) ns", told)
    assert residual, told
    assert int(residual[1]) > 100
    assert int(residual[2]) <= 100
    assert "contradiction" not in told
    assert "lost" not in told


def test_live_lines_come_from_the_probes(runs: tuple[Path, Path]) -> None:
    lines = (runs[0].parent / "stdout").read_text().splitlines()
    assert any("sched_switch: RTOS-Task1 ==> RTOS-Task2" in line for line in lines)
    assert any(re.search(r"\[000\] vm_exit: linux\.0 ", line) for line in lines)


def test_live_lines_have_each_event_of_linux_once(runs: tuple[Path, Path]) -> None:
    """As the finished trace has it, but for its time, of which the live clock leaves more open."""
    lines = (runs[0].parent / "stdout").read_text().splitlines()
    live = Counter(
        match[1] for line in lines if (match := re.search(r"\] linux: .*-\d+ (\w+: .*)$", line))
    )
    text = (runs[0] / "trace.txt").read_text().splitlines()
    events = [
        match
        for line in text
        if (match := re.match(r".*\[000\] \S+ +[\d.]+: (\w+: .*)$", line))
        and not re.match(r"(vm_|virq|vcpu_)", match[1])
    ]
    assert len(events) > 200
    assert live == Counter(match[1] for match in events)
    assert not any("arch_counter_get_cntvct" in line for line in lines)


def test_a_task_that_sleeps_is_woken_before_it_runs(runs: tuple[Path, Path]) -> None:
    done = subprocess.run(
        ["trace-cmd", "report", "-t", "-i", runs[0] / "trace.dat"],
        capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    wakeups = re.findall(r" (\d+\.\d+): sched_wakeup: +RTOS-Task1:", done.stdout)
    runs_from = re.findall(r" (\d+\.\d+): sched_switch: .*==> RTOS-Task1:", done.stdout)
    assert len(wakeups) >= 3
    for wakeup in wakeups:
        following = min(float(each) for each in runs_from if float(each) >= float(wakeup))
        assert following - float(wakeup) < 20e-6


# KernelShark.


def framebuffer(path: Path) -> np.ndarray:
    """The screen of Xvfb, an XWD file: rows, columns, RGB."""
    data = path.read_bytes()
    head = struct.unpack(">25I", data[:100])
    width, height, line_bytes = head[4], head[5], head[12]
    offset = head[0] + 12 * head[19]
    pixels = np.frombuffer(data, np.uint8, line_bytes * height, offset)
    return pixels.reshape(height, line_bytes // 4, 4)[:, :width, 2::-1].copy()


def colours(rows: np.ndarray) -> set[tuple[int, int, int]]:
    """Saturated colours that fill more than a few pixels: those of tasks."""
    flat = rows.reshape(-1, 3).astype(int)
    vivid = flat[np.ptp(flat, axis=1) > 100]
    found, counts = np.unique(vivid, axis=0, return_counts=True)
    return {
        tuple(each)
        for each, count in zip(found.tolist(), counts.tolist(), strict=True)
        if count >= 8
    }


def screenshot(dat: Path, *options: str) -> np.ndarray:
    """What KernelShark shows; as nobody, since it warns root in a window."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        Path(shutil.copy(dat, folder / "trace.dat")).chmod(0o644)
        read_fd, write_fd = os.pipe()
        xvfb = subprocess.Popen(
            (
                *("Xvfb", "-displayfd", str(write_fd), "-nolisten", "tcp", "-fbdir", folder),
                *("-screen", "0", "{}x{}x24".format(*SHARK_SIZE)),
            ),
            pass_fds=[write_fd], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(write_fd)
        try:
            with os.fdopen(read_fd) as answer:
                display = answer.readline().strip()
            environment = {
                **os.environ,
                "DISPLAY": f":{display}", "HOME": name, "QT_QPA_PLATFORM": "xcb",
                "LIBGL_ALWAYS_SOFTWARE": "1",
            }  # fmt: skip
            user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
            shark = subprocess.Popen(
                (
                    *(user if os.geteuid() == 0 else ()),
                    *("kernelshark", "-i", str(folder / "trace.dat"), *options),
                ),
                env=environment, cwd=folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                return drawn(folder / "Xvfb_screen0", shark)
            finally:
                shark.kill()
                shark.wait()
        finally:
            xvfb.terminate()
            xvfb.wait()


def drawn(screen: Path, shark: subprocess.Popen[bytes]) -> np.ndarray:
    """The screen once it shows what the test looks for, or as it is when the time is up.

    Not when it has stopped to change: on a busy host it may do so half drawn.
    """
    deadline = time.monotonic() + SHARK_LIMIT_S
    while True:
        time.sleep(0.5)
        assert shark.poll() is None, "KernelShark has ended by itself"
        now = framebuffer(screen)
        if shows_both_guests(graphs(now)) or time.monotonic() > deadline:
            return now


def bands(screen: np.ndarray) -> list[slice]:
    """Rows of the screen that belong to a graph: its base line runs black across most of the plot."""
    plot = screen[:, 200 : SHARK_SIZE[0] // 2 - 60]
    black = (plot.max(axis=2) < 40).mean(axis=1) > 0.9
    # The first such line is the time axis.
    lines = [y for y in np.flatnonzero(black) if not black[y - 1]][1:]
    return [slice(y - 26, y + 24) for y in lines]


def graphs(screen: np.ndarray) -> list[set[tuple[int, int, int]]]:
    """Colours of each graph, from the top."""
    return [colours(screen[each]) for each in bands(screen)]


def shows_both_guests(found: list[set[tuple[int, int, int]]]) -> bool:
    """Two tasks of Linux on CPU 0, three of the RTOS in colours of their own on CPU 1."""
    return (
        len(found) >= 2 and len(found[0]) >= 2 and len(found[1]) >= 3 and bool(found[1] - found[0])
    )


def test_kernelshark_shows_rows_of_both_guests(runs: tuple[Path, Path]) -> None:
    """CPU 0 in colours of Linux's tasks, CPU 1 in four others, and a row for an RTOS task."""
    screen = screenshot(runs[0] / "trace.dat", "--cpu", "0,1")
    (runs[0] / "kernelshark.ppm").write_bytes(
        b"P6 %d %d 255\n" % (screen.shape[1], screen.shape[0]) + screen.tobytes()
    )
    found = graphs(screen)
    assert shows_both_guests(found), found


def test_the_document_tells_the_files(runs: tuple[Path, Path]) -> None:
    document = json.loads((runs[0] / "run.json").read_text())
    assert document["exit_code"] == 3
    assert document["status"] == "ok"
