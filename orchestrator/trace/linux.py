# SPDX-License-Identifier: MIT
"""What the agent in a Linux guest has saved (images/linux/trace/agent.c), as arrays.

Times are still those of the guest's trace clock here, CPUs those that Linux counts; `merge` puts both
on the board's. Its pages have been taken out of its
memory, or it has handed them over.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import GuestError
from orchestrator.trace.clock import fit_brackets, fit_instants
from orchestrator.trace.formats import parse_format
from orchestrator.trace.pages import PAGE_BYTES, RingEvents, check_header_page, decode_pages
from orchestrator.trace.processes import Process, read_processes
from orchestrator.trace.timeline import ClockFit, EventFormat

_GETPPID: Final = 64
"""The system call between readings of the counter; images/linux/trace/clock.c."""
_FIT_EVENTS: Final = 200
_LOSSES: Final = ("overrun", "commit overrun", "dropped events")
_NO_EVENT: Final = PAGE_BYTES
"""More bytes than any event has."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LinuxTrace:
    """One guest's ftrace.

    Attributes:
        pages: All ring buffer pages, CPU by CPU; uint8[m].
        events: By Linux's CPU number; offsets are those in `pages`.
        formats: Of the events that may be in them, and of ftrace's own entries.
        fit: How the trace clock belongs to the generic counter.
        comms: Names of tasks by pid.
        processes: Of the threads that were there before recording began, by pid.
        lost: Events lost, by Linux's CPU number.
        left_out: Events that have no format or are damaged, by Linux's CPU number; not in `events`.
        kallsyms: As /proc/kallsyms.
        printk_formats: Strings that `trace_printk` events refer to.
        header_page: As in tracefs.
        header_event: As in tracefs.
        ended: Trace clock at the end of recording: of the last event, or when that was looked at.
        release: Of the kernel, such as "6.1.0-50-armmp".
        doubts: Where what was pulled contradicts what Linux has counted.
    """

    pages: NDArray[np.uint8]
    events: Mapping[int, RingEvents]
    formats: tuple[EventFormat, ...]
    fit: ClockFit
    ended: int
    comms: Mapping[int, str] = field(default_factory=dict)
    processes: Mapping[int, Process] = field(default_factory=dict)
    lost: Mapping[int, int] = field(default_factory=dict)
    left_out: Mapping[int, int] = field(default_factory=dict)
    kallsyms: str = ""
    printk_formats: str = ""
    header_page: str = ""
    header_event: str = ""
    release: str = ""
    doubts: tuple[str, ...] = ()


def read_linux(folder: Path, taken: Path | None = None) -> LinuxTrace:
    """Reads what was saved.

    Args:
        folder: The run's results/trace.
        taken: Where the pages are, if they were taken out of memory; else they are in `folder`.

    Raises:
        GuestError: Something is missing, damaged, or in a form that is not known.
    """
    try:
        return _read(folder, taken or folder)
    except (OSError, ValueError, LookupError) as error:
        raise GuestError(
            f"{folder}: what Linux has saved of its trace is damaged: {error}"
        ) from error


def _read(folder: Path, taken: Path) -> LinuxTrace:
    header_page = (folder / "header_page").read_text()
    check_header_page(header_page)
    formats = tuple(
        parse_format(path.read_text(), system=path.name.partition(".")[0])
        for path in sorted((folder / "formats").iterdir())
    )
    release = re.match(r"Linux version (\S+)", (folder / "version").read_text())
    pages, all_events = read_rings(taken)
    events, left_out = _understood(pages, all_events, formats)
    counts = {cpu: _counts(folder, cpu) for cpu in events}
    tasks = folder / "tasks"  # runs of earlier versions have none
    fit, looked = _fit(folder, formats)
    ended = max((int(ring.time[-1]) for ring in events.values() if len(ring.time)), default=looked)
    return LinuxTrace(
        pages=pages,
        events=events,
        formats=formats,
        fit=fit,
        ended=ended,
        comms=_comms((folder / "saved_cmdlines").read_text(errors="replace")),
        processes=read_processes(tasks.read_text()) if tasks.exists() else {},
        lost=_lost(counts, events),
        left_out=left_out,
        kallsyms=(folder / "kallsyms").read_text(),
        printk_formats=(folder / "printk_formats").read_text(errors="replace"),
        header_page=header_page,
        header_event=(folder / "header_event").read_text(),
        release=release[1] if release else "",
        doubts=tuple(
            f"CPU {cpu}'s pages hold {len(ring.time)} events, but Linux counts {count}"
            for cpu, ring in all_events.items()
            if (count := counts[cpu].get("entries", 0)) != len(ring.time)
        ),
    )


