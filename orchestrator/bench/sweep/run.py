# SPDX-License-Identifier: MIT
"""Works off a sweep's jobs through an executor: processes on this machine, or a Dask cluster.

The results do not depend on which executor it is, on how many jobs it runs at once, or in which
order they end. To add a kind of executor: a context manager that yields a
`concurrent.futures.Executor`.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Final, cast

from orchestrator.bench.sweep.book import Book
from orchestrator.bench.sweep.job import Outcome, Task, run_task
from orchestrator.errors import MachineError, MissingToolError

_WORKER_DEATHS: Final = 3
"""How often in a row, without a job done between, worker processes may die."""
_CONNECT_S: Final = 30.0
_WIND_UP_S: Final = 5.0
_WIND_UP_LIMIT_S: Final = 60.0
_WIND_UP_LOOK_S: Final = 1.0

MakeExecutor = Callable[[], AbstractContextManager[Executor]]


def run(
    book: Book,
    tasks: Sequence[Task],
    make_executor: MakeExecutor,
    on_done: Callable[[Outcome], object],
) -> None:
    """Runs jobs and books each as soon as it is done.

    Args:
        book: Where outcomes go.
        tasks: What is to be run.
        make_executor: Where it runs.
        on_done: Called after each job was booked.

    Raises:
        MachineError: Workers die again and again. What was done is booked.
        StorageError: The book cannot be written. What it has is whole.
    """
    left = {each.key: each for each in tasks}
    deaths = 0
    while left:
        before = len(left)
        try:
            with make_executor() as executor:
                for future in as_completed([executor.submit(run_task, t) for t in left.values()]):
                    outcome = future.result()
                    book.record(outcome)
                    del left[outcome.key]
                    on_done(outcome)
        except BrokenProcessPool as error:
            deaths = deaths + 1 if len(left) == before else 1
            if deaths == _WORKER_DEATHS:
                raise MachineError(
                    f"a worker process died {deaths} times in a row; is there enough memory?"
                ) from error


def processes(count: int) -> MakeExecutor:
    """An executor with `count` processes on this machine."""

    @contextmanager
    def make() -> Iterator[Executor]:
        # Fresh interpreters: nothing that this process has open is inherited.
        context = multiprocessing.get_context("spawn")
        try:
            executor = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker)
        except OSError as error:
            # The names of POSIX semaphores are files there.
            raise MachineError(
                f"no worker processes: {error.strerror}; may you write to /dev/shm?"
            ) from error
        try:
            yield executor
        except BaseException:
            # The jobs that run end as after Ctrl-C: QEMU stopped, run directory removed.
            executor.shutdown(wait=False, cancel_futures=True)
            _end(multiprocessing.active_children())
            raise
        finally:
            executor.shutdown()

    return make


def _end(workers: Sequence[BaseProcess]) -> None:
    """Has workers wind up their jobs, and returns when they are gone: others may come then."""
    left = {each.sentinel: each for each in workers}
    deadline = time.monotonic() + _WIND_UP_LIMIT_S
    while left:
        late = time.monotonic() > deadline
        for worker in left.values():
            # More than once: a job at its very end takes no notice, and its worker waits for another.
            (worker.kill if late else worker.terminate)()
        for sentinel in wait([*left], _WIND_UP_LOOK_S):
            left.pop(cast("int", sentinel), None)


def _begin_worker() -> None:
    """A worker leaves interruptions to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # a job that runs is wound up, and then waits for more
        time.sleep(_WIND_UP_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _leave(number: int, _frame: object) -> None:
    """Between a job's run and its worker's end there is something to be tidied up, too."""
    raise SystemExit(128 + number)


def dask(address: str) -> MakeExecutor:
    """The executor of a Dask cluster, whose scheduler has this address.

    Dask itself gives a job whose worker has died to another worker.
    """

    @contextmanager
    def make() -> Iterator[Executor]:
        try:
            from distributed import Client  # noqa: PLC0415 - an extra that few need
        except ImportError as error:
            raise MissingToolError(
                "--scheduler needs Dask: pip install 'orchestrator[dask]'"
            ) from error
        try:
            client = Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise MachineError(f"--scheduler {address}: {error}") from error
        with client:
            executor: Executor = client.get_executor(pure=False)  # type: ignore[no-untyped-call]
            try:
                yield executor
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise

    return make
