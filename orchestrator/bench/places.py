# SPDX-License-Identifier: MIT
"""The guest that is probed, images/bench/places.c: ten functions, called a known number of times."""

from pathlib import Path
from typing import Final

from orchestrator.bench.board import Board, elf_symbols, staged_pa
from orchestrator.images import sources
from orchestrator.machine.board import Layout
from orchestrator.machine.ram import GuestRam

PLACES: Final = 8
"""Functions `place_0` to `place_7`, A32, each called once in a round by each vCPU."""
ALL_PLACES: Final = 10
"""With those that are T32."""

_TOML: Final = """
[machine]
cores = {cores}
[clock]
quantum = "{quantum}"
[vm.probed]
type = "elf"
image = "{elf}"
ram = "4M"
pin = {pin}
"""


def places_elf() -> Path:
    """The guest, built if it is stale."""
    return sources.build("bench").with_name("places.elf")


def places_symbols() -> dict[str, int]:
    """Its symbols' addresses."""
    return {name: value for name, _, value in elf_symbols(places_elf())}


def places_toml(cores: int, *, quantum: str = "50us") -> str:
    """A config with the guest as its one VM, a vCPU on each of one or two cores."""
    return _TOML.format(cores=cores, quantum=quantum, elf=places_elf(), pin=list(range(cores)))


async def run_to_first_call(board: Board, rounds: int) -> None:
    """Lets the guest come to where it begins to call, and sets how many rounds it will make."""
    symbols = places_symbols()
    await board.channel.stop_at(board.pa(0, symbols["run"]))
    await board.run_to_stop()
    board.ram.write(board.pa(0, symbols["rounds"]), rounds.to_bytes(4, "little"))


def set_rounds(layout: Layout, pid: int, rounds: int) -> None:
    """The same without a plugin: in the image that the hypervisor has not copied yet.

    Args:
        layout: The planned board.
        pid: QEMU, which has not run yet.
        rounds: How many.
    """
    with GuestRam.of_process(pid) as ram:
        rounds_pa = staged_pa(layout, 0, places_symbols()["rounds"])
        ram.write(rounds_pa, rounds.to_bytes(4, "little"))
