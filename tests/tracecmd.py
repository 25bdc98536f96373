# SPDX-License-Identifier: MIT
"""trace-cmd as a peer: recording in a guest beside ftrace, and reading what a run has left."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.images import debian
from orchestrator.images.store import Store

HOST_LIMIT_S = 800
# trace-cmd of the guest's own architecture, and what it is linked with.
PACKAGES = {
    "trace-cmd": ("usr/bin/trace-cmd",),
    "libtracefs1": ("usr/lib/arm-linux-gnueabihf/libtracefs.so.1",),
    "libtraceevent1": ("usr/lib/arm-linux-gnueabihf/libtraceevent.so.1",),
    "libzstd1": ("usr/lib/arm-linux-gnueabihf/libzstd.so.1",),
    "libc6": tuple(
        f"lib/arm-linux-gnueabihf/{name}"
        for name in ("ld-linux-armhf.so.3", "libc.so.6", "libdl.so.2", "libpthread.so.0")
    ),
}
SWITCH = re.compile(
    r"^ *(?P<task>.+)-\d+ +\[(?P<cpu>\d+)\] +(?P<s>\d+)\.(?P<ns>\d{9}): sched_switch: +"
    r"(?P<prev>.*):(?P<prev_pid>\d+) \[(?P<prev_prio>\d+)\] (?P<state>\S+) ==> "
    r"(?P<next>.*):(?P<next_pid>\d+) \[(?P<next_prio>\d+)\]$"
)


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A line of sched_switch as trace-cmd prints it."""

    time_ns: int
    cpu: int
    what: tuple[str, ...]
    prev: str
    next: str


def switches(dat: Path, only: str = "sched_switch") -> list[Switch]:
    """The `sched_switch` events of a file; `only` is a filter of trace-cmd's for them."""
    done = subprocess.run(
        ["trace-cmd", "report", "-t", "-F", only, "-i", dat],
        capture_output=True, text=True, check=True, timeout=HOST_LIMIT_S,
    )  # fmt: skip
    found = [match for line in done.stdout.splitlines() if (match := SWITCH.match(line))]
    names = ("prev", "prev_pid", "prev_prio", "state", "next", "next_pid", "next_prio")
    return [
        Switch(
            time_ns=int(m["s"] + m["ns"]),
            cpu=int(m["cpu"]),
            what=m.group(*names),
            prev=m["prev"],
            next=m["next"],
        )
        for m in found
    ]


def traced(folder: Path, *options: str, command: tuple[str, ...], code: int) -> Path:
    """Runs `orchestrate trace` to the exit code it shall have; returns the run directory."""
    run = folder / "run"
    done = subprocess.run(
        (
            *(sys.executable, "-m", "orchestrator.cli", "trace", "-c", str(folder / "test.toml")),
            *("-o", str(run), *options, "--", *command),
        ),
        capture_output=True, text=True, timeout=HOST_LIMIT_S, check=False,
    )  # fmt: skip
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    assert done.returncode == code, done.stderr
    return run


def guest_files(folder: Path, job: str) -> str:
    """Lines of a config that put trace-cmd into a guest, and a script that has it in `tc`."""
    found = {}
    for package, paths in PACKAGES.items():
        debian.unpack(debian.fetch(Store(), package).path, folder, lambda _path: True)
        for path in paths:
            found[f"/opt/{Path(path).name}"] = (folder / path).resolve()
    found["/run/job.sh"] = folder / "job.sh"
    found["/run/job.sh"].write_text(
        'tc() { LD_LIBRARY_PATH=/opt /opt/ld-linux-armhf.so.3 /opt/trace-cmd "$@"; }\n' + job
    )
    return "\n".join(f'"{guest}" = "{host}"' for guest, host in found.items())
