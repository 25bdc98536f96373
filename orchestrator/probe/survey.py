# SPDX-License-Identifier: MIT
"""Where probes could be: counted by class of instruction, and why not elsewhere. Writes nothing."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.probe.guest import View
from orchestrator.probe.place import Place, Refusal, class_name, find, nearest
from orchestrator.probe.spec import Wanted

_EXAMPLES: Final = 3
_FEW: Final = 20
"""So many refused places are each worth a look around; of thousands it would take minutes."""
_NUMBER: Final = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8}\b")


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found out.

    Attributes:
        places: Number of places looked at.
        classes: By class of emulation ("shadow" where none is needed), how many can have a probe.
        refused: By reason, the places that cannot; where they are few, with the nearest that work.
    """

    places: int
    classes: dict[str, int]
    refused: dict[str, tuple[Refusal, ...]]

    @property
    def possible(self) -> int:
        """Number of places that can have a probe."""
        return sum(self.classes.values())

    @property
    def percent(self) -> float:
        """Share of the places that can have a probe."""
        return 100 * self.possible / self.places if self.places else 0.0

    def document(self) -> dict[str, Any]:
        """As plain data; of the refused places only some are named."""
        return {
            "places": self.places,
            "possible": self.possible,
            "classes": self.classes,
            "refused": {
                reason: {
                    "count": len(places),
                    "such_as": [each.where for each in places[:_EXAMPLES]],
                    "nearest": {each.where: list(each.nearest) for each in places if each.nearest},
                }
                for reason, places in self.refused.items()
            },
        }


def survey(view: View, wanted: Iterable[Wanted]) -> Survey:
    """Looks at places of one guest."""
    places = 0
    classes: Counter[str] = Counter()
    refusals: list[tuple[Wanted, Refusal]] = []
    for each in wanted:
        places += 1
        found = find(each, view, near=False)
        if isinstance(found, Place):
            classes["shadow" if found.displaced is None else class_name(found.displaced)] += 1
        else:
            refusals.append((each, found))
    is_few = len(refusals) <= _FEW
    refused: dict[str, list[Refusal]] = {}
    for each, refusal in refusals:
        told = replace(refusal, nearest=nearest(each, view)) if is_few else refusal
        # Reasons that differ in an address only are one.
        refused.setdefault(_NUMBER.sub("...", told.reason), []).append(told)
    return Survey(
        places=places,
        classes=dict(classes.most_common()),
        refused={
            reason if len(group) > 1 else group[0].reason: tuple(group)
            for reason, group in sorted(refused.items(), key=lambda pair: -len(pair[1]))
        },
    )
