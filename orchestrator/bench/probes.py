# SPDX-License-Identifier: MIT
"""What a probe costs, and what watching costs the host: `python -m orchestrator.bench.probes`.

All figures are taken now, on this machine. Instructions are exact. Host times are QEMU's processor
time, medians of some runs in turns, or rates over a run of some seconds.

A figure is one function that returns what is printed; to add one, write it and name it in `FIGURES`.
"""

import signal
import sys

if __name__ == "__main__":
    # Loading takes a moment, in which Ctrl-C ends the program as SIGTERM does: without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator import config
from orchestrator.bench import loop, with_tasks
from orchestrator.bench.board import (
    Board,
    elf_symbols,
    open_board,
)
from orchestrator.bench.class_table import ClassTable
from orchestrator.bench.classes import class_costs, mean_cost
from orchestrator.bench.gdb import gdb_rate
from orchestrator.bench.idle import idle_plugin
from orchestrator.bench.places import (
    PLACES,
    places_symbols,
    places_toml,
    run_to_first_call,
)
from orchestrator.bench.printed import Figure, Result, print_figures
from orchestrator.errors import CheckFailed
from orchestrator.images import sources
from orchestrator.machine.channel import PluginProbe
from orchestrator.machine.protocol import ProbeMode
from orchestrator.machine.rings import RingReader, hypervisor_rings, plugin_rings
from orchestrator.probe.guest import Guest
from orchestrator.probe.program import assemble
from orchestrator.probe.spec import Wanted, resolve
from orchestrator.records import HV_TRACE_OPS, HV_TRACE_PA
from orchestrator.streamfile import read_stream

_RECORDED_BY_HYPERVISOR: Final = 4  # TRACE_PROBE_RECORD
_HIT_MOST: Final = 120
_TASK_MOST: Final = 250
_TASKS_MOST: Final = 300
_STREAM_ROUNDS: Final = 150_000
_RTOS: Final = """
[machine]
cores = 1
[vm.rtos]
type = "elf"
ram = "16M"
pin = [0]
"""


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="orchestrate-bench-") as name:
        yield Path(name)


async def _collect(board: Board, folder: Path) -> dict[str, NDArray[Any]]:
    """Lets a board run until it stops by itself, and gives all streams by name."""
    rings = plugin_rings(_ring_path(board), board.layout.cores)
    rings += hypervisor_rings(board.ram, board.layout.cores)
    reader = RingReader(rings, folder)
    reader.start()
    try:
        await board.run_to_stop()
        streams = reader.finish()
    finally:
        reader.discard()
    if any(stream.lost for stream in streams.values()):
        raise CheckFailed("records were lost in the deterministic clock")
    return {name: read_stream(stream.path).records for name, stream in streams.items()}


def _ring_path(board: Board) -> Path:
    if board.paths.ring is None:
        raise CheckFailed("the board has no rings")
    return board.paths.ring


def _wanted(place: str, *fetch: str) -> Wanted:
    """A probe of the RTOS as a user's spec makes it."""
    vm = config.ElfVm(name="rtos", ram_bytes=16 << 20, pin=(0,))
    spec = config.ProbeConfig(vm="rtos", place=place, fetch=fetch)
    (wanted,) = resolve(spec, Guest(vm, index=0, image=sources.build("rtos")))
    return wanted


async def _costs_in_rtos(wanted: Wanted, flags: int) -> NDArray[Any]:
    """Instructions of each hit of a probe on the RTOS's context switch."""
    program = assemble(wanted.fetches)
    program_pa = HV_TRACE_PA + HV_TRACE_OPS
    va = wanted.va
    with _folder() as folder:
        async with open_board(folder, _RTOS, stop_ns=1_000_000_000) as board:
            await board.channel.stop_at(board.pa(0, va))
            await board.run_to_stop()
            board.ram.write(program_pa, program.tobytes())
            probe = PluginProbe(
                id=1, mode=ProbeMode.HVC, vm=0, va=va, pa=board.pa(0, va), program=program
            )
            await board.place_hvc(probe, flags=flags, program_pa=program_pa)
            streams = await _collect(board, folder / "trace")
            return np.array(streams["plugin-0"]["cost"])


def trap_cost() -> list[Figure]:
    """From the HVC to the guest's next instruction."""
    hook = "OSTaskSwHook"
    task = _wanted(f"{hook}+8")
    bare = replace(task, fetches=())
    cases = (
        ("HVC to the next instruction, the plugin records", task, 0, _HIT_MOST),
        (
            "  the hypervisor records, too, and fetches nothing",
            bare,
            _RECORDED_BY_HYPERVISOR,
            _HIT_MOST,
        ),
        (
            "  with the task's information by the profile's own spec",
            task,
            _RECORDED_BY_HYPERVISOR,
            _TASK_MOST,
        ),
        (
            "  with both tasks' at the switch, by the profile's own spec",
            _wanted(hook),
            _RECORDED_BY_HYPERVISOR,
            _TASKS_MOST,
        ),
    )
    out = []
    for name, wanted, flags, most in cases:
        costs = loop.run(_costs_in_rtos(wanted, flags))
        words = sum(each.words for each in wanted.fetches) if flags else 0
        out.append(
            Figure(
                name=f"{name} ({len(costs)} hits, the dearest {costs.max()}; {words} words)",
                value=float(np.median(costs)),
                unit="instructions",
                most=most,
            )
        )
    return out


