# SPDX-License-Identifier: MIT
"""Timelines for the tests of exporters: a Linux guest, an RTOS guest and the hypervisor.

The records are packed by the `format` files of Debian's own kernel (tests/formats, as its tracefs
shows them); what happens when is made up here, so that a test knows every number beforehand.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.trace.formats import make_format, parse_format
from orchestrator.trace.timeline import ClockFit, EventFormat, Field, Source, Task, Timeline

FORMATS = Path(__file__).parent / "formats"


def _own(number: int, name: str, fields: str, print_fmt: str) -> EventFormat:
    """A format of the hypervisor's: `fields` are names, those of VMs texts, the others numbers."""
    return make_format(
        number=number,
        system="hypervisor",
        name=name,
        fields=[
            Field(name=each, c_type="char[16]", offset=0, bytes=16, signed=False)
            if each.endswith("vm")
            else Field(name=each, c_type="u32", offset=0, bytes=4, signed=False)
            for each in fields.split()
        ],
        print_format=print_fmt,
    )


LINUX_FORMATS = [
    parse_format(path.read_text(), system=path.name.split(".")[0])
    for path in sorted(FORMATS.iterdir())
]
HYPERVISOR_FORMATS = [
    _own(
        2001,
        "vm_entry",
        "vm vcpu pc",
        '"vm=%s vcpu=%u pc=0x%08x", REC->vm, REC->vcpu, REC->pc',
    ),
    _own(
        2002,
        "vm_exit",
        "vm vcpu pc reason hsr",
        '"vm=%s vcpu=%u pc=0x%08x reason=%s hsr=0x%08x", REC->vm, REC->vcpu, REC->pc, '
        '__print_symbolic(REC->reason, { 1, "WFx" }, { 18, "HVC" }, { 36, "data abort" }, '
        '{ 256, "IRQ" }), REC->hsr',
    ),
    _own(
        2003,
        "vcpu_switch",
        "prev_vm prev_vcpu next_vm next_vcpu",
        '"prev_vm=%s prev_vcpu=%u ==> next_vm=%s next_vcpu=%u", REC->prev_vm, REC->prev_vcpu, '
        "REC->next_vm, REC->next_vcpu",
    ),
    _own(
        2004,
        "virq",
        "vm vcpu irq phys",
        '"vm=%s vcpu=%u irq=%u phys=%u", REC->vm, REC->vcpu, REC->irq, REC->phys',
    ),
]


def pack(form: EventFormat, /, **values: Any) -> bytes:
    """A record of that format; fields that are not given are 0."""
    record = bytearray(max(each.offset + each.bytes for each in form.fields))
    struct.pack_into("<H", record, 0, form.id)
    for name, value in values.items():
        where = form.field(name)
        if where.dynamic:
            data = value.encode() + b"\0" if isinstance(value, str) else value
            struct.pack_into("<I", record, where.offset, len(data) << 16 | len(record))
            record += data
        elif isinstance(value, str):
            record[where.offset : where.offset + where.bytes] = value.encode().ljust(
                where.bytes, b"\0"
            )
        else:
            record[where.offset : where.offset + where.bytes] = value.to_bytes(
                where.bytes, "little", signed=value < 0
            )
    return bytes(record)


