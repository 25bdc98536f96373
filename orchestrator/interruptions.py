# SPDX-License-Identifier: MIT
"""What Ctrl-C, SIGTERM and SIGHUP do to a run.

`orchestrator.session` decides which of it applies when; `orchestrator.supervise` carries an order
out while guests run.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NoReturn, Self

from orchestrator.errors import Interrupted

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptions:
    """Ctrl-C, SIGTERM and SIGHUP: an exception while work is done, an order while guests run.

    Leaving the context raises `Interrupted` for a signal that was held, if nothing else was raised.

    Attributes:
        sink: Takes the signal's number; None: `Interrupted` is raised where the program is.
    """

    def __init__(self) -> None:
        self.sink: Callable[[int], object] | None = None
        self._held: int | None = None
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """From here on the run is being wound up, which is short: a signal waits for its end."""
        self.sink = self.keep

    def keep(self, number: int) -> None:
        """Holds a signal that has come."""
        self._held = number

    def release(self) -> None:
        """Work goes on after all. Raises `Interrupted` for a signal that was held."""
        self.sink = None
        self._raise_held()

    def _raise_held(self) -> None:
        number, self._held = self._held, None
        if number is not None:
            _interrupt(number)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.sink is None:
            _interrupt(number)
        else:
            self.sink(number)

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._before = {n: signal.signal(n, self._handle) for n in _SIGNALS} if main else {}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self._raise_held()


def _interrupt(number: int) -> NoReturn:
    raise Interrupted(f"interrupted by {signal.Signals(number).name}", signal_number=number)
