# SPDX-License-Identifier: MIT
"""Linux's workloads on the host: they do what they are told, check it, and report it.

Their own checks hold results against known ones (the number of primes, CRC-32's check value and
residue, a transform and back), so a program that ends with 0 has computed rightly.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

WORKLOADS = Path(__file__).parents[2] / "images" / "linux" / "workloads"
FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-O2")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workloads")
    for source in WORKLOADS.glob("*.c"):
        command = ("gcc", *FLAGS, "-o", folder / source.stem, source, "-lm")
        subprocess.run(command, check=True)
    return folder


def run(built: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (built / name, *arguments), capture_output=True, text=True, check=False, timeout=400
    )


@pytest.mark.parametrize(
    ("name", "arguments", "count", "unit"),
    [
        ("context1", ("50",), 50, "iterations"),
        ("pipe", ("50",), 50, "loops"),
        ("spawn", ("5",), 5, "processes"),
        ("execl", ("5",), 5, "execs"),
        ("syscall", ("50",), 50, "loops"),
        ("filecopy", ("256", "20", "3"), 60, "blocks"),
        ("integer", ("1000",), 1000, "loops"),
        ("floating", ("97",), 97, "loops"),
        ("kernel", ("integer", "1"), 1, "rounds"),
        ("kernel", ("floating", "1"), 1, "rounds"),
        ("kernel", ("memory", "1"), 1, "rounds"),
    ],
)
def test_a_workload_does_and_reports_what_it_is_told(
    built: Path, name: str, arguments: tuple[str, ...], count: int, unit: str
) -> None:
    end = run(built, name, *arguments)
    assert end.returncode == 0, end.stderr
    lines = end.stdout.splitlines()
    assert lines[0] == f"COUNT|{count}|1|{unit}"
    assert re.fullmatch(r"TIME\|[1-9]\d*\|1\|ns", lines[1])


@pytest.mark.parametrize("argument", ["", "0", "-1", "x", "5x", "4294967296"])
def test_what_is_no_number_of_operations_is_refused(built: Path, argument: str) -> None:
    end = run(built, "pipe", argument)
    assert (end.returncode, end.stderr) == (2, "usage: pipe ITERATIONS\n")


def test_a_timed_program_runs_as_often_as_wanted_and_must_not_fail(
    built: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    end = run(built, "timed", "2", "3", "sh", "-c", f"echo x >>{told}")
    assert end.returncode == 0
    assert end.stdout.startswith("RUNS|2|1|runs\nTIME|")
    assert told.read_text() == "x\n" * 6
    assert run(built, "timed", "1", "1", "false").returncode == 1


def test_the_script_checks_its_own_work_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # /tmp is everybody's
    subprocess.run(("sh", WORKLOADS / "script.sh"), check=True, env=environment, timeout=400)
    assert list(tmp_path.iterdir()) == []