@dataclass
class Builder:
    """Collects events and makes the timeline of them."""

    sources: tuple[Source, ...]
    tasks: dict[int, Task]
    formats: list[EventFormat] = field(default_factory=lambda: LINUX_FORMATS + HYPERVISOR_FORMATS)
    events: list[tuple[int, int, int, bytes]] = field(default_factory=list)

    def add(self, time_ns: int, cpu: int, source: int, event: str, /, **values: Any) -> None:
        form = next(each for each in self.formats if each.name == event)
        self.events.append((time_ns, cpu, source, pack(form, **values)))

    def timeline(self, **more: Any) -> Timeline:
        events = sorted(self.events, key=lambda each: each[:2])
        sizes = np.array([len(each[3]) for each in events], np.uint32)
        payload = np.frombuffer(b"".join(each[3] for each in events), np.uint8)
        return Timeline(
            time_ns=np.array([each[0] for each in events], np.uint64),
            cpu=np.array([each[1] for each in events], np.uint16),
            event=np.array([int.from_bytes(each[3][:2], "little") for each in events], np.uint16),
            source=np.array([each[2] for each in events], np.uint8),
            offset=(np.cumsum(sizes, dtype=np.uint64) - sizes).astype(np.uint64),
            bytes=sizes,
            payload=payload,
            formats={each.id: each for each in self.formats},
            sources=self.sources,
            tasks=self.tasks,
            cores=2,
            **{
                "uname": "6.1.0-50-armmp",
                "host": {"config": "dual.toml", "clock shift": "0", "orchestrate": "0.1.0"},
                "printk_formats": '0xc0a00000 : "Function call interrupts"\n',
                "kallsyms": "c0008000 T _stext\nc0101000 T tick_sched_timer\n",
                **more,
            },
        )


LINUX, RTOS, HYPERVISOR = 0, 1, 2
START_NS = 2_000_000_000
TICK_NS = 4_000_000
RTOS_TICK_NS = 10_000_000
RTOS_UNIT_NS = 500_000
"""RTOS-Task1 runs so long in each tick; each next task twice as long as the one before."""
RTOS_TASKS = {65536 + n: f"RTOS-Task{n}" for n in (1, 2, 3, 4)}
LINUX_TASKS = {401: "hackbench", 402: "hackbench", 15: "rcu_sched", 55: "kworker/0:1"}

LINUX_PROCESSES = {401: (401, 1), 402: (401, 1), 15: (15, 2), 55: (None, None)}
"""tgid and ppid: two threads of one process, one of the kernel's, one of which nothing is known."""


def dual_timeline(ticks: int = 50, *, left_out: int = 0, **more: Any) -> Timeline:
    """A dual system for `ticks` ticks of the RTOS: 10 ms each, about 60 events.

    Three events of core 1 are lost, `left_out` ones of core 0 left out.
    """
    tasks = {
        **{
            pid: Task(pid=pid, comm=comm, source=LINUX, prio=120, tgid=tgid, ppid=ppid)
            for pid, comm in LINUX_TASKS.items()
            for tgid, ppid in [LINUX_PROCESSES[pid]]
        },
        **{
            pid: Task(pid=pid, comm=comm, source=RTOS, prio=10 + pid - 65536, tgid=65536, ppid=0)
            for pid, comm in RTOS_TASKS.items()
        },
    }
    builder = Builder(
        sources=(
            Source(
                name="linux",
                kind="linux",
                clock=ClockFit(clock="local", offset_ns=-1_234_567, residual_ns=16, samples=40),
                cores=(0,),
                left_out={0: left_out},
            ),
            Source(name="rtos", kind="rtos", clock=ClockFit(clock="counter"), cores=(1,)),
            Source(
                name="hypervisor",
                kind="hypervisor",
                clock=ClockFit(clock="counter"),
                cores=(0, 1),
                lost={0: 0, 1: 3},
            ),
        ),
        tasks=tasks,
    )
    _linux(builder, START_NS + ticks * RTOS_TICK_NS)
    for tick in range(ticks):
        _rtos_tick(builder, START_NS + tick * RTOS_TICK_NS)
    return builder.timeline(**more)


def _exit_and_entry(builder: Builder, time_ns: int, cpu: int, vm: str, *, irq: int) -> int:
    """A VM exit for an interrupt, its virtual interrupt, and the entry. Returns when it ended."""
    common = {"vm": vm, "vcpu": 0}
    builder.add(
        time_ns, cpu, HYPERVISOR, "vm_exit", **common, pc=0x40008000, reason=256, common_flags=1
    )
    builder.add(time_ns + 400, cpu, HYPERVISOR, "virq", **common, irq=irq, phys=irq)
    builder.add(time_ns + 1_200, cpu, HYPERVISOR, "vm_entry", **common, pc=0x40008000)
    return time_ns + 1_200


