# SPDX-License-Identifier: MIT
"""Reads what benchmark programs print: ``COUNT|x|y|unit`` lines and the like. Knows text only.

The form is UnixBench's: x operations, y the seconds they are scaled to (0: x is a rate itself),
and the unit. Our programs (images/linux/workloads/bench.h) add ``TIME|t|1|ns``; a program that has
lines of another form brings its own regular expressions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import CheckFailed

COUNT: Final = r"^COUNT\|(?P<count>[\d.]+)\|"
RUNS: Final = r"^RUNS\|(?P<count>\d+)\|"
TIME: Final = r"^TIME\|(?P<ns>\d+)\|"
TRACED: Final = re.compile(r"^TRACED\|(\d+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the figures of one benchmark are found in its output.

    Attributes:
        count: Finds the number of operations in the group "count".
        time: Finds the window's nanoseconds in the group "ns".
        figures: By name what else to keep; the first group is the number.
    """

    count: str = COUNT
    time: str = TIME
    figures: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What was found.

    Attributes:
        count: Operations.
        elapsed_ns: Guest time of the window.
        figures: Further figures by name.
    """

    count: float
    elapsed_ns: int
    figures: Mapping[str, float]


def read(text: str, how: Reading, *, what: str) -> Readings:
    """Takes the figures out of a program's output; the last line of a kind counts.

    Args:
        text: The output.
        how: What to look for.
        what: Name of the benchmark, for messages.

    Raises:
        CheckFailed: A figure is missing, or no operation was done.
    """
    count = float(_last(how.count, text, what))
    elapsed_ns = int(_last(how.time, text, what))
    if count <= 0 or elapsed_ns <= 0:
        raise CheckFailed(
            f"{what}: did {count:g} operations in {elapsed_ns} ns; nothing to measure"
        )
    figures = {
        name: float(_last(pattern, text, what)) for name, pattern in (how.figures or {}).items()
    }
    return Readings(count=count, elapsed_ns=elapsed_ns, figures=figures)


def _last(pattern: str, text: str, what: str) -> str:
    found = list(re.finditer(pattern, text, re.MULTILINE))
    if not found:
        raise CheckFailed(
            f"{what}: its output has no line that fits {pattern!r}; the end of it:",
            details=text.splitlines()[-10:],
        )
    last = found[-1]
    return last["count"] if "count" in last.re.groupindex else last[1]
