# SPDX-License-Identifier: MIT
"""What all formats share: equal bytes for equal timelines, and whole files or none."""

import importlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from timelines import dual_timeline, without_events

from orchestrator import export
from orchestrator.errors import StorageError
from orchestrator.export import text
from orchestrator.trace.timeline import Timeline


def content(path: Path) -> dict[str, bytes]:
    """A file's bytes, or those of all files of a folder."""
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {each.name: each.read_bytes() for each in files}


@pytest.mark.parametrize("name", export.FORMATS)
def test_equal_timelines_give_equal_bytes(name: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        export.write(dual_timeline(5), name, tmp_path / folder / "out")
    assert content(tmp_path / "a" / "out") == content(tmp_path / "b" / "out")


@pytest.mark.parametrize("name", export.FORMATS)
def test_different_timelines_give_different_bytes(name: str, tmp_path: Path) -> None:
    timeline = dual_timeline(5)
    later = replace(timeline, time_ns=timeline.time_ns + np.uint64(16))
    export.write(timeline, name, tmp_path / "a")
    export.write(later, name, tmp_path / "b")
    assert list(content(tmp_path / "a").values()) != list(content(tmp_path / "b").values())


@pytest.mark.parametrize("name", export.FORMATS)
def test_a_timeline_without_events_can_be_written(name: str, tmp_path: Path) -> None:
    export.write(without_events(dual_timeline(1)), name, tmp_path / "out")
    assert content(tmp_path / "out")


@pytest.mark.parametrize("name", export.FORMATS)
def test_an_earlier_export_is_replaced_and_nothing_else_left(name: str, tmp_path: Path) -> None:
    for ticks in (1, 2):
        export.write(dual_timeline(ticks), name, tmp_path / "out")
    export.write(dual_timeline(2), name, tmp_path / "fresh")
    assert content(tmp_path / "out").popitem()[1] == content(tmp_path / "fresh").popitem()[1]
    assert {each.name for each in tmp_path.iterdir()} == {"out", "fresh"}


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_timeline: Timeline, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    (tmp_path / "out").write_text("before")
    monkeypatch.setattr(text, "write", fails)
    with pytest.raises(StorageError, match="disk is full"):
        export.write(dual_timeline(1), "text", tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "before"


@pytest.mark.parametrize("name", export.FORMATS)
def test_an_interruption_leaves_what_was_there_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.write(dual_timeline(1), name, tmp_path / "out")
    before = content(tmp_path / "out")
    writer = importlib.import_module(f"orchestrator.export.{export.FORMATS[name].module}")
    real = writer.write

    def interrupted(timeline: Timeline, path: Path) -> None:
        real(timeline, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export.write(dual_timeline(2), name, tmp_path / "out")
    assert content(tmp_path / "out") == before
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x")
    with pytest.raises(StorageError, match="holds something else"):
        export.write(dual_timeline(1), "text", tmp_path / "home")
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere/out: there is no folder .*/nowhere"):
        export.write(dual_timeline(1), "text", tmp_path / "nowhere" / "out")


def test_what_needs_something_that_is_not_here_is_not_available(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert export.available() == tuple(export.FORMATS)
    for need in ("no_such_module_at_all", "/no/such/file"):
        other = replace(export.FORMATS["text"], needs=need)
        monkeypatch.setattr(export, "FORMATS", {**export.FORMATS, "text": other})
        assert "text" not in export.available()
        assert "ctf" in export.available()


@pytest.mark.parametrize("name", ["text", "parquet"])
def test_a_pipe_is_written_into_and_not_replaced(name: str, tmp_path: Path) -> None:
    """So are devices: an export to /dev/null must leave the machine its /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as threads:
        read = threads.submit(pipe.read_bytes)
        export.write(dual_timeline(2), name, pipe)
        found = read.result(timeout=400)
    assert pipe.is_fifo()
    export.write(dual_timeline(2), name, tmp_path / "file")
    assert found == (tmp_path / "file").read_bytes()


def test_what_a_link_leads_to_is_replaced_and_not_the_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "out")
    for _ in range(2):
        export.write(dual_timeline(1), "text", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "out").is_file()


def test_a_folder_does_not_go_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match=r"file: is a file, but ctf is a folder"):
        export.write(dual_timeline(1), "ctf", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
