# SPDX-License-Identifier: MIT
"""The CI examples call what there is: each orchestrate command line is parsed, each script exists."""

import shlex
from pathlib import Path

import pytest
import yaml

from orchestrator.cli import build_parser

ROOT = Path(__file__).parents[2]


def steps() -> list[str]:
    """The shell lines of the workflow."""
    workflow = yaml.safe_load((ROOT / "ci/examples/github-actions.yml").read_text())
    return [
        step["run"].strip()
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]


@pytest.mark.parametrize("line", [line for line in steps() if line.startswith("orchestrate/")])
def test_a_step_of_the_workflow_calls_what_exists(line: str) -> None:
    program, *words = shlex.split(line)
    name = program.removeprefix("orchestrate/")
    if name == ".venv/bin/orchestrate":
        build_parser().parse_args(words)
    elif name == ".venv/bin/pytest":
        plugin = (ROOT / "orchestrator/pytest_plugin.py").read_text()
        options = [word.partition("=")[0] for word in words]
        assert all(option == "--junit-xml" or f'"{option}"' in plugin for option in options)
    else:
        assert (ROOT / name).is_file()
        assert words == []


def test_the_container_is_set_up_by_the_projects_own_script() -> None:
    recipe = (ROOT / "ci/Containerfile").read_text()
    assert "RUN /opt/orchestrate/ci/setup" in recipe
    assert (ROOT / "ci/setup").stat().st_mode & 0o111
