# SPDX-License-Identifier: MIT
"""What a hit costs that the hypervisor records with the RTOS task's information, at all functions.

The workload and the benchmarks of the RTOS run, in A32 and in T32, with a probe at the entry of each
function that can have one. What is not counted is told, and why: `TaskCosts`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator import config, session
from orchestrator.bench.classes import PlaceCost, median
from orchestrator.bench.printed import Figure
from orchestrator.bench.run import SilentReporter
from orchestrator.bench.sites import kind_of
from orchestrator.config import ProbeConfig
from orchestrator.images import sources
from orchestrator.options import BootOptions
from orchestrator.probe.instruction import word_at
from orchestrator.trace.streams import read_streams

_SYSTEM: Final = """
[machine]
cores = 4
[vm.rtos]
type = "elf"
ram = "16M"
pin = [0]
[vm.bench]
type = "elf"
image = "{bench}"
ready = "rtos: bench done"
ram = "16M"
pin = [1]
[vm.rtos-t32]
type = "elf"
image = "{thumb}"
ram = "16M"
pin = [2]
[vm.bench-t32]
type = "elf"
image = "{thumb_bench}"
ready = "rtos: bench done"
ram = "16M"
pin = [3]
"""
_RUN_NS: Final = 1_200_000_000
"""The tasks have done their work, and told of it; the benchmarks have come to their end."""
_SETS: Final = ("A32", "T32")


@dataclass(frozen=True, kw_only=True)
class TaskCosts:
    """Costs of hits that tell of the current task.

    Attributes:
        places: Functions that were hit, the dearest single hit first. Of their hits all but these:
        taskless: Hits before there is a current task; it is told that there is none.
        first: Of each VM the cost of its first hit with a task, which looks up all that it reads;
            later ones look whether it is as it was.
        at_switch: Hits at the switch of tasks, which tell of both.
        not_hit: By function that no task has executed, the class of what it begins with.
        impossible: Functions that can have no probe, by reason.
    """

    places: Sequence[PlaceCost]
    taskless: int
    first: Sequence[int]
    at_switch: int
    not_hit: Mapping[str, str]
    impossible: Mapping[str, int]


def measure(folder: Path) -> TaskCosts:
    """Runs the RTOS's images with a probe at each of their functions.

    Args:
        folder: Empty; takes the config and the run.

    Raises:
        OrchestrateError: The run failed.
    """
    path, run = folder / "system.toml", folder / "run"
    path.write_text(
        _SYSTEM.format(
            bench=sources.build("rtos-bench"),
            thumb=sources.build("rtos-thumb"),
            thumb_bench=sources.build("thumb-bench"),
        )
    )
    wanted = config.load(path)
    probes = tuple(ProbeConfig(vm=vm.name, place="*", record="both") for vm in wanted.vms)
    session.boot(wanted, BootOptions(for_ns=_RUN_NS, out=run, probes=probes), SilentReporter())
    document = json.loads((run / "trace" / "probes.json").read_text())
    return task_costs(read_streams(run / "trace").hits, document)


def task_costs(hits: NDArray[np.void], document: Mapping[str, Any]) -> TaskCosts:
    """Sorts the hits of a run.

    Args:
        hits: Records of the plugin, in the order of each VM.
        document: The run's probes.json.
    """
    ids = hits["id"]
    switches = [each["id"] for each in document["probes"] if each["role"] == "switch"]
    at_switch = np.isin(ids, switches)
    all_read = (np.uint32(1) << hits["words"].astype(np.uint32)) - np.uint32(1)
    with_task = hits["valid"] == all_read
    firsts = [
        int(np.flatnonzero(with_task & (hits["vm"] == vm))[0])
        for vm in np.unique(hits["vm"][with_task]).tolist()
    ]
    counted = with_task & ~at_switch
    counted[firsts] = False
    places, idle = [], {}
    order = np.argsort(ids[counted], kind="stable")
    sorted_ids, costs = ids[counted][order], hits["cost"][counted][order]
    for each in document["probes"]:
        first, last = np.searchsorted(sorted_ids, (each["id"], each["id"] + 1))
        thumb = each["encoding"] == "T32"
        kind = kind_of(word_at(bytes.fromhex(each["word"]), thumb=thumb), thumb=thumb) or ""
        if first < last:
            places.append(
                PlaceCost(
                    vm=each["vm"],
                    label=each["label"],
                    va=each["va"],
                    instruction=each["instruction"],
                    kind=kind,
                    hits=tuple(np.sort(costs[first:last]).tolist()),
                )
            )
        elif each["id"] not in switches:
            idle[f"{each['encoding']} {each['label']}"] = kind
    hit = {f"{each.kind[:3]} {each.label}" for each in places}
    return TaskCosts(
        places=sorted(places, key=lambda each: (-each.hits[-1], each.vm, each.va)),
        taskless=int(np.sum(~with_task)),
        first=[int(hits["cost"][at]) for at in firsts],
        at_switch=int(np.sum(at_switch & with_task)),
        not_hit={name: kind for name, kind in idle.items() if name not in hit},
        impossible=Counter(each["reason"] for each in document["skipped"]),
    )


def figures(costs: TaskCosts, *, most: int) -> list[Figure]:
    """What was measured, and what was left out.

    Args:
        costs: Of a run.
        most: That any hit may cost, wherever it is.
    """
    return [*_measured(costs.places, most), *_left_out(costs)]


def _measured(places: Iterable[PlaceCost], most: int) -> Iterator[Figure]:
    for encoding in _SETS:
        own = [each for each in places if each.kind.startswith(encoding)]
        if not own:
            continue
        dearest = own[0]
        yield Figure(
            name=f"hit recorded with the task's information, at {len(own)} function entries of the "
            f"RTOS in {encoding}, on average",
            value=float(np.mean([median([each]) for each in own])),
            unit="instructions",
        )
        yield Figure(
            name=f"  the dearest of {sum(len(each.hits) for each in own)} hits, at {dearest.vm}:"
            f"{dearest.label} ({dearest.va:#x}) {dearest.instruction}",
            value=dearest.hits[-1],
            unit="instructions",
            most=most,
        )


def _left_out(costs: TaskCosts) -> Iterator[Figure]:
    known = {each.kind for each in costs.places}
    new = sorted({kind for kind in costs.not_hit.values() if kind not in known})
    classes = f"; no other begins as some of them do: {', '.join(new)}" if new else ""
    dearest = max(costs.first, default=0)
    rows = [
        (costs.taskless, "hits", "those before the first task, which have none to tell of"),
        (len(costs.first), "hits", f"each VM's first, which looks all of it up: {dearest} at most"),
        (costs.at_switch, "hits", "those at the switch, which tell of two tasks: `trap` has them"),
        (len(costs.not_hit), "functions", f"not executed while there are tasks{classes}"),
        *((number, "functions", reason) for reason, number in costs.impossible.items()),
    ]
    return (Figure(name=f"  left out: {why}", value=n, unit=unit) for n, unit, why in rows)
