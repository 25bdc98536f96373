# SPDX-License-Identifier: MIT
"""What the costs of probes are measured with: executed functions of Linux, places in T32 code."""

from pathlib import Path

import pytest

from orchestrator import config
from orchestrator.bench.classes import measure
from orchestrator.bench.executed import executed
from orchestrator.bench.sites import choose
from orchestrator.images import sources
from orchestrator.options import BootOptions
from orchestrator.probe.offline import guests_of, image_views

pytestmark = pytest.mark.system

LINUX = """
[machine]
cores = 1
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
"""
RTOS = """
[machine]
cores = 1
[vm.t32]
type = "elf"
image = "{elf}"
ram = "16M"
pin = [0]
"""


def loaded(folder: Path, text: str) -> config.Config:
    path = folder / "system.toml"
    path.write_text(text)
    return config.load(path)


def test_the_functions_that_a_command_needs_are_told(tmp_path: Path) -> None:
    """One that the tracer sees, one that only calls, and none of what the command does not do."""
    wanted = loaded(tmp_path, LINUX)
    guest = guests_of(wanted)["linux"]
    found = executed(wanted, "mkdir /run/a", guest, tmp_path / "run")
    names = {name: guest.symbols.find(name).va in found for name in ("do_mkdirat", "sys_mkdir")}
    assert names == {"do_mkdirat": True, "sys_mkdir": True}
    assert not {guest.symbols.find(name).va for name in ("tcp_sendmsg", "do_rmdir")} & found


def test_t32_code_runs_on_under_probes_of_every_class_in_it(tmp_path: Path) -> None:
    """Its tasks do their work, as without probes; each hit has its cost, the same twice."""
    wanted = loaded(tmp_path, RTOS.format(elf=sources.build("rtos-thumb")))
    guests = guests_of(wanted)
    chosen = {"t32": choose(guests["t32"], image_views(guests)["t32"])}
    options = BootOptions(for_ns=200_000_000)
    first, second = (measure(wanted, options, chosen, tmp_path / name) for name in ("a", "b"))
    assert "rtos: ready" in (tmp_path / "a" / "t32.log").read_text()
    assert first == second
    kinds = {each.kind for each in first}
    assert {f"T32 {name}" for name in ("load", "store", "branch", "alu imm", "bitfield")} <= kinds
    assert all(each.cost > 0 for each in first)