def read_rescued(folder: Path, reference: Path) -> LinuxTrace:
    """Reads what was found in the memory of a guest that could not save anything any more.

    Formats and symbols are those of the kernel, so another run of it has the same; so has the clock,
    as long as both booted alike, which the run's own evidence has to show.

    Args:
        folder: The pages, as `read_rings` takes them.
        reference: Another run's results/trace, of the same kernel and config.

    Raises:
        GuestError: Something is missing, damaged, or in a form that is not known.
    """
    other = read_linux(reference)
    try:
        pages, events = read_rings(folder)
    except OSError as error:
        raise GuestError(f"{folder}: the rescued pages cannot be read: {error}") from error
    events, left_out = _understood(pages, events, other.formats)
    last = [int(ring.time[-1]) for ring in events.values() if len(ring.time)]
    if not last:
        raise GuestError(f"{folder}: the rescued pages hold no events")
    return replace(
        other,
        pages=pages,
        events=events,
        ended=max(last),
        comms={},
        doubts=(),
        lost={cpu: ring.missed for cpu, ring in events.items() if ring.missed},
        left_out=left_out,
    )


def sharpened(linux: LinuxTrace, instants_ns: NDArray[np.uint64]) -> ClockFit:
    """The fit of its clock, by the instants at which the kernel has read the counter for it.

    Args:
        linux: With the fit so far.
        instants_ns: In order of time; none: they were not watched.
    """
    if not len(instants_ns):
        return linux.fit
    clock = np.sort(np.concatenate([each.time for each in linux.events.values()]))
    about = clock.astype(np.int64) + linux.fit.offset_ns
    covered = (about > int(instants_ns[0]) + 2 * linux.fit.residual_ns) & (
        about < int(instants_ns[-1]) - 2 * linux.fit.residual_ns
    )
    return fit_instants(linux.fit, clock_ns=clock[covered][:_FIT_EVENTS], instants_ns=instants_ns)


def read_rings(folder: Path) -> tuple[NDArray[np.uint8], dict[int, RingEvents]]:
    """The pages of all CPUs one after another, and the events in them by CPU."""
    # Of each CPU cpu0.raw; or, handed over, cpu0.stats and pieces: cpu0.0000.raw and so on.
    pieces = sorted(folder.glob("cpu*.raw"))
    cpus = {int(path.name.partition(".")[0][3:]) for path in folder.glob("cpu*.*")}
    pages = np.empty(sum(path.stat().st_size for path in pieces), np.uint8)
    events, at = {}, 0
    for cpu in sorted(cpus):
        size = 0
        for path in pieces:
            if path.name.startswith(f"cpu{cpu}."):
                with path.open("rb") as file:
                    size += file.readinto(pages[at + size :].data)
        try:
            decoded = decode_pages(pages[at : at + size])
        except GuestError as error:
            raise GuestError(f"{folder}: the ring buffer of CPU {cpu}: {error.message}") from error
        events[cpu] = RingEvents(
            time=decoded.time,
            offset=decoded.offset + np.uint64(at),
            bytes=decoded.bytes,
            missed=decoded.missed,
        )
        at += size
    return pages, events


