# SPDX-License-Identifier: MIT
"""The Parquet table, read back by pyarrow, holds the timeline's events field by field."""

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from timelines import LINUX, Builder, dual_timeline

from orchestrator import export
from orchestrator.errors import MissingToolError
from orchestrator.trace.timeline import ClockFit, Source, Timeline


def rows_of(timeline: Timeline, tmp_path: Path) -> list[dict[str, Any]]:
    export.write(timeline, "parquet", tmp_path / "trace.parquet")
    rows: list[dict[str, Any]] = pq.read_table(tmp_path / "trace.parquet").to_pylist()
    return rows


def test_every_event_is_a_row_with_its_fields(tmp_path: Path) -> None:
    timeline = dual_timeline(4)
    rows = rows_of(timeline, tmp_path)
    assert [row["time_ns"] for row in rows] == timeline.time_ns.tolist()
    assert [row["cpu"] for row in rows] == timeline.cpu.tolist()
    names = [source.name for source in timeline.sources]
    assert [row["source"] for row in rows] == [names[each] for each in timeline.source]
    switches = [row for row in rows if row["event"] == "sched_switch"]
    positions = timeline.rows("sched_switch")
    for name in ("prev_pid", "prev_state", "next_pid", "next_prio"):
        assert [row[name] for row in switches] == timeline.values(positions, name).tolist()
    assert {row["next_pid"] for row in rows if row["event"] != "sched_switch"} == {None}


def test_every_row_has_the_process_of_its_thread(tmp_path: Path) -> None:
    rows = rows_of(dual_timeline(10), tmp_path)
    assert {(row["pid"], row["tgid"]) for row in rows if row["source"] != "hypervisor"} == {
        (0, 0),
        (401, 401),
        (402, 401),
        (15, 15),
        (55, None),
        *((65536 + number, 65536) for number in (1, 2, 3, 4)),
    }


def test_what_is_lost_or_wrong_is_in_the_metadata(tmp_path: Path) -> None:
    export.write(
        dual_timeline(1, left_out=5, contradictions=("1.0 s: too early",)),
        "parquet",
        tmp_path / "t",
    )
    metadata = pq.read_schema(tmp_path / "t").metadata
    told = {name.decode(): json.loads(text) for name, text in metadata.items()}
    assert told["lost"] == [{"source": "hypervisor", "cpu": 1, "events": 3}]
    assert told["left_out"] == [{"source": "linux", "cpu": 0, "events": 5}]
    assert told["contradictions"] == ["1.0 s: too early"]
    assert told["clocks"][0] == {
        "source": "linux", "clock": "local", "offset_ns": -1234567, "residual_ns": 16, "samples": 40
    }  # fmt: skip


def test_names_and_details_are_what_people_read(tmp_path: Path) -> None:
    rows = rows_of(dual_timeline(1), tmp_path)
    switch = next(row for row in rows if row["pid"] == 65537 and row["event"] == "sched_switch")
    assert (switch["comm"], switch["system"]) == ("RTOS-Task1", "sched")
    assert switch["details"].startswith("prev_comm=RTOS-Task1 prev_pid=65537 prev_prio=11 ")
    entry = next(row for row in rows if row["event"] == "irq_handler_entry")
    assert (entry["irq"], entry["name"], entry["comm"]) == (27, "arch_timer", "<idle>")


def test_a_field_named_like_a_common_column_does_not_hide_it(tmp_path: Path) -> None:
    linux = Source(name="linux", kind="linux", clock=ClockFit(clock="local"), cores=(0,))
    builder = Builder(sources=(linux,), tasks={})
    builder.add(5, 0, LINUX, "sched_wakeup", comm="woken", pid=7, common_pid=9)
    builder.add(6, 0, LINUX, "ipi_raise", target_cpus=b"\2\0\0\0", reason=2**31)
    builder.add(7, 0, LINUX, "sched_stat_runtime", comm="x", pid=7, runtime=2**64 - 1)
    wakeup, ipi, runtime = rows_of(builder.timeline(), tmp_path)
    assert (wakeup["pid"], wakeup["comm"]) == (9, None)
    assert (wakeup["field_pid"], wakeup["field_comm"]) == (7, "woken")
    assert (ipi["target_cpus"], ipi["reason"]) == ([2], 2**31)
    assert runtime["runtime"] == 2**64 - 1


def test_without_pyarrow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuses(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError("no pyarrow", name="pyarrow")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", refuses)
    monkeypatch.delitem(sys.modules, "orchestrator.export.table", raising=False)
    with pytest.raises(MissingToolError, match="pip install pyarrow"):
        export.write(dual_timeline(1), "parquet", tmp_path / "out")
    assert not list(tmp_path.iterdir())
