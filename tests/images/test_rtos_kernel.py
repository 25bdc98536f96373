# SPDX-License-Identifier: MIT
"""The RTOS kernel on the host: each C case under tests/images/rtos is one test per compiler.

The cases run on a port of the kernel with simulated time (rtos/host), under the address and the
undefined-behaviour sanitizer. tests/system/test_rtos.py runs the same cases on the target.
"""

import fcntl
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ROOT / "tests" / "images" / "rtos"
COMPILERS: Final = ("gcc", "clang")
CASE_TIMEOUT_S: Final = 60


def case_names() -> list[str]:
    """The cases in the tables of the C files, in the order of the files' names."""
    return [
        name
        for path in sorted(SOURCES.glob("test_*.c"))
        for name in re.findall(r"^    (?:RAW_)?CASE\((\w+)\)", path.read_text(), re.MULTILINE)
    ]


def has_sanitizers(compiler: str, output: Path) -> bool:
    """Whether the compiler's sanitizer run-time is installed: clang's is a package of its own."""
    result = subprocess.run(
        [compiler, "-fsanitize=address,undefined", "-x", "c", "-", "-o", str(output / "probe")],
        input="int main(void) { return 0; }\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode == 0


@cache
def build(compiler: str) -> Path:
    """The test program of one compiler; processes that build at once take turns."""
    output = ROOT / "build" / "tests" / f"rtos-{compiler}"
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-C", str(SOURCES), f"O={output}", f"CC={compiler}"]
        if not has_sanitizers(compiler, output):
            assert compiler != "gcc", "gcc comes with its sanitizers"
            command.append("SANITIZE=")
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return output / "rtos_tests"


@pytest.fixture(params=COMPILERS)
def program(request: pytest.FixtureRequest) -> Path:
    compiler: str = request.param
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not on this machine")
    return build(compiler)


@pytest.mark.parametrize("case", case_names())
def test_kernel(program: Path, case: str) -> None:
    result = subprocess.run(
        [program, case], capture_output=True, text=True, check=False, timeout=CASE_TIMEOUT_S
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == "ok\n"


def test_every_case_is_in_the_program(program: Path) -> None:
    """A table that suites.c forgets would otherwise drop out of all runs in silence."""
    result = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    assert sorted(result.stdout.split()) == sorted(case_names())


def test_an_unknown_case_is_an_error(program: Path) -> None:
    result = subprocess.run([program, "no_such"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
