# SPDX-License-Identifier: MIT
"""Reads the streams of records that a run has left, and what its probes were.

A stream is a file of records (`orchestrator.streamfile`); `probes.json` says what the probes have
fetched into them (docs/probes.md). What the records mean for a guest is `rtos`'s and `hypervisor`'s
to say.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import StorageError
from orchestrator.records import PROBES_FORMAT, RECORD, Kind, Observer
from orchestrator.streamfile import SUFFIX, read_stream

PROBES_JSON: Final = "probes.json"
CLOCK_PLACE: Final = "arch_counter_get_cntvct"
"""The kernel function that reads the counter for its clocks; a probe there sharpens the fit."""
BIRTH_PLACE: Final = "wake_up_new_task"
"""The kernel function whose first argument is a new thread; a probe there tells its process."""
BIRTH: Final = ("thread", "process", "creator")
"""What it tells: the new thread's number, its process's, and that of the process that made it."""
READY: Final = "ready"
"""Role of a probe that sees which tasks of an RTOS could run, and name of what it sees."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A value in a probe's records.

    Attributes:
        name: Of the value.
        type: "u32", "s8", "string" and so on.
        word: First of the record's words that hold it.
        bytes: Its size.
    """

    name: str
    type: str
    word: int
    bytes: int

    def values(self, records: NDArray[np.void]) -> NDArray[Any]:
        """The value in each record: whole numbers, or bytes of a string up to its NUL."""
        words = np.ascontiguousarray(
            records["word"][:, self.word : self.word + -(-self.bytes // 4)]
        )
        raw = words.view(np.uint8).reshape(len(records), -1)[:, : self.bytes]
        if self.type == "string":
            raw = raw * np.logical_and.accumulate(raw != 0, axis=1)
        kind = f"S{self.bytes}" if self.type == "string" else f"<{self._sign()}{self.bytes}"
        return np.ascontiguousarray(raw).view(kind)[:, 0]

    def known(self, records: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether the value could be read, in each record."""
        mask = ((1 << -(-self.bytes // 4)) - 1) << self.word
        return np.asarray((records["valid"] & np.uint32(mask)) == mask)

    def _sign(self) -> str:
        return "i" if self.type.startswith("s") else "u"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A probe of the run.

    Attributes:
        id: As in the records.
        vm: Name of its VM.
        name: For people.
        place: The place as "function+offset".
        role: "switch": an RTOS changes tasks here; "ready": it tells which of them could run.
        own: Whether a trace has placed it for what it tells, and no user has asked for it.
        fetched: What its records hold.
        current: Name of the value that is the number of the running task; "": none is.
    """

    id: int
    vm: str
    name: str
    place: str
    role: str
    own: bool
    fetched: tuple[Fetched, ...]
    current: str = ""

    @property
    def is_event(self) -> bool:
        """Whether its hits are of interest themselves, not only for what is made of them."""
        made_of = self.role in ("switch", READY) or self.is_birth or self.is_clock
        return not (self.own and made_of)

    @property
    def is_birth(self) -> bool:
        """Whether its hits tell of new threads of a Linux."""
        return self.own and self.place == BIRTH_PLACE

    @property
    def is_clock(self) -> bool:
        """Whether its hits are the exact times at which a Linux reads the counter.

        Those of a user's probe at the same place may be later, as by an HVC, or only some.
        """
        return self.own and self.place == CLOCK_PLACE

    def value(self, name: str, records: NDArray[np.void]) -> NDArray[Any]:
        """A value in each of its records.

        Raises:
            StorageError: They hold no such value.
        """
        return self.one(name).values(records)

    def one(self, name: str) -> Fetched:
        """One of the values.

        Raises:
            StorageError: Its records hold no such value.
        """
        for each in self.fetched:
            if each.name == name:
                return each
        raise StorageError(f"the records of probe {self.name} hold no {name!r}")


@dataclass(frozen=True, kw_only=True)
class Ready:
    """True of a task that could run on: first <= fact & mask <= last.

    Attributes:
        fact: What the task tells, such as "state".
        mask: Bits that count.
        first: Of the values.
        last: Of the values.
    """

    fact: str
    mask: int
    first: int
    last: int

    def of(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether it is true, of each task."""
        seen = values.astype(np.int64) & self.mask
        return np.asarray((seen >= self.first) & (seen <= self.last))


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """All that the observers have seen.

    Attributes:
        probes: By id.
        hits: Records of probes, in order of time; of a hit that both observers saw, the plugin's.
        hypervisor: The hypervisor's own events, in order of time.
        lost: Records that could not be kept, by core.
        ready: By VM, what is true of an RTOS's task that could run on.
    """

    probes: Mapping[int, Probe]
    hits: NDArray[np.void]
    hypervisor: NDArray[np.void]
    lost: Mapping[int, int]
    ready: Mapping[str, tuple[Ready, ...]]


def read_streams(folder: Path) -> Observed:
    """Reads all streams of a run.

    Args:
        folder: The run's `trace`; one that is not there was not traced.

    Raises:
        StorageError: A file is damaged.
    """
    streams = [read_stream(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    document = _document(folder / PROBES_JSON)
    by_plugin = _joined([each.records for each in streams if each.observer is Observer.PLUGIN])
    by_hypervisor = _joined(
        [each.records for each in streams if each.observer is Observer.HYPERVISOR]
    )
    hits = by_plugin[by_plugin["kind"] == Kind.PROBE]
    if not len(by_plugin):
        hits = by_hypervisor[by_hypervisor["kind"] == Kind.PROBE]
    if len(hits) and not document:
        raise StorageError(
            f"{folder / PROBES_JSON}: is not there, without which the hits of probes in {folder} "
            "mean nothing"
        )
    own = (by_hypervisor["kind"] != Kind.PROBE) & (by_hypervisor["kind"] != Kind.LOSS)
    lost: dict[int, int] = {}
    for each in streams:
        words = each.records[each.records["kind"] == Kind.LOSS]["word"].astype(np.uint64)
        count = int((words[:, 0] + (words[:, 1] << np.uint64(32))).sum())
        if count:
            lost[each.cpu] = lost.get(each.cpu, 0) + count
    return Observed(
        probes=read_probes(folder),
        hits=hits,
        hypervisor=by_hypervisor[own],
        lost=lost,
        ready={
            vm: tuple(Ready(**each) for each in profile.get("ready", ()))
            for vm, profile in document.get("profiles", {}).items()
        },
    )


def until(observed: Observed, time_ns: int) -> Observed:
    """What was seen up to a guest time.

    How long guests run on after the last command is a matter of host time; two runs are equal only
    up to an instant that a guest has chosen.
    """
    return replace(
        observed,
        hits=observed.hits[observed.hits["time_ns"] <= time_ns],
        hypervisor=observed.hypervisor[observed.hypervisor["time_ns"] <= time_ns],
    )


def read_probes(folder: Path) -> dict[int, Probe]:
    """The probes of a run by id; none where none were placed.

    Raises:
        StorageError: `probes.json` is damaged.
    """
    document = _document(folder / PROBES_JSON)
    return {each["id"]: _probe(each) for each in document.get("probes", ())}


def _joined(streams: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Records of all cores in order of time, equal times in order of core."""
    if not streams:
        return np.empty(0, RECORD)
    records = np.concatenate(streams)
    return records[np.lexsort((records["seq"], records["cpu"], records["time_ns"]))]


def _document(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        form = document["format"]
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(f"{path}: is damaged ({error}); make the run again") from error
    if form != PROBES_FORMAT:
        raise StorageError(
            f"{path}: is of format {form}, of another version; this orchestrate reads format "
            f"{PROBES_FORMAT}: make the run again"
        )
    return document


def _probe(each: Mapping[str, Any]) -> Probe:
    return Probe(
        id=each["id"],
        vm=each["vm"],
        name=each["name"],
        place=each["label"],
        role=each["role"],
        own=each["own"],
        current=each.get("current") or "",
        fetched=tuple(
            Fetched(name=one["name"], type=one["type"], word=one["word"], bytes=one["bytes"])
            for one in each["fetch"]
        ),
    )
