# SPDX-License-Identifier: MIT
"""The ways to observe a context switch that are held against each other, as one table.

`none` is the system as it is. `hvc` and `shadow` are the orchestrator's own probes; in `off` the
HVC was placed and taken away again. The others are Linux's own tracers, set up by a shell script in the guest before the benchmark starts, so that the
same system can be measured without any of ours.

To add a variant: a line in `VARIANTS`. A guest-side one has a script that sets it up; `run` sees to
it that events were recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from orchestrator.bench.model import REFERENCE

_TRACEFS: Final = "/sys/kernel/tracing"
_SETTLE: Final = "sleep 0.5"
"""What the boot has left to do in the background is done then, and not in one variant's window."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to observe.

    Attributes:
        name: What the user types.
        about: For tables and figures.
        probe: Mode of the orchestrator's probe on the context switch; None: no probe.
        withdrawn: Whether that probe is taken away again before the guest goes on.
        setup: Shell lines in Linux, in the directory of tracefs, before the benchmark; "": none.
    """

    name: str
    about: str
    probe: Literal["hvc", "shadow"] | None = None
    withdrawn: bool = False
    setup: str = ""


def _table(*variants: Variant) -> Mapping[str, Variant]:
    return MappingProxyType({variant.name: variant for variant in variants})


VARIANTS: Final = _table(
    Variant(name=REFERENCE, about="not observed"),
    Variant(name="off", about="HVC placed and taken away again", probe="hvc", withdrawn=True),
    Variant(name="hvc", about="HVC on the context switch", probe="hvc"),
    Variant(name="shadow", about="shadow probe on the context switch", probe="shadow"),
    Variant(
        name="event",
        about="trace event sched_switch",
        setup="echo 1 >events/sched/sched_switch/enable",
    ),
    # __switch_to itself and __schedule are not open to kprobes; this function is called once in
    # each switch, just before them.
    Variant(
        name="kprobe",
        about="kprobe event on psi_task_switch",
        setup="echo 'p:orchestrate/switch psi_task_switch' >kprobe_events\n"
        "echo 1 >events/orchestrate/switch/enable",
    ),
    Variant(name="function", about="function tracer", setup="echo function >current_tracer"),
    Variant(
        name="function_graph",
        about="function graph tracer",
        setup="echo function_graph >current_tracer",
    ),
)


def guest_script(variant: Variant, command: str) -> str:
    """The shell script that runs a benchmark's command line in this variant.

    It waits until the guest is quiet, and ends with the command's exit code. A guest-side tracer's events are told as ``TRACED|n``:
    those in the buffers and those that were overwritten.
    """
    if not variant.setup:
        return f"{_SETTLE}\nexec {command}\n"
    return f"""\
set -e
mount -t tracefs tracefs {_TRACEFS}
cd {_TRACEFS}
{variant.setup}
cd /
{_SETTLE}
status=0
{command} || status=$?
cd {_TRACEFS}
echo 0 >tracing_on
awk '/^(entries|overrun):/ {{ sum += $2 }} END {{ print "TRACED|" sum }}' per_cpu/cpu*/stats
exit $status
"""
