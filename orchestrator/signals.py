# SPDX-License-Identifier: MIT
"""What Ctrl-C, SIGTERM and SIGHUP do to a program of this package: unwind it, and say so at its end.

While a run is made, `orchestrator.interruptions` has the signals.
"""

import signal
import sys
from types import FrameType
from typing import Any, Final, Self

from orchestrator.errors import OrchestrateError

NUMBERS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _SignalledError(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP: unwinds everything."""


class Signals:
    """Ctrl-C, SIGTERM and SIGHUP: the first unwinds everything, those after it change nothing.

    Args:
        ends_process: Nothing comes after this but the interpreter's end, which no signal of an
            impatient user may give another exit code.

    Attributes:
        received: The first signal's number; 0: none came.
    """

    def __init__(self, *, ends_process: bool) -> None:
        self.received = 0
        self._ends_process = ends_process
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """The end is near and short: signals are ignored from here on."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def told(self) -> int:
        """Tells the user that this is the end. Returns the exit code."""
        self.hold()
        sys.stderr.write("orchestrate: interrupted\n")
        return 128 + (self.received or signal.SIGINT)

    def caused(self, error: Exception) -> bool:
        """Whether a failure is what a library has made of the signal, by which it was interrupted.

        Some of those written in C have it as a failed import of their own. Files and tools that
        failed meanwhile are another matter.
        """
        is_import = isinstance(error.__cause__, ImportError)
        is_known = isinstance(error, OrchestrateError | OSError) and not is_import
        return bool(self.received) and not is_known

    def _end(self, number: int, _frame: FrameType | None) -> None:
        if not self.received:
            self.received = number
            raise _SignalledError

    def __enter__(self) -> Self:
        self._before = {n: signal.signal(n, self._end) for n in NUMBERS}
        return self

    def __exit__(self, *_: object) -> None:
        if self._ends_process:
            self.hold()
        else:
            for number, handler in self._before.items():
                signal.signal(number, handler)
