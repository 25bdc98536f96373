# SPDX-License-Identifier: MIT
"""What it takes to get a million events out of a run: `python -m orchestrator.bench.pull`.

A Linux guest really records them: context1's tasks switch, with events of the scheduler, of interrupts
and of every system call. From the instant at which its command has ended until trace.dat is there,
processor time is taken, of QEMU and of this program; then that of `trace-cmd report`, which reads the
file. All are user and system time of processes, so that other work on the machine counts little.

The figures come from `tracing.trace`, which is what `orchestrate trace` calls, by the phases that it
reports. The limit is trace-cmd's time. A missing million is an error.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from orchestrator import config, tracing
from orchestrator.errors import CheckFailed, MissingToolError, OrchestrateError
from orchestrator.options import BootOptions, TimeoutOverrides
from orchestrator.rundir import read_live

EVENTS: Final = 1_000_000
_EVENTS_PER_ITERATION: Final = 16
"""Fewer than there are, so that there are enough."""
_BYTES_PER_EVENT: Final = 64
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_COMMAND_S: Final = 1800.0
_REPORT_S: Final = 600.0
_CONFIG: Final = """
[machine]
cores = 1
[vm.linux]
type = "linux"
ram = "{ram}M"
pin = [0]
[trace.linux]
events = ["sched", "irq", "raw_syscalls"]
buffer = "{buffer}M"
"""


@dataclass(frozen=True, kw_only=True)
class PullCosts:
    """Processor seconds of each step.

    Attributes:
        events: In trace.dat.
        lost: Events that the guest's ring did not keep.
        pull_s: From the command's end until all is in the run directory.
        qemu_s: QEMU's part of it.
        merge_s: Making the timeline.
        write_s: Writing trace.dat.
        report_s: trace-cmd, reading it.
    """

    events: int
    lost: int
    pull_s: float
    qemu_s: float
    merge_s: float
    write_s: float
    report_s: float

    @property
    def ours_s(self) -> float:
        """Pull, merge and write."""
        return self.pull_s + self.merge_s + self.write_s


class _Phases:
    """Notes the processor time at which each phase begins; else silent, save for notes.

    Args:
        run_dir: Where the run tells QEMU's process.
    """

    def __init__(self, run_dir: Path) -> None:
        self.at: dict[str, tuple[float, float]] = {}
        self._run_dir = run_dir

    def phase(self, name: str) -> None:
        """A phase begins."""
        pid = read_live(self._run_dir)["qemu_pid"] if name == "pull" else None
        self.at[name] = (_own_s(), _children_s() + (_process_s(pid) if pid else 0.0))

    def vm_state(self, vm: str, state: str) -> None:
        """Nothing to see."""

    def console(self, vm: str, line: str) -> None:
        """Nothing to see."""

    def note(self, text: str) -> None:
        """Such as that the guest's agent has to hand over what memory does not show."""
        print(f"orchestrate: {text}", file=sys.stderr, flush=True)

    def command_output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Nothing to see."""


def _own_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _children_s() -> float:
    """Of those that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _process_s(pid: int) -> float:
    """Of one that runs; proc(5): utime and stime."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def measure(folder: Path, *, events: int = EVENTS) -> PullCosts:
    """Makes a run and takes its figures.

    Args:
        folder: For config and run directory.
        events: At least so many.

    Raises:
        OrchestrateError: The run fails, is too short, or trace-cmd cannot read its file.
    """
    if shutil.which("trace-cmd") is None:
        raise MissingToolError("trace-cmd is not installed: apt install trace-cmd")
    buffer_mib = 8 + events * _BYTES_PER_EVENT // (1 << 20)
    path = folder / "pull.toml"
    path.write_text(_CONFIG.format(ram=256 + 2 * (buffer_mib // 2), buffer=buffer_mib))
    run_dir = folder / "run"
    phases = _Phases(run_dir)
    options = BootOptions(
        out=run_dir,
        command=("context1", str(events // _EVENTS_PER_ITERATION)),
        timeouts=TimeoutOverrides(command_s=_COMMAND_S),
    )
    result = tracing.trace(config.load(path), options, phases, formats=["trace.dat"])
    end_s = _own_s()
    own, children = ({name: at[n] for name, at in phases.at.items()} for n in (0, 1))
    qemu_s = children["merge"] - children["pull"]
    count = len(result.timeline)
    if count < events:
        raise CheckFailed(f"the run has recorded {count} events, fewer than {events}")
    return PullCosts(
        events=count,
        lost=sum(sum(source.lost.values()) for source in result.timeline.sources),
        pull_s=own["merge"] - own["pull"] + qemu_s,
        qemu_s=qemu_s,
        merge_s=own["write"] - own["merge"],
        write_s=end_s - own["write"],
        report_s=_report_s(result.files["trace.dat"]),
    )


def _report_s(dat: Path) -> float:
    before_s = _children_s()
    done = subprocess.run(
        ["trace-cmd", "report", "-i", dat],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=_REPORT_S,
        check=False,
    )
    if done.returncode:
        raise CheckFailed(f"trace-cmd cannot read {dat}: {done.stderr.decode(errors='replace')}")
    return _children_s() - before_s


def main(argv: list[str] | None = None) -> int:
    """Prints the figures; 0 if the limit holds, 1 if not, else the error's exit code."""
    parser = argparse.ArgumentParser(prog="python -m orchestrator.bench.pull", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N", help="default: 1000000")
    events = parser.parse_args(argv).events
    try:
        with tempfile.TemporaryDirectory(prefix="orchestrate-bench-") as name:
            costs = measure(Path(name), events=events)
    except OrchestrateError as error:
        print(f"orchestrate: error: {error}", file=sys.stderr)
        return error.status
    for seconds, what in (
        (costs.pull_s, f"pull ({costs.qemu_s:.2f} s of it QEMU's)"),
        (costs.merge_s, "merge"),
        (costs.write_s, "write trace.dat"),
        (costs.ours_s, "pull, merge and write"),
        (costs.report_s, "trace-cmd report, reading it"),
    ):
        print(f"{seconds:8.2f} s  {what}")
    holds = costs.ours_s <= costs.report_s
    print(
        f"{costs.events} events, {costs.lost} lost; at most trace-cmd's time: "
        f"{costs.ours_s / costs.report_s:.0%} of it{'' if holds else '  FAILS'}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