def task_cost() -> list[Figure]:
    """With the task's information, at all functions of the RTOS."""
    with _folder() as folder:
        return with_tasks.figures(with_tasks.measure(folder), most=_TASK_MOST)


def cost_by_class(*, lpae: bool = False) -> list[Result]:
    """The same everywhere in the guests, by the class of what is displaced."""
    with _folder() as folder:
        costs = class_costs(folder, lpae=lpae)
    table = ClassTable(costs=costs, most=_HIT_MOST)
    means = [
        Figure(
            name=f"HVC to the next instruction at {vm}'s function entries, on average",
            value=mean_cost(costs, vm),
            unit="instructions",
            most=_HIT_MOST,
        )
        for vm in costs[0].shares
    ]
    above = [
        Figure(name=f"of the {name} cost more than {_HIT_MOST}", value=100 * share, unit="%")
        for name, share in (
            ("places within functions", table.places_above),
            ("single hits", table.hits_above),
        )
    ]
    return [*means, table, *above]


async def _rtos_instructions(*, watched: bool) -> tuple[int, int]:
    """Instructions and hits of a second of the RTOS, every function watched or none."""
    with _folder() as folder:
        async with open_board(folder, _RTOS, stop_ns=1_000_000_000) as board:
            reader = RingReader(plugin_rings(_ring_path(board), 1), folder / "trace")
            reader.start()
            try:
                functions = [
                    va for _, kind, va in elf_symbols(sources.build("rtos")) if kind in {"t", "T"}
                ]
                for number, va in enumerate(functions if watched else ()):
                    await board.channel.add_probe(
                        PluginProbe(id=number + 1, mode=ProbeMode.SHADOW, vm=0, pa=board.pa(0, va))
                    )
                await board.run_to_stop()
                return (await board.channel.time()).instructions, sum(
                    stream.records for stream in reader.finish().values()
                )
            finally:
                reader.discard()


def shadow_cost() -> list[Figure]:
    """Instructions that shadow probes add to a second of guest time."""
    plain, _ = loop.run(_rtos_instructions(watched=False))
    watched, hits = loop.run(_rtos_instructions(watched=True))
    return [
        Figure(
            name=f"instructions that {hits} hits of shadow probes add",
            value=abs(watched - plain),
            unit="instructions",
            most=0,
        )
    ]


async def _stream(mode: ProbeMode, rounds: int) -> tuple[int, float]:
    """Records of a run on two cores that were handed on live, and the host seconds it took."""
    symbols = places_symbols()
    live = 0

    def on_records(_name: str, records: NDArray[np.void]) -> None:
        nonlocal live
        live += len(records)

    with _folder() as folder:
        async with open_board(folder, places_toml(2)) as board:
            await run_to_first_call(board, rounds)
            for i in range(PLACES):
                va = symbols[f"place_{i}"]
                probe = PluginProbe(id=i + 1, mode=mode, vm=0, va=va, pa=board.pa(0, va))
                if mode is ProbeMode.HVC:
                    await board.place_hvc(probe)
                else:
                    await board.channel.add_probe(probe)
            await board.channel.stop_at(board.pa(0, symbols["all_done"]))
            reader = RingReader(
                plugin_rings(_ring_path(board), 2), folder / "trace", on_records=on_records
            )
            reader.start()
            try:
                began_s = time.monotonic()
                await board.run_to_stop()
                streams = reader.finish()
                took_s = time.monotonic() - began_s
            finally:
                reader.discard()
    expected = 2 * PLACES * rounds
    if live != expected or any(stream.lost for stream in streams.values()):
        raise CheckFailed(f"{live} of {expected} records came through")
    return live, took_s


def stream_rate() -> list[Figure]:
    """How many records a second come through to Python, files written and none lost."""
    records, took_s = loop.run(_stream(ProbeMode.SHADOW, _STREAM_ROUNDS))
    return [
        Figure(
            name=f"live stream of {records} shadow hits on two cores, none lost",
            value=records / took_s,
            unit="records/s",
            least=500_000,
        )
    ]


def against_gdb() -> list[Figure]:
    """The same job by gdb's Python: stop, note pc, sp, lr and cpsr, go on."""
    theirs = loop.run(gdb_rate())
    hits, took_s = loop.run(_stream(ProbeMode.HVC, _STREAM_ROUNDS // 2))
    ours = hits / took_s
    return [
        Figure(name="gdb breakpoint with a Python command", value=theirs, unit="hits/s"),
        Figure(name="hvc probe, recorded", value=ours, unit="hits/s"),
        Figure(name="  so many times faster", value=ours / theirs, unit="x", least=100),
    ]


FIGURES: dict[str, Callable[[], Sequence[Result]]] = {
    "trap": trap_cost,
    "tasks": task_cost,
    "classes": cost_by_class,
    "lpae": partial(cost_by_class, lpae=True),
    "shadow": shadow_cost,
    "idle": idle_plugin,
    "stream": stream_rate,
    "gdb": against_gdb,
}


def main(argv: list[str] | None = None) -> int:
    """Prints the figures; 0 if all hold, 1 if one does not, else the error's exit code."""
    return print_figures(
        FIGURES, prog="python -m orchestrator.bench.probes", about=__doc__, argv=argv
    )


if __name__ == "__main__":
    sys.exit(main())
