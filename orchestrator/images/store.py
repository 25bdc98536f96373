# SPDX-License-Identifier: MIT
"""The cache of everything that is downloaded or made once.

An entry is a directory named by a key of two parts, ``kind/name``. It is either there as a whole
or not at all: its files are written into a directory of another name, flushed to disk, and the
directory is renamed at the end. Whoever is killed half-way leaves only a temporary directory,
which the next process that makes this entry, or cleans, removes.

Beside the entries of a kind lie locks: ``.lock-NAME`` is held by who makes or removes that entry,
which may take long, ``.lock`` by who looks which entries are the newest, which does not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.errors import StorageError

_TEMPORARY_PREFIX: Final = ".part-"
_TEMPORARY_END: Final = "~"
_LOCK_PREFIX: Final = ".lock-"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing in the store: its key, where it lies, and how much disk it takes."""

    key: str
    path: Path
    size_bytes: int


def default_root() -> Path:
    """`$XDG_CACHE_HOME/orchestrate`, by default `~/.cache/orchestrate`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative values ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "orchestrate"


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turns an `OSError` inside into a `StorageError` that says what was tried."""
    try:
        yield
    except OSError as error:
        advice = "; free some space" if error.errno == errno.ENOSPC else ""
        place = f" ({error.filename})" if error.filename else ""
        raise StorageError(f"{what}: {error.strerror or error}{place}{advice}") from error


class Store:
    """A cache directory that several processes may use at once.

    Args:
        root: The directory; made when something is first put into it.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else default_root()

    def entry(self, key: str, fill: Callable[[Path], None], *, keep: int | None = None) -> Path:
        """Returns the directory of an entry, made by `fill` if it is not there yet.

        While one process fills an entry, others that ask for it wait. `fill` may ask for other
        entries.

        Args:
            key: ``kind/name``, each a plain file name.
            fill: Called with an empty directory; what it leaves there becomes the entry.
            keep: So many entries of the kind stay, those that were asked for last, with `keep`;
                None: all.

        Raises:
            StorageError: The store cannot be written. The entry is not there.
            Exception: Whatever `fill` raises. The entry is not there.
        """
        final = self._place(key)
        if keep is None and final.is_dir():
            return final
        with storage_errors(f"cannot store {key} in {self.root}"):
            final.parent.mkdir(parents=True, exist_ok=True)
            while True:
                with _locked(_lock_of(final)):
                    if not final.is_dir():
                        _make(final, fill)
                if keep is None:
                    return final
                with suppress(FileNotFoundError):  # removed before it could be said that it is used
                    _keep_newest(final.parent, keep, used=final)
                    return final

    def list(self) -> tuple[Entry, ...]:
        """All entries, sorted by key. Files that others left in the store are not shown."""
        entries = []
        with storage_errors(f"cannot list {self.root}"):
            for path in sorted(self.root.glob("*/*")):
                if path.is_dir() and not path.name.startswith("."):
                    size = sum(f.lstat().st_size for f in path.rglob("*") if not f.is_dir())
                    key = f"{path.parent.name}/{path.name}"
                    entries.append(Entry(key=key, path=path, size_bytes=size))
        return tuple(entries)

    def clean(self) -> int:
        """Removes every entry and what killed processes left. Returns the bytes freed."""
        freed = sum(entry.size_bytes for entry in self.list())
        with storage_errors(f"cannot clean {self.root}"):
            for kind_dir in sorted(path for path in self.root.glob("*") if path.is_dir()):
                for name in sorted(_names(kind_dir)):
                    with _locked(_lock_of(kind_dir / name), last=True):
                        _remove(kind_dir / name)
        return freed

    def _place(self, key: str) -> Path:
        parts = key.split("/")
        if len(parts) != 2 or any(not part or part.startswith(".") for part in parts):  # noqa: PLR2004
            raise ValueError(f"store key {key!r}: must be kind/name")
        return self.root.joinpath(*parts)


def _make(final: Path, fill: Callable[[Path], None]) -> None:
    """Makes an entry. The caller holds its lock."""
    _remove_leftovers(final)
    making = Path(tempfile.mkdtemp(prefix=_temporary(final.name), dir=final.parent))
    try:
        fill(making)
        making.chmod(0o755)
        _flush(making)
        making.rename(final)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _keep_newest(kind_dir: Path, count: int, *, used: Path) -> None:
    """Removes entries beyond a number, those first that were not used for longest.

    Raises:
        FileNotFoundError: Somebody else has removed the one that is used now.
    """
    with _locked(kind_dir / ".lock"):
        os.utime(used)
        entries = [path for path in kind_dir.iterdir() if path.is_dir()]
        entries = [path for path in entries if not path.name.startswith(".")]
        entries.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for entry in entries[count:]:
            with suppress(BlockingIOError), _locked(_lock_of(entry), last=True, wait=False):
                _remove(entry)


def _remove(entry: Path) -> None:
    """Removes an entry, if it is there, and what is left of it. The caller holds its lock."""
    if entry.is_dir():
        # Renamed first, so that nobody finds half an entry.
        entry.rename(entry.with_name(f"{_temporary(entry.name)}removed"))
    _remove_leftovers(entry)


def _remove_leftovers(entry: Path) -> None:
    """Removes what killed processes left. The caller holds the lock, so nobody still writes it."""
    for leftover in entry.parent.iterdir():
        if leftover.name.startswith(_temporary(entry.name)):
            shutil.rmtree(leftover, ignore_errors=True)


def _temporary(name: str) -> str:
    return f"{_TEMPORARY_PREFIX}{name}{_TEMPORARY_END}"


def _names(kind_dir: Path) -> set[str]:
    """Of all entries that are there, are made, or were."""
    found = set()
    for path in kind_dir.iterdir():
        if path.name.startswith(_LOCK_PREFIX):
            found.add(path.name.removeprefix(_LOCK_PREFIX))
        elif path.name.startswith(_TEMPORARY_PREFIX):
            found.add(path.name.removeprefix(_TEMPORARY_PREFIX).rpartition(_TEMPORARY_END)[0])
        elif path.is_dir() and not path.name.startswith("."):
            found.add(path.name)
    return found - {""}


def _lock_of(entry: Path) -> Path:
    return entry.with_name(f"{_LOCK_PREFIX}{entry.name}")


@contextmanager
def _locked(path: Path, *, last: bool = False, wait: bool = True) -> Iterator[None]:
    """Holds a lock.

    Args:
        path: Its file.
        last: Remove the file afterwards: what it is the lock of is gone.
        wait: Until others let go of it.

    Raises:
        BlockingIOError: Somebody has it, and `wait` is not wanted.
    """
    while True:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if not _is_at(path, lock.fileno()):
                continue  # its last owner has removed it meanwhile
            try:
                yield
            finally:
                if last:
                    path.unlink()
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _flush(directory: Path) -> None:
    """Has every file on disk before the rename makes it visible."""
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                with suppress(OSError):  # some file systems have no fsync; the rename still counts
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
