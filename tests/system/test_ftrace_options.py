# SPDX-License-Identifier: MIT
"""`[trace.linux]` beyond events: tracers, filters, clocks, buffers and instances, in a real guest.

Each reader of a format counts the events itself; the kernel's own words are what a user is told.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace
from tracecmd import HOST_LIMIT_S

pytestmark = pytest.mark.system

CONFIG = """
[machine]
cores = 1
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[trace]
hypervisor = false
[trace.linux]
"""


def trace(
    folder: Path, options: str, *arguments: str, command: tuple[str, ...] = ("true",)
) -> subprocess.CompletedProcess[str]:
    (folder / "test.toml").write_text(CONFIG + options)
    return subprocess.run(
        (
            *(sys.executable, "-m", "orchestrator.cli", "trace", "-c", str(folder / "test.toml")),
            *("-o", str(folder / "run"), *arguments, "--", *command),
        ),
        capture_output=True, text=True, timeout=HOST_LIMIT_S, check=False,
    )  # fmt: skip


def read(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S)
    return done.stdout


def test_the_function_tracer_in_every_format(tmp_path: Path) -> None:
    """With a filter, a clock and an instance: the kernel applies them, and no event gets lost."""
    done = trace(
        tmp_path,
        'events = ["sched"]\nfilters = {"sched:sched_switch" = "next_pid == 1"}\n'
        'tracer = "function"\nclock = "mono"\nbuffer = "16M"\ninstance = "own"\n',
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"clock mono fitted by \d+ pieces of evidence, at most 16 ns off", done.stderr)
    run = tmp_path / "run"
    report = read("trace-cmd", "report", "-N", "-i", run / "trace.dat")
    events = Counter(re.findall(r"\[000\] +\d+\.\d+: (\w+):", report))
    assert events["function"] > 10_000
    assert set(re.findall(r"sched_switch: .* next_pid=(\d+)", report)) == {"1"}
    assert re.search(r"function: +vfs_write", report)

    text = (run / "trace.txt").read_text()
    assert Counter(re.findall(r"\[000\] \S+ +\d+\.\d+: (\w+):", text)) == events
    assert re.search(r"function: +vfs_write <-- ksys_write", text)
    table = pyarrow.parquet.read_table(run / "trace.parquet", columns=["event"])
    assert Counter(table["event"].to_pylist()) == events
    ctf = read("babeltrace2", run / "ctf")
    assert ctf.count("\n") == events.total()
    perfetto = Trace.FromString((run / "trace.perfetto").read_bytes())
    assert sum(len(each.ftrace_events.event) for each in perfetto.packet) == events.total()


def test_the_graph_tracer_in_a_small_buffer(tmp_path: Path) -> None:
    """What does not fit is told everywhere; what is left nests as trace-cmd understands it."""
    done = trace(
        tmp_path,
        'events = ["sched"]\ntracer = "function_graph"\nbuffer = "256K"\n',
        *("-f", "trace.dat,text,report"),
    )
    assert done.returncode == 0, done.stderr
    lost = re.search(r"linux: (\d+) events were lost on core 0", done.stderr)
    assert lost, done.stderr
    assert int(lost[1]) > 1000
    report = read("trace-cmd", "report", "-i", tmp_path / "run/trace.dat")
    assert f"[{lost[1]} EVENTS DROPPED]" in report
    assert re.search(r"funcgraph_entry: +\d+\.\d+ us +\| +\w+\(\);", report)
    text = (tmp_path / "run/trace.txt").read_text()
    assert f"# lost: linux, cpu 0: {lost[1]} events" in text
    assert re.search(r"funcgraph_entry: --> \w+ \(\d+\)", text)


ITSELF = """
cd /sys/kernel/tracing
echo 'p:own/makes do_mkdirat' > kprobe_events
for event in own/makes signal/signal_generate timer/hrtimer_start; do echo 1 > events/$event/enable; done
mkdir /tmp/1 /tmp/2 /tmp/3
for i in 1 2 3 4 5; do kill -CONT $$; done
sleep 0.02
echo 0 > events/timer/hrtimer_start/enable
grep -c hrtimer_start: trace
"""


def test_events_that_the_command_itself_enables(tmp_path: Path) -> None:
    """Of those enabled when it ends every one is there; the others are counted, as Linux does."""
    options = 'events = ["sched:sched_switch"]\n'
    done = trace(tmp_path, options, "--json", command=("sh", "-c", ITSELF))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    count = int(told["stdout"])
    assert count > 2
    left_out = [{"source": "linux", "cpu": 0, "events": count}]
    assert told["trace"]["left_out"] == left_out
    assert told["trace"]["lost"] == told["trace"]["contradictions"] == []
    run = tmp_path / "run"
    report = read("trace-cmd", "report", "-N", "-i", run / "trace.dat")
    assert report.count(" makes: ") == 3
    assert len(re.findall(r" signal_generate: +sig=18 ", report)) == 5  # signal(7): SIGCONT
    assert " hrtimer_start: " not in report
    assert f"[{count} EVENTS DROPPED]" in report
    assert f"# left out: linux, cpu 0: {count} events" in (run / "trace.txt").read_text()
    metadata = pyarrow.parquet.read_schema(run / "trace.parquet").metadata
    assert json.loads(metadata[b"left_out"]) == left_out
    assert f"core 0: {count} events left out: damaged, or" in (run / "report.html").read_text()


def test_a_wrong_filter_is_told_in_the_kernels_words(tmp_path: Path) -> None:
    done = trace(tmp_path, 'filters = {"sched:sched_switch" = "next_prioo < 100"}\n')
    assert done.returncode == 4
    told = done.stderr.splitlines()[-1]
    assert 'events/sched/sched_switch/filter: "next_prioo < 100" is refused' in told
    assert "Field not found" in told
    assert not (tmp_path / "run/trace.dat").exists()


def test_an_unknown_tracer_is_told(tmp_path: Path) -> None:
    done = trace(tmp_path, 'tracer = "functions"\n')
    assert done.returncode == 4
    assert 'current_tracer: "functions" is refused' in done.stderr.splitlines()[-1]
