# SPDX-License-Identifier: MIT
"""ftrace's own text: the form of the kernel's file `trace`, one line an event.

Times have nine digits, as `trace-cmd report -t` prints them: the counter's steps would get lost in
the kernel's six. What is missing and contradictions are in the head, as comments.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.export.columns import Memo, by_format, chunks, column, kernel_strings, symbolizer
from orchestrator.export.printfmt import Argument, PrintFormat, compile_print_format
from orchestrator.trace.timeline import EventFormat, Timeline

_HEAD: Final = """\
# tracer: nop
#
# entries-in-buffer/entries-written: {kept}/{written}   #P:{cores}
#
{notes}#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
_NS: Final = 1_000_000_000


def write(timeline: Timeline, path: Path) -> None:
    """Writes the text of all events, in their order.

    Raises:
        OSError: The file cannot be written.
    """
    lines = Lines(timeline)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_head(timeline))
        for rows in chunks(timeline):
            file.writelines(lines.of(rows))


class Lines:
    """Makes lines of events; what it learnt of a format serves all calls.

    Args:
        timeline: The events.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._symbols = symbolizer(timeline)
        self._texts = kernel_strings(timeline)
        self._formats: dict[int, _Details] = {}
        self._tasks = Memo(self._task)

    def go_on(self, timeline: Timeline) -> None:
        """Takes the events of another timeline from now on, with the same formats and symbols."""
        self._timeline = timeline
        self._tasks = Memo(self._task)

    def of(self, rows: NDArray[np.intp]) -> list[str]:
        """The lines of some events, in the order given, each with its newline."""
        return self._in_order(rows, self._lines)

    def details(self, rows: NDArray[np.intp]) -> list[str]:
        """What stands behind the event's name in the lines of some events."""
        return self._in_order(rows, self._details)

    def _in_order(
        self,
        rows: NDArray[np.intp],
        make: Callable[[EventFormat, NDArray[np.intp]], Iterator[str]],
    ) -> list[str]:
        made = np.empty(len(rows), dtype=object)
        events = self._timeline.event[rows]
        for event, some in by_format(self._timeline, rows):
            made[events == event.id] = list(make(event, some))
        return made.tolist()

    def _lines(self, event: EventFormat, rows: NDArray[np.intp]) -> Iterator[str]:
        timeline = self._timeline
        seconds, rest = np.divmod(timeline.time_ns[rows], np.uint64(_NS))
        flags = timeline.values(rows, "common_flags").astype(np.int64) << 8
        context = flags | timeline.values(rows, "common_preempt_count")
        return map(
            "{} [{:03d}] {} {:5d}.{:09d}: {}: {}\n".format,
            map(self._tasks.__getitem__, timeline.values(rows, "common_pid").tolist()),
            timeline.cpu[rows].tolist(),
            map(_CONTEXTS.__getitem__, context.tolist()),
            seconds.tolist(),
            rest.tolist(),
            repeat(event.name, len(rows)),
            self._details(event, rows),
        )

    def _details(self, event: EventFormat, rows: NDArray[np.intp]) -> Iterator[str]:
        if event.id not in self._formats:
            form = compile_print_format(event, self._symbols, self._texts)
            self._formats[event.id] = _Details(event, form)
        return self._formats[event.id].of(self._timeline, rows)

    def _task(self, pid: int) -> str:
        task = self._timeline.tasks.get(pid)
        comm = "<idle>" if pid == 0 else task.comm if task else "<...>"
        return f"{comm:>16}-{pid:<7d}"


class _Details:
    """The part of the line behind the time, for one format."""

    def __init__(self, event: EventFormat, form: PrintFormat) -> None:
        self._template = form.template
        needed = set[str]().union(*(each.fields for each in form.arguments))
        self._fields = [each for each in event.fields if each.name in needed]
        self._arguments = [(sorted(each.fields), _memo(each)) for each in form.arguments]

    def of(self, timeline: Timeline, rows: NDArray[np.intp]) -> Iterator[str]:
        columns = {each.name: column(timeline, rows, each) for each in self._fields}
        if not self._arguments:
            return iter([self._template % ()] * len(rows))
        return map(
            self._template.__mod__,
            zip(
                *(
                    map(memo.__getitem__, _keys([columns[name] for name in names], len(rows)))
                    for names, memo in self._arguments
                ),
                strict=True,
            ),
        )


def _keys(columns: Sequence[list[Any]], count: int) -> Iterator[tuple[Any, ...]]:
    """What an argument depends on, of each event; it may be nothing."""
    return zip(*columns, strict=True) if columns else repeat((), count)


def _memo(argument: Argument) -> Memo:
    names = sorted(argument.fields)

    def value(key: tuple[Any, ...]) -> Any:
        return argument.value(dict(zip(names, key, strict=True)))

    return Memo(value)


def _context(packed: int) -> str:
    """Flags and preemption count as the kernel's five characters (`trace_print_lat_fmt`)."""
    flags, count = packed >> 8, packed & 0xFF
    irqs_off, unknown, hard, soft, nmi, bottom_off = (
        bool(flags & bit) for bit in (0x01, 0x02, 0x08, 0x10, 0x40, 0x80)
    )
    first = {(True, True): "D", (True, False): "d", (False, True): "b"}.get(
        (irqs_off, bottom_off), "X" if unknown else "."
    )
    second = {0x24: "N", 0x04: "n", 0x20: "p"}.get(flags & 0x24, ".")
    if nmi:
        third = "Z" if hard else "z"
    elif hard:
        third = "H" if soft else "h"
    else:
        third = "s" if soft else "."
    depth, migrate = (f"{nibble:x}" if nibble else "." for nibble in (count & 15, count >> 4))
    return first + second + third + depth + migrate


_CONTEXTS: Final = Memo(_context)


def _head(timeline: Timeline) -> str:
    notes = [
        f"# {why.replace('_', ' ')}: {each.source}, cpu {each.cpu}: {each.events} events"
        for why, gaps in timeline.gaps().items()
        for each in gaps
    ]
    notes += [f"# contradiction: {each}" for each in timeline.contradictions]
    missing = sum(timeline.missing(cpu) for cpu in range(timeline.cores))
    return _HEAD.format(
        kept=len(timeline),
        written=len(timeline) + missing,
        cores=timeline.cores,
        notes="".join(f"{note}\n" for note in [*notes, "#"]) if notes else "",
    )
