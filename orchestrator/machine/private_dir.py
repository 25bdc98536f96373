# SPDX-License-Identifier: MIT
"""The directory that holds a run's sockets: short, readable by its owner only, never left over.

Its owner holds a lock on a file inside. A process that was killed loses the lock, and the next run
removes what it left behind.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orchestrator.errors import StorageError

_PREFIX: Final = "orchestrate-sock-"
_LOCK: Final = "lock"
_YOUNG_S: Final = 60.0
"""Its owner takes the lock at once, but a busy host may hold that up."""
_SUN_PATH_BYTES: Final = 107
_LONGEST_NAME_BYTES: Final = len("console-hypervisor-123456.sock")


def _bases() -> list[Path]:
    """Where such a directory may lie, the best place first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [Path(runtime)] if runtime else []
    places += [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108 - made by mkdtemp, 0700
    return [place for place in places if place.is_dir() and os.access(place, os.W_OK)]


@contextlib.contextmanager
def private_dir() -> Iterator[Path]:
    """Makes the directory, after removing those of runs that were killed; removes it at the end.

    Raises:
        StorageError: It cannot be made; nothing was.
    """
    bases = _bases()
    for base in dict.fromkeys(bases):
        remove_stale(base)
    fitting = [base for base in bases if _fits(base)]
    if not fitting:
        raise StorageError("no directory with a short path for sockets: set XDG_RUNTIME_DIR")
    try:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=fitting[0]))
    except OSError as error:
        raise StorageError(f"{fitting[0]}: no directory for sockets: {error.strerror}") from error
    try:
        with (path / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield path
    except OSError as error:
        if error.filename != str(path / _LOCK):
            raise
        raise StorageError(f"{path}: {error.strerror}") from error
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _fits(base: Path) -> bool:
    length = len(os.fsencode(base)) + len(f"/{_PREFIX}12345678/") + _LONGEST_NAME_BYTES
    return length <= _SUN_PATH_BYTES


def remove_stale(base: Path) -> None:
    """Removes this user's directories below base whose owner is gone.

    Only what looks exactly like one is touched: the prefix, a directory of this user that nobody
    else may enter, and in it a lock file that nobody holds, or nothing at all.
    """
    for path in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            private = stat.S_IMODE(status.st_mode) == stat.S_IRWXU
            # A young one may be in the making: its owner is about to take the lock.
            old = time.time() - status.st_mtime > _YOUNG_S
            if ours and private and old and _is_abandoned(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    try:
        with (path / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return not any(path.iterdir())
    except BlockingIOError:
        return False
    return True
