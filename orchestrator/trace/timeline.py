# SPDX-License-Identifier: MIT
"""The one result that all exporters and comparisons read: every event of a run in one order.

An event is a row: when, on which core, of which format, and where its raw record lies. A record is
in the binary form of Linux's trace events, decoded by its `EventFormat`; those of RTOS tasks and of
the hypervisor are packed in the same form when they are merged. So an event is decoded in one way,
wherever it came from, and a million events are a handful of arrays.

Who fills it in: `merge`. Who reads it: `orchestrator.export`, `orchestrator.bench`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import GuestError


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of an event's record, as the kernel's `format` files describe it.

    Attributes:
        name: As in the kernel.
        c_type: Its declaration without the name, such as "char[16]" or "pid_t".
        offset: Of its first byte in the record.
        bytes: Its size; of a dynamic field that of its `__data_loc` word.
        signed: Whether a number is signed.
        dynamic: `__data_loc`: the word holds offset (low half) and length (high half) of the data.
    """

    name: str
    c_type: str
    offset: int
    bytes: int
    signed: bool
    dynamic: bool = False


@dataclass(frozen=True, kw_only=True)
class EventFormat:
    """How an event's record is laid out.

    Attributes:
        id: Number in the record's first two bytes; unique in a timeline.
        system: "sched", "irq", ...; "hypervisor" for the hypervisor's own.
        name: "sched_switch", ...
        fields: The common ones included.
        text: The whole `format` file, for tools that parse it themselves.
    """

    id: int
    system: str
    name: str
    fields: tuple[Field, ...]
    text: str

    def field(self, name: str) -> Field:
        """The field of that name.

        Raises:
            GuestError: There is none: the guest's kernel is none that is known.
        """
        for each in self.fields:
            if each.name == name:
                return each
        raise GuestError(f"the kernel's event {self.system}:{self.name} has no field {name!r}")


@dataclass(frozen=True, kw_only=True)
class ClockFit:
    """How a source's clock was tied to the generic counter: guest = source + offset_ns.

    Attributes:
        clock: Name of the source's clock, such as "local"; "counter" needs no fit.
        offset_ns: Added to the source's time.
        residual_ns: Largest error that the evidence leaves open.
        samples: Pieces of evidence used.
    """

    clock: str
    offset_ns: int = 0
    residual_ns: int = 0
    samples: int = 0


