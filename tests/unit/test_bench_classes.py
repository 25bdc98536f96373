# SPDX-License-Identifier: MIT
"""Costs by class, from records that are made up and from code that a compiler has made."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from orchestrator.bench.class_table import ClassTable
from orchestrator.bench.classes import (
    NOT_MET,
    ClassCost,
    PlaceCost,
    costs_by_class,
    holds,
    mean_cost,
    median,
    place_costs,
)
from orchestrator.bench.sites import Sites, choose, kind_of
from orchestrator.config import ElfVm
from orchestrator.probe.guest import Guest
from orchestrator.probe.offline import image_views
from orchestrator.records import RECORD

PREFIX = "arm-linux-gnueabihf-"
N, Z, C, V = (1 << bit for bit in (31, 30, 29, 28))
PUSH, MOVLS, LDR = 0xE92D4010, 0x93A0E000, 0xE5910000

SOURCE = """
int far[10];
__attribute__((noinline)) int callee(int x) { return x * 0x12345678 + far[0]; }
__attribute__((noinline)) int caller(int x) { return callee(x) + far[3] / 7; }
__attribute__((noinline)) int other(int x) { return far[x & 7] ^ 0x5555aaaa; }
void _start(void) { for (;;) far[1] = caller(far[0]) + other(far[2]); }
"""


@pytest.mark.parametrize(
    ("word", "isa", "kind"),
    [
        (PUSH, "A32", "A32 store multiple"),
        (0xE92D5FFF, "A32", "A32 store multiple, two rows"),  # push {r0-r12, lr}
        (0xE92D4FF7, "A32", "A32 store multiple, two rows"),  # push {r0-r2, r4-r11, lr}
        (0xE92D4111, "A32", "A32 store multiple, three rows"),  # push {r0, r4, r8, lr}
        (LDR, "A32", "A32 load"),
        (MOVLS, "A32", "A32 alu imm, conditional"),
        (0xE3A0E000, "A32", "A32 alu imm"),
        (0xE3A07001, "A32", "A32 move"),
        (0xE3A08001, "A32", "A32 alu imm"),  # r8 is another register in FIQ mode
        (0xF04F0302, "T32", "T32 move"),  # mov.w r3, #2
        (0xF05F0302, "T32", "T32 alu imm"),  # movs.w r3, #2
        (0xF6447318, "T32", "T32 move"),  # movw r3, #0x4f18
        (0xE1910F9F, "A32", None),  # ldrex
        (0xF8D10000, "T32", "T32 load"),  # ldr.w r0, [r1]
        (0xF0008000, "T32", "T32 branch, conditional"),  # beq.w
    ],
)
def test_an_instruction_s_class_is_told_with_what_makes_its_cost(
    word: int, isa: str, kind: str | None
) -> None:
    assert kind_of(word, thumb=isa == "T32") == kind


def test_conditions_hold_as_the_manual_says() -> None:
    """EQ, NE, CS, CC, MI, PL, VS, VC, HI, LS, GE, LT, GT, LE, AL: DDI 0406C, table A8-1."""
    cpsr = np.arange(16, dtype=np.uint32) << np.uint32(28) | np.uint32(0x13)
    n, z, c, v = (cpsr & np.uint32(flag) != 0 for flag in (N, Z, C, V))
    table = [z, ~z, c, ~c, n, ~n, v, ~v, c & ~z, ~c | z, n == v, n != v]
    table += [~z & (n == v), z | (n != v), z | ~z]
    for cond, expected in enumerate(table):
        assert holds(cond, cpsr).tolist() == expected.tolist(), cond


def probe(number: int, word: int, label: str) -> dict[str, object]:
    return {
        "id": number,
        "vm": "linux",
        "label": label,
        "va": 0x10 * number,
        "encoding": "A32",
        "instruction": "",
        "word": word.to_bytes(4, "little").hex(),
    }


def test_a_place_costs_what_most_of_its_hits_do() -> None:
    """One abort does not count, nor what a conditional instruction costs where it does nothing."""
    hits = np.zeros(9, RECORD)
    hits["id"] = [1, 2, 1, 2, 1, 2, 2, 2, 3]
    hits["cost"] = [100, 119, 900, 80, 100, 120, 80, 118, 50]
    hits["cpsr"] = 0x13
    hits["cpsr"][[1, 5, 7]] |= Z  # LS holds
    hits["cpsr"][[3, 6]] |= C  # LS does not hold
    probes = [
        probe(1, PUSH, "f"),
        probe(2, MOVLS, "f+0x4"),
        probe(3, LDR, "g"),
        probe(4, LDR, "never_hit"),
    ]
    found = {(each.label, each.kind): each.cost for each in place_costs(hits, probes)}
    assert found == {
        ("f", "A32 store multiple"): 100,
        ("f+0x4", "A32 alu imm, conditional"): 119,
        ("f+0x4", f"A32 {NOT_MET}"): 80,
        ("g", "A32 load"): 50,
    }


def place(kind: str, label: str, cost: int) -> PlaceCost:
    return PlaceCost(vm="linux", label=label, va=0x10, instruction="insn", kind=kind, hits=(cost,))


def costs() -> list[ClassCost]:
    places = [
        place("A32 load", "e", 121),
        place("A32 push", "a", 100),
        place("A32 push", "b", 110),
        place("A32 load", "c", 80),
        place("A32 load", "c+0x4", 130),
        place("A32 load", "c+0x8", 90),
        place("A32 load", "c+0xc", 100),
    ]
    sites = {
        "linux": Sites(entries={"A32 push": 3, "A32 load": 1}, functions=4, chosen=()),
        "rtos": Sites(entries={"A32 load": 2}, functions=2, chosen=()),
    }
    return costs_by_class(places, sites)


def test_costs_are_weighted_by_all_functions() -> None:
    """A class counts by the functions that begin with it, not by those that were hit."""
    load, push = costs()
    assert (load.name, push.name) == ("A32 load", "A32 push")
    assert push.shares == {"linux": 0.75, "rtos": 0}
    assert [each.cost for each in load.entries] == [121, 80]
    assert [each.cost for each in load.within] == [130, 100, 90]
    assert median(load.within) == 100
    assert mean_cost([push, load], "linux") == pytest.approx(0.75 * 105 + 0.25 * 100.5)
    assert mean_cost([push, load], "rtos") == 100.5


@pytest.mark.parametrize(
    ("most", "failing"),
    [(130, {}), (120, {"entries": 121}), (99, {"entries": 121, "within": 130})],
)
def test_the_dearest_entry_and_the_median_within_must_keep_the_limit(
    most: int, failing: dict[str, int]
) -> None:
    table = ClassTable(costs=[costs()[0]], most=most)
    assert table.holds == (not failing)
    text = str(table)
    assert ("FAILS: " + ", ".join(failing) in text) == bool(failing)
    told = dict(re.findall(r"^  (entries|within), A32 load: (\d+) linux:", text, re.MULTILINE))
    assert {part: int(cost) for part, cost in told.items()} == failing


def test_the_shares_of_dear_places_and_hits() -> None:
    table = ClassTable(costs=costs(), most=120)
    assert table.places_above == pytest.approx(1 / 3)
    assert table.hits_above == pytest.approx(2 / 7)


def built(folder: Path, isa: str) -> Guest:
    (folder / "t.c").write_text(SOURCE)
    # Without movw and movt constants come from literal pools, among the code.
    march = "-march=armv7-a" if isa == "thumb" else "-march=armv6"
    command = (f"{PREFIX}gcc", f"-m{isa}", march, "-mfloat-abi=soft", "-O2", "-nostdlib")
    subprocess.run((*command, "-static", "-o", folder / "t.elf", folder / "t.c"), check=True)
    return Guest(ElfVm(name="t", ram_bytes=2 << 20), index=0, image=folder / "t.elf")


def instructions(elf: Path) -> dict[int, int]:
    """Address and bytes of each instruction, as binutils see it; data is not among them."""
    text = subprocess.run(
        (f"{PREFIX}objdump", "-d", elf), check=True, capture_output=True, text=True
    ).stdout
    lines = re.findall(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]+ )+)\s*\t(\S+)", text, re.MULTILINE)
    return {
        int(va, 16): len(code.replace(" ", "")) // 2
        for va, code, name in lines
        if not name.startswith(".")
    }


@pytest.mark.parametrize("isa", ["arm", "thumb"])
def test_places_are_where_the_disassembler_has_long_instructions(tmp_path: Path, isa: str) -> None:
    guest = built(tmp_path, isa)
    sites = choose(guest, image_views({"t": guest})["t"])
    known = instructions(guest.image)
    assert {known[va] for va in sites.chosen} == {4}
    kinds = {name.partition(" ")[0] for name in sites.entries}
    assert kinds <= {{"arm": "A32", "thumb": "T32"}[isa]}
    starts = {guest.symbols.find(name).va for name in ("caller", "callee", "other", "_start")}
    assert len(set(sites.chosen) - starts) > 5


def test_what_is_executed_is_probed_with_what_it_calls(tmp_path: Path) -> None:
    guest = built(tmp_path, "arm")
    caller, callee, other = (guest.symbols.find(name).va for name in ("caller", "callee", "other"))
    sites = choose(guest, image_views({"t": guest})["t"], executed={caller})
    assert {caller, callee} <= set(sites.chosen)
    assert other not in sites.chosen
    assert sites.functions == 4
