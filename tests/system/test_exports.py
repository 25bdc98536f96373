# SPDX-License-Identifier: MIT
"""The exports of a real run tell the same story, each read by somebody else's reader.

What the others are held against is what trace-cmd prints of the run's trace.dat.
"""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import browsing
import pyarrow.parquet as pq
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema

from orchestrator import export
from orchestrator.errors import OrchestrateError
from orchestrator.trace.run import merge_run

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
HOST_LIMIT_S = 800
RTOS_TASKS = {"RTOS-Task1", "RTOS-Task2", "RTOS-Task3", "RTOS-Task4"}
LINE = re.compile(
    r" *(?P<task>.+)-(?P<pid>\d+) +\[(?P<cpu>\d+)\] (?:[.\w]{5})? *(?P<s>\d+)\.(?P<ns>\d{9}): "
    r"(?P<event>\w+): +(?P<details>.*)"
)
SWITCH = re.compile(r"prev_comm=(.*) prev_pid=(\d+) .* ==> next_comm=(.*) next_pid=(\d+) .*")
CTF_SWITCH = re.compile(
    r"\[(\d+)\.(\d{9})\] .* sched_switch: \{ cpu_id = (\d+) \}, .* prev_tid = (\d+), .*"
    r"next_tid = (\d+), .*"
)


@dataclass(frozen=True, order=True)
class Switch:
    """A task switch, as every format has it."""

    time_ns: int
    cpu: int
    prev_pid: int
    next_pid: int


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "run"
    subprocess.run(
        [
            *(sys.executable, "-m", "orchestrator.cli", "trace", "-c", ROOT / "dual.toml"),
            *(
                "-o",
                path,
                "--probe",
                "linux:__switch_to mode=hvc",
                "--",
                "sh",
                "-c",
                "context1 100 > /dev/null; sleep 0.25",
            ),
        ],
        check=True,
        timeout=HOST_LIMIT_S,
    )
    return path


@pytest.fixture(scope="module")
def peer_lines(run: Path) -> list[re.Match[str]]:
    """What trace-cmd prints, plugins off: each event's own print format."""
    done = subprocess.run(
        ["trace-cmd", "report", "-t", "-N", "-i", run / "trace.dat"],
        check=True,
        capture_output=True,
        text=True,
        timeout=HOST_LIMIT_S,
    )
    return [found for line in done.stdout.splitlines() if (found := LINE.fullmatch(line))]


@pytest.fixture(scope="module")
def switches(peer_lines: list[re.Match[str]]) -> list[Switch]:
    found = []
    for line in peer_lines:
        if line["event"] == "sched_switch":
            details = SWITCH.fullmatch(line["details"])
            assert details is not None
            time_ns = int(line["s"] + line["ns"])
            found.append(Switch(time_ns, int(line["cpu"]), int(details[2]), int(details[4])))
    assert {each.cpu for each in found} == {0, 1}
    return sorted(found)


def runs_of(switches: list[Switch], cpu: int) -> dict[int, list[tuple[int, int]]]:
    """Start and end of each run between two switches of a core, by pid."""
    own = [each for each in switches if each.cpu == cpu]
    runs = defaultdict(list)
    for before, after in pairwise(own):
        assert before.next_pid == after.prev_pid
        runs[before.next_pid].append((before.time_ns, after.time_ns))
    return runs


def test_the_text_is_what_trace_cmd_prints(run: Path, peer_lines: list[re.Match[str]]) -> None:
    lines = (run / "trace.txt").read_text().splitlines()
    own = [found.groups() for line in lines if (found := LINE.fullmatch(line))]
    assert len(own) == sum(not line.startswith("#") for line in lines)
    assert sorted(own) == sorted(line.groups() for line in peer_lines)


