# SPDX-License-Identifier: MIT
"""What one call of `orchestrate boot` is asked to do, and how the session tells what happens.

The command line fills these in and the session reads them; neither knows more of the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import ProbeConfig


@dataclass(frozen=True, kw_only=True)
class TimeoutOverrides:
    """Time-outs from the command line; None keeps the config file's value. Host seconds."""

    start_s: float | None = None
    ready_s: float | None = None
    command_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class BootOptions:
    """Options of one boot.

    With none of `until_ready`, `for_ns` and `command`, the session boots to ready and then keeps
    running, showing what the guests say, until it is interrupted.

    Attributes:
        until_ready: Stop as soon as every guest has shown that it is ready.
        for_ns: Stop at exactly this guest time, in nanoseconds after power-on.
        dry_run: Only work out the QEMU command; start nothing. The result carries it.
        out: Run directory to create; None lets the session choose one.
        command: Program and arguments to run in the first Linux guest once it is ready.
        timeouts: Overrides of the config file's time-outs.
        ftrace: Whether Linux's own tracing records the command, as `[trace.linux]` says.
        hypervisor_events: Whether the hypervisor records what it does itself.
        on_records: Gets a stream's name and its next records while the system runs, in a thread
            of its own.
        on_pages: Gets Linux's CPU, pages of its ftrace with something new, and how many bytes of
            each are old, while the system runs, in a thread of its own; see `follow`.
        probes: Placed together with those of the config.
        withdrawn: Placed with those and taken away again at the same instant: what is left of a
            probe that is off.
        saved_start: Go on from the saved state of the booted system, made first where it is
            missing. What the run gives is the same; it only comes sooner.
        mark: A place as "VM:PLACE"; at each execution all instruction counts are read, in no guest
            time, and kept in the run directory's trace/marks.json. None: nowhere.
        json: The caller prints one JSON object on stdout, so nothing else may go there. The
            session itself never prints; this is for what it hands to the reporter.
    """

    until_ready: bool = False
    for_ns: int | None = None
    dry_run: bool = False
    out: Path | None = None
    command: tuple[str, ...] | None = None
    timeouts: TimeoutOverrides = field(default_factory=TimeoutOverrides)
    ftrace: bool = False
    hypervisor_events: bool = False
    on_records: Callable[[str, NDArray[np.void]], None] | None = None
    on_pages: Callable[[int, NDArray[np.uint8], NDArray[np.int64]], None] | None = None
    probes: tuple[ProbeConfig, ...] = ()
    withdrawn: tuple[ProbeConfig, ...] = ()
    saved_start: bool = False
    mark: str | None = None
    json: bool = False


class Reporter(Protocol):
    """Hears what happens during a boot, in order. The session calls it from one thread only."""

    def phase(self, name: str) -> None:
        """A phase begins: "images", "start", "ready", "command", "run" or "stop".

        A traced run has more: "pull" once its command has ended, and then "merge" and "write".
        """

    def vm_state(self, vm: str, state: str) -> None:
        """A VM, or "hypervisor", is now "starting", "ready", "stopped", "failed" or similar."""

    def console(self, vm: str, line: str) -> None:
        """One complete console line of a VM, or of "hypervisor", without its line end."""

    def note(self, text: str) -> None:
        """Something worth a line for the user, such as a file being fetched."""

    def command_output(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        """Bytes that the command in Linux wrote, to be passed through unchanged."""
