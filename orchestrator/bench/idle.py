# SPDX-License-Identifier: MIT
"""What the plugin costs the host while nothing happens: QEMU with it against QEMU without it.

Both sides execute the same instructions: the guests' last time stamps, which count them, are compared.
A figure is a ratio of QEMU's processor times, each the least of some rounds in which every state has
its turn: whatever else a host does only ever adds to it. Counters of the host's instructions would be
better still, but few virtual machines have them.

On two cores QEMU without the plugin has slices of its own, as long as the next timer is away. So the
figures have the price of the plugin's short slices in them: hardly any for a guest that goes the same
ways again and again, more where code is new, as in the dual system's first second. Its guests depend
on time, so there it is guest time and what they do in it that both sides have in common.
"""

import asyncio
import enum
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.bench import loop
from orchestrator.bench.board import Board, Prepared, elf_symbols, machine_of, prepare
from orchestrator.bench.places import places_symbols, places_toml, run_to_first_call, set_rounds
from orchestrator.bench.printed import Figure
from orchestrator.errors import CheckFailed, MachineError, PhaseTimeout
from orchestrator.images import sources
from orchestrator.machine.channel import PluginChannel, PluginProbe
from orchestrator.machine.command import HYPERVISOR_CONSOLE
from orchestrator.machine.private_dir import private_dir
from orchestrator.machine.process import QemuMachine
from orchestrator.machine.protocol import ProbeMode
from orchestrator.machine.ram import GuestRam