LEFT_OUT_ADVICE: Final = (
    "damaged, or of an event whose format was not saved: name it in events of [trace.linux], or let "
    "it be enabled still when the command ends"
)
"""Why events are left out, and what to do; for people."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where events come from.

    Attributes:
        name: The VM's name, or "hypervisor".
        kind: What it is.
        clock: How its times were fitted.
        lost: Events known to be lost, by core.
        left_out: Events that were recorded and are not in the timeline, by core: nobody has saved
            what they mean, or they are damaged.
        cores: The board's cores that it may run on; of a VM the core of each vCPU.
    """

    name: str
    kind: Literal["linux", "rtos", "hypervisor"]
    clock: ClockFit
    cores: tuple[int, ...]
    lost: Mapping[int, int] = field(default_factory=dict)
    left_out: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Events that took place and are not in the timeline.

    Attributes:
        source: Name of the source.
        cpu: Core of the board.
        events: How many.
    """

    source: str
    cpu: int
    events: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of any guest, numbered as Linux numbers its own.

    Attributes:
        pid: Unique in the timeline, idle tasks (pid 0 of each core) excepted.
        comm: Its name.
        source: Position in `Timeline.sources`.
        prio: As Linux's sched events have it (RTOS: the RTOS's own number), None: not known.
        tgid: The process that it is a thread of, by the pid of its first thread; the tasks of an
            RTOS are threads of one program. None: not known.
        ppid: The process that made that process; 0: none did. None: not known.
    """

    pid: int
    comm: str
    source: int
    prio: int | None = None
    tgid: int | None = None
    ppid: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """All events of a run, in order of time; equal times in order of core, then of recording.

    Attributes:
        time_ns: Guest time in ns since power-on, of each event; uint64[n], ascending.
        cpu: Core of the board; uint16[n].
        event: `EventFormat.id`; uint16[n].
        source: Position in `sources`; uint8[n].
        offset: Of the event's record in `payload`; uint64[n].
        bytes: Size of the record; uint32[n].
        payload: All records; uint8[m]. A record's first two bytes are its event's id.
        formats: By id.
        sources: Linux guests, RTOS guests, hypervisor.
        tasks: By pid.
        cores: Number of cores of the board.
        kallsyms: Address, type, name of each Linux kernel symbol, as text like /proc/kallsyms.
        printk_formats: Address and text of the strings that a Linux kernel's `trace_printk` events
            refer to, as tracefs shows them.
        uname: Of the Linux guest; "" without one.
        host: What the exporters may show of the run: config name, versions, clock shift.
        contradictions: Places where the order of events across guests cannot be true.
        probe_costs: Of each probe, by name: instructions from its trap until a guest went on, for
            each hit of which that is known; uint32[hits].
    """

    time_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    event: NDArray[np.uint16]
    source: NDArray[np.uint8]
    offset: NDArray[np.uint64]
    bytes: NDArray[np.uint32]
    payload: NDArray[np.uint8]
    formats: Mapping[int, EventFormat]
    sources: tuple[Source, ...]
    tasks: Mapping[int, Task]
    cores: int
    kallsyms: str = ""
    printk_formats: str = ""
    uname: str = ""
    host: Mapping[str, str] = field(default_factory=dict)
    contradictions: tuple[str, ...] = ()
    probe_costs: Mapping[str, NDArray[np.uint32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time_ns)

    def gaps(self) -> dict[str, list[Gap]]:
        """What is missing, by the reason: "lost" or "left_out", as `Source` has them."""
        counts = {
            "lost": [each.lost for each in self.sources],
            "left_out": [each.left_out for each in self.sources],
        }
        return {
            why: [
                Gap(source=source.name, cpu=cpu, events=count)
                for source, by_core in zip(self.sources, found, strict=True)
                for cpu, count in sorted(by_core.items())
                if count
            ]
            for why, found in counts.items()
        }

    def missing(self, cpu: int) -> int:
        """Events of a core that are not here, whatever the reason."""
        return sum(each.events for gaps in self.gaps().values() for each in gaps if each.cpu == cpu)

    def format_named(self, name: str) -> EventFormat | None:
        """The format of an event by its name; None: the timeline has no such event."""
        return next((each for each in self.formats.values() if each.name == name), None)

    def rows(self, name: str) -> NDArray[np.intp]:
        """Positions of all events of that name, in order."""
        wanted = self.format_named(name)
        if wanted is None:
            return np.empty(0, np.intp)
        return np.flatnonzero(self.event == wanted.id)

    def guest_rows(self, name: str) -> NDArray[np.intp]:
        """Positions of all events of that name that guests have recorded, in order.

        On a core that guests share the hypervisor's changes of the vCPU are `sched_switch` events,
        too (`shared`); to a guest nothing happens there.
        """
        rows = self.rows(name)
        guests = [n for n, source in enumerate(self.sources) if source.kind != "hypervisor"]
        return rows[np.isin(self.source[rows], guests)]

    def values(self, rows: NDArray[np.intp], name: str) -> NDArray[Any]:
        """A fixed-size field of some events, all of one format.

        Args:
            rows: Positions of events; not empty.
            name: A number field gives an integer array, a `char[n]` field an array of bytes
                without the NULs at their end, a dynamic field its `__data_loc` words.

        Raises:
            GuestError: The format has no such field.
        """
        where = self.formats[int(self.event[rows[0]])].field(name)
        at = self.offset[rows].astype(np.intp) + where.offset
        # A record may be shorter than its format says, and the last one of all.
        raw = self.payload.take(at[:, None] + np.arange(where.bytes), mode="clip")
        is_number = where.dynamic or (where.bytes in {1, 2, 4, 8} and "[" not in where.c_type)
        dtype = np.dtype(
            f"<{'i' if where.signed else 'u'}{where.bytes}" if is_number else f"S{where.bytes}"
        )
        return np.asarray(raw.view(dtype)[:, 0])
