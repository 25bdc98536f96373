# SPDX-License-Identifier: MIT
"""The most that an overhead may be: ``hvc=1%``, ``context1:hvc=3%``. Text and arithmetic only."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.bench.model import REFERENCE, BenchResult, by_bench, overhead

_LIMIT: Final = re.compile(r"(?:(?P<bench>[\w-]+):)?(?P<variant>\w+)=(?P<percent>\d+(?:\.\d+)?)%")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One limit.

    Attributes:
        bench: The benchmark it is for; None: all that have no limit of their own.
        variant: The variant it is for.
        most: Overhead that is still allowed; 0.01 for 1 %.
    """

    bench: str | None
    variant: str
    most: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An overhead against its limit.

    Attributes:
        result: The result in question.
        overhead: Its overhead.
        most: What was allowed.
    """

    result: BenchResult
    overhead: float
    most: float

    @property
    def holds(self) -> bool:
        """Whether the limit is kept."""
        return self.overhead <= self.most


def parse_limit(text: str) -> Limit:
    """Reads ``[BENCH:]VARIANT=PERCENT%``.

    Raises:
        ValueError: It has another form.
    """
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is no limit; write it as hvc=1% or context1:hvc=3%')
    return Limit(bench=match["bench"], variant=match["variant"], most=float(match["percent"]) / 100)


def verdicts(results: Iterable[BenchResult], limits: Sequence[Limit]) -> list[Verdict]:
    """Every result that has a limit and a reference, in order; a benchmark's own limit goes first."""
    found = []
    for variants in by_bench(results).values():
        for result in variants.values():
            fitting = [each for each in limits if each.variant == result.variant]
            own = [each for each in fitting if each.bench == result.bench]
            general = [each for each in fitting if each.bench is None]
            if (own or general) and REFERENCE in variants:
                found.append(
                    Verdict(
                        result=result,
                        overhead=overhead(result, variants[REFERENCE]),
                        most=(own or general)[-1].most,
                    )
                )
    return found
