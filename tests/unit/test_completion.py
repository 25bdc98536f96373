# SPDX-License-Identifier: MIT
"""Completion scripts, in the shells that they are for."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from children import ended

from orchestrator import cli
from orchestrator.commands.completion import all_actions


def script_for(shell: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "completion", shell],
        capture_output=True,
        text=True,
        check=True,
        timeout=400,
    ).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_accepted_by_its_shell(shell: str, tmp_path: Path) -> None:
    script = script_for(shell)
    assert "--until" in script or "until" in script
    path = tmp_path / "script"
    path.write_text(script)
    subprocess.run([shell, "-n", str(path)], check=True)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("orchestrate bo", "orchestrate boot "),
        ("orchestrate boot --unt", "orchestrate boot --until "),
        ("orchestrate boot --until ", "orchestrate boot --until ready "),
        ("orchestrate images cl", "orchestrate images clean "),
        ("orchestrate images build hyp", "orchestrate images build hypervisor "),
        ("orchestrate completion z", "orchestrate completion zsh "),
        ("orchestrate boot --config dua", "orchestrate boot --config dual.toml "),
        ("orchestrate boot --out ima", "orchestrate boot --out images/"),
    ],
)
def test_bash_completes(typed: str, completed: str, tmp_path: Path) -> None:
    """In a real interactive bash: type, press Tab, read the line."""
    script = tmp_path / "completion.bash"
    script.write_text(script_for("bash"))
    (tmp_path / "dual.toml").touch()
    (tmp_path / "images").mkdir()
    # Home and inputrc are the test's own, so that no setting of the user's matters.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "INPUTRC": "/dev/null",
        "TERM": "dumb",
    }
    bash = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile", "-i"],
        env=environment,
        cwd=str(tmp_path),
        encoding="utf-8",
        timeout=400,
        dimensions=(24, 200),
    )
    try:
        bash.sendline(f"PS1='RE''ADY>'; bind 'set enable-bracketed-paste off'; . {script}")
        bash.expect_exact("READY>")
        bash.send(typed + "\t")
        bash.expect_exact(completed)
    finally:
        ended(bash)


def test_parser_tree_is_fully_described() -> None:
    """Each option and argument has its line of help, from which completion is made, too."""
    for action in all_actions(cli.build_parser()):
        if isinstance(action, argparse._SubParsersAction) or action.dest == "shell":
            continue
        assert action.help, action
