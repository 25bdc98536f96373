# SPDX-License-Identifier: MIT
"""Measured figures beside their limits, printed: what `bench.costs`, `probes` and `study` share.

What is measured, and how, is theirs.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.errors import CheckFailed, Interrupted, OrchestrateError
from orchestrator.signals import Signals


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

    def measure() -> int:
        holds = True
        for name in names:
            for figure in groups[name]():
                print(figure, flush=True)
                holds &= figure.holds
        return 0 if holds else CheckFailed.exit_code

    return exit_code(measure, ends_process=argv is None)


def exit_code(measure: Callable[[], int], *, ends_process: bool) -> int:
    """Measures; what fails, and an interruption, is told on stderr.

    Args:
        measure: Returns the exit code.
        ends_process: As of `Signals`.

    Returns:
        The exit code.
    """
    with Signals(ends_process=ends_process) as signals:
        try:
            return measure()
        except KeyboardInterrupt:
            return signals.told()
        except Interrupted as error:  # by a run, whose own business signals are
            print(f"orchestrate: {error}", file=sys.stderr)
            return error.status
        except OrchestrateError as error:
            print(f"orchestrate: error: {error}", *error.details, sep="\n", file=sys.stderr)
            return error.status
