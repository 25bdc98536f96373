# SPDX-License-Identifier: MIT
"""The example of a user's project: its test passes, and fails when the RTOS misses its deadlines."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

PROJECT = Path(__file__).parents[2] / "examples" / "user_project"
HOST_LIMIT_S = 800
ON_ITS_OWN_CORE = "pin = [1]"
BEHIND_LINUX = "pin = [0]\npriority = 50"


def run_tests(project: Path) -> tuple[subprocess.CompletedProcess[str], ET.Element]:
    """Runs the project's tests as its CI would. Returns the end of pytest, and its JUnit case."""
    end = subprocess.run(
        (sys.executable, "-m", "pytest", "--junit-xml=tests.xml", "--orchestrate-artifacts=kept"),
        cwd=project,
        capture_output=True,
        text=True,
        timeout=HOST_LIMIT_S,
        check=False,
    )
    case = ET.parse(project / "tests.xml").find(".//testcase")
    assert case is not None, end.stdout
    return end, case


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))


def test_the_users_test_passes_and_leaves_nothing(project: Path) -> None:
    end, case = run_tests(project)
    assert end.returncode == 0, end.stdout
    assert case.find("failure") is None
    assert not (project / "kept").exists()


def test_a_starved_rtos_fails_the_users_test_and_its_run_is_kept(project: Path) -> None:
    """The same system but for two keys: the RTOS shares Linux's core and comes after it."""
    system = project / "system.toml"
    text = system.read_text()
    assert text.count(ON_ITS_OWN_CORE) == 1
    system.write_text(text.replace(ON_ITS_OWN_CORE, BEHIND_LINUX))
    end, case = run_tests(project)
    assert end.returncode == 1, end.stdout
    failure = case.find("failure")
    assert failure is not None
    # Its tasks ran, and were done far too late.
    late = re.search(r"assert (\d+)\.?\d* <= \(20 \* 1000000\)", failure.text or "")
    assert late, failure.text
    assert int(late[1]) > 20_000_000
    (kept,) = (project / "kept").iterdir()
    assert f"runs are kept in {kept}" in end.stdout
    assert (kept / "run1" / "run.json").exists()
    assert b"orchestrate: done 0" in (kept / "run1" / "linux.log").read_bytes()
