# SPDX-License-Identifier: MIT
"""Wake-ups of an RTOS's tasks, held against the counters that the tasks keep and print themselves.

The application (tests/system/wakeups) has its tasks woken in every way that the kernel has. What it
prints after a round of that is compared with what `trace-cmd` finds in the trace up to then.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
HOST_LIMIT_S = 800
COMMANDS_S = 800
CONFIG = """
[machine]
cores = 2
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.rtos]
type = "elf"
image = "{image}"
ram = "16M"
pin = [1]
"""
REPORT = re.compile(r"^\[(\d{6}\.\d{6})\] rtos: woken (.* sem_posts=\d+)\r?$", re.MULTILINE)
WAYS = {
    *("Timeout", "Sem", "Mbox", "Queue", "Flags", "Mutex"),
    *("Suspended", "Sleeper", "Child", "Poster"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a traced run."""
    folder = tmp_path_factory.mktemp("wakeups")
    subprocess.run(
        (
            *("make", "-C", str(ROOT / "images/rtos"), f"O={folder}/build"),
            f"APP={ROOT}/tests/system/wakeups",
        ),
        check=True, capture_output=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    (folder / "test.toml").write_text(CONFIG.format(image=folder / "build/rtos.elf"))
    subprocess.run(
        (
            *(sys.executable, "-m", "orchestrator.cli", "trace", "-c", str(folder / "test.toml")),
            *("-o", str(folder / "run"), "-f", "trace.dat", "--", "sleep", "0.1"),
        ),
        check=True, capture_output=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    return folder / "run"


def shown(run: Path, *options: str) -> str:
    return subprocess.run(
        ["trace-cmd", "report", *options, "-i", run / "trace.dat"],
        capture_output=True, text=True, check=True, timeout=COMMANDS_S,
    ).stdout  # fmt: skip


def events(run: Path) -> list[tuple[float, str, str]]:
    """Time, name and the rest of each event on the RTOS's core."""
    found = re.findall(r"\[001\] +(\d+\.\d+): (\w+): +(.*)$", shown(run, "-t"), re.MULTILINE)
    return [(float(time), name, rest) for time, name, rest in found]


def between_reports(run: Path) -> tuple[float, float, Counter[str]]:
    """Times of the first and of the last report in the trace, and how the counters differ."""
    times = [time for time, _, _ in events(run)]
    reports = [
        # The stamp is cut to a whole microsecond, and the next round begins many later.
        (
            float(time) + 1e-6,
            Counter({k: int(v) for k, v in (word.split("=") for word in text.split())}),
        )
        for time, text in REPORT.findall((run / "rtos.log").read_text())
    ]
    inside = [each for each in reports if times[0] < each[0] < times[-1]]
    assert len(inside) > 20
    (since, before), (until, after) = inside[0], inside[-1]
    return since, until, after - before


def test_each_way_of_being_woken_is_a_wakeup_of_that_task(run: Path) -> None:
    """As many as the task itself has counted, and none else; a priority lent by a mutex is none."""
    since, until, counted = between_reports(run)
    traced = Counter(
        rest.partition(":")[0]
        for time, name, rest in events(run)
        if name == "sched_wakeup" and since < time < until
    )
    traced["Child"] += traced.pop("?")  # it gives itself its name when it runs
    del counted["sem_posts"], traced["uC/OS-II Stat"]
    assert counted.keys() == WAYS
    assert traced == counted


def test_posts_are_events_with_the_semaphore(run: Path) -> None:
    since, until, counted = between_reports(run)
    posts = [
        rest
        for time, name, rest in events(run)
        if name == "rtos_OSSemPost" and since < time < until
    ]
    assert len(posts) == counted["sem_posts"]
    named = [each for each in posts if "name=a semaphore" in each]
    assert len(named) == counted["Sem"]
    assert len({re.search(r"sem=(\S+)", each)[1] for each in named}) == 1  # type: ignore[index]


def test_a_task_keeps_its_pid_while_a_mutex_lends_it_a_priority(run: Path) -> None:
    switches = shown(run, "-F", "sched_switch")
    lent = set(re.findall(r"==> Poster:(\d+) \[(\d+)\]", switches))
    assert {prio for _, prio in lent} == {"9", "20"}
    assert len({pid for pid, _ in lent}) == 1


def test_a_deleted_task_has_ended(run: Path) -> None:
    states = set(
        re.findall(r"\s(?:Child|\?):\d+ \[13\] (\S+) ==>", shown(run, "-F", "sched_switch"))
    )
    assert states == {"X"}


def test_profile_tells_how_long_a_woken_task_waits(run: Path) -> None:
    """From the wake-up to the run, at 1 ns an instruction: the switch, which runs without a break."""
    task = re.search(r"^task: Sem-\d+\n(.*?)^$", shown(run, "--profile"), re.MULTILINE | re.DOTALL)
    assert task
    wakeup = re.search(r"sched_wakeup:\S+ \((\d+)\) Total: \d+ Avg: (\d+) Max: (\d+)", task[1])
    assert wakeup
    _, _, counted = between_reports(run)
    assert int(wakeup[1]) >= counted["Sem"]
    assert 0 < int(wakeup[2]) == int(wakeup[3]) < 200
