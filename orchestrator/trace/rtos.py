# SPDX-License-Identifier: MIT
"""Tasks of an RTOS as Linux shows its own: `sched_switch`, from the records of a probe.

What a record holds was decided by the RTOS's profile when the probe was placed: at a switch the facts
``prev_…`` and ``next_…`` of both tasks. So nothing here knows a particular kernel. Who was woken is
`wakeups`'s to say.

A task's pid is `FIRST_PID`, so many for each RTOS, plus the priority that it had first, which an RTOS
gives but once at a time; the idle task is pid 0, as it is in Linux.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import CheckFailed
from orchestrator.trace.formats import make_format
from orchestrator.trace.pack import Packed, pack
from orchestrator.trace.streams import Probe, Ready
from orchestrator.trace.timeline import EventFormat, Field, Task

FIRST_PID: Final = 65536
"""Above every pid of a 32-bit Linux."""
PIDS_PER_GUEST: Final = 65536
PRIORITIES: Final = 256
"""Distance of the pids of two tasks that had the same priority one after the other."""
IDLE: Final = 0
COMM_BYTES: Final = 16
RUNNING: Final = 0
SLEEPING: Final = 1  # TASK_INTERRUPTIBLE, shown as "S"
DEAD: Final = 0x20  # EXIT_ZOMBIE, what an ended task of Linux leaves with


def _int(name: str, c_type: str = "int") -> Field:
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
            *(_comm("prev_comm"), _int("prev_pid", "pid_t"), _int("prev_prio")),
            *(_int("prev_state", "long"), _comm("next_comm"), _int("next_pid", "pid_t")),
            _int("next_prio"),
        ),
        print_format=(
            '"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s ==> next_comm=%s next_pid=%d '
            'next_prio=%d", REC->prev_comm, REC->prev_pid, REC->prev_prio, __print_symbolic('
            'REC->prev_state, { 0, "R" }, { 1, "S" }, { 0x20, "Z" }), REC->next_comm, REC->next_pid, REC->next_prio'
        ),
    )


def sched_wakeup_format(number: int) -> EventFormat:
    """For a run without Linux."""
    return make_format(
        number=number,
        system="sched",
        name="sched_wakeup",
        fields=(_comm("comm"), _int("pid", "pid_t"), _int("prio"), _int("target_cpu")),
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
        state: Of the one that leaves, as Linux's `prev_state`.
    """

    time_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    prev: Mapping[str, NDArray[Any]]
    next: Mapping[str, NDArray[Any]]
    state: NDArray[np.int64]

    def pid_at(self, time_ns: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The task that runs at each time; before the first switch the one that it ends."""
        if not len(self.time_ns):
            return np.zeros(len(time_ns), np.int64)
        at = np.searchsorted(self.time_ns, time_ns, side="right")
        pids = np.concatenate([self.prev["pid"][:1], self.next["pid"]])
        return np.asarray(pids[at])


def read_switches(
    hits: NDArray[np.void], probe: Probe, *, first_pid: int, ready: Iterable[Ready]
) -> Switches:
    """Reads the records of the probe at an RTOS's task switch.

    Args:
        hits: Those of this probe, in order of time.
        probe: The probe.
        first_pid: Pid of the RTOS's priority 0.
        ready: What is true of a task that could run on.

    Raises:
        CheckFailed: A value could not be read in the guest.
    """
    facts: dict[str, dict[str, NDArray[Any]]] = {"prev": {}, "next": {}}
    for fetched in probe.fetched:
        who, _, what = fetched.name.partition("_")
        if who not in facts:
            continue
        if not fetched.known(hits).all():
            raise CheckFailed(
                f"probe {probe.name}: {fetched.name} could not be read at "
                f"{int((~fetched.known(hits)).sum())} of {len(hits)} hits"
            )
        facts[who][what or "task"] = fetched.values(hits)
    if "priority" not in facts["next"]:
        # A kernel that only shows who leaves: the next to leave is the one that has come.
        facts["next"] = {what: np.roll(values, -1) for what, values in facts["prev"].items()}
        hits = hits[:-1]
        facts = {w: {k: v[: len(hits)] for k, v in each.items()} for w, each in facts.items()}
        # It may also decide for the one that runs.
        changed = facts["prev"]["task"] != facts["next"]["task"]
        hits = hits[changed]
        facts = {w: {k: v[changed] for k, v in each.items()} for w, each in facts.items()}
    for each in facts.values():
        each["comm"] = each["name"].astype(f"S{COMM_BYTES - 1}")
    _number(facts, first_pid)
    sleeps = np.zeros(len(hits), np.bool_)
    for rule in ready:
        if rule.fact in facts["prev"]:
            sleeps |= ~rule.of(facts["prev"][rule.fact])
    return Switches(
        time_ns=hits["time_ns"].astype(np.uint64),
        cpu=hits["cpu"].astype(np.uint16),
        prev=facts["prev"],
        next=facts["next"],
        state=np.where(sleeps, SLEEPING, RUNNING),
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
    values["prev_state"] = switches.state
    return pack(form, values, time_ns=switches.time_ns, cpu=switches.cpu, source=source)


def tasks_of(switches: Switches, *, source: int, first_pid: int) -> dict[int, Task]:
    """The RTOS's tasks by pid, without the idle one; name and priority are the last ones seen.

    Args:
        switches: All of them.
        source: Of the VM.
        first_pid: Of the VM's range, which stands for its program.
    """
    tasks = {}
    # What leaves has a name by then, even if it came without.
    for facts in (switches.next, switches.prev):
        pids, last = np.unique(facts["pid"][::-1], return_index=True)
        for pid, row in zip(pids.tolist(), (len(facts["pid"]) - 1 - last).tolist(), strict=True):
            if pid:
                comm = facts["comm"][row].decode(errors="replace")
                prio = int(facts["priority"][row])
                tasks[pid] = Task(
                    pid=pid, comm=comm, source=source, prio=prio, tgid=first_pid, ppid=0
                )
    return tasks


def _number(facts: Mapping[str, dict[str, NDArray[Any]]], first_pid: int) -> None:
    """Gives each task its "pid".

    A task is its control block, which may become another's when the task is deleted; a mutex may
    change its priority for a while, and its name may come late. So what has the same control block
    and id is the same task as long as it has kept its priority or its name.
    """
    both = facts["prev"], facts["next"]
    names = np.stack([each["comm"].astype(f"S{COMM_BYTES}") for each in both], 1).reshape(-1)
    words = np.ascontiguousarray(names).view("<u8").reshape(-1, 2)
    columns = [
        np.stack([each[what].astype(np.int64) for each in both], 1).reshape(-1)
        for what in (("task" if "task" in both[0] else "priority"), "priority", "id")
        if what in both[0]
    ]
    # In order of time: who leaves, then who comes.
    key = np.zeros(len(names), np.int64)
    for values in (*columns, words[:, 0], words[:, 1]):
        found, which = np.unique(values, return_inverse=True)
        key = np.unique(key * len(found) + which.reshape(-1), return_inverse=True)[1].reshape(-1)
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    pids = np.zeros(len(first), np.int64)
    blocks: dict[int, tuple[Any, ...]] = {}
    taken: set[int] = set()
    for looks in np.argsort(first).tolist():
        row = int(first[looks])
        block, prio, *number = (int(values[row]) for values in columns)
        name = bytes(names[row])
        known = blocks.get(block)
        same = known is not None and known[0] == number and (known[1] == prio or known[2] == name)
        pid = known[3] if known is not None and same else first_pid + prio
        while not same and pid in taken:
            pid += PRIORITIES
        if b"idle" in name.lower():
            pid = IDLE
        taken.add(pid)
        blocks[block] = (number, prio, name, pid)
        pids[looks] = pid
    for each, mine in zip(both, pids[which.reshape(-1)].reshape(-1, 2).T, strict=True):
        each["pid"] = mine
