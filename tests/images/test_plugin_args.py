# SPDX-License-Identifier: MIT
"""The plugin's argument parser, compiled for the host with the address and undefined sanitizers."""

import errno
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "plugin"
PLUGIN = HERE.parents[2] / "qemu_plugin"

UNTOUCHED = -1
"""What the probe puts into every field before it parses."""


@dataclass(frozen=True)
class Parsed:
    """What the probe printed."""

    result: int
    quantum_ns: int
    stop_ns: int
    error: str


@pytest.fixture(scope="module", params=["gcc", "clang"])
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe program, built by each of the two compilers that must take the code."""
    compiler = shutil.which(request.param)
    assert compiler is not None, f"install {request.param}"
    program = tmp_path_factory.mktemp("probe") / "args_probe"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined"]
    sources = [PLUGIN / "args.c", HERE / "args_probe.c"]
    subprocess.run(
        [compiler, *flags, "-fno-sanitize-recover=all", f"-I{PLUGIN}", "-o", program, *sources],
        check=True,
    )
    return program


def parse(probe: Path, *arguments: str) -> Parsed:
    """Runs the parser on the given arguments."""
    run = subprocess.run([probe, *arguments], check=True, capture_output=True, text=True)
    assert not run.stderr
    numbers, error, *_ = run.stdout.split("\n")
    result, quantum_ns, stop_ns = map(int, numbers.split())
    return Parsed(result, quantum_ns, stop_ns, error)


def test_values_arrive_in_their_fields(probe: Path) -> None:
    assert parse(probe, "quantum_ns=20000", "stop_ns=3000000000") == Parsed(
        0, 20_000, 3_000_000_000, ""
    )


def test_order_does_not_matter(probe: Path) -> None:
    assert parse(probe, "stop_ns=5", "quantum_ns=1000") == Parsed(0, 1000, 5, "")


def test_what_is_not_given_is_off(probe: Path) -> None:
    assert parse(probe) == Parsed(0, 0, 0, "")
    assert parse(probe, "stop_ns=7") == Parsed(0, 0, 7, "")


def test_limits_are_part_of_the_range(probe: Path) -> None:
    assert parse(probe, "quantum_ns=1000000000").quantum_ns == 1_000_000_000
    assert parse(probe, "stop_ns=4000000000000000000").stop_ns == 4 * 10**18


@pytest.mark.parametrize(
    "argument",
    [
        "quantum_ns",
        "quantum_ns=",
        "quantum_ns=0",
        "quantum_ns=999",
        "quantum_ns=1000000001",
        "quantum_ns=-20000",
        "quantum_ns=+20000",
        "quantum_ns= 20000",
        "quantum_ns=20us",
        "quantum_ns=0x4000",
        "quantum_ns=2e4",
        "stop_ns=0",
        "stop_ns=4000000000000000001",
        "stop_ns=9223372036854775808",
        "stop_ns=18446744073709551617",
        "stop_ns=99999999999999999999999999999999",
        "quantum=20000",
        "quantum_n=20000",
        "quantum_ns2=20000",
        "",
        "=",
        "=20000",
    ],
)
def test_a_misread_clock_is_refused(probe: Path, argument: str) -> None:
    """The error names the argument, and nothing of the arguments before it is taken over."""
    parsed = parse(probe, "stop_ns=8" if argument.startswith("q") else "quantum_ns=1000", argument)
    assert (parsed.result, parsed.quantum_ns, parsed.stop_ns) == (
        -errno.EINVAL,
        UNTOUCHED,
        UNTOUCHED,
    )
    assert f"'{argument}'" in parsed.error


def test_a_key_given_twice_is_refused(probe: Path) -> None:
    parsed = parse(probe, "stop_ns=5", "stop_ns=5")
    assert parsed.result == -errno.EINVAL
    assert "'stop_ns' is given twice" in parsed.error


def test_a_long_argument_does_not_overrun_the_message(probe: Path) -> None:
    assert parse(probe, "x" * 4000).result == -errno.EINVAL
