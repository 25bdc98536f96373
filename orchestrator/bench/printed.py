# SPDX-License-Identifier: MIT
"""Measured figures beside their limits, printed: the command line of `bench.costs` and `bench.probes`.

What is measured, and how, is theirs.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.errors import OrchestrateError


class Result(Protocol):
    """What is printed, a figure or a table of them."""

    @property
    def holds(self) -> bool:
        """Whether all limits are kept."""

    def __str__(self) -> str:
        """As it is printed."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number beside what it must be.

    Attributes:
        name: What was measured.
        value: The number, in `unit`.
        unit: "instructions", "us", "records/s", "hits/s", "hits", "functions", "x" for a ratio,
            "%".
        most: The figure fails above it; None: no such limit.
        least: The figure fails below it; None: no such limit.
    """

    name: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the value keeps its limits."""
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    def __str__(self) -> str:
        limits = (
            f"  (at most {self.most:g})" if self.most is not None else "",
            f"  (at least {self.least:g})" if self.least is not None else "",
        )
        verdict = "" if self.holds else "  FAILS"
        return f"{self.value:12.5g} {self.unit:13}{self.name}{''.join(limits)}{verdict}"


def print_figures(
    groups: Mapping[str, Callable[[], Sequence[Result]]],
    *,
    prog: str,
    about: str | None,
    argv: Sequence[str] | None,
) -> int:
    """Measures what the command line asks for and prints each figure.

    Args:
        groups: By name, what measures.
        prog: How the program is called.
        about: What it does, for --help.
        argv: Names of groups; none: all. None: this process's arguments.

    Returns:
        0 if all figures hold, 1 if one does not, else the error's exit code.
    """
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("figures", nargs="*", metavar="|".join(groups), help="default: all")
    names = parser.parse_args(argv).figures or list(groups)
    if unknown := [name for name in names if name not in groups]:
        parser.error(f"no such figures: {', '.join(unknown)}")
    holds = True
    try:
        for name in names:
            for figure in groups[name]():
                print(figure, flush=True)
                holds &= figure.holds
    except OrchestrateError as error:
        print(f"orchestrate: error: {error}", file=sys.stderr)
        return error.status
    return 0 if holds else 1
