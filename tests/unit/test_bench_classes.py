# SPDX-License-Identifier: MIT
"""Costs by class, from records that are made up."""

import numpy as np
import pytest

from orchestrator.bench.classes import costs_by_class, mean_cost
from orchestrator.records import RECORD


def test_costs_are_of_places_and_weighted_by_all_functions() -> None:
    """A place that is hit often counts once; a class counts by the functions that begin with it."""
    hits = np.zeros(6, RECORD)
    hits["vm"] = [0, 0, 0, 0, 0, 1]
    hits["pc"] = [0x10, 0x10, 0x10, 0x20, 0x30, 0x10]
    hits["cost"] = [100, 100, 900, 110, 300, 90]
    chosen = {(0, 0x10): "push", (0, 0x20): "push", (0, 0x30): "load", (1, 0x10): "load"}
    places = {
        "linux": {"push": [0x10, 0x20, 0x40], "load": [0x30]},
        "rtos": {"load": [0x10]},
    }
    push, load = sorted(costs_by_class(hits, chosen, places), key=lambda each: each.name)[::-1]
    assert (push.name, push.hit, push.median, push.most) == ("push", 2, 105, 110)
    assert (load.name, load.hit, load.median, load.most) == ("load", 2, 195, 300)
    assert push.shares == {"linux": 0.75, "rtos": 0}
    assert mean_cost([push, load], "linux") == pytest.approx(0.75 * 105 + 0.25 * 195)
    assert mean_cost([push, load], "rtos") == 195
