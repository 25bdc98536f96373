# SPDX-License-Identifier: MIT
"""Figures against a baseline, the first difference of two runs, and what is kept of a run."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
from pace import slowness
from timelines import dual_timeline

from orchestrator import cli
from orchestrator.bench import difference, stored
from orchestrator.bench.compare import Figure, Tolerance, compare, load_tolerances
from orchestrator.bench.model import BenchResult, Instructions, to_json
from orchestrator.errors import ConfigError, StorageError, UsageError
from orchestrator.records import RECORD, RING_HEADER_BYTES, Kind

RESULT = BenchResult(
    bench="context1",
    variant="hvc",
    vm="linux",
    unit="switch",
    operations=1000,
    elapsed_ns=7_000_000,
    instructions=Instructions(guest=6_900_000, hypervisor=100_000),
)


def verdicts(now: float, before: float, *tolerances: Tolerance, less: bool = True) -> str:
    (row,) = compare(
        [Figure(name="a/b", value=now, less_is_better=less)],
        [Figure(name="a/b", value=before, less_is_better=less)],
        tolerances,
    )
    return row.verdict


def test_without_a_tolerance_only_equal_is_equal() -> None:
    assert verdicts(100, 100) == "same"
    assert verdicts(100.001, 100) == "worse"
    assert verdicts(99.9, 100) == "better"


def test_where_less_is_not_better_any_difference_is_worse() -> None:
    assert verdicts(99, 100, less=False) == "worse"
    assert verdicts(101, 100, less=False) == "worse"


def test_the_last_tolerance_that_fits_counts() -> None:
    loose, tight = Tolerance(pattern="*", share=0.05), Tolerance(pattern="a/*", share=0.01)
    assert verdicts(103, 100, loose) == "within"
    assert verdicts(103, 100, loose, tight) == "worse"
    assert verdicts(103, 100, tight, loose) == "within"
    assert verdicts(103, 100, Tolerance(pattern="a/b", absolute=3)) == "within"
    assert verdicts(103, 100, Tolerance(pattern="a/b", absolute=2.9)) == "worse"


def test_a_figure_that_is_gone_fails_and_a_new_one_does_not() -> None:
    rows = compare([Figure(name="new", value=1)], [Figure(name="old", value=1)])
    assert [(row.name, row.verdict, row.fails) for row in rows] == [
        ("old", "missing", True),
        ("new", "new", False),
    ]


def test_a_tolerance_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[tolerances]\n"*" = "1.5%"\n"trace/*" = 200\n')
    assert load_tolerances(path) == (
        Tolerance(pattern="*", share=0.015),
        Tolerance(pattern="trace/*", absolute=200),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "not valid TOML"),
        ("", "one table"),
        ("[tolerances]\n[more]", "one table"),
        ('[tolerances]\n"*" = "1"', "must be a share"),
        ('[tolerances]\n"*" = -1', "must be a share"),
        ('[tolerances]\n"*" = true', "must be a share"),
    ],
)
def test_a_wrong_tolerance_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_tolerances(tmp_path / "t.toml")


def test_the_first_differing_line_is_shown_with_what_is_around_it() -> None:
    before = "".join(f"line {i}\n" for i in range(10))
    found = difference.of_texts("rtos.log", before.replace("line 5", "LINE 5"), before)
    assert found is not None
    assert found.position == 5
    assert found.lines == (
        *("  line 2", "  line 3", "  line 4"),
        *("- line 5", "- line 6", "- line 7"),
        *("+ LINE 5", "+ line 6", "+ line 7"),
    )
    assert difference.of_texts("rtos.log", before, before) is None


def test_a_log_that_ends_early_differs_at_its_end() -> None:
    found = difference.of_texts("x", "a\n", "a\nb\n")
    assert found is not None
    assert found.lines == ("  a", "- b", "+ (ends here)")


def stream(count: int) -> np.ndarray:
    records = np.zeros(count, RECORD)
    records["time_ns"] = np.arange(count) * 1000
    records["seq"] = np.arange(count)
    records["kind"] = Kind.PROBE
    records["id"] = 7
    return records


def test_the_first_differing_record_is_shown() -> None:
    records, changed = stream(1000), stream(1000)
    changed["pc"][500:] = 0xC0101234
    found = difference.of_streams("plugin-0.rec", changed, records)
    assert found is not None
    assert found.position == 500
    assert found.lines[0].startswith("  497000 ns")
    assert found.lines[3].startswith("- 500000 ns  cpu 0  vm 0  PROBE 7  pc 00000000")
    assert found.lines[6].startswith("+ 500000 ns  cpu 0  vm 0  PROBE 7  pc c0101234")
    assert difference.of_streams("plugin-0.rec", stream(9), stream(9)) is None


def test_a_longer_stream_differs_where_the_other_ends() -> None:
    found = difference.of_streams("x", stream(5), stream(4))
    assert found is not None
    assert found.position == 4
    assert found.lines[-1] == "- (ends here)"
    assert difference.of_streams("x", stream(0), stream(1)) is not None


def test_the_first_differing_event_is_shown_as_ftrace_writes_it() -> None:
    one, other = dual_timeline(ticks=5), dual_timeline(ticks=5)
    assert difference.of_timelines("timeline", one, other) is None
    row = int(one.rows("sched_wakeup")[7])
    payload = one.payload.copy()
    payload[int(one.offset[row]) + one.formats[int(one.event[row])].field("prio").offset] ^= 1
    changed = dataclasses.replace(one, payload=payload)
    found = difference.of_timelines("timeline", changed, other)
    assert found is not None
    assert found.position == row
    before, after = found.lines[3], found.lines[6]
    assert before.startswith("- ")
    assert after.startswith("+ ")
    assert "sched_wakeup" in before
    assert before[2:].replace("prio=11 ", "prio=10 ") == after[2:]


def make_run(folder: Path, *, log: str = "a\nb\n", pc: int = 0, tail: int = 0) -> Path:
    """What `orchestrate bench` leaves of one run, in all that a comparison looks at."""
    run = folder / "runs" / "one"
    (run / "trace").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "linux.log").write_text(log)
    (run / "qemu.log").write_text(str(folder))
    records = stream(10)
    records["pc"] = pc
    head = bytes([tail]) * RING_HEADER_BYTES
    (run / "trace" / "plugin-0.rec").write_bytes(head + records.tobytes())
    (folder / "bench.json").write_bytes(to_json([RESULT]))
    return folder


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = cli.main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    return code, out + err


def test_equal_runs_compare_equal_whatever_the_host_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """QEMU's own log and a stream's header, which has the reader's progress, do not count."""
    one, other = make_run(tmp_path / "a"), make_run(tmp_path / "b", tail=9)
    code, told = run_cli(capsys, "compare", one, other, "--exact")
    assert code == 0
    assert told == "2 figures: 2 same\n2 logs, streams and timelines: 2 identical\n"


