# SPDX-License-Identifier: MIT
"""The report's numbers, and the page without a browser; test_export_report_page has the browser."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from timelines import LINUX, LINUX_TASKS, RTOS_TASKS, RTOS_UNIT_NS, Builder, dual_timeline

from orchestrator import export
from orchestrator.errors import MissingToolError
from orchestrator.export import analysis, report, report_data, report_tables
from orchestrator.trace.timeline import ClockFit, Source, Task, Timeline

TICKS = 20


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return dual_timeline(
        TICKS,
        left_out=5,
        contradictions=("linux handles <b>5</b> before it is sent",),
        probe_costs={"rtos: switch": np.array([200, 210, 190], np.uint32)},
    )


@pytest.fixture(scope="module")
def made(timeline: Timeline) -> report_data.Report:
    return report_data.make_report(timeline)


def test_tasks_are_listed_with_their_exact_times(made: report_data.Report) -> None:
    rtos = [task for task in made.tasks if task.pid in RTOS_TASKS]
    assert [(task.name, task.busy_ns, task.runs) for task in rtos] == [
        (f"RTOS-Task{number + 1}", TICKS * (RTOS_UNIT_NS << number), TICKS) for number in range(4)
    ]
    linux = [task for task in made.tasks if task.pid in LINUX_TASKS]
    assert {task.name for task in linux} == set(LINUX_TASKS.values())
    assert [task.busy_ns for task in linux] == sorted((t.busy_ns for t in linux), reverse=True)


def test_threads_are_listed_by_process_and_numbered_as_perf_does() -> None:
    """A process of two threads is busier than another's one, each of its threads is not."""
    linux = Source(name="linux", kind="linux", clock=ClockFit(clock="local"), cores=(0,))
    tasks = {
        pid: Task(pid=pid, comm="a", source=LINUX, tgid=tgid)
        for pid, tgid in ((71, 71), (72, 72), (73, 71), (74, None))
    }
    builder = Builder(sources=(linux,), tasks=tasks)
    at, before = 1_000, 0
    for pid, duration_ns in ((72, 500), (71, 300), (73, 400), (74, 900), (0, 100)):
        builder.add(at, 0, LINUX, "sched_switch", prev_pid=before, next_pid=pid)
        at, before = at + duration_ns, pid
    made = report_data.make_report(builder.timeline())
    assert [(task.number, task.busy_ns) for task in made.tasks] == [
        ("74", 900), ("71/73", 400), ("71", 300), ("72", 500)
    ]  # fmt: skip
    assert [task["number"] for task in made.document["tasks"]] == ["74", "71/73", "71", "72"]


def test_the_parts_of_a_core_add_up_to_the_run(
    timeline: Timeline, made: report_data.Report
) -> None:
    span = int(timeline.time_ns[-1] - timeline.time_ns[0])
    for core in made.cores:
        assert sum(core.parts_ns.values()) == pytest.approx(span, abs=2)
        assert core.parts_ns["hypervisor"] > 0
    # 7.5 ms of each tick of 10 ms; none of it is the hypervisor's, which comes while it idles.
    assert made.cores[1].parts_ns["rtos: tasks"] == TICKS * 15 * RTOS_UNIT_NS


def test_the_columns_bring_back_every_run(made: report_data.Report) -> None:
    starts = np.cumsum(made.columns["run_start"].astype(np.uint64))
    assert (np.diff(starts.astype(np.int64)) >= 0).all()
    names = [made.tasks[each].name for each in made.columns["run_task"]]
    lengths = made.columns["run_ns"].tolist()
    of_task4 = [ns for ns, name in zip(lengths, names, strict=True) if name == "RTOS-Task4"]
    assert of_task4 == [RTOS_UNIT_NS * 8] * TICKS


