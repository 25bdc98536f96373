# SPDX-License-Identifier: MIT
"""Threads get their processes from the list made before recording, and from what was seen since."""

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator.records import RECORD
from orchestrator.trace.processes import Process, read_processes, with_births
from orchestrator.trace.streams import BIRTH, BIRTH_PLACE, Fetched, Probe


def probe(*names: str, place: str = BIRTH_PLACE, own: bool = True) -> Probe:
    fetched = tuple(
        Fetched(name=name, type="s32", word=at, bytes=4) for at, name in enumerate(names)
    )
    name = f"linux:{place}"
    return Probe(id=1, vm="linux", name=name, place=place, role="", own=own, fetched=fetched)


def hits(*births: tuple[int, int, int], valid: int = 0b111) -> NDArray[np.void]:
    """Thread, process, and the process that made it."""
    records = np.zeros(len(births), RECORD)
    records["valid"] = valid
    for record, birth in zip(records, births, strict=True):
        record["word"][:3] = birth
    return records


def test_the_agents_list_is_thread_process_parent() -> None:
    text = "1 1 0\n2 2 0\n15 15 2\n76 75 1\n"
    assert read_processes(text) == {
        1: Process(tgid=1, ppid=0),
        2: Process(tgid=2, ppid=0),
        15: Process(tgid=15, ppid=2),
        76: Process(tgid=75, ppid=1),
    }


@pytest.mark.parametrize("text", ["1 1\n", "1 1 0 0\n", "one 1 0\n"])
def test_another_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"list of tasks|invalid literal"):
        read_processes(text)


def test_threads_of_a_process_have_its_parent_and_children_have_it() -> None:
    """76 is made by init, makes two threads and a child; what 1 is was known before."""
    births = hits((76, 76, 1), (77, 76, 76), (78, 76, 76), (79, 79, 76), (80, 79, 79))
    found = with_births({1: Process(1, 0)}, [(probe(*BIRTH), births)])
    assert found == {
        1: Process(tgid=1, ppid=0),
        76: Process(tgid=76, ppid=1),
        77: Process(tgid=76, ppid=1),
        78: Process(tgid=76, ppid=1),
        79: Process(tgid=79, ppid=76),
        80: Process(tgid=79, ppid=76),
    }


def test_a_number_that_is_used_again_is_the_last_ones() -> None:
    births = hits((77, 76, 76), (77, 77, 1))
    assert with_births({76: Process(76, 1)}, [(probe(*BIRTH), births)])[77] == Process(77, 1)


def test_what_could_not_be_read_tells_nothing() -> None:
    births = hits((77, 0, 76), valid=0b101)
    assert with_births({}, [(probe(*BIRTH), births)]) == {}


@pytest.mark.parametrize(
    "users",
    [probe(own=False), probe(*BIRTH, own=False), probe(*BIRTH, place="f")],
    ids=lambda each: f"{each.place}{len(each.fetched)}",
)
def test_a_users_own_probe_is_an_event(users: Probe) -> None:
    assert probe(*BIRTH).is_birth
    assert not probe(*BIRTH).is_event
    assert not users.is_birth
    assert users.is_event
