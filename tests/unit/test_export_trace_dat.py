# SPDX-License-Identifier: MIT
"""trace.dat as trace-cmd itself reads it: every event, every time, what was lost."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from timelines import dual_timeline, repeated, without_events

from orchestrator import export

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.trace.timeline import Timeline

LINE = re.compile(
    r"^ *(?P<comm>.+)-(?P<pid>\d+) +\[(?P<cpu>\d+)\] +(?P<s>\d+)\.(?P<ns>\d{9}): +(?P<event>\w+):"
)


def report(timeline: Timeline, folder: Path, *options: str) -> list[str]:
    path = folder / "trace.dat"
    export.write(timeline, "trace.dat", path)
    done = subprocess.run(
        ["trace-cmd", "report", "-t", "-i", path, *options],
        capture_output=True, text=True, check=True, timeout=400,
    )  # fmt: skip
    assert not re.search("error|overflow|corrupt", done.stderr, re.IGNORECASE), done.stderr
    return done.stdout.splitlines()


def events(lines: list[str]) -> list[tuple[int, int, str]]:
    found = [match for line in lines if (match := LINE.match(line))]
    return [(int(m["s"] + m["ns"]), int(m["cpu"]), m["event"]) for m in found]


def expected(timeline: Timeline) -> list[tuple[int, int, str]]:
    names = {number: form.name for number, form in timeline.formats.items()}
    return [
        (time, cpu, names[number])
        for time, cpu, number in zip(
            timeline.time_ns.tolist(), timeline.cpu.tolist(), timeline.event.tolist(), strict=True
        )
    ]


def test_trace_cmd_reads_every_event(tmp_path: Path) -> None:
    """Times to the nanosecond, over many pages and across long pauses."""
    once = dual_timeline()
    # Pauses of more than 2**27 ns need time extends; those of page ends must not be lost.
    timeline = repeated(once, 4)
    stretched = timeline.time_ns + np.repeat(
        np.arange(4, dtype=np.uint64) * np.uint64(5_000_000_000), len(once)
    )
    timeline = replace(timeline, time_ns=stretched)
    found = events(report(timeline, tmp_path))
    assert sorted(found) == sorted(expected(timeline))


def test_tasks_of_both_guests_have_their_names(tmp_path: Path) -> None:
    lines = report(dual_timeline(), tmp_path)
    text = "\n".join(line for line in lines if "sched_switch:" in line)
    for task in ("RTOS-Task1", "RTOS-Task4", "hackbench"):
        assert re.search(rf"^ *{task}-\d+ ", text, re.MULTILINE)
        assert f"==> {task}:" in text


def test_lost_events_are_told(tmp_path: Path) -> None:
    told = "\n".join(report(dual_timeline(left_out=5), tmp_path))
    assert re.findall(r"\[(\d+) EVENTS DROPPED\]", told) == ["5", "3"]


def test_a_timeline_without_events_can_be_opened(tmp_path: Path) -> None:
    assert events(report(without_events(dual_timeline()), tmp_path)) == []


def test_equal_timelines_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export.write(dual_timeline(), "trace.dat", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_profile_is_possible(tmp_path: Path) -> None:
    """`report --profile` needs sched_switch events whose fields it understands."""
    text = "\n".join(report(dual_timeline(), tmp_path, "--profile"))
    assert "RTOS-Task4" in text


def test_a_record_larger_than_a_page_is_refused(tmp_path: Path) -> None:
    timeline = dual_timeline(ticks=1)
    sizes = timeline.bytes.copy()
    sizes[0] = 5000
    with pytest.raises(Exception, match="does not fit into a page"):
        export.write(replace(timeline, bytes=sizes), "trace.dat", tmp_path / "x")
