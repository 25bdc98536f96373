# SPDX-License-Identifier: MIT
"""All that a run has left, on one clock: Linux's events, RTOS tasks, probes, the hypervisor.

Reading order: `merge`, then `_Merge`, a method for each kind of source. Equal runs give equal
timelines: nothing of the host gets in. Who reads what the run has left: `run`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import GuestError
from orchestrator.records import Kind
from orchestrator.trace.current import pids_by_switches, pids_of_linux, tasks_of_hits
from orchestrator.trace.hits import hit_events
from orchestrator.trace.hypervisor import hypervisor_events
from orchestrator.trace.linux import LinuxTrace, sharpened
from orchestrator.trace.order import handled_before_sent, outside_of_vm, told
from orchestrator.trace.pack import Packed
from orchestrator.trace.processes import NOT_KNOWN, Process, with_births
from orchestrator.trace.rtos import (
    FIRST_PID,
    PIDS_PER_GUEST,
    Switches,
    read_switches,
    sched_switch_format,
    sched_wakeup_format,
    switch_events,
    tasks_of,
)
from orchestrator.trace.shared import Running, handovers, of_linux, of_switches, only
from orchestrator.trace.streams import READY, Observed, Probe, until
from orchestrator.trace.tasks import NO_NAME, linux_tasks
from orchestrator.trace.timeline import ClockFit, EventFormat, Source, Task, Timeline
from orchestrator.trace.wakeups import ready_sets, wakeup_events, with_dead

_COUNTER: Final = ClockFit(clock="counter")


@dataclass(frozen=True, kw_only=True)
class Vm:
    """What the timeline must know of a VM.

    Attributes:
        name: Its name.
        is_linux: Whether it is a Linux guest.
        cores: The core of each vCPU.
    """

    name: str
    is_linux: bool
    cores: tuple[int, ...]


def merge(
    *,
    vms: list[Vm],
    cores: int,
    linux: LinuxTrace | None,
    observed: Observed,
    host: Mapping[str, str],
) -> Timeline:
    """Makes the timeline.

    Args:
        vms: In the order of the VM description.
        cores: Of the board.
        linux: What the first Linux VM has left; None: nothing.
        observed: What the observers have left.
        host: See `Timeline.host`.

    Raises:
        GuestError: What Linux has left cannot be its trace.
    """
    work = _Merge(vms=vms, linux=linux, observed=observed)
    work.add_linux()
    for index in range(len(vms)):
        work.add_probes(index)
    work.add_hypervisor()
    return work.timeline(cores=cores, host=host)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """Events of one source on one core; offsets into what `payload` will be."""

    time_ns: NDArray[np.uint64]
    cpu: int
    event: NDArray[np.uint16]
    source: int
    offset: NDArray[np.uint64]
    bytes: NDArray[np.uint32]


class _Merge:
    def __init__(self, *, vms: list[Vm], linux: LinuxTrace | None, observed: Observed) -> None:
        self._vms = vms
        self._linux = linux
        self._observed = observed
        self._first_linux = next((n for n, vm in enumerate(vms) if vm.is_linux), None)
        self._sources: list[Source] = []
        self._source_of_vm: dict[int, int] = {}
        self._formats: dict[int, EventFormat] = {}
        self._tasks: dict[int, Task] = {}
        self._processes: dict[int, Mapping[int, Process]] = {}
        self._parts: list[_Part] = []
        self._payload: list[NDArray[np.uint8]] = []
        self._payload_bytes = 0
        self._linux_parts: dict[tuple[int, int], _Part] = {}
        self._switches: dict[int, Switches] = {}
        self._contradictions: list[str] = []
        for form in linux.formats if linux is not None else ():
            self._formats[form.id] = form
        self._last_id = max(self._formats, default=0)
        lost = observed.lost
        for number, vm in enumerate(vms):
            self._source_of_vm[number] = len(self._sources)
            self._sources.append(
                Source(
                    name=vm.name,
                    kind="linux" if vm.is_linux else "rtos",
                    clock=_COUNTER,
                    cores=vm.cores,
                    lost={c: n for c, n in lost.items() if c in vm.cores and not vm.is_linux},
                )
            )

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    # Linux.

    def add_linux(self) -> None:
        """Its ring buffers, on the board's clock and cores."""
        linux, number = self._linux, self._first_linux
        if linux is None or number is None:
            return
        vm = self._vms[number]
        if max(linux.events, default=0) >= len(vm.cores):
            raise GuestError(f"{vm.name}: its trace has more CPUs than the VM: {[*linux.events]}")
        self._contradictions += [f"{vm.name}: {each}" for each in linux.doubts]
        clock = [each.id for each in self._observed.probes.values() if each.is_clock]
        hits = self._observed.hits
        fit = sharpened(linux, hits["time_ns"][np.isin(hits["id"], clock)])
        self._observed = until(self._observed, linux.ended + fit.offset_ns)
        source = self._source_of_vm[number]
        self._sources[source] = Source(
            name=vm.name,
            kind="linux",
            clock=fit,
            cores=vm.cores,
            lost={vm.cores[cpu]: count for cpu, count in linux.lost.items()},
            left_out={vm.cores[cpu]: count for cpu, count in linux.left_out.items()},
        )
        self._payload.append(linux.pages)
        self._payload_bytes = len(linux.pages)
        for cpu, ring in linux.events.items():
            time_ns = ring.time + np.uint64(fit.offset_ns % (1 << 64))
            event = linux.pages.view("<u2")[ring.offset >> np.uint64(1)]
            part = _Part(
                time_ns=time_ns,
                cpu=vm.cores[cpu],
                event=event,
                source=source,
                offset=ring.offset,
                bytes=ring.bytes,
            )
            self._parts.append(part)
            self._check_linux(part, number, cpu, fit)
            self._linux_parts[number, cpu] = part
        births = [p for p in self._observed.probes.values() if p.vm == vm.name and p.is_birth]
        processes = with_births(linux.processes, ((each, self._hits(each)) for each in births))
        self._processes[source] = processes
        self._tasks |= linux_tasks(linux, processes, source=source)

    def _check_linux(self, part: _Part, number: int, vcpu: int, fit: ClockFit) -> None:
        records = self._observed.hypervisor
        mine = records[(records["cpu"] == part.cpu) & (records["kind"] <= Kind.VM_EXIT)]
        name = self._vms[number].name
        wrong = outside_of_vm(part.time_ns, records=mine, vm=number, residual_ns=fit.residual_ns)
        self._contradictions += told(
            f"{name} does something on core {part.cpu}, where it does not run then",
            part.time_ns[wrong],
        )
        form = next((f for f in self._formats.values() if f.name == "irq_handler_entry"), None)
        virq = records[
            (records["kind"] == Kind.VIRQ) & (records["vm"] == number) & (records["vcpu"] == vcpu)
        ]
        if form is None or not len(virq):
            return
        rows = np.flatnonzero((part.event == form.id) & (part.time_ns >= virq["time_ns"][0]))
        at = (part.offset[rows] + np.uint64(form.field("irq").offset)) >> np.uint64(2)
        wrong = handled_before_sent(
            part.time_ns[rows],
            self._payload[0].view("<i4")[at].astype(np.int64),
            records=virq,
            residual_ns=fit.residual_ns,
        )
        self._contradictions += told(
            f"{name} handles an interrupt that has not been sent yet", part.time_ns[rows[wrong]]
        )

    # Probes.

    def add_probes(self, number: int) -> None:
        """The hits in one VM; those at an RTOS's switch become its tasks."""
        vm = self._vms[number]
        source = self._source_of_vm[number]
        probes = [each for each in self._observed.probes.values() if each.vm == vm.name]
        self._add_switches(number, probes, source)
        running = cache(partial(self._running, number))
        for probe in probes:
            hits = self._hits(probe)
            if not probe.is_event or not len(hits):
                continue
            if vm.is_linux:
                pid = pids_of_linux(hits, probe, running)
            else:
                pid = pids_by_switches(hits, running)
            self._add(hit_events(hits, probe, source=source, next_id=self._next_id, pid=pid))
        if vm.is_linux:
            self._add_tasks(tasks_of_hits((each, self._hits(each)) for each in probes), source)

    def _add_tasks(self, seen: Mapping[int, tuple[str, int | None]], source: int) -> None:
        """Those of Linux that were not known, or of which only the number was."""
        processes = self._processes.get(source, {})
        for pid, (comm, prio) in seen.items():
            known = self._tasks.get(pid)
            if known is None:
                tgid, ppid = processes.get(pid, NOT_KNOWN)
                self._tasks[pid] = Task(
                    pid=pid, comm=comm, source=source, prio=prio, tgid=tgid, ppid=ppid
                )
            elif known.comm == NO_NAME:
                self._tasks[pid] = replace(known, comm=comm, prio=prio)

    def _add_switches(self, number: int, probes: list[Probe], source: int) -> None:
        probe = next((each for each in probes if each.role == "switch"), None)
        if probe is None or not len(hits := self._hits(probe)):
            return
        first_pid = FIRST_PID + PIDS_PER_GUEST * number
        switches = read_switches(
            hits,
            probe,
            first_pid=first_pid,
            ready=self._observed.ready.get(self._vms[number].name, ()),
        )
        sets = ready_sets([(each, self._hits(each)) for each in probes if each.role == READY])
        if len(sets.time_ns):
            switches = with_dead(switches, sets)
            form = self._sched_format("sched_wakeup", sched_wakeup_format)
            self._add(wakeup_events(sets, switches, form, first_pid=first_pid, source=source))
        form = self._sched_format("sched_switch", sched_switch_format)
        self._add(switch_events(switches, form, source=source))
        self._tasks |= tasks_of(switches, source=source, first_pid=first_pid)
        if len(switches.time_ns):
            self._switches[number] = switches

    def _running(self, number: int, vcpu: int) -> Running:
        """Which task of a VM had a vCPU, as far as the VM tells."""
        if number in self._switches:
            return of_switches(self._switches[number])
        form = next((f for f in self._formats.values() if f.name == "sched_switch"), None)
        part = self._linux_parts.get((number, vcpu))
        if part is not None and form is not None:
            rows = np.flatnonzero(part.event == form.id)
            if len(rows):
                return of_linux(self._payload[0], part.offset[rows], part.time_ns[rows], form)
        pid, name = FIRST_PID + PIDS_PER_GUEST * (number + 1) - 1, self._vms[number].name
        self._tasks[pid] = Task(pid=pid, comm=name, source=self._source_of_vm[number])
        return only(pid, name)

    def _sched_format(self, name: str, make: Callable[[int], EventFormat]) -> EventFormat:
        """Linux's own where there is one."""
        for form in self._formats.values():
            if form.name == name:
                return form
        return make(self._next_id())

    def _hits(self, probe: Probe) -> NDArray[np.void]:
        hits = self._observed.hits
        return np.asarray(hits[hits["id"] == probe.id])

    def _probe_costs(self) -> dict[str, NDArray[np.uint32]]:
        """What each probe's hits cost their guest; 0 in a record means that it is not known."""
        costs = {}
        for probe in sorted(self._observed.probes.values(), key=lambda each: each.id):
            cost = self._hits(probe)["cost"]
            named = probe.name.startswith(f"{probe.vm}:")
            costs[probe.name if named else f"{probe.vm}:{probe.name}"] = cost[cost != 0]
        return {name: cost for name, cost in costs.items() if len(cost)}

    # The hypervisor.

    def add_hypervisor(self) -> None:
        """What it has recorded of itself."""
        if not len(self._observed.hypervisor):
            return
        source = len(self._sources)
        cores = tuple(sorted({core for vm in self._vms for core in vm.cores}))
        self._sources.append(
            Source(
                name="hypervisor",
                kind="hypervisor",
                clock=_COUNTER,
                cores=cores,
                lost=self._observed.lost,
            )
        )
        for packed in hypervisor_events(
            self._observed.hypervisor,
            vms=[vm.name for vm in self._vms],
            source=source,
            next_id=self._next_id,
        ):
            self._add(packed)
        self._add_handovers(source)

    def _add_handovers(self, source: int) -> None:
        """Cores that guests share: who goes on where the hypervisor changes the vCPU."""
        cores = Counter(core for vm in self._vms for core in vm.cores)
        shared = {core for core, count in cores.items() if count > 1}
        records = self._observed.hypervisor
        records = records[np.isin(records["cpu"], sorted(shared))]
        if not (records["kind"] == Kind.VCPU_SWITCH).any():
            return
        running = {
            (number, vcpu): self._running(number, vcpu)
            for number, vm in enumerate(self._vms)
            for vcpu, core in enumerate(vm.cores)
            if core in shared
        }
        form = self._sched_format("sched_switch", sched_switch_format)
        self._add(handovers(records, running, form, source=source))

    def _add(self, packed: Packed) -> None:
        """Puts packed events behind the payload so far, core by core."""
        count, size = packed.records.shape
        self._formats[packed.format.id] = packed.format
        at = np.uint64(self._payload_bytes)
        offset = at + np.arange(count, dtype=np.uint64) * np.uint64(size)
        self._payload.append(packed.records.reshape(-1))
        self._payload_bytes += count * size
        for cpu in np.unique(packed.cpu).tolist():
            rows = np.flatnonzero(packed.cpu == cpu)
            self._parts.append(
                _Part(
                    time_ns=packed.time_ns[rows],
                    cpu=cpu,
                    event=np.full(len(rows), packed.format.id, np.uint16),
                    source=packed.source,
                    offset=offset[rows],
                    bytes=np.full(len(rows), size, np.uint32),
                )
            )

    def timeline(self, *, cores: int, host: Mapping[str, str]) -> Timeline:
        """Everything that was added, in order."""
        parts = sorted(self._parts, key=lambda part: part.cpu)
        sizes = [len(part.time_ns) for part in parts]

        def column(values: list[Any], dtype: type[np.generic]) -> NDArray[Any]:
            if len(values) == 1:
                return np.asarray(values[0].astype(dtype, copy=False))
            return (
                np.concatenate(values).astype(dtype, copy=False) if values else np.empty(0, dtype)
            )

        time_ns = column([part.time_ns for part in parts], np.uint64)
        # Stable, and the parts are in order of core: so are equal times.
        order = np.argsort(time_ns, kind="stable") if len(parts) > 1 else slice(None)
        linux = self._linux
        return Timeline(
            time_ns=time_ns[order],
            cpu=np.repeat(np.array([part.cpu for part in parts], np.uint16), sizes)[order],
            event=column([part.event for part in parts], np.uint16)[order],
            source=np.repeat(np.array([part.source for part in parts], np.uint8), sizes)[order],
            offset=column([part.offset for part in parts], np.uint64)[order],
            bytes=column([part.bytes for part in parts], np.uint32)[order],
            payload=column(self._payload, np.uint8),
            formats=dict(sorted(self._formats.items())),
            sources=tuple(self._sources),
            tasks=dict(sorted(self._tasks.items())),
            cores=cores,
            kallsyms=linux.kallsyms if linux is not None else "",
            printk_formats=linux.printk_formats if linux is not None else "",
            uname=linux.release if linux is not None else "",
            host=host,
            contradictions=tuple(self._contradictions),
            probe_costs=self._probe_costs(),
        )
