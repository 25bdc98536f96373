# SPDX-License-Identifier: MIT
"""What a hit costs by the class of the instruction that the HVC has displaced, everywhere in a guest.

Probes are at functions of Linux and of the RTOS, in A32 and in T32, and within them, so many of each
class (`sites`), while all of them work: so each cost is one that was paid.

The cost of a place is the median of its first hits. Nearly all hits of a place cost the same; those
that do not have taken another way, which the guest pays without a probe as well or seldom: the
instruction takes an abort, its data lies in two pages, a vCPU of the same core has become ready. A
conditional instruction is of its class where its condition holds; where it does not, it is of a class
of its own.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator import config, session
from orchestrator.bench.executed import executed
from orchestrator.bench.run import SilentReporter
from orchestrator.bench.sites import Sites, choose, condition_of, kind_of
from orchestrator.config import Config, ProbeConfig
from orchestrator.images import sources
from orchestrator.options import BootOptions
from orchestrator.probe.emulation import AL
from orchestrator.probe.instruction import word_at
from orchestrator.probe.offline import guests_of, image_views
from orchestrator.trace.streams import read_streams

NOT_MET: Final = "condition not met"
"""Class of hits whose instruction does nothing, whatever it is."""
_HITS: Final = 9
_LINUX: Final = """
[machine]
cores = 1
[vm.linux]
type = "linux"
kernel = "{kernel}"
ram = "256M"
pin = [0]
"""
_RTOS: Final = """
[machine]
cores = 3
[vm.rtos]
type = "elf"
ram = "16M"
pin = [0]
[vm.rtos-t32]
type = "elf"
image = "{thumb}"
ram = "16M"
pin = [1]
[vm.bench-t32]
type = "elf"
image = "{bench}"
ready = "rtos: bench done"
ram = "16M"
pin = [2]
"""
_RTOS_NS: Final = 1_200_000_000
"""Its tasks have done their work, and told of it."""
_WORK: Final = """
ls -l /bin /etc /sys/kernel /sys/devices/system >/run/list
sort /run/list >/run/sorted
mkdir /run/new && mv /run/sorted /run/new && ln -s /run/new/sorted /run/link && cat /run/link >/dev/null
chmod 600 /run/new/sorted; rm -r /run/new
cat /proc/meminfo /proc/stat /proc/self/maps /proc/interrupts >/dev/null
dd if=/dev/zero of=/run/zero bs=16k count=4 2>/dev/null
ps >/dev/null; context1 20 >/dev/null; (sleep 10 & kill $!; wait); sleep 0.01
ifconfig lo 127.0.0.1 up; ping -c 1 127.0.0.1 >/dev/null
(nc -l -p 99 </dev/null >/dev/null &); echo a | nc -w 1 127.0.0.1 99 >/dev/null
true
"""


@dataclass(frozen=True, kw_only=True)
class PlaceCost:
    """What a probe at one place costs.

    Attributes:
        vm: Its name.
        label: As "function+offset".
        va: Its address.
        instruction: What is displaced, for people.
        kind: The class.
        hits: Of each of its first hits the instructions from the HVC until the guest goes on, the
            cheapest first.
    """

    vm: str
    label: str
    va: int
    instruction: str
    kind: str
    hits: tuple[int, ...]

    @property
    def cost(self) -> int:
        """Of most of its hits: their median, the lower one of two."""
        return self.hits[(len(self.hits) - 1) // 2]

    @property
    def is_entry(self) -> bool:
        """Whether a function begins there."""
        return "+" not in self.label

    def __str__(self) -> str:
        return f"{self.cost} {self.vm}:{self.label} ({self.va:#x}) {self.instruction}"


@dataclass(frozen=True, kw_only=True)
class ClassCost:
    """One class of emulation.

    Attributes:
        name: Of the class, and the instruction set.
        shares: By VM, the part of its functions that begin so, from 0 to 1.
        entries: Functions that begin so and were hit, the dearest first.
        within: Places within functions that were hit, the dearest first.
    """

    name: str
    shares: Mapping[str, float]
    entries: Sequence[PlaceCost]
    within: Sequence[PlaceCost]


def median(places: Iterable[PlaceCost]) -> float:
    """Of some places' costs."""
    return float(np.median([each.cost for each in places]))


def mean_cost(costs: Iterable[ClassCost], vm: str) -> float:
    """What a probe at any of a VM's functions costs on average; classes that were not hit are left out."""
    known = [(each.shares[vm], median(each.entries)) for each in costs if each.entries]
    return sum(share * cost for share, cost in known) / sum(share for share, _ in known)


