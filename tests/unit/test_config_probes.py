# SPDX-License-Identifier: MIT
"""Probes as text and as tables: both say the same, and what is wrong is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import config
from orchestrator.config import ProbeConfig
from orchestrator.config.probes import is_glob, parse_probe, probe_text, split_place

VM = '[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [0]\n'


def test_a_table_and_a_text_are_the_same_probe(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        VM
        + '[[probe]]\nat = "rtos:OSTaskSwHook+4"\nfetch = ["p=OSTCBCur->OSTCBPrio", "%r0"]\n'
        + 'mode = "shadow"\nlimit = 7\nfrom = "1s"\nuntil = "1.5s"\nname = "sw"\ntasks = false\n'
        + '[[probe]]\nat = "rtos:OS*"\n[trace]\narm_at = "rtos:OSStart"\n'
    )
    loaded = config.load(path)
    text = (
        "rtos:OSTaskSwHook+4 p=OSTCBCur->OSTCBPrio %r0 mode=shadow limit=7 from=1s until=1.5s "
        "name=sw tasks=no"
    )
    assert loaded.probes == (parse_probe(text), ProbeConfig(vm="rtos", place="OS*"))
    assert loaded.trace.arm_at == "rtos:OSStart"


def test_a_fetch_keeps_the_spaces_of_its_type() -> None:
    found = parse_probe("linux:f  x=((struct k_thread *)%r1)->base.prio   %r0")
    assert found.fetch == ("x=((struct k_thread *)%r1)->base.prio", "%r0")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs a place"),
        ("__switch_to", "not a place"),
        ("linux:", "not a place"),
        ("linux:f+", "not a place"),
        ("linux:0x123456789", "not a place"),
        ("linux:sys_*+4", "cannot have an offset"),
        ("linux:f mode=hcv", "valid: hvc, shadow"),
        ("linux:f limit=0", "number from 1"),
        ("linux:f limit=ten", "number from 1"),
        ("linux:f from=1", "no unit"),
        ("linux:f tasks=maybe", "valid: yes, no"),
        ("linux:f mode=hvc mode=shadow", "mode= is given twice"),
        ("linux:f from=2s until=1s", "later than"),
    ],
)
def test_a_wrong_text_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_probe(text)


def test_places_and_patterns() -> None:
    assert split_place("linux:tcp_v4_rcv.isra.0+0x1c") == ("linux", "tcp_v4_rcv.isra.0+0x1c")
    assert split_place("my-vm_1:0xc0d32a94") == ("my-vm_1", "0xc0d32a94")
    assert [is_glob(place) for place in ("f", "f.part.0", "OS*", "a?c", "[ab]c")] == [
        *(False, False, True, True, True),
    ]


@given(
    st.builds(
        ProbeConfig,
        vm=st.sampled_from(["linux", "rtos"]),
        place=st.sampled_from(["f", "f+8", "0xc0008000", "OS*"]),
        fetch=st.lists(st.sampled_from(["%r0", "a=b->c", "((T *)%r1)->x"])).map(tuple),
        name=st.sampled_from(["", "switch"]),
        mode=st.sampled_from(["hvc", "shadow"]),
        limit=st.integers(0, 2**32 - 1),
        from_ns=st.integers(0, 10**10),
        until_ns=st.just(0) | st.integers(10**10 + 1, 10**12),
        tasks=st.booleans(),
        record=st.sampled_from(["plugin", "both"]),
    )
)
def test_text_and_back(probe: ProbeConfig) -> None:
    assert parse_probe(probe_text(probe)) == probe
