# SPDX-License-Identifier: MIT
"""The sockets' directory: closed to others, gone afterwards, and careful with what is not its own."""

import fcntl
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.errors import StorageError
from orchestrator.machine import private_dir as module
from orchestrator.machine.private_dir import private_dir, remove_stale


@pytest.fixture(autouse=True)
def base(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("b")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    return path


def age(path: Path, *, s: float = 3600) -> None:
    """Makes a directory look as if nothing had happened in it for so long."""
    then = time.time() - s
    os.utime(path, (then, then))


def test_only_the_owner_can_enter_and_nothing_is_left(base: Path) -> None:
    with private_dir() as path:
        assert path.parent == base
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (path / "qmp.sock").touch()
    assert list(base.iterdir()) == []


def test_nothing_is_left_after_an_error(base: Path) -> None:
    with pytest.raises(RuntimeError), private_dir():
        raise RuntimeError
    assert list(base.iterdir()) == []


def test_a_killed_owner_leaves_a_directory_that_the_next_one_removes(base: Path) -> None:
    script = (
        "import os, signal, orchestrator.machine.private_dir as p\n"
        "with p.private_dir() as path:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    (stale,) = base.iterdir()
    age(stale)
    with private_dir() as path:
        assert list(base.iterdir()) == [path]


def test_a_living_owner_keeps_its_directory_however_old(base: Path) -> None:
    with private_dir() as path:
        age(path)
        remove_stale(base)
        assert path.is_dir()


def test_what_only_looks_similar_is_left_alone(base: Path) -> None:
    names = {
        "orchestrate-bench-1": 0o700,
        f"{module._PREFIX}open": 0o755,
        f"{module._PREFIX}full": 0o700,
    }
    for name, mode in names.items():
        (base / name).mkdir(mode=mode)
        (base / name / "precious").touch()
        (base / name).chmod(mode)
        age(base / name)
    remove_stale(base)
    assert {path.name for path in base.iterdir()} == set(names)


def test_one_in_the_making_is_left_alone(base: Path) -> None:
    """Between making the directory and taking the lock it looks abandoned."""
    young = base / f"{module._PREFIX}young"
    young.mkdir(mode=0o700)
    (young / "lock").touch()
    age(young, s=-3600)  # however long the host takes to come here
    remove_stale(base)
    assert young.is_dir()
    age(young)
    with (young / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_stale(base)
        assert young.is_dir()
    remove_stale(base)
    assert not young.exists()


def test_a_long_runtime_directory_is_passed_over(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path has 107 bytes."""
    long = base / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with private_dir() as path:
        assert path.parent != long
        assert len(str(path / "console-abcdefghijklmno.sock")) <= 107


def test_without_any_place_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_bases", list)
    with pytest.raises(StorageError, match="XDG_RUNTIME_DIR"), private_dir():
        pass
