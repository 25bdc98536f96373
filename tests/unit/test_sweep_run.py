# SPDX-License-Identifier: MIT
"""The executors of a sweep."""

import multiprocessing.synchronize

import pytest

from orchestrator.bench.sweep import run
from orchestrator.errors import MachineError


def test_a_machine_without_shared_memory_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says of a semaphore that it may not make names no file."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", refuse)
    with pytest.raises(MachineError, match=r"Permission denied.*/dev/shm"), run.processes(2)():
        pass