def test_long_gaps_do_not_wrap(timeline: Timeline) -> None:
    """Differences above 32 bits, that is 4.3 s, are kept."""
    late = timeline.time_ns.copy()
    late[-200:] += np.uint64(2**34)
    made = report_data.make_report(replace(timeline, time_ns=late))
    total = float(made.columns["run_start"].astype(np.float64).sum())
    runs = analysis.task_runs(replace(timeline, time_ns=late))
    assert total == float(runs.start_ns[runs.pid != 0][-1])


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (0, "0 ns"), (999, "999 ns"), (1000, "1.00 µs"), (1250, "1.25 µs"), (12_345, "12.3 µs"),
        (123_456, "123 µs"), (1_500_000, "1.50 ms"), (59_000_000_000, "59.0 s"),
    ],
)  # fmt: skip
def test_durations_have_three_digits_and_a_unit(ns: float, shown: str) -> None:
    assert report_tables.duration(ns) == shown


def test_without_chart_js_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "CHART_JS", tmp_path / "nowhere.js")
    with pytest.raises(MissingToolError, match="apt-get install libjs-chart"):
        export.write(dual_timeline(1), "report", tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def page(timeline: Timeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    export.write(timeline, "report", path)
    return path


def test_the_page_is_self_contained(page: Path) -> None:
    """No address of any other file: it must open offline, anywhere."""
    content = page.read_text()
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=", content)
    assert "@import" not in content
    assert "{{" not in re.sub(r"<script.*?</script>", "", content, flags=re.DOTALL)


def test_a_guests_names_are_not_taken_for_the_pages_own_text(tmp_path: Path) -> None:
    """Whatever case a browser or a template would read them in."""
    timeline = dual_timeline(1)
    name = "</SCRIPT>{{style}}<!--<b>"
    tasks = {pid: replace(task, comm=name) for pid, task in timeline.tasks.items()}
    export.write(replace(timeline, tasks=tasks), "report", tmp_path / "report.html")
    content = (tmp_path / "report.html").read_text()
    assert name not in content
    assert "</SCRIPT>" not in content
    data = re.search(r'<script type="application/json" id="data">(.*)</script>', content)
    assert data is not None
    shown = {task["name"].partition(" (")[0] for task in json.loads(data[1])["tasks"]}
    assert name in shown


def test_what_is_wrong_with_the_run_is_on_top(page: Path) -> None:
    content = page.read_text()
    assert "hypervisor, core 1: 3 events lost" in content
    assert "linux, core 0: 5 events left out: damaged, or of an event whose format" in content
    assert "linux handles &lt;b&gt;5&lt;/b&gt; before it is sent" in content


def test_clocks_and_probe_costs_are_told(page: Path) -> None:
    content = page.read_text()
    assert "-1,234,567 ns" in content
    assert "<td class=number>16 ns</td>" in content
    assert "<td>rtos: switch</td><td class=number>3</td><td class=number>190</td>" in content


def test_quantiles_are_values_that_occurred() -> None:
    """The middle of two far apart is none of them: a delay that never was must not be shown."""
    values = np.array([304, 304, 752], np.uint64)
    few = report_data.Distribution(name="IRQ", values=values)
    assert few.quantiles([0, 0.5, 0.66, 0.67, 0.99, 1]).tolist() == [304, 304, 304, 752, 752, 752]


def test_a_core_whose_tasks_were_not_traced_is_not_called_idle() -> None:
    timeline = dual_timeline(3)
    switches = timeline.rows("sched_switch")
    kept = np.setdiff1d(np.arange(len(timeline)), switches[timeline.cpu[switches] == 1])
    fewer = replace(
        timeline,
        time_ns=timeline.time_ns[kept],
        cpu=timeline.cpu[kept],
        event=timeline.event[kept],
        source=timeline.source[kept],
        offset=timeline.offset[kept],
        bytes=timeline.bytes[kept],
    )
    parts = report_data.make_report(fewer).cores[1].parts_ns
    assert set(parts) == {"hypervisor", "asleep", "tasks not traced"}