def _linux(builder: Builder, end_ns: int) -> None:
    hand = _hands()
    running = (0, "swapper/0")
    now = START_NS
    while now < end_ns:
        at = _exit_and_entry(builder, now, 0, "linux", irq=27)
        pid = running[0]
        builder.add(
            at + 300, 0, LINUX, "irq_handler_entry", irq=27, name="arch_timer",
            common_pid=pid, common_flags=9, common_preempt_count=1,
        )  # fmt: skip
        wakee = next(hand)
        builder.add(
            at + 900, 0, LINUX, "sched_wakeup", comm=LINUX_TASKS[wakee], pid=wakee, prio=120,
            target_cpu=0, common_pid=pid, common_flags=13, common_preempt_count=0x11,
        )  # fmt: skip
        builder.add(
            at + 2_300, 0, LINUX, "irq_handler_exit", irq=27, ret=1,
            common_pid=pid, common_flags=9, common_preempt_count=1,
        )  # fmt: skip
        for index, share in ((wakee, 0.55), (0, 0.45)):
            after = (index, LINUX_TASKS.get(index, "swapper/0"))
            builder.add(
                at + 5_000 if index else at + int(TICK_NS * share), 0, LINUX, "sched_switch",
                prev_comm=running[1], prev_pid=running[0], prev_prio=120,
                prev_state=0 if running[0] == 0 else 1,
                next_comm=after[1], next_pid=after[0], next_prio=120,
                common_pid=running[0], common_flags=1, common_preempt_count=2,
            )  # fmt: skip
            running = after
        now += TICK_NS


def _hands() -> Iterator[int]:
    while True:
        yield from (401, 402, 401, 402, 15, 401, 402, 55)


def _rtos_tick(builder: Builder, start_ns: int) -> None:
    at = _exit_and_entry(builder, start_ns, 1, "rtos", irq=27)
    pids = [*RTOS_TASKS, 0]
    for pid, comm in RTOS_TASKS.items():
        builder.add(
            at + 200, 1, RTOS, "sched_wakeup", comm=comm, pid=pid,
            prio=10 + pid - 65536, target_cpu=1, common_pid=0,
        )  # fmt: skip
    at += 1_000
    before = 0
    for pid in pids:
        builder.add(
            at, 1, RTOS, "sched_switch",
            prev_comm=RTOS_TASKS.get(before, "OS_TaskIdle"), prev_pid=before,
            prev_prio=63 if before == 0 else 10 + before - 65536, prev_state=1 if before else 0,
            next_comm=RTOS_TASKS.get(pid, "OS_TaskIdle"), next_pid=pid,
            next_prio=63 if pid == 0 else 10 + pid - 65536, common_pid=before,
        )  # fmt: skip
        if pid:
            at += RTOS_UNIT_NS << (pid - 65537)
        before = pid


def repeated(timeline: Timeline, times: int) -> Timeline:
    """The same events again and again, one after the other: many events, quickly made."""
    span = int(timeline.time_ns[-1] - timeline.time_ns[0]) + 10_000
    shift = np.repeat(np.arange(times, dtype=np.uint64) * np.uint64(span), len(timeline))
    return replace(
        timeline,
        time_ns=np.tile(timeline.time_ns, times) + shift,
        cpu=np.tile(timeline.cpu, times),
        event=np.tile(timeline.event, times),
        source=np.tile(timeline.source, times),
        offset=np.tile(timeline.offset, times),
        bytes=np.tile(timeline.bytes, times),
    )


def without_events(timeline: Timeline) -> Timeline:
    """Of the same system, but nothing happened."""
    return replace(
        timeline,
        time_ns=timeline.time_ns[:0],
        cpu=timeline.cpu[:0],
        event=timeline.event[:0],
        source=timeline.source[:0],
        offset=timeline.offset[:0],
        bytes=timeline.bytes[:0],
    )
