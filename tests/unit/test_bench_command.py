# SPDX-License-Identifier: MIT
"""What `orchestrate bench` refuses before anything starts, and what it lists."""

from pathlib import Path

import pytest

from orchestrator import cli, config
from orchestrator.bench.registry import BENCHMARKS, benchmarks
from orchestrator.bench.run import applies
from orchestrator.bench.variants import VARIANTS
from orchestrator.errors import UsageError

LINUX = '[vm.linux]\ntype = "linux"\nram = "128M"\npin = [0]\n'
RTOS = '[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [1]\n'


def write(folder: Path, text: str) -> str:
    path = folder / "system.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--config and --bench are needed"),
        (["--bench", "context2"], 'did you mean "context1"?'),
        (["--bench", "context1", "--variants", "hcv"], 'did you mean "hvc"?'),
        (["--bench", "rtos-switch", "--variants", "event"], "a tracer of Linux's own"),
        (["--bench", "context1", "--limit", "hvc"], "write it as"),
        (["--bench", "context1", "--variants", "none", "--limit", "hvc=1%"], "among --variants"),
        (["--bench", "context1", "--limit", "pipe:none=1%"], "among --bench"),
        (["--bench", "pipe", "--variants", "hvc", "--limit", "hvc=1%"], "add it to --variants"),
    ],
)
def test_what_cannot_run_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    path = write(tmp_path, LINUX + RTOS)
    assert cli.main(["bench", "--config", path, "--out", str(tmp_path / "o"), *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_directory_with_files_is_not_written_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, LINUX)
    code = cli.main(["bench", "--config", path, "--bench", "context1", "--out", str(tmp_path)])
    assert code == 2
    assert "holds files already" in capsys.readouterr().err


def test_the_list_has_every_benchmark_and_a_user_s_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").touch()
    path = write(tmp_path, LINUX + '[bench.mine]\npath = "mine"\nargs = ["a b"]\n')
    assert cli.main(["bench", "--config", path, "--list"]) == 0
    names = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert names == [*BENCHMARKS, "mine", *VARIANTS]


def test_a_user_s_benchmark_must_not_take_a_known_name(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    loaded = config.load(Path(write(tmp_path, LINUX + '[bench.pipe]\npath = "mine"\n')))
    with pytest.raises(UsageError, match="already"):
        benchmarks(loaded)


@pytest.mark.parametrize(
    ("text", "bench", "variant", "fits"),
    [
        (LINUX, "context1", "hvc", True),
        (LINUX, "rtos-switch", "none", False),
        (RTOS, "context1", "none", False),
        (RTOS, "rtos-switch", "shadow", True),
        ('[clock]\nmode = "realtime"\n' + LINUX, "context1", "none", False),
        ('[machine]\ncores = 1\nhypervisor = "none"\n' + LINUX, "context1", "hvc", False),
        ('[machine]\ncores = 1\nhypervisor = "none"\n' + LINUX, "context1", "shadow", True),
    ],
)
def test_what_a_system_can_run_is_known_beforehand(
    tmp_path: Path, text: str, bench: str, variant: str, *, fits: bool
) -> None:
    loaded = config.load(Path(write(tmp_path, text)))
    assert applies(loaded, BENCHMARKS[bench], VARIANTS[variant]) is fits
