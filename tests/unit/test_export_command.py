# SPDX-License-Identifier: MIT
"""`orchestrate export` and `report`: what they write, and how they refuse."""

from pathlib import Path

import pytest
from timelines import dual_timeline

from orchestrator import cli
from orchestrator.export import FORMATS
from orchestrator.trace import run


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose timeline is one of the tests'; reading real ones is the merge's business."""
    path = tmp_path / "run"
    path.mkdir()
    monkeypatch.setattr(run, "merge_run", lambda each: dual_timeline(2) if each == path else None)
    return path


def test_files_go_into_the_run_under_their_usual_names(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(run_dir), "--format", "text,ctf"]) == 0
    assert {each.name for each in run_dir.iterdir()} == {"trace.txt", "ctf"}
    assert capsys.readouterr().out.splitlines() == [
        f"text       {run_dir / 'trace.txt'}",
        f"ctf        {run_dir / 'ctf'}",
    ]


def test_out_names_another_place(run_dir: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "my.txt"
    assert cli.main(["export", str(run_dir), "-f", "text", "-o", str(wanted)]) == 0
    assert wanted.read_text().startswith("# tracer: nop\n")
    assert not list(run_dir.iterdir())


def test_report_is_the_export_of_that_name(run_dir: Path) -> None:
    assert cli.main(["report", str(run_dir)]) == 0
    made = (run_dir / "report.html").read_bytes()
    assert cli.main(["export", str(run_dir), "--format", "report"]) == 0
    assert (run_dir / "report.html").read_bytes() == made


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "xml"], 'there is no format "xml"; valid: ctf, parquet, perfetto, report'),
        (["--format", "text,"], 'there is no format ""'),
        (["--format", "text,ctf", "--out", "x"], "--out names one file, but --format asks for 2"),
        ([], "required: -f/--format"),
    ],
)
def test_wrong_usage_is_told_and_nothing_written(
    arguments: list[str], told: str, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(run_dir), *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not list(run_dir.iterdir())


@pytest.mark.parametrize("command", [["export", "--format", "text"], ["report"]])
def test_a_directory_that_is_no_run_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, str(tmp_path)]) == 2
    assert f"{tmp_path}: is not the directory of a run that has ended" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_exit_code_6(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run_dir / "nowhere" / "x.txt"
    assert cli.main(["export", str(run_dir), "-f", "text", "-o", str(out)]) == 6
    assert str(out.parent) in capsys.readouterr().err


def test_the_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "--help"]) == 0
    shown = capsys.readouterr().out
    assert [name for name in FORMATS if name not in shown] == []
