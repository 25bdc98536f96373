# SPDX-License-Identifier: MIT
"""What signals do to programs, and to what they leave: no traceback, nothing half made, no old file lost."""

import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import rundir
from orchestrator.bench import loop
from orchestrator.bench.printed import exit_code
from orchestrator.errors import CheckFailed, Interrupted, MissingToolError, StorageError
from orchestrator.signals import Signals

ROOT = Path(__file__).parents[2]
CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_measurement_that_is_interrupted_tidies_up_and_says_so(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    places = []

    def measure() -> int:
        with tempfile.TemporaryDirectory() as name:
            places.append(Path(name))
            signal.raise_signal(number)
        return 0

    before = signal.getsignal(number)
    assert exit_code(measure, ends_process=False) == code
    assert capsys.readouterr().err == "orchestrate: interrupted\n"
    assert not places[0].exists()
    assert signal.getsignal(number) is before


def test_what_fails_in_a_measurement_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for error, code, told in (
        (CheckFailed("no", details=["why"]), 1, "orchestrate: error: no\nwhy\n"),
        (Interrupted("by SIGTERM", signal_number=15), 143, "orchestrate: by SIGTERM\n"),
    ):

        def measure(error: Exception = error) -> int:
            raise error

        assert exit_code(measure, ends_process=False) == code
        assert capsys.readouterr().err == told


def test_a_failure_that_a_library_has_made_of_a_signal_is_told_from_others() -> None:
    def made_of(cause: Exception) -> Exception:
        error = MissingToolError("install it")
        error.__cause__ = cause
        return error

    of_a_signal = [ImportError("no datetime"), made_of(ImportError()), RuntimeError("panic")]
    others = [StorageError("disk is full"), OSError(28, "full"), made_of(OSError())]
    with Signals(ends_process=False) as none:
        assert not any(none.caused(each) for each in (*of_a_signal, *others))
    with Signals(ends_process=False) as one, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert all(one.caused(each) for each in of_a_signal)
    assert not any(one.caused(each) for each in others)


@pytest.mark.parametrize(("number", "code"), CODES)
def test_work_in_an_event_loop_is_cancelled_and_its_tidying_up_may_wait(
    number: signal.Signals, code: int
) -> None:
    done = []

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            done.append("other cancelled")
            raise

    async def work() -> int:
        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        try:
            signal.raise_signal(number)
            signal.raise_signal(number)  # an impatient user changes nothing
            await asyncio.Event().wait()
            return 0
        finally:
            await asyncio.sleep(0)
            done.append("tidied up")
            task.cancel()

    assert exit_code(lambda: loop.run(work()), ends_process=False) == code
    assert done == ["tidied up", "other cancelled"]


def test_work_in_an_event_loop_that_nobody_interrupts_gives_its_result() -> None:
    before = [signal.getsignal(number) for number, _ in CODES]

    async def work() -> int:
        return 7

    assert loop.run(work()) == 7
    assert [signal.getsignal(number) for number, _ in CODES] == before


@pytest.mark.parametrize("program", ["costs.py", "probes.py", "study/__main__.py"])
def test_ctrl_c_while_a_measurement_is_loaded_shows_no_traceback(
    program: str, tmp_path: Path
) -> None:
    """A stand-in for the first module that it loads shows the moment."""
    place = tmp_path / "orchestrator" / "bench" / program
    place.parent.mkdir(parents=True)
    shutil.copy(ROOT / "orchestrator" / "bench" / program, place)
    for folder in {place.parent, tmp_path / "orchestrator" / "bench", tmp_path / "orchestrator"}:
        (folder / "__init__.py").touch()
    (tmp_path / "orchestrator" / "config.py").write_text(
        "import time; print(flush=True); time.sleep(400)"
    )
    name = program.removesuffix("/__main__.py").removesuffix(".py")
    with subprocess.Popen(
        [sys.executable, "-m", f"orchestrator.bench.{name}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"\n"
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=400)
        finally:
            process.kill()
    assert (process.returncode, told) == (-signal.SIGINT, b"")


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, count: int) -> None:
    """Has a method of `Path` interrupted at its call of that number."""
    real: Callable[..., Path] = getattr(Path, name)
    calls = []

    def method(path: Path, *args: object) -> Path:
        calls.append(path)
        if len(calls) == count:
            raise KeyboardInterrupt
        return real(path, *args)

    monkeypatch.setattr(Path, name, method)


@pytest.mark.parametrize("count", [1, 2])
def test_a_folder_that_is_being_replaced_is_never_without_content(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("made", "final"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    fail_at(monkeypatch, "rename", count)
    with pytest.raises(KeyboardInterrupt):
        rundir.swap_in(tmp_path / "made", tmp_path / "final", tmp_path / "old")
    assert (tmp_path / "final" / "content").read_text() == "final"
    rundir.swap_in(tmp_path / "made", tmp_path / "final", tmp_path / "old")
    assert (tmp_path / "final" / "content").read_text() == "made"


@pytest.mark.parametrize("name", ["chmod", "replace"])
def test_a_file_whose_writing_is_interrupted_is_the_old_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("old")
    fail_at(monkeypatch, name, 1)
    with pytest.raises(KeyboardInterrupt):
        rundir.write_atomically(tmp_path / "file", b"new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "old")]
