# SPDX-License-Identifier: MIT
"""How a trace gets out of Linux: out of its memory, also when it is dead; else by its agent; or not at all.

That the pages in memory are those that the kernel hands over is shown in test_pages_in_memory.py, that
their events are those of trace-cmd's own recording in test_trace.py.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tracecmd import HOST_LIMIT_S, switches, traced

from orchestrator import config, session
from orchestrator.bench import pull
from orchestrator.options import BootOptions
from orchestrator.terminal import TextReporter

pytestmark = pytest.mark.system

HANG_S = 15
GICD_CTLR = 0x0800_0000  # IHI 0048B, 4.3.1
TASKS = tuple(f"RTOS-Task{n}" for n in (1, 2, 3, 4))
CONFIG = """
[machine]
cores = 2
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
[trace.linux]
instance = "{instance}"
"""


def test_a_linux_that_has_panicked_is_read_out_of_its_memory(tmp_path: Path) -> None:
    """Its last moments are in trace.dat, with the RTOS's, on a clock that the run itself proves."""
    (tmp_path / "test.toml").write_text(CONFIG.format(instance="own"))
    crash = "context1 20 > /dev/null; sleep 0.11; echo c > /proc/sysrq-trigger"
    run = traced(tmp_path, "-f", "trace.dat,parquet", command=("sh", "-c", crash), code=4)
    told = (tmp_path / "stderr").read_text()
    assert "Kernel panic - not syncing: sysrq triggered crash" in told
    assert re.search(r"clock local fitted by \d{3} pieces of evidence, at most 16 ns off", told)
    found = switches(run / "trace.dat")
    linux = [each for each in found if each.cpu == 0]
    assert {"context1", "sleep"} <= {each.next for each in linux}
    assert linux[-1].next == "sh"
    panic = re.search(r"\[ *([\d.]+)\] Kernel panic", (run / "linux.log").read_text())
    assert panic
    # printk's clock is the trace's; the offset is what the fit adds to it.
    crash_ns = float(panic[1]) * 1e9
    began = re.search(r"placed at ([\d.]+) s", told)
    assert began
    assert float(began[1]) * 1e9 < linux[-1].time_ns < crash_ns + float(began[1]) * 1e9
    assert set(TASKS) <= {each.next for each in found if each.cpu == 1}
    # Each of its processes has one thread; which it is in was not in the memory that is left.
    rows = pq.read_table(run / "trace.parquet", columns=["source", "pid", "tgid"]).to_pylist()
    processes = [(row["pid"], row["tgid"]) for row in rows if row["source"] == "linux"]
    assert processes
    assert [each for each in processes if each[0] != each[1]] == []


def test_a_linux_that_hangs_is_read_out_of_its_memory(tmp_path: Path) -> None:
    """With its interrupt controller off it sleeps for ever; what came before is in trace.dat."""
    (tmp_path / "test.toml").write_text(CONFIG.format(instance=""))
    hang = f"context1 20 > /dev/null; sleep 0.11; devmem {GICD_CTLR} 32 0; sleep 1; echo alive"
    options = ("-f", "trace.dat", "--timeout-command", str(HANG_S))
    run = traced(tmp_path, *options, command=("sh", "-c", hang), code=5)
    told = (tmp_path / "stderr").read_text()
    assert f"command: not done within {HANG_S} s" in told
    assert "pages of its trace saved from its memory" in told
    assert "alive" not in told
    assert "contradiction" not in told
    found = switches(run / "trace.dat")
    linux = [each for each in found if each.cpu == 0]
    assert {"context1", "sleep"} <= {each.next for each in linux}
    assert (linux[-1].prev, linux[-1].next) == ("sleep", "swapper/0")
    assert set(TASKS) <= {each.next for each in found if each.cpu == 1}


def test_pages_that_memory_does_not_show_are_handed_over(tmp_path: Path) -> None:
    """A job that reads of its own trace leaves a page half read, which the kernel alone can tell."""
    (tmp_path / "test.toml").write_text(CONFIG.format(instance="own"))
    job = """
cd /sys/kernel/tracing/instances/own
context1 20 > /dev/null
echo 0 > tracing_on
head -n 5 per_cpu/cpu0/trace_pipe > /dev/null
cat /proc/kallsyms > /results/kallsyms
"""
    run = traced(tmp_path, "-f", "trace.dat", command=("sh", "-c", job), code=0)
    told = (tmp_path / "stderr").read_text()
    assert "linux: has to hand over its trace itself: the pages in memory hold" in told
    assert "contradiction" not in told
    assert not (run / "trace/ftrace").exists()
    counted = re.search(r"entries: (\d+)\n", (run / "results/trace/cpu0.stats").read_text())
    assert counted
    done = subprocess.run(
        ["trace-cmd", "report", "-i", run / "trace.dat"],
        capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    linux = re.findall(r"\[000\] +[\d.]+: (?!vm_|virq|vcpu_)\w+:", done.stdout)
    assert len(linux) == int(counted[1]) > 50
    # The list of symbols is made by the host, and is the guest's.
    own = (run / "results/trace/kallsyms").read_text()
    assert own == (run / "results/kallsyms").read_text()
    assert "[virtio_console]" in own


def test_tracing_that_is_configured_but_off_costs_nothing(tmp_path: Path) -> None:
    """Every count of instructions, of each core and VM, where a workload begins and ends."""
    bare = CONFIG.partition("[trace.linux]")[0]
    configured = """
[trace]
hypervisor = true
[trace.linux]
events = ["sched", "irq", "timer"]
tracer = "function"
buffer = "32M"
"""
    seen = []
    for name, text in (("bare", bare), ("configured", bare + configured)):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        work = "context1 50; context1 500; cat /proc/interrupts > /dev/console"
        options = BootOptions(
            out=tmp_path / name, command=("sh", "-c", work), mark="linux:sys_personality"
        )
        session.boot(config.load(path), options, TextReporter(show_consoles=False))
        marks = json.loads((tmp_path / name / "trace/marks.json").read_text())["marks"]
        assert len(marks) >= 4
        seen.append((marks, (tmp_path / name / "linux.log").read_bytes()))
    assert seen[0] == seen[1]


def test_a_million_events_come_out_before_trace_cmd_has_read_them(tmp_path: Path) -> None:
    """Of a real run, in processor time: QEMU's while it hands over is counted."""
    costs = pull.measure(tmp_path)
    assert costs.events >= pull.EVENTS
    assert costs.lost == 0
    assert costs.ours_s < costs.report_s, costs
