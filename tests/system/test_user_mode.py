# SPDX-License-Identifier: MIT
"""Code that runs in User mode: no HVC can be there, a shadow probe can."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from orchestrator import config, session
from orchestrator.bench.board import elf_symbols
from orchestrator.config.probes import parse_probe
from orchestrator.errors import CheckFailed
from orchestrator.options import BootOptions
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

# It shows itself by a system call that nobody else makes: then its memory is the current one.
CONFIG = """
[vm.linux]
type = "linux"
ram = "128M"
pin = [0]
[vm.linux.files]
"/run/program" = "{program}"
[trace]
arm_at = "linux:sys_sethostname"
"""
CALLS = 1000
PROGRAM = """
#include <unistd.h>
__attribute__((noinline, aligned(4))) int visited(int i) { __asm__ volatile("nop"); return i + 1; }
int main(void)
{
    int sum = visited(0);
    sethostname("here", 4);
    for (int i = 0; i < %d; i++)
        sum += visited(i);
    return sum == 0;
}
"""
USER_MODE = 0x10


class Silent:
    """A reporter that says nothing."""

    def phase(self, name: str) -> None: ...
    def vm_state(self, vm: str, state: str) -> None: ...
    def console(self, vm: str, line: str) -> None: ...
    def note(self, text: str) -> None: ...
    def command_output(self, stream: str, data: bytes) -> None: ...


def make(folder: Path, instruction_set: str) -> tuple[Path, int]:
    """A program and the address of its function, without the Thumb bit."""
    (folder / "program.c").write_text(PROGRAM % CALLS)
    made = folder / "program"
    flags = ("-O1", instruction_set, "-static", "-no-pie")
    subprocess.run(
        ("arm-linux-gnueabihf-gcc", *flags, "-o", made, folder / "program.c"), check=True
    )
    return made, {name: va for name, _, va in elf_symbols(made)}["visited"] & ~1


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    return make(tmp_path_factory.mktemp("program"), "-marm")


def boot(folder: Path, program: Path, *probes: str) -> None:
    path = folder / "test.toml"
    path.write_text(CONFIG.format(program=program))
    options = BootOptions(
        out=folder / "run",
        probes=tuple(parse_probe(each) for each in probes),
        command=("/run/program",),
    )
    assert session.boot(config.load(path), options, Silent()).exit_code == 0


def test_an_hvc_is_refused_before_anything_is_written(
    tmp_path: Path, program: tuple[Path, int]
) -> None:
    made, va = program
    with pytest.raises(CheckFailed, match=rf"linux:{va:#x}: runs in user mode.*use mode=shadow"):
        boot(tmp_path, made, f"linux:{va:#x}")


def test_a_shadow_probe_sees_each_call(tmp_path: Path, program: tuple[Path, int]) -> None:
    """It is hit where the program is; whose task that is TPIDRURO does not tell there."""
    made, va = program
    boot(tmp_path, made, f"linux:{va:#x} mode=shadow number=%r0")
    records = read_stream(tmp_path / "run/trace/plugin-0.rec").records
    assert records["word"][:, 0].tolist() == list(range(CALLS))
    assert np.all(records["pc"] == va)
    assert np.all(records["cpsr"] & 0x1F == USER_MODE)
    (probe,) = json.loads((tmp_path / "run/trace/probes.json").read_text())["probes"]
    assert sum(probe["hits"]) == CALLS
    assert [each["name"] for each in probe["fetch"]] == ["number"]


def test_thumb_instructions_lie_on_every_second_byte(tmp_path: Path) -> None:
    """Debian's programs are T32: an odd address says so, and one between words can be nothing else."""
    made, va = make(tmp_path, "-mthumb")
    probes = (f"linux:{va + 1:#x} mode=shadow number=%r0", f"linux:{va + 2:#x} mode=shadow n=%r0")
    boot(tmp_path, made, *probes)
    records = read_stream(tmp_path / "run/trace/plugin-0.rec").records
    assert records["pc"].tolist() == [va, va + 2] * CALLS
    assert records["word"][:, 0].tolist() == [number for i in range(CALLS) for number in (i, i)]
    document = json.loads((tmp_path / "run/trace/probes.json").read_text())
    assert [each["instruction"] for each in document["probes"]] == ["nop", "adds r0, #1"]
