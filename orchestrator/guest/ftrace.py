# SPDX-License-Identifier: MIT
"""What Linux's ftrace shall do, as the lines that the guest's agent carries out.

The agent is images/linux/trace/agent.c; it writes values to files and knows nothing of tracing.
What it brings back is read by `orchestrator.trace.linux`.
"""

from collections.abc import Iterator
from typing import Final

from orchestrator.config import LinuxTraceConfig

RESULTS: Final = "trace"
"""Where the agent leaves what it saved, below the guest's /results."""

_ALWAYS_KEPT: Final = ("ftrace", "raw_syscalls", "sched")
"""Formats of the kernel's own entries, of the clock's evidence, and of other guests' tasks."""
_COMMANDS: Final = 8192
"""Names of tasks that the kernel remembers, of at most 32768."""


def agent_lines(config: LinuxTraceConfig) -> str:
    """The content of the guest's /etc/trace."""
    return "".join(f"{line}\n" for line in _lines(config))


def _lines(config: LinuxTraceConfig) -> Iterator[str]:
    if config.instance:
        yield f"instance {config.instance}"
    yield "set tracing_on 0"
    yield f"set trace_clock {config.clock}"
    yield f"set buffer_size_kb {config.buffer_bytes >> 10}"
    if not config.instance:  # an instance has no names of its own
        yield f"set saved_cmdlines_size {_COMMANDS}"
    for event, condition in config.filters.items():
        yield f"set {_event_path(event)}/filter {condition}"
    for event in config.events:
        yield f"set {_event_path(event)}/enable 1"
    if config.tracer != "nop":
        yield f"set current_tracer {config.tracer}"
    yield "set tracing_on 1"
    for system in sorted({*_ALWAYS_KEPT, *(event.partition(":")[0] for event in config.events)}):
        yield f"keep events/{system}"


def _event_path(event: str) -> str:
    return "events/" + event.replace(":", "/")
