# SPDX-License-Identifier: MIT
"""The event loop of a measurement, and what a signal does to it. A run for users has its own: `session`."""

import asyncio
import signal
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

from orchestrator.signals import NUMBERS

_Result = TypeVar("_Result")


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """`asyncio.run`, in which the first signal cancels the work: it tidies up in order, and is told then.

    An exception that is raised wherever the event loop is would end some task of a library's instead.
    """
    came: list[int] = []

    async def main() -> _Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - this runs in it

        def cancel(number: int, _frame: FrameType | None) -> None:
            if not came:
                came.append(number)
                loop.call_soon_threadsafe(task.cancel)

        before = {number: signal.signal(number, cancel) for number in NUMBERS}
        try:
            return await work
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    try:
        return asyncio.run(main())
    finally:
        if came:
            signal.raise_signal(came[0])
