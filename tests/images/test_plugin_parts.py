# SPDX-License-Identifier: MIT
"""The plugin's parts that know nothing of QEMU, on the host: with sanitizers, by both compilers."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "plugin"
PLUGIN = HERE.parents[2] / "qemu_plugin"
ABI = HERE.parents[2] / "images" / "abi"
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-pthread")

Build = Callable[..., Path]


@pytest.fixture(scope="module", params=["gcc", "clang"])
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles a test program of this folder with some of the plugin's sources."""
    compiler = shutil.which(request.param)
    assert compiler is not None, f"install {request.param}"
    folder = tmp_path_factory.mktemp("parts")

    def make(name: str, *parts: str, sanitizer: str = "address,undefined") -> Path:
        program = folder / f"{name}-{sanitizer}"
        subprocess.run(
            (
                *(compiler, *FLAGS, f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"),
                *(f"-I{PLUGIN}", f"-I{ABI}", "-o", program, HERE / f"{name}.c"),
                *(PLUGIN / f"{part}.c" for part in parts),
            ),
            check=True,
        )
        return program

    return make


def passes(program: Path) -> None:
    end = subprocess.run([program], capture_output=True, text=True, timeout=400, check=False)
    assert (end.returncode, end.stderr) == (0, "")


def test_the_table_of_places(build: Build) -> None:
    passes(build("places_test", "places"))


def test_programs_of_fetches(build: Build) -> None:
    passes(build("fetch_test"))


def test_the_account_of_instructions(build: Build) -> None:
    passes(build("ledger_test", "ledger"))


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_a_ring_between_two_threads(build: Build, sanitizer: str) -> None:
    passes(build("ring_stress", "ring", sanitizer=sanitizer))


def assembled(folder: Path, lines: list[str], *, thumb: bool) -> list[str]:
    """The bytes of each instruction, in memory order, as binutils encodes them."""
    source = folder / "code.s"
    state = ".thumb" if thumb else ".arm"
    header = f".syntax unified\n.arch armv7-a\n.arch_extension virt\n.arch_extension sec\n{state}\n"
    source.write_text(header + "\n".join(lines) + "\n")
    code = folder / "code.o"
    subprocess.run(("arm-linux-gnueabihf-as", source, "-o", code), check=True)
    listing = subprocess.run(
        ("arm-linux-gnueabihf-objdump", "-d", "-w", "--show-raw-insn", code),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = re.findall(r"^\s+[0-9a-f]+:\s((?:[0-9a-f]{4,8} )+)", listing, re.MULTILINE)
    units = [row.split() for row in rows]
    return ["".join(bytes.fromhex(unit)[::-1].hex() for unit in row) for row in units]


KNOWN = {
    "eret": 1,
    "dbg #15": 2,
    "mcrr p15, 6, r3, r9, c2": 3,
    "mcr p15, 4, r7, c0, c0, 5": 3,
    "wfi": 4,
}
"""Instructions, each with the column of decode_probe that must be 1."""
OTHERS = [
    *(
        "nop",
        "sev",
        "wfe",
        "yield",
        "dbg #14",
        "smc #0",
        "bkpt #7",
        "svc #1",
        "bx lr",
        "movs pc, lr",
    ),
    *("mrrc p15, 6, r3, r9, c2", "mcrr p15, 4, r3, r9, c2", "mrc p15, 4, r7, c0, c0, 5"),
    *("mcr p15, 4, r7, c0, c0, 0", "add r0, r0, #1", "ldr r0, [r1]", "push {r4, lr}"),
]


@pytest.mark.parametrize("thumb", [False, True], ids=["A32", "T32"])
def test_instructions_are_known_by_the_assemblers_encoding(
    build: Build, tmp_path: Path, *, thumb: bool
) -> None:
    """Every immediate of HVC, all others that matter, and neighbours that do not."""
    immediates = [*range(0, 0x10000, 17), *(1 << bit for bit in range(16)), 0xFFFF]
    others = [each for each in OTHERS if not (thumb and each == "movs pc, lr")]
    lines = [*(f"hvc #{imm}" for imm in immediates), *KNOWN, *others]
    codes = assembled(tmp_path, lines, thumb=thumb)
    assert len(codes) == len(lines)
    text = "".join(f"{int(thumb)} {code}\n" for code in codes)
    program = build("decode_probe")
    printed = subprocess.run(
        [program], input=text, capture_output=True, text=True, check=True
    ).stdout
    found = [[int(word) for word in row.split()] for row in printed.splitlines()]
    wanted = [[imm, 0, 0, 0, 0] for imm in immediates]
    wanted += [[-1, *(int(column == at) for column in (1, 2, 3, 4))] for at in KNOWN.values()]
    wanted += [[-1, 0, 0, 0, 0]] * len(others)
    assert found == wanted