def class_costs(folder: Path, *, lpae: bool) -> list[ClassCost]:
    """Measures all classes; of each instruction set the most frequent one comes first.

    Args:
        folder: Empty; takes configs and runs.
        lpae: In a Linux with long descriptors, and nowhere else; else everywhere but there.

    Raises:
        OrchestrateError: A run failed.
    """
    linux = _LINUX.format(kernel="armmp-lpae" if lpae else "armmp")
    systems = [(linux, BootOptions(command=("sh", "-c", _WORK), saved_start=True))]
    if not lpae:
        rtos = _RTOS.format(thumb=sources.build("rtos-thumb"), bench=sources.build("thumb-bench"))
        systems.append((rtos, BootOptions(for_ns=_RTOS_NS)))
    sites: dict[str, Sites] = {}
    places: list[PlaceCost] = []
    for number, (text, options) in enumerate(systems):
        own = folder / str(number)
        own.mkdir()
        path = own / "system.toml"
        path.write_text(text)
        wanted = config.load(path)
        chosen = _sites(wanted, own)
        places += measure(wanted, options, chosen, own / "probed")
        sites |= chosen
    return costs_by_class(places, sites)


def _sites(wanted: Config, folder: Path) -> dict[str, Sites]:
    guests = guests_of(wanted)
    views = image_views(guests)
    return {
        name: choose(
            guest,
            views[name],
            executed(wanted, _WORK, guest, folder / "traced") if guest.is_linux else None,
        )
        for name, guest in guests.items()
    }


def measure(
    wanted: Config, options: BootOptions, sites: Mapping[str, Sites], run: Path
) -> list[PlaceCost]:
    """Runs a system with probes at chosen places.

    Args:
        wanted: The system.
        options: What it does.
        sites: By VM.
        run: Directory of the run, not there yet.

    Raises:
        OrchestrateError: The run failed.
    """
    probes = tuple(
        ProbeConfig(vm=vm, place=f"{va:#x}", limit=_HITS, tasks=False)
        for vm, each in sites.items()
        for va in each.chosen
    )
    session.boot(wanted, replace(options, out=run, probes=probes), SilentReporter())
    document = json.loads((run / "trace" / "probes.json").read_text())
    return place_costs(read_streams(run / "trace").hits, document["probes"])


def place_costs(hits: NDArray[np.void], probes: Iterable[Mapping[str, Any]]) -> list[PlaceCost]:
    """Costs of places that were hit; a conditional instruction may have two of them.

    Args:
        hits: Records; `id`, `cpsr` and `cost` are looked at.
        probes: Of the run's probes.json.
    """
    hits = hits[np.argsort(hits["id"], kind="stable")]
    ids, first = np.unique(hits["id"], return_index=True)
    by_id = dict(zip(ids.tolist(), np.split(hits, first[1:]), strict=True))
    out = []
    for probe in probes:
        of_place = by_id.get(probe["id"])
        if of_place is None:
            continue
        thumb = probe["encoding"] == "T32"
        word = word_at(bytes.fromhex(probe["word"]), thumb=thumb)
        met = holds(condition_of(word, thumb=thumb), of_place["cpsr"])
        for kind, records in (
            (kind_of(word, thumb=thumb), of_place[met]),
            (f"{probe['encoding']} {NOT_MET}", of_place[~met]),
        ):
            if kind is not None and len(records):
                out.append(
                    PlaceCost(
                        vm=probe["vm"],
                        label=probe["label"],
                        va=probe["va"],
                        instruction=probe["instruction"],
                        kind=kind,
                        hits=tuple(np.sort(records["cost"]).tolist()),
                    )
                )
    return out


def holds(cond: int, cpsr: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Whether a condition holds in each of some states (DDI 0406C, A8.3)."""
    n, z, c, v = ((cpsr >> np.uint32(bit) & 1).astype(bool) for bit in (31, 30, 29, 28))
    # Conditions come in pairs, the second of which is the opposite of the first.
    pairs = (z, c, n, v, c & ~z, n == v, (n == v) & ~z)
    if cond == AL:
        return np.ones(len(cpsr), bool)
    return np.asarray(pairs[cond >> 1] ^ bool(cond & 1))


def costs_by_class(places: Iterable[PlaceCost], sites: Mapping[str, Sites]) -> list[ClassCost]:
    """Sums up what was hit.

    Args:
        places: What was hit.
        sites: By VM, what there is.
    """
    by_kind: dict[str, list[PlaceCost]] = defaultdict(list)
    for each in sorted(places, key=lambda each: (-each.cost, each.vm, each.va)):
        by_kind[each.kind].append(each)
    out = [
        ClassCost(
            name=kind,
            shares={
                vm: each.entries.get(kind, 0) / max(each.functions, 1) for vm, each in sites.items()
            },
            entries=tuple(each for each in of_kind if each.is_entry),
            within=tuple(each for each in of_kind if not each.is_entry),
        )
        for kind, of_kind in by_kind.items()
    ]
    return sorted(out, key=_order)


def _order(cost: ClassCost) -> tuple[str, float, str]:
    """By instruction set, then what most functions begin with; conditional ones follow last."""
    return cost.name[:3], -max(cost.shares.values()), cost.name
