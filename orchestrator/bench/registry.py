# SPDX-License-Identifier: MIT
"""Every benchmark that `orchestrate bench` knows, as one table. Data only; `run` runs them.

To add a benchmark of our own: a program in images/linux/workloads that includes bench.h, and a line
in `BENCHMARKS`. One from Debian: the package, its path there, and what it prints. One of a user's
own needs no line here: a ``[bench.NAME]`` table of the config file becomes a `Benchmark` too.

How much work each does is chosen so that its run takes a second or two of host time untraced and
some ten with the function tracer. More would change nothing: there is no noise to average away.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from orchestrator.bench import lines
from orchestrator.bench.lines import Reading
from orchestrator.config import Config
from orchestrator.errors import UsageError

Group = Literal["unixbench", "kernels", "scheduler", "rtos", "user"]


@dataclass(frozen=True, kw_only=True)
class DebianProgram:
    """A dynamically linked program from a Debian package, and the packages of its libraries.

    Attributes:
        package: Name of the package.
        path: Of the program in it.
        libraries: Packages that hold its interpreter and its shared libraries.
    """

    package: str
    path: str
    libraries: tuple[str, ...] = ("libc6",)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark and how its figures are read.

    Attributes:
        name: What the user types.
        about: What it measures, for tables.
        group: Where it belongs in tables and figures.
        unit: One operation.
        command: Shell words in Linux; programs of ours are in /bench. Empty for an RTOS benchmark.
        programs: What it needs in /bench: names in images/linux (a program, or a script with its
            ending), Debian's programs, or files of the user's own by their guest name.
        scale: Operations for each one that COUNT tells.
        reading: How to read its output.
        phase: RTOS only: the name of its lines in the console.
    """

    name: str
    about: str
    group: Group
    unit: str
    command: tuple[str, ...] = ()
    programs: tuple[str | DebianProgram, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    scale: int = 1
    reading: Reading = field(default_factory=Reading)
    phase: str | None = None


def _own(
    name: str,
    about: str,
    unit: str,
    *command: str,
    group: Group = "unixbench",
    scale: int = 1,
    programs: tuple[str, ...] | None = None,
) -> Benchmark:
    return Benchmark(
        name=name,
        about=about,
        group=group,
        unit=unit,
        command=(f"/bench/{command[0]}", *command[1:]),
        programs=programs or (command[0],),
        scale=scale,
    )


def _script(name: str, about: str, runs: int, copies: int) -> Benchmark:
    return Benchmark(
        name=name,
        about=about,
        group="unixbench",
        unit="run",
        command=("/bench/timed", str(runs), str(copies), "/bench/script.sh"),
        programs=("timed", "script.sh"),
        reading=Reading(count=lines.RUNS),
    )


def _rtos(name: str, about: str, unit: str, *figures: str) -> Benchmark:
    prefix = rf"rtos: bench {name} "
    return Benchmark(
        name=f"rtos-{name}",
        about=about,
        group="rtos",
        unit=unit,
        phase=name,
        reading=Reading(
            count=prefix + r"COUNT\|(?P<count>\d+)\|",
            time=prefix + r"TIME\|(?P<ns>\d+)\|",
            figures={f"{each}_ns": prefix + rf"{each.upper()}\|(\d+)\|" for each in figures},
        ),
    )


_BENCHMARKS: Final = (
    _own("context1", "two processes, one pipe each way", "switch", "context1", "5000", scale=2),
    _own("pipe", "512 bytes through a pipe", "loop", "pipe", "10000"),
    _own("spawn", "process creation", "process", "spawn", "100"),
    _own("execl", "a program replaces itself", "exec", "execl", "100"),
    _own("syscall", "a mix of short system calls", "loop", "syscall", "10000"),
    _own("fstime", "file copy, 1024 bytes, 2000 blocks", "block", "filecopy", "1024", "2000", "2"),
    _own("fsbuffer", "file copy, 256 bytes, 500 blocks", "block", "filecopy", "256", "500", "8"),
    _own("fsdisk", "file copy, 4096 bytes, 8000 blocks", "block", "filecopy", "4096", "8000", "1"),
    _script("shell1", "shell script, one at a time", 2, 1),
    _script("shell8", "shell script, eight at a time", 1, 8),
    _own("integer", "records, strings, arrays, calls", "loop", "integer", "50000"),
    _own("floating", "floating point and library functions", "loop", "floating", "1000"),
    _own(
        "kernel-integer",
        "primes, CRC-32, sorting",
        "round",
        *("kernel", "integer", "2"),
        group="kernels",
    ),
    _own(
        "kernel-floating",
        "matrix product, Fourier transform",
        "round",
        *("kernel", "floating", "2"),
        group="kernels",
    ),
    _own(
        "kernel-memory",
        "copies, a walk along a chain",
        "round",
        *("kernel", "memory", "1"),
        group="kernels",
    ),
    Benchmark(
        name="hackbench",
        about="20 senders and 20 receivers over pipes",
        group="scheduler",
        unit="run",
        command=(
            *("/bench/timed", "1", "1"),
            *("/bench/hackbench", "--pipe", "--groups", "1", "--loops", "25"),
        ),
        programs=(
            "timed",
            DebianProgram(
                package="rt-tests", path="usr/bin/hackbench", libraries=("libc6", "libnuma1")
            ),
        ),
        reading=Reading(count=lines.RUNS),
    ),
    Benchmark(
        name="cyclictest",
        about="wake-up latency of a real-time thread, every millisecond",
        group="scheduler",
        unit="run",
        command=(
            *("/bench/timed", "1", "1", "/bench/cyclictest", "--quiet", "--nsecs"),
            *("--mlockall", "--priority=80", "--interval=1000", "--loops=200"),
        ),
        programs=(
            "timed",
            DebianProgram(
                package="rt-tests", path="usr/bin/cyclictest", libraries=("libc6", "libnuma1")
            ),
        ),
        reading=Reading(
            count=lines.RUNS,
            figures={
                "latency_min_ns": r"^T: 0 .*Min: +(\d+)",
                "latency_mean_ns": r"^T: 0 .*Avg: +(\d+)",
                "latency_max_ns": r"^T: 0 .*Max: +(\d+)",
            },
        ),
    ),
    _rtos("switch", "context switch between two tasks", "switch"),
    _rtos("semaphore", "post and pend between two tasks", "round trip"),
    _rtos("interrupt", "from a timer's expiry to its handler", "interrupt", "min", "max"),
)

BENCHMARKS: Final[Mapping[str, Benchmark]] = MappingProxyType(
    {benchmark.name: benchmark for benchmark in _BENCHMARKS}
)

RTOS_PHASES: Final = ("switch", "semaphore", "interrupt")
"""In the order in which images/rtos/benchmarks runs them: each is one window, from mark to mark."""

UNIXBENCH: Final = tuple(each.name for each in _BENCHMARKS if each.group == "unixbench")
"""The tests of the paper's table."""


def benchmarks(config: Config | None = None) -> dict[str, Benchmark]:
    """All benchmarks by name: the table's, and those that a config file brings along.

    Raises:
        UsageError: The config file has a benchmark of a name that is in the table.
    """
    known = dict(BENCHMARKS)
    for own in config.benches if config else ():
        if own.name in known:
            raise UsageError(f"[bench.{own.name}]: there is a benchmark of that name already")
        known[own.name] = Benchmark(
            name=own.name,
            about=f"{own.path.name} {shlex.join(own.args)}".strip(),
            group="user",
            unit=own.unit,
            command=("/bench/timed", "1", "1", f"/bench/{own.name}", *own.args),
            programs=("timed",),
            files={own.name: own.path},
            reading=Reading(count=own.count or lines.COUNT),
        )
    return known
