# SPDX-License-Identifier: MIT
"""Which hits count for what a hit with the task's information costs, and what is told of the others."""

from typing import Any

import numpy as np

from orchestrator.bench.with_tasks import figures, task_costs
from orchestrator.records import RECORD

MOV, STRD = 0xE3A00002, 0xE16D40F8  # mov r0, #2; strd r4, r5, [sp, #-8]!
T32_MOV = 0xF04F0302  # mov.w r3, #2
SWITCH, TICK, SCHED, COLD, T32 = 1, 2, 3, 4, 5
ALL_READ, NOTHING_READ = 0b111, 0
HITS = [
    # VM, probe, valid, cost
    (0, TICK, NOTHING_READ, 1400),
    (0, TICK, ALL_READ, 290),
    (1, T32, ALL_READ, 300),
    (0, TICK, ALL_READ, 200),
    (0, SWITCH, ALL_READ, 280),
    (0, SCHED, ALL_READ, 230),
    (0, TICK, ALL_READ, 251),
    (0, TICK, ALL_READ, 201),
    (1, T32, ALL_READ, 249),
]


def probe(number: int, label: str, word: int, *, thumb: bool = False, role: str = "") -> Any:
    if thumb:
        word = word >> 16 | (word & 0xFFFF) << 16
    return {
        "id": number,
        "vm": "t32" if thumb else "a32",
        "label": label,
        "va": 0x100 * number,
        "encoding": "T32" if thumb else "A32",
        "instruction": "strd",
        "word": word.to_bytes(4, "little").hex(),
        "role": role,
    }


DOCUMENT = {
    "probes": [
        probe(SWITCH, "OSTaskSwHook", MOV, role="switch"),
        probe(TICK, "OSTimeTick", STRD),
        probe(SCHED, "OS_Sched", MOV),
        probe(COLD, "OSInit", MOV),
        probe(T32, "OS_FirstPrio", T32_MOV, thumb=True),
    ],
    "skipped": [{"place": "a", "reason": "too short"}, {"place": "b", "reason": "too short"}],
}


def records(rows: list[tuple[int, int, int, int]]) -> Any:
    hits = np.zeros(len(rows), RECORD)
    for hit, (vm, number, valid, cost) in zip(hits, rows, strict=True):
        hit["vm"], hit["id"], hit["valid"], hit["cost"], hit["words"] = vm, number, valid, cost, 3
    return hits


def test_hits_without_a_task_the_first_ones_and_those_at_the_switch_are_told_apart() -> None:
    costs = task_costs(records(HITS), DOCUMENT)
    assert [(each.label, each.hits) for each in costs.places] == [
        ("OSTimeTick", (200, 201, 251)),
        ("OS_FirstPrio", (249,)),
        ("OS_Sched", (230,)),
    ]
    assert costs.taskless == 1
    assert costs.first == [290, 300]
    assert costs.at_switch == 1
    assert costs.not_hit == {"A32 OSInit": "A32 move"}
    assert costs.impossible == {"too short": 2}


def test_the_dearest_single_hit_must_keep_the_limit_and_is_named() -> None:
    lines = figures(task_costs(records(HITS), DOCUMENT), most=250)
    mean, dearest, _, t32, *left_out = lines
    assert mean.value == (201 + 230) / 2
    assert (dearest.value, dearest.holds) == (251, False)
    assert "a32:OSTimeTick (0x200) strd" in str(dearest)
    assert (t32.value, t32.holds) == (249, True)
    assert [each.value for each in left_out] == [1, 2, 1, 1, 2]
    assert all(each.holds for each in left_out)
    assert figures(task_costs(records(HITS), DOCUMENT), most=251)[1].holds