_RUNS: Final = 4
_MOST: Final = 1.03
_SAME_WORK: Final = 0.001
"""The share of the guest time by which runs may differ: one core waits for the other at the end."""
_SAME_TIME: Final = 0.02
"""The same where the host has to see that it is over; all guests then wait for something."""
_START_S: Final = 30.0
_RUN_S: Final = 120.0
_QUANTUM: Final = "20us"
"""The one of a config that names none."""
_ROUNDS: Final = 2_500_000
_WORD_BYTES: Final = 4
_POLL_S: Final = 0.0005
_READY: Final = b"orchestrate: ready"
_STAMP: Final = re.compile(rb"^\[ *([0-9]+)\.([0-9]{6})\] ", re.MULTILINE)
_LINUX: Final = """
[machine]
cores = 1
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
"""
_DUAL: Final = """
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
_DUAL_RTOS: Final = 1
_DUAL_TICKS: Final = 2000  # of 1 ms


class Carries(enum.Enum):
    """What QEMU has to carry."""

    NOTHING = "no plugin"
    FLOOR = "a plugin that is shown all code and does nothing"
    LOADED = "the plugin, nothing to watch"
    WATCHES = "the plugin looks at all code as it is translated, and nothing is hit"
    TWO = "2 probes that are never hit"
    THOUSAND = "1000 probes that are never hit"


_PROBES: Final = {Carries.TWO: 2, Carries.THOUSAND: 1000}


@dataclass(frozen=True, kw_only=True)
class Spent:
    """One run.

    Attributes:
        processor_s: What QEMU used while the guests ran.
        guest_us: Guest time at its end.
        half_s: What of `processor_s` was used by half of that time, where it was looked at.
    """

    processor_s: float
    guest_us: int
    half_s: float = 0.0


async def _work(carries: Carries, cores: int) -> Spent:
    """A bare-metal guest calls functions, on one or two cores at once, and switches the board off."""
    rounds = _ROUNDS // cores
    async with _prepared(places_toml(cores, quantum=_QUANTUM), carries) as (made, machine):
        set_rounds(made.layout, machine.pid, rounds)
        async with _watching(made, machine, carries, rounds) as way_s:
            began_s = _processor_s(machine.pid)
            await machine.cont()
            await asyncio.wait_for(_switched_off(machine), _RUN_S)
            spent_s = way_s + _processor_s(machine.pid) - began_s
        log = made.paths.console_logs[HYPERVISOR_CONSOLE].read_bytes()
        return Spent(processor_s=spent_s, guest_us=_last_us(log))


async def _boot(carries: Carries) -> Spent:
    """Linux, until init is there."""
    async with _prepared(_LINUX, carries) as (made, machine), _watching(made, machine, carries, 0):
        log = made.paths.console_logs["linux"]
        began_s = _processor_s(machine.pid)
        await machine.cont()
        await _wait_until(lambda: _READY in log.read_bytes())
        spent_s = _processor_s(machine.pid) - began_s
        before, _, _ = log.read_bytes().partition(_READY)
        return Spent(processor_s=spent_s, guest_us=_last_us(before))


async def _dual(carries: Carries) -> Spent:
    """Linux on one core, the RTOS on the other, for some guest time by the RTOS's own tick."""
    time_va = next(va for name, _, va in elf_symbols(sources.build("rtos")) if name == "OSTime")
    async with _prepared(_DUAL, carries) as (made, machine):
        vm = made.layout.vms[_DUAL_RTOS]
        with GuestRam.of_process(machine.pid) as ram:

            def ticks() -> int:
                return int.from_bytes(ram.read(time_va - vm.ram_ipa + vm.ram_pa, 4), "little")

            began_s = _processor_s(machine.pid)
            await machine.cont()
            await _wait_until(lambda: ticks() >= _DUAL_TICKS // 2)
            half_s = _processor_s(machine.pid) - began_s
            await _wait_until(lambda: ticks() >= _DUAL_TICKS)
            spent_s = _processor_s(machine.pid) - began_s
            guest_us = ticks() * 1000
        if _READY not in made.paths.console_logs["linux"].read_bytes():
            raise CheckFailed(f"with {carries.value} Linux was not ready by then")
        return Spent(processor_s=spent_s, guest_us=guest_us, half_s=half_s)


async def _wait_until(is_over: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _RUN_S
    while not is_over():
        if time.monotonic() > deadline_s:
            raise PhaseTimeout(f"the guests were not ready within {_RUN_S:g} s")
        await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def _prepared(toml: str, carries: Carries) -> AsyncIterator[tuple[Prepared, QemuMachine]]:
    """A board that stands before its first instruction."""
    has_plugin = carries not in {Carries.NOTHING, Carries.FLOOR}
    with tempfile.TemporaryDirectory(prefix="orchestrate-bench-") as name, private_dir() as sockets:
        folder = Path(name)
        made = prepare(folder, sockets, toml, plugin=has_plugin)
        options = []
        if carries is Carries.FLOOR:
            options = ["-plugin", f"file={sources.build('floor')}"]
        async with machine_of(made, folder, *options) as machine:
            await machine.start(timeout_s=_START_S)
            yield made, machine


def _last_us(log: bytes) -> int:
    stamps = _STAMP.findall(log)
    if not stamps:
        raise CheckFailed("a guest's log has no times")
    return int(b"".join(stamps[-1]))


def _processor_s(pid: int) -> float:
    """What a running process has used: Linux's clock id of it (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


async def _switched_off(machine: QemuMachine) -> None:
    async with aclosing(machine.events()) as events:
        async for event in events:
            if event["event"] == "SHUTDOWN":
                return
    raise machine.death()


@asynccontextmanager
async def _watching(
    made: Prepared, machine: QemuMachine, carries: Carries, rounds: int
) -> AsyncIterator[float]:
    """Asks for what shall be watched, and looks afterwards whether a probe was hit after all.

    Yields:
        Processor time in seconds of what the guest had to do before probes could be placed.
    """
    if carries is Carries.WATCHES:
        async with await PluginChannel.connect(_channel(made)) as channel:
            await channel.count()
    if carries not in _PROBES:
        yield 0.0
        return
    with GuestRam.of_process(machine.pid) as ram:
        async with await PluginChannel.connect(_channel(made)) as channel:
            board = Board(
                layout=made.layout, machine=machine, channel=channel, ram=ram, paths=made.paths
            )
            began_s = _processor_s(machine.pid)
            await run_to_first_call(board, rounds)
            way_s = _processor_s(machine.pid) - began_s
            await _place(board, _PROBES[carries])
            yield way_s
            for probe_id in range(1, _PROBES[carries] + 1):
                if (await channel.probe_counts(probe_id)).hits:
                    raise CheckFailed(f"probe {probe_id} was hit, where no code runs")


def _channel(made: Prepared) -> Path:
    if made.paths.channel is None:
        raise MachineError("the board has no plugin")
    return made.paths.channel


async def _place(board: Board, count: int) -> None:
    """Probes of both modes in turn, in code of the guest that nobody executes."""
    never = places_symbols()["never"]
    for number in range(count):
        va = never + number * _WORD_BYTES
        mode = ProbeMode.SHADOW if number % 2 else ProbeMode.HVC
        probe = PluginProbe(id=number + 1, mode=mode, vm=0, va=va, pa=board.pa(0, va))
        if mode is ProbeMode.HVC:
            await board.place_hvc(probe)
        else:
            await board.channel.add_probe(probe)


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """Runs of several states, taken in turns.

    Attributes:
        spent: By state, a `Spent` for each round.
    """

    spent: dict[Carries, list[Spent]]

    def ratio(self, carries: Carries, to: Carries = Carries.NOTHING) -> float:
        """Processor time of one state to that of another."""
        return self._least_s(carries) / self._least_s(to)

    def half_ratio(self, carries: Carries) -> float:
        """The same for the first half of the guest time, to the first state."""
        least_s = [min(each.half_s for each in self.spent[by]) for by in (carries, Carries.NOTHING)]
        return least_s[0] / least_s[1]

    @property
    def work(self) -> str:
        """What is carried out on both sides."""
        million = self.spent[Carries.NOTHING][0].guest_us / 1000
        return f"{million:.0f} M instructions, {self._least_s(Carries.NOTHING):.1f} s"

    def _least_s(self, carries: Carries) -> float:
        return min(each.processor_s for each in self.spent[carries])


def in_turns(
    states: Sequence[Carries],
    run: Callable[[Carries], Coroutine[Any, Any, Spent]],
    *,
    tolerance: float = _SAME_WORK,
) -> Rounds:
    """Some rounds of all states.

    Args:
        states: The first is what the others' work is compared with.
        run: One run of a state.
        tolerance: The share of the guest time by which runs may differ.

    Raises:
        CheckFailed: They did not do the same work.
    """
    spent: dict[Carries, list[Spent]] = {state: [] for state in states}
    for _ in range(_RUNS):
        for state in states:
            spent[state].append(loop.run(run(state)))
    guest_us = spent[states[0]][0].guest_us
    for state, runs in spent.items():
        for each in runs:
            if abs(each.guest_us - guest_us) > tolerance * guest_us:
                raise CheckFailed(
                    f"with {state.value} the guests ended at {each.guest_us} us, "
                    f"with {states[0].value} at {guest_us} us: that is not the same work"
                )
    return Rounds(spent=spent)


def _never_hit(rounds: Rounds, state: Carries) -> Figure:
    return Figure(
        name=f"  and {state.value}, hvc and shadow", value=rounds.ratio(state), unit="x", most=_MOST
    )


def idle_plugin() -> list[Figure]:
    """The plugin with channel and rings and without a hit, against QEMU without it."""
    states = [Carries.NOTHING, Carries.LOADED, Carries.WATCHES, Carries.TWO, Carries.THOUSAND]
    one = in_turns(states, lambda state: _work(state, 1))
    states = [Carries.NOTHING, Carries.LOADED, Carries.THOUSAND]
    two = in_turns(states, lambda state: _work(state, 2))
    boot = in_turns(
        [Carries.NOTHING, Carries.FLOOR, Carries.LOADED, Carries.WATCHES],
        _boot,
    )
    dual = in_turns([Carries.NOTHING, Carries.LOADED], _dual, tolerance=_SAME_TIME)
    return [
        Figure(
            name=f"host time of work on one core ({one.work}), plugin loaded to not loaded",
            value=one.ratio(Carries.LOADED),
            unit="x",
            most=_MOST,
        ),
        Figure(name="  and watching", value=one.ratio(Carries.WATCHES), unit="x", most=_MOST),
        _never_hit(one, Carries.TWO),
        _never_hit(one, Carries.THOUSAND),
        Figure(
            name=f"the same on two cores at once ({two.work}), slices of {_QUANTUM} to none",
            value=two.ratio(Carries.LOADED),
            unit="x",
            most=_MOST,
        ),
        _never_hit(two, Carries.THOUSAND),
        Figure(
            name=f"a boot of Linux ({boot.work}), most of which is translating code",
            value=boot.ratio(Carries.LOADED),
            unit="x",
            most=_MOST,
        ),
        Figure(
            name=f"  {Carries.FLOOR.value}: QEMU's own part of watching",
            value=boot.ratio(Carries.FLOOR),
            unit="x",
        ),
        Figure(
            name="  watching from the start, to not loaded",
            value=boot.ratio(Carries.WATCHES),
            unit="x",
        ),
        Figure(
            name="  watching from the start, to that plugin",
            value=boot.ratio(Carries.WATCHES, to=Carries.FLOOR),
            unit="x",
            most=_MOST,
        ),
        Figure(
            name=f"Linux and the RTOS on two cores, {_DUAL_TICKS / 1000:g} s of guest time",
            value=dual.ratio(Carries.LOADED),
            unit="x",
            most=_MOST,
        ),
        Figure(
            name="  the first half, in which Linux boots: slices end in new code",
            value=dual.half_ratio(Carries.LOADED),
            unit="x",
            most=_MOST,
        ),
    ]
