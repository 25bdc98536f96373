# SPDX-License-Identifier: MIT
"""What the hypervisor records of itself: entries, exits, interrupts and switches of vCPUs."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator import records
from orchestrator.machine.rings import RingReader, hypervisor_rings
from orchestrator.records import Kind
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

RUN_NS = 60_000_000
VTIMER = 27
EVENTS_PA = records.HV_TRACE_PA + 12
ALL = sum(1 << kind for kind in (Kind.VM_ENTRY, Kind.VM_EXIT, Kind.VCPU_SWITCH, Kind.VIRQ))
TOML = "[machine]\ncores = 1\n" + "".join(
    f'[vm.rtos{i}]\ntype = "elf"\nram = "16M"\npin = [0]\n' for i in range(2)
)


async def events_of(
    board: Callable[..., AbstractAsyncContextManager[Any]], folder: Path, mask: int
) -> NDArray[Any]:
    """The hypervisor's stream of a run of two RTOSes on one core."""
    async with board(TOML, stop_ns=RUN_NS, name=f"events-{mask}") as made:
        made.ram.write(EVENTS_PA, mask.to_bytes(4, "little"))
        reader = RingReader(hypervisor_rings(made.ram, 1), folder / f"trace-{mask}")
        reader.start()
        await made.run_to_stop()
        streams = reader.finish()
    (stream,) = streams.values()
    assert stream.lost == 0
    return read_stream(stream.path).records


def test_what_happens_on_a_shared_core_is_a_story_without_gaps(board: Any, tmp_path: Path) -> None:
    """Each exit is of what was entered; a switch says who comes; both guests get their ticks."""
    stream = asyncio.run(events_of(board, tmp_path, ALL))
    assert np.array_equal(stream["seq"], np.arange(len(stream)))
    assert np.all(np.diff(stream["time_ns"].astype(np.int64)) >= 0)
    kinds = stream["kind"]
    inside = stream[(kinds == Kind.VM_ENTRY) | (kinds == Kind.VM_EXIT)]
    entries, exits = inside[inside["kind"] == Kind.VM_ENTRY], inside[inside["kind"] == Kind.VM_EXIT]
    # The first entry, after boot, is not by way of a trap.
    assert inside["kind"][0] == Kind.VM_EXIT
    assert np.all(np.diff(inside["kind"].astype(int)) != 0), "entries and exits alternate"
    pairs = min(len(entries), len(exits) - 1)
    assert np.array_equal(entries["vm"][:pairs], exits["vm"][1 : pairs + 1])
    assert records.EXIT_IRQ in exits["id"]
    switches = stream[kinds == Kind.VCPU_SWITCH]["word"]
    assert np.array_equal(switches[1:, 0], switches[:-1, 2]), "who leaves is who came"
    assert {0, 1} <= set(switches[:, 2].tolist())
    ticks = stream[(kinds == Kind.VIRQ) & (stream["id"] == VTIMER)]
    assert set(ticks["vm"].tolist()) == {0, 1}


def test_what_is_not_asked_for_is_not_recorded(board: Any, tmp_path: Path) -> None:
    """A mask of switches alone gives switches alone; without one there is nothing."""
    switches = asyncio.run(events_of(board, tmp_path, 1 << Kind.VCPU_SWITCH))
    assert len(switches) > 0
    assert set(switches["kind"].tolist()) == {int(Kind.VCPU_SWITCH)}
    nothing = asyncio.run(events_of(board, tmp_path, 0))
    assert len(nothing) == 0