def test_ctf_has_every_event_and_the_same_switches(
    run: Path, peer_lines: list[re.Match[str]], switches: list[Switch]
) -> None:
    done = subprocess.run(
        ["babeltrace2", "--clock-seconds", run / "ctf"],
        check=True,
        capture_output=True,
        text=True,
        timeout=HOST_LIMIT_S,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(peer_lines)
    found = [match for line in lines if (match := CTF_SWITCH.fullmatch(line))]
    assert sorted(
        Switch(int(each[1] + each[2]), *map(int, each.groups()[2:])) for each in found
    ) == switches  # fmt: skip


def test_parquet_has_every_event_and_the_same_switches(
    run: Path, peer_lines: list[re.Match[str]], switches: list[Switch]
) -> None:
    rows = pq.read_table(run / "trace.parquet").to_pylist()
    assert len(rows) == len(peer_lines)
    assert sorted(
        Switch(row["time_ns"], row["cpu"], row["prev_pid"], row["next_pid"])
        for row in rows
        if row["event"] == "sched_switch"
    ) == switches  # fmt: skip


def test_perfetto_has_the_same_switches_and_runs(run: Path, switches: list[Switch]) -> None:
    trace = schema.Trace.FromString((run / "trace.perfetto").read_bytes())
    found = [
        Switch(
            event.timestamp,
            packet.ftrace_events.cpu,
            event.sched_switch.prev_pid,
            event.sched_switch.next_pid,
        )
        for packet in trace.packet
        for event in packet.ftrace_events.event
        if event.HasField("sched_switch")
    ]
    assert sorted(found) == switches
    threads = {
        packet.track_descriptor.uuid: packet.track_descriptor.thread
        for packet in trace.packet
        if packet.track_descriptor.HasField("thread")
    }
    slices = defaultdict(list)
    for packet in trace.packet:
        event = packet.track_event
        if event.track_uuid in threads:
            slices[threads[event.track_uuid].tid].append(packet.timestamp)
    names = {each.tid: each.thread_name for each in threads.values()}
    assert set(names.values()) >= RTOS_TASKS
    for pid, runs in runs_of(switches, 1).items():
        if pid:
            times = iter(slices[pid])
            shown = list(zip(times, times, strict=True))
            # What ran before the first switch and after the last one is not in `runs`.
            assert [each for each in shown if each in runs] == runs


def test_a_damaged_run_is_a_trace_or_an_error(run: Path, tmp_path: Path) -> None:
    """Whatever is in the files that a guest has made: nothing else is raised."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("ctf", "trace.*", "report.html"))
    made = [*(copy / "results/trace").rglob("*"), *(copy / "trace/ftrace").iterdir()]
    files = [each for each in made if each.is_file() and each.parent.name != "formats"]
    files += (copy / "results/trace/formats").glob("*.sched_switch")
    ends = Counter[bool]()
    for path in sorted(files):
        whole = path.read_bytes()
        for damaged in (
            *(b"", whole[: len(whole) // 2], b"\xff" * len(whole), whole[::-1]),
            whole.replace(b"_pid", b"_dip"),
        ):
            path.write_bytes(damaged)
            try:
                timeline = merge_run(copy)
                for each in ("text", "trace.dat"):
                    export.write(timeline, each, tmp_path / "out")
                ends[True] += 1
            except OrchestrateError:
                ends[False] += 1
        path.write_bytes(whole)
    assert min(ends.values()) > 10, ends


def document_of(page: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL
    )
    assert found is not None
    document: dict[str, Any] = json.loads(found[1])
    return document


@browsing.needs_chromium
def test_chromium_shows_the_tasks_of_both_guests(run: Path, switches: list[Switch]) -> None:
    tasks = {task["name"]: task for task in document_of(run / "report.html")["tasks"]}
    # From the first run of the RTOS's last task on, 16 ms; then the first 5 ms, Linux's.
    last = next(each for each in switches if each.next_pid == tasks["RTOS-Task4"]["pid"])
    address = (run / "report.html").as_uri()
    with browsing.chromium() as browser:
        for begin, names in (
            (last.time_ns - 8_000_000, RTOS_TASKS),
            (switches[0].time_ns, {"context1"}),
        ):
            browsing.opened(browser, f"{address}#from={begin}&to={begin + 16_000_000}")
            picture = browsing.screenshot(browser)
            colors = {name: tasks[name]["color"] for name in names}
            assert [n for n, color in colors.items() if not browsing.shows(picture, color)] == []
        rows = browsing.rows(browser)
    assert rows[:4] == ["CPU0", "CPU1", "hypervisor, CPU0", "hypervisor, CPU1"]
    assert {row.rsplit(" ", 1)[0] for row in rows} >= {*RTOS_TASKS, "context1"}


def test_the_report_has_the_same_times(run: Path, switches: list[Switch]) -> None:
    data = document_of(run / "report.html")
    tasks = {task["pid"]: task for task in data["tasks"]}
    assert {task["name"] for task in tasks.values()} >= {*RTOS_TASKS, "context1"}
    ends = {cpu: [each for each in switches if each.cpu == cpu] for cpu in (0, 1)}
    for cpu in (0, 1):
        cut = {ends[cpu][0].prev_pid, ends[cpu][-1].next_pid}
        for pid, runs in runs_of(switches, cpu).items():
            if pid and pid not in cut:
                assert tasks[pid]["busy_ns"] == sum(end - start for start, end in runs)


def test_the_report_tells_what_each_hit_of_a_probe_cost(
    run: Path, peer_lines: list[re.Match[str]]
) -> None:
    hits = sum(line["event"] == "linux___switch_to" for line in peer_lines)
    row = re.search(
        r"<td>linux:__switch_to</td>((?:<td class=number>[\d,]+</td>)+)",
        (run / "report.html").read_text(),
    )
    assert row is not None
    numbers = [int(each.replace(",", "")) for each in re.findall(r">([\d,]+)<", row[1])]
    count, least, median, most, together = numbers
    assert count == hits > 100
    # A trap, the record and the emulation: some hundred instructions, about the same at each hit.
    assert 100 < least <= median <= most < 5_000
    assert least * count <= together <= most * count
