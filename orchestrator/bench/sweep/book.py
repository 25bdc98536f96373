# SPDX-License-Identifier: MIT
"""Which jobs of a sweep are done and what they found: one SQLite file, one row a job.

A job's row changes once, in one transaction, when its outcome is there: whoever is killed leaves a
book in which each job is either done or not. Jobs of an earlier state of the sweep's file, or of
earlier images, keep their rows; they are found again when their inputs come back.
"""

import contextlib
import fcntl
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from orchestrator.bench.sweep.job import Outcome, Task
from orchestrator.errors import StorageError, UsageError

NAME: Final = "sweep.sqlite"
_FORMAT: Final = 1
_BUSY_S: Final = 30.0
_SCHEMA: Final = """
CREATE TABLE job (
    key     TEXT PRIMARY KEY,
    place   INTEGER,            -- in the sweep as it is now; NULL: not part of it
    point   TEXT NOT NULL,      -- JSON: the parameters' values
    bench   TEXT NOT NULL,
    variant TEXT NOT NULL,
    repeat  INTEGER NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'failed')),
    result  TEXT,               -- JSON of a BenchResult
    error   TEXT NOT NULL DEFAULT '',
    host_s  REAL
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A job of the sweep as it is now.

    Attributes:
        key: Of its task.
        point: The parameters' values.
        bench: Name of the benchmark.
        variant: How it is observed.
        repeat: Counts from 0.
        state: "waiting", "done" or "failed".
        result: Of a job that is done: a `BenchResult` as tables.
        error: Of one that failed: why.
        host_s: Host seconds; None: it has not run.
    """

    key: str
    point: dict[str, Any]
    bench: str
    variant: str
    repeat: int
    state: str
    result: dict[str, Any] | None
    error: str
    host_s: float | None


class Book:
    """The book of one sweep. Made by `open_book`.

    Args:
        connection: To its file.
        path: The file.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def plan(self, tasks: Sequence[Task]) -> list[Task]:
        """Makes the sweep consist of these jobs.

        Returns:
            Those that are still to be run: never done, or failed.

        Raises:
            StorageError: The file cannot be written; nothing was changed.
        """
        with self._writing():
            self._connection.execute("UPDATE job SET place = NULL")
            self._connection.executemany(
                "INSERT INTO job (key, place, point, bench, variant, repeat, state) "
                "VALUES (?, ?, ?, ?, ?, ?, 'waiting') "
                "ON CONFLICT (key) DO UPDATE SET place = excluded.place",
                (
                    (
                        each.key,
                        place,
                        json.dumps(dict(each.job.point), default=str),
                        each.job.bench,
                        each.job.variant,
                        each.job.repeat,
                    )
                    for place, each in enumerate(tasks)
                ),
            )
        done = {row.key for row in self.rows() if row.state == "done"}
        return [each for each in tasks if each.key not in done]

    def record(self, outcome: Outcome) -> None:
        """Notes what became of a job.

        Raises:
            StorageError: The file cannot be written; the job counts as not run.
        """
        state = "failed" if outcome.result is None else "done"
        with self._writing():
            self._connection.execute(
                "UPDATE job SET state = ?, result = ?, error = ?, host_s = ? WHERE key = ?",
                (state, outcome.result, outcome.error, outcome.host_s, outcome.key),
            )

    def rows(self) -> list[Row]:
        """All jobs of the sweep as it is now, in its order.

        Raises:
            StorageError: The file cannot be read.
        """
        with _errors(self._path):
            found = self._connection.execute(
                "SELECT key, point, bench, variant, repeat, state, result, error, host_s "
                "FROM job WHERE place IS NOT NULL ORDER BY place"
            ).fetchall()
        return [
            Row(
                key=key,
                point=json.loads(point),
                bench=bench,
                variant=variant,
                repeat=repeat,
                state=state,
                result=None if result is None else json.loads(result),
                error=error,
                host_s=host_s,
            )
            for key, point, bench, variant, repeat, state, result, error, host_s in found
        ]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _errors(self._path), self._connection:
            yield


@contextmanager
def open_book(folder: Path, *, make: bool = False) -> Iterator[Book]:
    """Opens the book in a sweep's folder.

    Args:
        folder: The folder.
        make: Make folder and book if they are not there, and keep every other sweep out of it.

    Raises:
        UsageError: There is no book, or another sweep is at work there.
        StorageError: It cannot be read or written, or is of another version.
    """
    path = folder / NAME
    with contextlib.ExitStack() as stack:
        if make:
            stack.enter_context(_alone(folder))
        elif not path.exists():
            raise UsageError(f"{folder}: holds no {NAME}; name the folder of a sweep")
        with _errors(path):
            connection = sqlite3.connect(path, timeout=_BUSY_S)
            # Readers do not stop the writer, and what is committed survives a crash.
            connection.execute("PRAGMA journal_mode = WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0 and make:
                with connection:
                    connection.execute(_SCHEMA)
                    connection.execute(f"PRAGMA user_version = {_FORMAT}")
            elif version != _FORMAT:
                connection.close()
                raise StorageError(
                    f"{path}: is of format {version}; this orchestrate reads {_FORMAT}"
                )
        yield stack.enter_context(Book(connection, path))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: a sweep is at work there already") from None
        yield


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from error
