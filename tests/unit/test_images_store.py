# SPDX-License-Identifier: MIT
"""The store: an entry is there as a whole or not at all."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from children import running

from orchestrator.errors import StorageError
from orchestrator.images.store import Store, default_root


def put(text: str) -> Callable[[Path], None]:
    def fill(directory: Path) -> None:
        (directory / "file").write_text(text)

    return fill


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "store")
    first = store.entry("kind/name", put("one"))
    second = store.entry("kind/name", put("two"))
    assert first == second
    assert (second / "file").read_text() == "one"


def test_a_failed_fill_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fill(directory: Path) -> None:
        (directory / "half").write_text("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        store.entry("kind/name", fill)
    assert store.list() == ()
    assert [p.name for p in (tmp_path / "kind").iterdir()] == [".lock-name"]


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    def fill(directory: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory / "big"))

    with pytest.raises(StorageError, match=r"No space left.*free some space"):
        Store(tmp_path).entry("kind/name", fill)


def test_a_root_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot store kind/name"):
        Store(tmp_path / "file").entry("kind/name", put(""))


FILL_AND_HANG = """
import pathlib, sys, time
from orchestrator.images.store import Store
def fill(directory):
    (directory / "half").write_text("x")
    print("started", flush=True)
    time.sleep(1000)
Store(pathlib.Path(sys.argv[1])).entry("kind/name", fill)
"""


def test_a_killed_process_leaves_no_entry_and_no_lock(tmp_path: Path) -> None:
    """After SIGKILL in the middle of fill, the next process makes the entry afresh."""
    command = [sys.executable, "-c", FILL_AND_HANG, str(tmp_path)]
    with running(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        process.kill()
    store = Store(tmp_path)
    assert store.list() == ()
    entry = store.entry("kind/name", put("whole"))
    assert [p.name for p in entry.iterdir()] == ["file"]
    assert sorted(p.name for p in (tmp_path / "kind").iterdir()) == [".lock-name", "name"]


def test_threads_that_ask_at_once_make_one_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = []

    def fill(directory: Path) -> None:
        made.append(directory)
        time.sleep(0.05)
        (directory / "file").write_text("whole")

    seen = []
    threads = [
        threading.Thread(
            target=lambda: seen.append((store.entry("kind/name", fill) / "file").read_text())
        )
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert seen == ["whole"] * 5


def test_list_and_clean(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.entry("b/two", put("12"))
    store.entry("a/one", put("1"))
    assert [(e.key, e.size_bytes) for e in store.list()] == [("a/one", 1), ("b/two", 2)]
    assert store.clean() == 3
    assert store.list() == ()
    assert (store.entry("a/one", put("again")) / "file").read_text() == "again"


def test_an_empty_store_lists_and_cleans_as_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "absent")
    assert store.list() == ()
    assert store.clean() == 0


@pytest.mark.parametrize("key", ["one", "a/b/c", "../x", "a/.hidden", "/a", "a/"])
def test_a_key_is_two_plain_names(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="kind/name"):
        Store(tmp_path).entry(key, put(""))


def test_default_root_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_root() == Path("/cache/orchestrate")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_root() == tmp_path / ".cache/orchestrate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == tmp_path / ".cache/orchestrate"


def test_entries_of_one_kind_are_made_at_once(tmp_path: Path) -> None:
    """Each waits for the other to have begun: one after the other they would never end."""
    store = Store(tmp_path)
    both = threading.Barrier(2)

    def make(name: str) -> None:
        store.entry(f"kind/{name}", lambda _: (both.wait(400), None)[1], keep=5)

    threads = [threading.Thread(target=make, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.key for entry in store.list()] == ["kind/a", "kind/b"]


def test_clean_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILL_AND_HANG, str(tmp_path)]
    with running(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        process.kill()
    assert list((tmp_path / "kind").glob(".part-*"))
    Store(tmp_path).clean()
    assert list((tmp_path / "kind").iterdir()) == []


def test_the_newest_of_a_kind_are_kept(tmp_path: Path) -> None:
    """Newest is what was used last, not what was made last; other kinds are left alone."""
    store = Store(tmp_path)
    made = [store.entry(f"kind/{name}", lambda _: None) for name in "abc"]
    other = store.entry("other/x", lambda _: None)
    for age, path in enumerate(reversed(made)):
        os.utime(path, (1000 - age, 1000 - age))
    assert store.entry("kind/a", lambda _: None, keep=2) == made[0]
    assert [entry.key for entry in store.list()] == ["kind/a", "kind/c", "other/x"]
    assert other.is_dir()


def test_an_entry_that_is_being_made_is_not_removed_for_a_newer_one(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fill(directory: Path) -> None:
        for name in "abc":
            store.entry(f"kind/{name}", put(name), keep=1)
        (directory / "file").write_text("whole")

    entry = store.entry("kind/long", fill, keep=1)
    assert (entry / "file").read_text() == "whole"
    assert [each.key for each in store.list()] == ["kind/long"]
