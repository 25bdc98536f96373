# SPDX-License-Identifier: MIT
"""`orchestrate trace` refuses what it cannot do before anything starts."""

from pathlib import Path

import pytest

from orchestrator import cli

LINUX = '[vm.linux]\ntype = "linux"\nram = "128M"\npin = [0]\n'
REALTIME = f'[clock]\nmode = "realtime"\n{LINUX}'
RTOS = '[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [0]\n'


@pytest.mark.parametrize(
    ("toml", "options", "told"),
    [
        (RTOS, (), "has no Linux VM whose command would end the run"),
        (RTOS, ("--", "true"), "has no Linux VM that could run the command"),
        (LINUX, ("--format", "pdf"), "there is no format 'pdf'"),
        (LINUX, ("--format", ""), "there is no format ''"),
        (LINUX, ("--live", "--json"), "choose one of them"),
        (LINUX, ("--probe", "rtos:main"), "--probe: there is no VM 'rtos'; there are linux"),
        (REALTIME, ("--saved-start",), '--saved-start needs clock.mode = "deterministic"'),
    ],
)
def test_wrong_usage_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    toml: str,
    options: tuple[str, ...],
    told: str,
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(toml)
    code = cli.main(["trace", "--config", str(path), "--out", str(tmp_path / "run"), *options])
    captured = capsys.readouterr()
    assert code == 2
    assert told in captured.out + captured.err
    assert not (tmp_path / "run").exists()
