# SPDX-License-Identifier: MIT
"""The RTOS on a bare board: kernel and port by their own tests, and the default workload.

QEMU runs alone here, without hypervisor and plugin: what the image does by itself.
"""

import fcntl
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Final

import pytest

from orchestrator.images import sources

pytestmark = pytest.mark.system

ROOT: Final = Path(__file__).resolve().parents[2]
CASES: Final = ROOT / "tests" / "images" / "rtos"
BOARD: Final = (
    "qemu-system-arm",
    *("-M", "virt,dtb-randomness=off", "-cpu", "cortex-a15", "-m", "64M"),
    *("-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01T00:00:00,clock=vm"),
    *("-nodefaults", "-display", "none", "-serial", "stdio"),
)
RUN_TIMEOUT_S: Final = 800
WORKERS: Final = ("RTOS-Task1", "RTOS-Task2", "RTOS-Task3", "RTOS-Task4")
FIRST_WORKER_PRIO: Final = 5
# The report of one second: how often each task has run, and the load.
RUNS: Final = re.compile(r"^\[\d{6}\.\d{6}\] rtos: runs (.*?) cpu=(\d+)%\r?$", re.MULTILINE)


def build_tests(compiler: str) -> Path:
    """The image with all cases; processes that build at once take turns."""
    output = ROOT / "build" / "tests" / f"rtos-target-{compiler}"
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-C", str(CASES), "target", f"O={output}"]
        if compiler != "gcc":
            command.append(f"TARGET_CC={compiler}")
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return output / "rtos_tests.elf"


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_all_cases_on_the_target(compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not on this machine")
    run = subprocess.run(
        [*BOARD, "-kernel", str(build_tests(compiler))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT_S,
    )
    results = dict(re.findall(r"^TEST (\w+) (.*?)\r?$", run.stdout, re.MULTILINE))
    assert {name: text for name, text in results.items() if text != "ok"} == {}
    names = {
        name
        for path in [*CASES.glob("test_*.c"), *CASES.glob("target/test_*.c")]
        for name in re.findall(r"^    (?:RAW_)?CASE\((\w+)\)", path.read_text(), re.MULTILINE)
    }
    assert set(results) == names, run.stdout[-2000:]
    assert run.stdout.rstrip().endswith(f"TESTS {len(names)} FAILED 0")
    assert run.returncode == 0  # it switched itself off


@contextmanager
def board(*options: str) -> Iterator[IO[str]]:
    """The default workload on a board; its console. QEMU is gone afterwards."""
    with subprocess.Popen(
        [*BOARD, "-kernel", str(sources.build("rtos")), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as qemu:
        assert qemu.stdout is not None
        try:
            yield qemu.stdout
        finally:
            qemu.kill()


def listens(path: Path) -> bool:
    """Whether somebody can connect: a socket is there a moment earlier."""
    accepts = "00010000"  # __SO_ACCEPTCON
    rows = (row.split() for row in Path("/proc/net/unix").read_text().splitlines())
    return any(row[-1] == str(path) and row[3] == accepts for row in rows)


def console_until(console: IO[str], *, reports: int) -> str:
    """What comes until the workload has reported a number of times, once a second."""
    text = ""
    while len(RUNS.findall(text)) < reports:
        line = console.readline()
        assert line, f"the console ended after:\n{text}"
        text += line
    return text


def test_workload_is_ready_and_counts() -> None:
    """Every task has run once at `rtos: ready`, and ten times a second from then on."""
    with board() as console:
        text = console_until(console, reports=4)
    assert re.search(r"^\[\d{6}\.\d{6}\] rtos: ready\r?$", text, re.MULTILINE)
    assert text.index("rtos: ready") < text.index("rtos: runs")
    counts = [dict(word.split("=") for word in runs.split()) for runs, _ in RUNS.findall(text)]
    for before, after in pairwise(counts):
        assert {name: int(after[name]) - int(before[name]) for name in WORKERS} == dict.fromkeys(
            WORKERS, 10
        )
    # 7.5 million instructions in 100 ms, at 1 ns each, are 7.5 %.
    assert all(6 <= int(cpu) <= 9 for _, cpu in RUNS.findall(text)[1:])


def test_two_runs_have_the_same_log() -> None:
    with board() as console:
        first = console_until(console, reports=5)
    with board() as console, board() as busy_host:
        second = console_until(console, reports=5)
        console_until(busy_host, reports=1)
    assert first == second


def test_each_task_does_twice_the_work_of_the_one_before(tmp_path: Path) -> None:
    """Read by gdb, through DWARF, from the kernel's own cycle counters at two moments.

    `tick_jitter_take` is called once a second by the task that reports, when all four tasks have
    done their work of that period: between two such moments lie ten periods each.
    """
    elf = sources.build("rtos")
    script = tmp_path / "gdb"
    show = "\n".join(
        f'printf "%s %u\\n", OSTCBPrioTbl[{prio}]->OSTCBTaskName,'
        f" OSTCBPrioTbl[{prio}]->OSTCBCyclesTot"
        for prio in range(FIRST_WORKER_PRIO, FIRST_WORKER_PRIO + len(WORKERS))
    )
    script.write_text(
        f"target remote {tmp_path}/gdb.sock\nbreak tick_jitter_take\n"
        f"continue\n{show}\ncontinue\n{show}\nkill\n"
    )
    with board("-S", "-gdb", f"unix:{tmp_path}/gdb.sock,server=on,wait=off"):
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while not listens(tmp_path / "gdb.sock"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        gdb = subprocess.run(
            ["gdb-multiarch", "-nx", "-batch", "-x", str(script), str(elf)],
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_TIMEOUT_S,
        )
    seen = re.findall(r"^(RTOS-Task\d) (\d+)$", gdb.stdout, re.MULTILINE)
    assert [name for name, _ in seen] == [*WORKERS, *WORKERS], gdb.stdout + gdb.stderr
    values = [int(value) for _, value in seen]
    spent = [after - before for before, after in zip(values[:4], values[4:], strict=True)]
    # Ten periods of 250,000 turns of two instructions of 1 ns; the counter counts 16 ns.
    assert spent[0] == pytest.approx(10 * 500_000 / 16, rel=0.01)
    for task, factor in enumerate((1, 2, 4, 8)):
        assert spent[task] == pytest.approx(factor * spent[0], rel=0.005)
