# SPDX-License-Identifier: MIT
"""Records as lines of text while the system runs, as they come out of the rings.

Each core's records come in order, those of two cores in pieces; the timeline of the finished run is
in order. Linux's own events come from `orchestrator.live`.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.records import NO_VM, Kind, Observer
from orchestrator.trace.streams import Probe, read_probes

_NS = 1_000_000_000


class LiveText:
    """Makes lines of records.

    Args:
        folder: Where the run's `probes.json` is, once probes are placed.
        vms: Names of the VMs by their number.
        show: Takes a line.
    """

    def __init__(self, folder: Path, vms: Sequence[str], show: Callable[[str], None]) -> None:
        self._folder = folder
        self._vms = tuple(vms)
        self._show = show
        self._probes: dict[int, Probe] = {}

    def records(self, stream: str, records: NDArray[np.void]) -> None:
        """Shows the next records of a stream.

        Raises:
            StorageError: `probes.json` is damaged.
        """
        by_plugin = stream.startswith(Observer.PLUGIN.name.lower())
        for record in records:
            # A hit of which both observers tell is the plugin's, whose time is exact.
            if record["kind"] == Kind.PROBE and not by_plugin:
                continue
            for what in self._what(record):
                time_ns = int(record["time_ns"])
                at = f"{time_ns // _NS}.{time_ns % _NS:09d}"
                self._show(f"{at:>16} [{record['cpu']:03d}] {what}")

    def _what(self, record: Any) -> Iterator[str]:
        vm = self._vm(record["vm"])
        kind = int(record["kind"])
        words = record["word"]
        if kind == Kind.PROBE:
            yield from self._hit(record, vm)
        elif kind == Kind.VM_ENTRY:
            yield f"vm_entry: {vm}.{record['vcpu']} pc={record['pc']:#x}"
        elif kind == Kind.VM_EXIT:
            yield f"vm_exit: {vm}.{record['vcpu']} pc={record['pc']:#x} reason={record['id']:#x}"
        elif kind == Kind.VCPU_SWITCH:
            prev, following = self._vm(words[0]), self._vm(words[2])
            yield f"vcpu_switch: {prev}.{words[1]} ==> {following}.{words[3]}"
        elif kind == Kind.VIRQ:
            yield f"virq: {vm}.{record['vcpu']} irq={record['id']}"
        elif kind == Kind.LOSS:
            yield f"{int(words[0]) + (int(words[1]) << 32)} records were lost"

    def _vm(self, number: int) -> str:
        if number < len(self._vms):
            return self._vms[number]
        return "none" if number == NO_VM else f"vm{number}"

    def _hit(self, record: Any, vm: str) -> Iterator[str]:
        number = int(record["id"])
        if number not in self._probes:
            self._probes = read_probes(self._folder)
        probe = self._probes.get(number)
        if probe is None:
            yield f"{vm}: probe {number} pc={record['pc']:#x}"
            return
        one = np.asarray(record).reshape(1)
        values = {each.name: _shown(each.values(one)[0]) for each in probe.fetched}
        is_switch = probe.role == "switch" and "next_name" in values
        if is_switch:
            yield f"{vm}: sched_switch: {values['prev_name']} ==> {values['next_name']}"
        if probe.is_event or (probe.role == "switch" and not is_switch):
            yield " ".join(
                [f"{probe.name}:", *(f"{name}={value}" for name, value in values.items())]
            )


def _shown(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
