# SPDX-License-Identifier: MIT
"""What a hit costs by the class of the instruction that the HVC has displaced.

Probes are at functions of Linux and the RTOS, as many of each class as there are or can be, while both
work: so each cost is one that was paid. How many functions begin with each class is told beside it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator import config, session
from orchestrator.bench.run import SilentReporter
from orchestrator.config.probes import parse_probe
from orchestrator.options import BootOptions
from orchestrator.probe.emulation import MAX_ROW, Emulation, Operation
from orchestrator.probe.guest import Guest, View
from orchestrator.probe.offline import guests_of, image_views
from orchestrator.probe.place import Place, class_name, find
from orchestrator.probe.spec import resolve
from orchestrator.trace.streams import read_streams

_PROBES: Final = 7000
_LIMIT: Final = 3
"""Records of each probe: the first ones are enough, since equal hits cost the same."""
_SYSTEM: Final = """
[machine]
cores = 2
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
"""
_WORK: Final = "ls -lR /bin /etc /sys/kernel >/run/list; context1 50; sort /run/list >/dev/null"


@dataclass(frozen=True, kw_only=True)
class ClassCost:
    """One class of emulation.

    Attributes:
        name: Of the class, and the instruction set.
        shares: By VM, the part of its functions that begin so, from 0 to 1.
        hit: Probes of this class that were hit.
        median: Instructions of a hit: median of those probes.
        most: The dearest of them.
    """

    name: str
    shares: Mapping[str, float]
    hit: int
    median: float
    most: int


def class_costs(folder: Path) -> list[ClassCost]:
    """Measures all classes; the most frequent one comes first.

    Args:
        folder: Empty; takes config and run.

    Raises:
        OrchestrateError: The run failed.
    """
    path = folder / "classes.toml"
    path.write_text(_SYSTEM)
    wanted = config.load(path)
    guests = guests_of(wanted)
    views = image_views(guests)
    places = {name: _by_class(guest, views[name]) for name, guest in guests.items()}
    kinds = sorted({kind for each in places.values() for kind in each})
    chosen = {
        (vm, va): kind
        for vm, each in enumerate(places.values())
        for kind in kinds
        for va in _spread(each.get(kind, []), _PROBES // len(places) // len(kinds))
    }
    names = list(places)
    probes = tuple(parse_probe(f"{names[vm]}:{va:#x} limit={_LIMIT} tasks=no") for vm, va in chosen)
    options = BootOptions(
        out=folder / "run", command=("sh", "-c", _WORK), probes=probes, saved_start=True
    )
    session.boot(wanted, options, SilentReporter())
    hits = read_streams(folder / "run" / "trace").hits
    return costs_by_class(hits, chosen, places)


def mean_cost(costs: Iterable[ClassCost], vm: str) -> float:
    """What a probe at any of a VM's functions costs on average; classes that were not hit are left out."""
    known = [(each.shares[vm], each.median) for each in costs]
    return sum(share * cost for share, cost in known) / sum(share for share, _ in known)


def _by_class(guest: Guest, view: View) -> dict[str, list[int]]:
    """Addresses of functions that can have a probe, by what they begin with."""
    out: dict[str, list[int]] = defaultdict(list)
    for each in resolve(parse_probe(f"{guest.name}:*"), guest):
        found = find(each, view, near=False)
        if isinstance(found, Place) and found.displaced is not None:
            rows = ", two rows" if _has_two_rows(found.displaced) else ""
            kind = f"{found.code.encoding.name} {class_name(found.displaced)}{rows}"
            out[kind].append(found.wanted.va)
    return out


def _has_two_rows(displaced: Operation) -> bool:
    return displaced.emulation is Emulation.PUSH and displaced.shift > MAX_ROW


def _spread(addresses: list[int], count: int) -> list[int]:
    """So many of them, equally far apart."""
    return addresses[:: max(1, -(-len(addresses) // count))]


def costs_by_class(
    hits: NDArray[np.void],
    chosen: Mapping[tuple[int, int], str],
    places: Mapping[str, Mapping[str, list[int]]],
) -> list[ClassCost]:
    """Sums up what was hit.

    Args:
        hits: Records; `vm`, `pc` and `cost` are looked at.
        chosen: By VM's position and address, the class of each probe.
        places: By VM and class, all places that could have one.
    """
    costs: dict[str, list[int]] = defaultdict(list)
    for vm, va in np.unique(hits[["vm", "pc"]]).tolist():
        of_place = hits["cost"][(hits["vm"] == vm) & (hits["pc"] == va)]
        costs[chosen[vm, va]].append(int(np.median(of_place)))
    totals = {name: sum(map(len, each.values())) for name, each in places.items()}
    out = [
        ClassCost(
            name=kind,
            shares={name: len(each.get(kind, ())) / totals[name] for name, each in places.items()},
            hit=len(values),
            median=float(np.median(values)),
            most=max(values),
        )
        for kind, values in costs.items()
    ]
    return sorted(out, key=lambda each: -max(each.shares.values()))
