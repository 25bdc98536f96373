# SPDX-License-Identifier: MIT
"""The cache of everything that is downloaded or made once.

An entry is a directory named by a key of two parts, ``kind/name``. It is either there as a whole
or not at all: its files are written into a directory of another name, flushed to disk, and the
directory is renamed at the end. Whoever is killed half-way leaves only a temporary directory,
which the next process that makes an entry of that kind removes.
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

_TEMPORARY_PREFIX: Final = ".making-"


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

    def entry(self, key: str, fill: Callable[[Path], None]) -> Path:
        """Returns the directory of an entry, made by `fill` if it is not there yet.

        While one process fills an entry, others that ask for the same kind wait. `fill` may ask
        for entries of other kinds, not of its own.

        Args:
            key: ``kind/name``, each a plain file name.
            fill: Called with an empty directory; what it leaves there becomes the entry.

        Raises:
            StorageError: The store cannot be written. The entry is not there.
            Exception: Whatever `fill` raises. The entry is not there.
        """
        final = self._place(key)
        if final.is_dir():
            return final
        with storage_errors(f"cannot store {key} in {self.root}"):
            kind_dir = final.parent
            kind_dir.mkdir(parents=True, exist_ok=True)
            with self._locked(kind_dir):
                if final.is_dir():
                    return final
                _remove_leftovers(kind_dir)
                making = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=kind_dir))
                try:
                    fill(making)
                    making.chmod(0o755)
                    _flush(making)
                    making.rename(final)
                except BaseException:
                    shutil.rmtree(making, ignore_errors=True)
                    raise
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

    def keep_newest(self, kind: str, count: int, *, used: Path) -> None:
        """Removes entries of a kind beyond a number, those first that were not used for longest.

        Args:
            kind: First part of their keys.
            count: How many stay.
            used: The entry that is used now.

        Raises:
            StorageError: The store cannot be written.
        """
        with storage_errors(f"cannot clean {self.root}"):
            os.utime(used)
            kind_dir = self.root / kind
            with self._locked(kind_dir):
                entries = [path for path in kind_dir.iterdir() if path.is_dir()]
                entries.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
                for entry in entries[count:]:
                    self._remove(entry)

    def clean(self) -> int:
        """Removes every entry and what killed processes left. Returns the bytes freed."""
        freed = sum(entry.size_bytes for entry in self.list())
        with storage_errors(f"cannot clean {self.root}"):
            for kind_dir in sorted(path for path in self.root.glob("*") if path.is_dir()):
                with self._locked(kind_dir):
                    _remove_leftovers(kind_dir)
                    for entry in kind_dir.iterdir():
                        if entry.is_dir():
                            self._remove(entry)
        return freed

    @staticmethod
    def _remove(entry: Path) -> None:
        # Renamed first, so that nobody finds half an entry.
        doomed = entry.with_name(f"{_TEMPORARY_PREFIX}{entry.name}")
        entry.rename(doomed)
        shutil.rmtree(doomed)

    def _place(self, key: str) -> Path:
        parts = key.split("/")
        if len(parts) != 2 or any(not part or part.startswith(".") for part in parts):  # noqa: PLR2004
            raise ValueError(f"store key {key!r}: must be kind/name")
        return self.root.joinpath(*parts)

    @contextmanager
    def _locked(self, kind_dir: Path) -> Iterator[None]:
        with (kind_dir / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _remove_leftovers(kind_dir: Path) -> None:
    """Removes what a killed process left. The caller holds the lock, so nobody still writes it."""
    for leftover in kind_dir.glob(f"{_TEMPORARY_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)


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
