# SPDX-License-Identifier: MIT
"""Building the C parts: make decides what is stale; a missing tool is named with its package."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from orchestrator.errors import MachineError, MissingToolError
from orchestrator.images import sources

MAKEFILE = "$(O)/artefact: input\n\tcp $< $@\n"


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A part called `sample` in a source tree of its own; returns its directory."""
    directory = tmp_path / "images/sample"
    directory.mkdir(parents=True)
    (directory / "Makefile").write_text(MAKEFILE)
    (directory / "input").write_text("1")
    made = sources.Part(
        directory="images/sample", artefact="artefact", tools=(("cp", "coreutils"),)
    )
    monkeypatch.setattr(sources, "PARTS", {"sample": made})
    monkeypatch.setattr(sources, "root", lambda: tmp_path)
    return directory


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_part_is_built_once_and_again_when_stale(part: Path) -> None:
    artefact = sources.build("sample")
    assert artefact.read_text() == "1"
    first_ns = artefact.stat().st_mtime_ns
    assert sources.build("sample").stat().st_mtime_ns == first_ns
    (part / "input").write_text("2")
    assert sources.build("sample").read_text() == "2"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_sources_that_do_not_compile_show_makes_last_lines(part: Path) -> None:
    (part / "Makefile").write_text("$(O)/artefact:\n\t@echo input.c:3: no >&2; false\n")
    with pytest.raises(MachineError, match="images/sample does not compile") as caught:
        sources.build("sample")
    assert "input.c:3: no" in caught.value.details


@pytest.mark.usefixtures("part")
def test_a_missing_tool_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"make is not on this machine; .* package make"):
        sources.build("sample")
    (tmp_path / "make").write_text("")
    (tmp_path / "make").chmod(0o755)
    with pytest.raises(MissingToolError, match=r"cp is not on this machine; .* package coreutils"):
        sources.build("sample")


def test_every_part_has_a_makefile() -> None:
    for part in sources.PARTS.values():
        assert (sources.root() / part.directory / "Makefile").is_file()


def test_who_interrupts_a_build_leaves_nothing_half_made(part: Path) -> None:
    """A file that is cut off, and newer than its sources, would never be made again."""
    (part / "Makefile").write_text("$(O)/artefact: input\n\techo half >$@; exec sleep 60\n")
    artefact = part.parents[1] / "build" / "sample" / "artefact"
    ended = threading.Event()

    def interrupt() -> None:
        while not ended.wait(0.02):
            if artefact.exists():
                os.kill(os.getpid(), signal.SIGUSR1)
                return

    def handle(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            sources.build("sample")
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert not artefact.exists()
