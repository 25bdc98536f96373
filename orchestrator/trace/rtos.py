# SPDX-License-Identifier: MIT
"""Tasks of an RTOS as Linux shows its own: `sched_switch` and `sched_wakeup`, from probes' records.

What a record holds was decided by the RTOS's profile when the probe was placed: at a switch the facts
``prev_…`` and ``next_…`` of both tasks. So nothing here knows a particular kernel. A task that went
to sleep for some ticks is woken by the last of them; other wakeups are not known.

A task's pid is `FIRST_PID`, so many for each RTOS, plus its priority, which an RTOS gives but once;
the idle task is pid 0, as it is in Linux.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import CheckFailed
from orchestrator.trace.formats import make_format
from orchestrator.trace.pack import Packed, pack
from orchestrator.trace.streams import Probe
from orchestrator.trace.timeline import EventFormat, Field, Task

FIRST_PID: Final = 65536
"""Above every pid of a 32-bit Linux."""
PIDS_PER_GUEST: Final = 65536
COMM_BYTES: Final = 16
RUNNING: Final = 0
SLEEPING: Final = 1  # TASK_INTERRUPTIBLE, shown as "S"


def _number(name: str, c_type: str = "int") -> Field:
    return Field(name=name, c_type=c_type, offset=0, bytes=4, signed=True)


def _comm(name: str) -> Field:
    return Field(name=name, c_type="char[16]", offset=0, bytes=COMM_BYTES, signed=False)


def sched_switch_format(number: int) -> EventFormat:
    """For a run without Linux: as Linux's own, its states spelled as far as an RTOS has them."""
    return make_format(
        number=number,
        system="sched",
        name="sched_switch",
        fields=(
            *(_comm("prev_comm"), _number("prev_pid", "pid_t"), _number("prev_prio")),
            *(_number("prev_state", "long"), _comm("next_comm"), _number("next_pid", "pid_t")),
            _number("next_prio"),
        ),
        print_format=(
            '"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s ==> next_comm=%s next_pid=%d '
            'next_prio=%d", REC->prev_comm, REC->prev_pid, REC->prev_prio, __print_symbolic('
            'REC->prev_state, { 0, "R" }, { 1, "S" }), REC->next_comm, REC->next_pid, REC->next_prio'
        ),
    )


