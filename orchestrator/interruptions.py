# SPDX-License-Identifier: MIT
"""What Ctrl-C, SIGTERM and SIGHUP do to a run.

`orchestrator.session` decides which of it applies when; `orchestrator.supervise` carries an order
out while guests run.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Self

from orchestrator.errors import Interrupted

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptions:
    """Ctrl-C, SIGTERM and SIGHUP: an exception while work is done, an order while guests run.

    Attributes:
        sink: Takes the signal's number; None: `Interrupted` is raised where the program is.
    """

    def __init__(self) -> None:
        self.sink: Callable[[int], None] | None = None
        self._before: dict[int, Any] = {}

    def hold(self) -> None:
        """From here on the run is being wound up, which is short: a signal changes nothing."""
        self.sink = lambda _number: None

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.sink is None:
            name = signal.Signals(number).name
            raise Interrupted(f"interrupted by {name}", signal_number=number)
        self.sink(number)

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._before = {n: signal.signal(n, self._handle) for n in _SIGNALS} if main else {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
