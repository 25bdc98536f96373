# SPDX-License-Identifier: MIT
"""`orchestrate trace` in real time: the clock is as exact as the run says, however busy the host is.

The kernel begins an exec, records `sched_process_exec`, and then tells others of it: in this order, in
one task. Probes at both ends have the time from the plugin, the event has it from the kernel's clock.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tracecmd import HOST_LIMIT_S

pytestmark = pytest.mark.system

CONFIG = """
[machine]
cores = 2
[clock]
mode = "{mode}"
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
[trace]
hypervisor = {hypervisor}
"""
EXECS = 5
PLACES = ("begin_new_exec", "proc_exec_connector")


def times(dat: Path, event: str) -> list[int]:
    done = subprocess.run(
        ["trace-cmd", "report", "-t", "-F", event, "-i", dat],
        capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    return [int(s + ns) for s, ns in re.findall(rf" (\d+)\.(\d{{9}}): {event}:", done.stdout)]


@pytest.mark.parametrize("mode", ["realtime", "deterministic"])
def test_events_are_between_probes_within_what_the_clock_leaves_open(
    tmp_path: Path, mode: str
) -> None:
    # A starved reader may lose records in real time: the hypervisor's many are not needed here.
    exact = mode == "deterministic"
    config = CONFIG.format(mode=mode, hypervisor=str(exact).lower())
    (tmp_path / "test.toml").write_text(config)
    probes = [word for each in PLACES for word in ("--probe", f"linux:{each} mode=shadow")]
    done = subprocess.run(
        (
            *(sys.executable, "-m", "orchestrator.cli", "trace", "-c", str(tmp_path / "test.toml")),
            *("-o", str(tmp_path / "run"), "-f", "trace.dat", *probes, "--", "sh", "-c"),
            f"for i in $(seq {EXECS}); do env true; done; sleep 0.2",
        ),
        capture_output=True, text=True, timeout=HOST_LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = re.search(r"clock local fitted by \d+ pieces of evidence, at most (\d+) ns", done.stderr)
    assert told, done.stderr
    residual_ns = int(told[1])
    assert "contradiction" not in done.stderr
    assert "phase pull" in done.stderr, "the end of the command was seen"
    assert ("real time" in done.stderr) != exact
    dat = tmp_path / "run/trace.dat"
    events = times(dat, "sched_process_exec")
    assert len(events) > EXECS
    # What came before the kernel's recording began, or after its end, only the probes have seen.
    began, ended = (
        [at for at in times(dat, f"linux_{each}") if events[0] - 10**9 < at] for each in PLACES
    )
    # The last exec is that of the agent, which ends the recording.
    for event in (each for each in events if each < ended[-1]):
        before = max(at for at in began if at <= event + residual_ns)
        after = min(at for at in ended if at >= event - residual_ns)
        assert before - residual_ns <= event <= after + residual_ns
        # No other exec is in between.
        assert not [each for each in events if before < each < after and each != event]
    assert times(dat, "rtos_OSTimeTick")