def sched_wakeup_format(number: int) -> EventFormat:
    """For a run without Linux."""
    return make_format(
        number=number,
        system="sched",
        name="sched_wakeup",
        fields=(_comm("comm"), _number("pid", "pid_t"), _number("prio"), _number("target_cpu")),
        print_format=(
            '"comm=%s pid=%d prio=%d target_cpu=%03d", REC->comm, REC->pid, REC->prio, '
            "REC->target_cpu"
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Switches:
    """Who ran when on an RTOS's core, as arrays in order of time.

    Attributes:
        time_ns: Of each switch.
        cpu: The core.
        prev: Facts of the task that leaves, by name; "pid" and "comm" among them.
        next: Facts of the one that comes.
        sleeps: Whether the one that leaves can not run on.
    """

    time_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    prev: Mapping[str, NDArray[Any]]
    next: Mapping[str, NDArray[Any]]
    sleeps: NDArray[np.bool_]

    def pid_at(self, time_ns: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The task that runs at each time; before the first switch the one that it ends."""
        if not len(self.time_ns):
            return np.zeros(len(time_ns), np.int64)
        at = np.searchsorted(self.time_ns, time_ns, side="right")
        pids = np.concatenate([self.prev["pid"][:1], self.next["pid"]])
        return np.asarray(pids[at])


def read_switches(
    hits: NDArray[np.void], probe: Probe, *, first_pid: int, ready_zero: Iterable[str]
) -> Switches:
    """Reads the records of the probe at an RTOS's task switch.

    Args:
        hits: Those of this probe, in order of time.
        probe: The probe.
        first_pid: Pid of the RTOS's priority 0.
        ready_zero: Facts that are 0 in a task that could run on.

    Raises:
        CheckFailed: A value could not be read in the guest.
    """
    facts: dict[str, dict[str, NDArray[Any]]] = {"prev": {}, "next": {}}
    for fetched in probe.fetched:
        who, _, what = fetched.name.partition("_")
        if who not in facts or not what:
            continue
        if not fetched.known(hits).all():
            raise CheckFailed(
                f"probe {probe.name}: {fetched.name} could not be read at "
                f"{int((~fetched.known(hits)).sum())} of {len(hits)} hits"
            )
        facts[who][what] = fetched.values(hits)
    if "priority" not in facts["next"]:
        # A kernel that only shows who leaves: the next to leave is the one that has come.
        facts["next"] = {what: np.roll(values, -1) for what, values in facts["prev"].items()}
        hits = hits[:-1]
        facts = {w: {k: v[: len(hits)] for k, v in each.items()} for w, each in facts.items()}
    for each in facts.values():
        names = each["name"].astype(f"S{COMM_BYTES - 1}")
        idle = np.char.find(np.char.lower(names), b"idle") >= 0
        each["comm"] = names
        each["pid"] = np.where(idle, 0, each["priority"].astype(np.int64) + first_pid)
    sleeps = np.zeros(len(hits), np.bool_)
    for fact in ready_zero:
        sleeps |= facts["prev"][fact] != 0
    return Switches(
        time_ns=hits["time_ns"].astype(np.uint64),
        cpu=hits["cpu"].astype(np.uint16),
        prev=facts["prev"],
        next=facts["next"],
        sleeps=sleeps,
    )


def switch_events(switches: Switches, form: EventFormat, *, source: int) -> Packed:
    """Packs them as Linux's `sched_switch`."""
    values: dict[str, NDArray[Any]] = {"common_pid": switches.prev["pid"]}
    for who, facts in (("prev", switches.prev), ("next", switches.next)):
        values |= {
            f"{who}_comm": facts["comm"],
            f"{who}_pid": facts["pid"],
            f"{who}_prio": facts["priority"],
        }
    values["prev_state"] = np.where(switches.sleeps, SLEEPING, RUNNING)
    return pack(form, values, time_ns=switches.time_ns, cpu=switches.cpu, source=source)


def wakeup_events(
    switches: Switches, ticks_ns: NDArray[np.uint64], form: EventFormat, *, source: int
) -> Packed:
    """Packs the wakeups of tasks that slept for a number of ticks.

    Args:
        switches: Of the RTOS.
        ticks_ns: Times of its ticks.
        form: Of `sched_wakeup`.
        source: See `Packed`.
    """
    delay = switches.prev.get("delay", np.zeros(len(switches.time_ns), np.int64)).astype(np.int64)
    state = switches.prev.get("state", np.zeros(len(switches.time_ns), np.int64))
    # Whoever waits for an event, too, may be woken by it before the time is over.
    slept = np.flatnonzero((delay > 0) & (state == 0))
    last = np.searchsorted(ticks_ns, switches.time_ns[slept], side="right") + delay[slept] - 1
    seen = last < len(ticks_ns)
    slept, time_ns = slept[seen], ticks_ns[last[seen]]
    order = np.argsort(time_ns, kind="stable")
    slept, time_ns = slept[order], time_ns[order]
    values = {
        "common_pid": switches.pid_at(time_ns),
        "comm": switches.prev["comm"][slept],
        "pid": switches.prev["pid"][slept],
        "prio": switches.prev["priority"][slept],
        "success": np.ones(len(slept), np.int64),
        "target_cpu": switches.cpu[slept],
    }
    return pack(form, values, time_ns=time_ns, cpu=switches.cpu[slept], source=source)


def tasks_of(switches: Switches, *, source: int) -> dict[int, Task]:
    """The RTOS's tasks by pid, without the idle one."""
    tasks = {}
    for facts in (switches.prev, switches.next):
        pids, first = np.unique(facts["pid"], return_index=True)
        for pid, row in zip(pids.tolist(), first.tolist(), strict=True):
            if pid:
                comm = facts["comm"][row].decode(errors="replace")
                prio = int(facts["priority"][row])
                tasks[pid] = Task(pid=pid, comm=comm, source=source, prio=prio)
    return tasks
