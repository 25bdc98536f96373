# SPDX-License-Identifier: MIT
"""Where two runs that should be the same first are not, with what lies around it.

Console logs are compared by lines, event streams by records, timelines by events. Two runs of one config in the
deterministic clock have no difference at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.export.text import Lines
from orchestrator.records import RECORD, Kind
from orchestrator.trace.timeline import Timeline

CONTEXT: Final = 3
"""Lines or records shown before and after the first that differs."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place at which two files differ.

    Attributes:
        what: Name of the file.
        position: Number of the line or record, from 0.
        lines: For people: what both have before it ("  "), then the baseline's ("- ") and the
            run's own ("+ ").
    """

    what: str
    position: int
    lines: tuple[str, ...]


def of_texts(what: str, text: str, baseline: str) -> Difference | None:
    """First differing line of two texts; None: they are equal."""
    if text == baseline:
        return None
    mine, others = text.splitlines(), baseline.splitlines()
    position = next(
        (i for i, (a, b) in enumerate(zip(mine, others, strict=False)) if a != b),
        min(len(mine), len(others)),
    )
    return _difference(what, position, mine, others)


def of_streams(
    what: str, records: NDArray[np.void], baseline: NDArray[np.void]
) -> Difference | None:
    """First differing record of two event streams; None: they are equal.

    Args:
        what: Name of the stream.
        records: The run's; `records.RECORD`[n].
        baseline: The baseline's; `records.RECORD`[m].
    """
    common = min(len(records), len(baseline))
    mine, others = (
        np.ascontiguousarray(each[:common]).view(np.uint8).reshape(common, RECORD.itemsize)
        for each in (records, baseline)
    )
    unequal = np.flatnonzero((mine != others).any(axis=1)) if common else np.empty(0, np.intp)
    if not len(unequal) and len(records) == len(baseline):
        return None
    position = int(unequal[0]) if len(unequal) else common
    around = slice(max(position - CONTEXT, 0), position + CONTEXT)
    before = around.start
    return _difference(
        what,
        position,
        [_shown(each) for each in records[around]],
        [_shown(each) for each in baseline[around]],
        offset=before,
    )


def of_timelines(what: str, timeline: Timeline, baseline: Timeline) -> Difference | None:
    """First differing event of two timelines; None: they are equal."""
    common = min(len(timeline), len(baseline))
    unequal = np.zeros(common, bool)
    for column in ("time_ns", "cpu", "event", "source", "bytes"):
        unequal |= getattr(timeline, column)[:common] != getattr(baseline, column)[:common]
    same_size = np.flatnonzero(~unequal)
    unequal[same_size] = _unequal_records(timeline, baseline, same_size)
    found = np.flatnonzero(unequal)
    if not len(found) and len(timeline) == len(baseline):
        return None
    position = int(found[0]) if len(found) else common
    start = max(position - CONTEXT, 0)
    mine, others = (
        [
            line.rstrip("\n")
            for line in Lines(each).of(np.arange(start, min(position + CONTEXT, len(each))))
        ]
        for each in (timeline, baseline)
    )
    return _difference(what, position, mine, others, offset=start)


def _unequal_records(one: Timeline, other: Timeline, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which records differ, of events whose records have one size in both."""
    unequal = np.zeros(len(rows), bool)
    for size in np.unique(one.bytes[rows]).tolist():
        which = np.flatnonzero(one.bytes[rows] == size)
        at = [
            each.offset[rows[which]].astype(np.intp)[:, None] + np.arange(size)
            for each in (one, other)
        ]
        unequal[which] = (one.payload[at[0]] != other.payload[at[1]]).any(axis=1)
    return unequal


def _difference(
    what: str, position: int, mine: Sequence[str], others: Sequence[str], *, offset: int = 0
) -> Difference:
    at = position - offset
    lines = [
        *(f"  {line}" for line in mine[max(at - CONTEXT, 0) : at]),
        *(f"- {line}" for line in others[at : at + CONTEXT]),
        *(f"+ {line}" for line in mine[at : at + CONTEXT]),
    ]
    for sign, side in (("-", others), ("+", mine)):
        if at >= len(side):
            lines.append(f"{sign} (ends here)")
    return Difference(what=what, position=position, lines=tuple(lines))


def _shown(record: Any) -> str:
    """A record on one line."""
    try:
        kind = Kind(int(record["kind"])).name
    except ValueError:
        kind = f"kind {record['kind']}"
    words = " ".join(f"{int(word):08x}" for word in record["word"][: int(record["words"])])
    return (
        f"{int(record['time_ns'])} ns  cpu {record['cpu']}  vm {record['vm']}  {kind} "
        f"{record['id']}  pc {int(record['pc']):08x}  lr {int(record['lr']):08x}  {words}"
    ).rstrip()