def test_a_difference_is_shown_and_fails_only_where_runs_must_be_exact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = make_run(tmp_path / "a", log="a\nB\n", pc=4), make_run(tmp_path / "b")
    code, told = run_cli(capsys, "compare", one, other)
    assert code == 0
    assert "runs/one/linux.log differs first at 2:\n  a\n- b\n+ B\n" in told
    assert "runs/one/trace/plugin-0.rec differs first at 1:" in told
    assert run_cli(capsys, "compare", one, other, "--exact")[0] == 1


def test_a_worse_figure_fails_unless_the_file_of_tolerances_allows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = dataclasses.replace(RESULT, instructions=Instructions(guest=7_070_000))
    for name, result in (("now.json", worse), ("then.json", RESULT)):
        (tmp_path / name).write_bytes(to_json([result]))
    (tmp_path / "t.toml").write_text('[tolerances]\n"bench/*" = "1%"\n')
    now, then = tmp_path / "now.json", tmp_path / "then.json"
    code, told = run_cli(capsys, "compare", now, then)
    assert code == 1
    assert "worse    bench/context1/hvc/instructions" in told
    assert "+1.000%" in told
    assert run_cli(capsys, "compare", now, then, "--tolerances", tmp_path / "t.toml")[0] == 0


def test_a_baseline_is_saved_replaced_shown_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = make_run(tmp_path / "run")
    for _ in range(2):
        assert run_cli(capsys, "baseline", "save", run, "board")[0] == 0
    kept = tmp_path / "state" / "orchestrate" / "baselines" / "board"
    names = sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file())
    assert names == [
        "bench.json",
        "runs/one/linux.log",
        "runs/one/run.json",
        "runs/one/trace/plugin-0.rec",
    ]
    assert sorted(path.name for path in kept.parent.iterdir()) == ["board"]
    assert run_cli(capsys, "compare", run, "board", "--exact")[0] == 0
    assert "board" in run_cli(capsys, "baseline", "show")[1]
    assert (
        "bench/context1/hvc/instructions  7,000.00"
        in run_cli(capsys, "baseline", "show", "board")[1]
    )


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run"):
        stored.find(tmp_path / "absent")
    with pytest.raises(UsageError, match="neither a run"):
        stored.find(tmp_path)


def test_a_baseline_does_not_replace_what_is_none(tmp_path: Path) -> None:
    run = stored.find(make_run(tmp_path / "run"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "precious").write_text("text")
    with pytest.raises(UsageError, match="neither a run"):
        stored.save_baseline(run, tmp_path / "home")
    assert (tmp_path / "home" / "precious").read_text() == "text"


def test_a_baseline_that_is_not_replaced_after_all_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored.find(make_run(tmp_path / "run"))
    kept = tmp_path / "kept"
    stored.save_baseline(run, kept / "board")
    before = sorted(kept.rglob("*"))

    def interrupted(made: Path, *_: Path) -> None:
        assert made.is_dir()
        raise KeyboardInterrupt

    monkeypatch.setattr(stored, "swap_in", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stored.save_baseline(run, kept / "board")
    assert sorted(kept.rglob("*")) == before


def test_half_a_stream_is_refused(tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    path = one / "runs" / "one" / "trace" / "plugin-0.rec"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageError, match="no whole event stream"):
        list(stored.differences(stored.find(one), stored.find(other)))


def test_a_thousand_runs_are_compared_in_two_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("now", "then"):
        for number in range(1000):
            folder = tmp_path / side / f"run-{number:04}"
            folder.mkdir(parents=True)
            result = dataclasses.replace(RESULT, bench=f"context1-{number}")
            (folder / "bench.json").write_bytes(to_json([result]))
            (folder / "run.json").write_text(json.dumps({"number": number}))
            (folder / "linux.log").write_text(f"run {number}\n" * 300)
    began_s = time.process_time()  # of this process: other tests run beside it
    code, told = run_cli(capsys, "compare", tmp_path / "now", tmp_path / "then", "--exact")
    assert time.process_time() - began_s < 2 * slowness()
    assert code == 0
    assert told == "2000 figures: 2000 same\n1000 logs, streams and timelines: 1000 identical\n"
