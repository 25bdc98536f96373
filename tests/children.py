# SPDX-License-Identifier: MIT
"""Programs that tests start, and that are gone when the test has ended, however it ends."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pexpect


@contextmanager
def running(command: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program, with the options of `Popen`; it is killed if it still runs at the end.

    `Popen` itself would wait for it: a test that has failed would hang.
    """
    with subprocess.Popen([str(word) for word in command], **options) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(child: "pexpect.spawn[str]") -> None:
    """Ends a child on a terminal. Its own `close` gives up when that takes a fraction of a second."""
    if child.isalive():
        child.kill(signal.SIGKILL)
        child.wait()
    child.close()