def _understood(
    pages: NDArray[np.uint8], events: Mapping[int, RingEvents], formats: tuple[EventFormat, ...]
) -> tuple[dict[int, RingEvents], dict[int, int]]:
    """The events that are whole and have a format, and the number of the others, by CPU.

    A command may have switched an event off again, of which then nobody saves the format; and a
    guest may write anything there.
    """
    needed = np.full(1 << 16, _NO_EVENT, np.uint32)
    for form in formats:
        # The kernel may cut the last field short where it is an array.
        needed[form.id] = max((each.offset + each.bytes for each in form.fields[:-1]), default=0)
    understood, left_out = {}, {}
    for cpu, ring in events.items():
        known = ring.bytes >= needed[pages.view("<u2")[ring.offset >> np.uint64(1)]]
        understood[cpu] = ring
        if not known.all():
            understood[cpu] = RingEvents(
                time=ring.time[known],
                offset=ring.offset[known],
                bytes=ring.bytes[known],
                missed=ring.missed,
            )
            left_out[cpu] = int(np.count_nonzero(~known))
    return understood, left_out


def _comms(text: str) -> dict[int, str]:
    """A pid and a name a line; a name may hold spaces."""
    split = (line.partition(" ") for line in text.splitlines())
    return {int(pid): comm for pid, _, comm in split if re.fullmatch("[0-9]{1,9}", pid)}


def _counts(folder: Path, cpu: int) -> dict[str, int]:
    """What tracefs says of a CPU's ring in `stats`, as far as it is a number."""
    text = (folder / f"cpu{cpu}.stats").read_text()
    return {
        name: int(number) for name, number in re.findall(r"^([a-z ]+): (\d+)$", text, re.MULTILINE)
    }


def _lost(
    counts: Mapping[int, Mapping[str, int]], events: Mapping[int, RingEvents]
) -> dict[int, int]:
    """The counts of the buffer include what the pages themselves say, unless pages were lost."""
    lost = {}
    for cpu, ring in events.items():
        known = max(sum(counts[cpu].get(name, 0) for name in _LOSSES), ring.missed)
        if known:
            lost[cpu] = known
    return lost


def _fit(folder: Path, formats: tuple[EventFormat, ...]) -> tuple[ClockFit, int]:
    """The fit, and the trace clock at its first piece of evidence."""
    clock = re.search(r"\[(\w+)\]", (folder / "trace_clock").read_text())
    calls = {each.name: each for each in formats if each.system == "raw_syscalls"}
    told = (folder / "clock" / "brackets").read_text().split("\n")
    if clock is None or "sys_enter" not in calls or not any(told):
        raise GuestError(f"{folder}: the trace clock and the evidence for it are not there")
    pages, events = read_rings(folder / "clock")
    brackets = np.loadtxt(told, dtype=np.uint64, ndmin=2)
    rows: list[NDArray[np.uint64]] = []
    for cpu, ring in events.items():
        mine = brackets[brackets[:, 0] == cpu]
        entered, left = (_times(ring, pages, calls[name]) for name in ("sys_enter", "sys_exit"))
        if not len(mine) == len(entered) == len(left):
            raise GuestError(
                f"{folder}: {len(mine)} bracketed calls on CPU {cpu}, but {len(entered)} were seen "
                f"to begin and {len(left)} to end"
            )
        rows.append(np.stack([mine[:, 1], entered, left, mine[:, 2]]))
    before, entered, left, after = np.concatenate(rows, axis=1)
    fit = fit_brackets(clock[1], before=before, entered=entered, left=left, after=after)
    return fit, int(entered[0])


def _times(ring: RingEvents, pages: NDArray[np.uint8], form: EventFormat) -> NDArray[np.uint64]:
    """When those calls began or ended; the ring holds more."""
    mine = pages.view("<u2")[ring.offset >> np.uint64(1)] == form.id
    offset, times = ring.offset[mine], ring.time[mine]
    called = pages.view("<i4")[(offset + np.uint64(form.field("id").offset)) >> np.uint64(2)]
    return np.asarray(times[called == _GETPPID])
