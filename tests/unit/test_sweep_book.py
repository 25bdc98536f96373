# SPDX-License-Identifier: MIT
"""The book of a sweep: whoever is killed, a job is done or it is not; and what is made of it."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from children import running

from orchestrator.bench.model import BenchResult, Instructions
from orchestrator.bench.sweep import report, table
from orchestrator.bench.sweep.book import NAME, Row, open_book
from orchestrator.bench.sweep.job import Outcome, Task
from orchestrator.bench.sweep.plan import Job
from orchestrator.errors import StorageError, UsageError


def task(number: int, *, variant: str = "none", repeat: int = 0) -> Task:
    job = Job(
        point={"clock.shift": number, "vm.rtos.pin": [number]},
        bench="syscall",
        variant=variant,
        repeat=repeat,
        tables={},
        config_path=Path("/nowhere.toml"),
    )
    return Task(job=job, inputs="", key=f"{number}-{variant}-{repeat}", kept=Path("/nowhere"))


def done(each: Task, *, operations: int = 1000, guest: int = 5000) -> Outcome:
    result = BenchResult(
        bench="syscall",
        variant=each.job.variant,
        vm="linux",
        unit="loop",
        operations=operations,
        elapsed_ns=operations * 10,
        instructions=Instructions(guest=guest, hypervisor=1000),
        figures={"max_ns": 7.5},
    )
    return Outcome(key=each.key, result=json.dumps(asdict(result)), error="", host_s=2.0)


def failed(each: Task) -> Outcome:
    return Outcome(key=each.key, result=None, error="vm linux <died>", host_s=1.0)


def test_what_is_done_is_not_run_again_and_what_failed_is(tmp_path: Path) -> None:
    tasks = [task(number) for number in range(3)]
    with open_book(tmp_path, make=True) as book:
        assert book.plan(tasks) == tasks
        book.record(done(tasks[1]))
        book.record(failed(tasks[2]))
    with open_book(tmp_path, make=True) as book:
        assert book.plan(tasks) == [tasks[0], tasks[2]]
        assert [row.state for row in book.rows()] == ["waiting", "done", "failed"]


def test_a_job_that_left_the_sweep_is_remembered(tmp_path: Path) -> None:
    first, second = task(0), task(1)
    with open_book(tmp_path, make=True) as book:
        book.plan([first])
        book.record(done(first))
        book.plan([second])
        assert [row.key for row in book.rows()] == [second.key]
        assert book.plan([second, first]) == [second]
        assert [row.key for row in book.rows()] == [second.key, first.key]


def test_two_sweeps_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with (
        open_book(tmp_path, make=True),
        pytest.raises(UsageError, match="at work there already"),
        open_book(tmp_path, make=True),
    ):
        pass


def test_readers_see_a_sweep_at_work(tmp_path: Path) -> None:
    with open_book(tmp_path, make=True) as book:
        book.plan([task(0)])
        with open_book(tmp_path) as reader:
            assert [row.state for row in reader.rows()] == ["waiting"]


def test_a_folder_without_a_book_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name the folder of a sweep"), open_book(tmp_path):
        pass


def test_a_damaged_book_is_told(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"not SQLite at all" * 100)
    with pytest.raises(StorageError, match="not a database"), open_book(tmp_path):
        pass


def test_whoever_is_killed_leaves_whole_rows(tmp_path: Path) -> None:
    """SIGKILL in the middle of bookings: every outcome that was told as booked is there."""
    script = f"""
import sys
sys.path[:0] = {[str(path) for path in Path(__file__).parents[:2]]!r}
import test_sweep_book as t
from orchestrator.bench.sweep.book import open_book
with open_book(t.Path({str(tmp_path)!r}), make=True) as book:
    tasks = [t.task(number) for number in range(2000)]
    book.plan(tasks)
    for each in tasks:
        book.record(t.done(each))
        print(each.key, flush=True)
"""
    with running([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        told = [child.stdout.readline().strip() for _ in range(20)]
        os.kill(child.pid, signal.SIGKILL)
        told += child.stdout.read().split()
    with open_book(tmp_path, make=True) as book:
        rows = book.rows()
    assert len(rows) == 2000
    whole = {row.key for row in rows if row.state == "done"}
    assert set(told) <= whole
    assert len(whole) - len(told) <= 1, "booked, and killed before it could say so"


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    tasks = [task(n, variant=variant) for n in range(2) for variant in ("none", "hvc")]
    with open_book(tmp_path, make=True) as book:
        book.plan([*tasks, task(9)])
        for each in tasks[:3]:
            book.record(done(each, guest=5000 if each.job.variant == "none" else 5060))
        book.record(failed(tasks[3]))
        return book.rows()


def test_the_table_has_a_row_for_each_job_that_is_done(rows: list[Row]) -> None:
    """Read back with csv and with Arrow, which agree."""
    read = list(csv.DictReader(io.StringIO(table.to_csv(rows).decode())))
    assert [(row["clock.shift"], row["variant"]) for row in read] == [
        ("0", "none"),
        ("0", "hvc"),
        ("1", "none"),
    ]
    assert read[1]["instructions_per_operation"] == "6.06"
    assert read[1]["vm.rtos.pin"] == "[0]"
    assert "host_s" not in read[0]
    arrow = pq.read_table(io.BytesIO(table.to_parquet(rows))).to_pylist()
    assert [{k: str(v) for k, v in row.items()} for row in arrow] == read


def test_the_report_has_figure_overhead_and_failure(rows: list[Row]) -> None:
    page = report.page(rows, title="a <sweep>").decode()
    assert "<title>a &lt;sweep&gt;</title>" in page
    assert "3 done, 1 failed, 1 waiting" in page
    assert page.count("<svg") == 1
    assert "6.1 (+1.00 %)" in page
    assert "vm linux &lt;died&gt;" in page
    assert page == report.page(rows, title="a <sweep>").decode()


def test_repeats_that_differ_are_told(tmp_path: Path) -> None:
    tasks = [task(0, repeat=0), task(0, repeat=1)]
    with open_book(tmp_path, make=True) as book:
        book.plan(tasks)
        book.record(done(tasks[0]))
        book.record(done(tasks[1]))
        assert report.different_repeats(book.rows()) == []
        book.record(done(tasks[1], guest=5001))
        assert report.different_repeats(book.rows()) == [
            "syscall none clock.shift=0 vm.rtos.pin=[0]"
        ]
