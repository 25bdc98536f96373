# SPDX-License-Identifier: MIT
"""The pytest plugin's own words: what is wrong with a mark, a config or a figure is told."""

import subprocess
import sys
from pathlib import Path

import pytest


def outcome(folder: Path, test: str, ini: str = "") -> str:
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    (folder / "test_it.py").write_text(f"import pytest\n{test}\n")
    end = subprocess.run(
        (sys.executable, "-m", "pytest", "-q"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    return f"{end.returncode}: {end.stdout}{end.stderr}"


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("def test_it(dual_system): pass", "which system? Set orchestrate_config"),
        (
            "@pytest.mark.orchestrate(cfg='x.toml')\ndef test_it(dual_system): pass",
            "mark orchestrate: takes command_s, config, ready_s, start_s",
        ),
        (
            (
                "@pytest.mark.orchestrate(config='x.toml')\n"
                "def test_it(trace): trace['rtos/RTOS-Task1/response_max']"
            ),
            "dual_system.run() comes first",
        ),
        (
            (
                "@pytest.mark.orchestrate(config='x.toml')\n"
                "def test_it(dual_system): dual_system.run('true')"
            ),
            "x.toml: No such file or directory",
        ),
    ],
)
def test_a_fault_is_told(tmp_path: Path, test: str, told: str) -> None:
    assert told in outcome(tmp_path, test)


def test_projects_that_do_not_use_it_are_left_alone(tmp_path: Path) -> None:
    assert outcome(tmp_path, "def test_it(): pass").startswith("0: ")
