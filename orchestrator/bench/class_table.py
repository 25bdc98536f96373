# SPDX-License-Identifier: MIT
"""Costs by class as a table: function entries on its left, places within functions on its right.

What is measured, and what a place's cost is: `classes`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from orchestrator.bench.classes import ClassCost, PlaceCost, median

_NAME: Final = 32
_SHARE: Final = 9


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """All classes beside their limit.

    Attributes:
        costs: Of each class a line, in this order.
        most: A class fails if its dearest function entry costs more, or if the median of its
            places within functions does.
    """

    costs: Sequence[ClassCost]
    most: int

    @property
    def holds(self) -> bool:
        """Whether all classes keep the limit."""
        return not any(self._failing(each) for each in self.costs)

    @property
    def places_above(self) -> float:
        """Of the places within functions, those that cost more; 0 to 1."""
        return self._above(place.cost for each in self.costs for place in each.within)

    @property
    def hits_above(self) -> float:
        """Of all hits, those that cost more; 0 to 1."""
        places = (place for each in self.costs for place in (*each.entries, *each.within))
        return self._above(cost for place in places for cost in place.hits)

    def _above(self, costs: Iterable[int]) -> float:
        above = [cost > self.most for cost in costs]
        return sum(above) / max(len(above), 1)

    def __str__(self) -> str:
        return "\n".join(chain(self._head(), map(self._line, self.costs), self._dearest()))

    def _failing(self, cost: ClassCost) -> tuple[str, ...]:
        entries = bool(cost.entries) and cost.entries[0].cost > self.most
        within = bool(cost.within) and median(cost.within) > self.most
        return ("entries",) * entries + ("within",) * within

    def _head(self) -> Iterator[str]:
        vms = list(self.costs[0].shares) if self.costs else []
        shares = "".join(f" {vm[-_SHARE:]:>{_SHARE}}" for vm in vms)
        places = "  hit  median  most"
        width = len(shares) + len(places)
        yield f"{'':{_NAME}}{' function entries':<{width}}   within functions"
        yield f"{'class':{_NAME}}{shares}{places}   {places}  above {self.most}"

    def _line(self, cost: ClassCost) -> str:
        shares = "".join(f" {_share(each):>{_SHARE}}" for each in cost.shares.values())
        above = sum(each.cost > self.most for each in cost.within)
        failing = self._failing(cost)
        verdict = f"  FAILS: {', '.join(failing)}" if failing else ""
        return (
            f"{cost.name:{_NAME}}{shares}{_places(cost.entries)}   {_places(cost.within)}"
            f"  {above or '':>9}{verdict}"
        ).rstrip()

    def _dearest(self) -> Iterator[str]:
        """Of each class that fails the dearest place."""
        for each in self.costs:
            for part in self._failing(each):
                place = (each.entries if part == "entries" else each.within)[0]
                yield f"  {part}, {each.name}: {place}"


def _share(share: float) -> str:
    return f"{share:.1%}" if share else ""


def _places(places: Sequence[PlaceCost]) -> str:
    if not places:
        return " " * 19
    return f"{len(places):5}  {median(places):6g}  {places[0].cost:4}"
