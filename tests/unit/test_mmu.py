# SPDX-License-Identifier: MIT
"""Walks through generated tables of every format, held against the mapping they were made from.

The model is the mapping: a list of (where, size, whereto) and an arithmetic stage 2. The tables are
written here from the manual's figures (DDI 0406C, B3.5.1, B3.6.1), not with the package's own data.
"""

import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pace import slowness

from orchestrator.mmu import FaultKind, Mmu, Registers, TranslationFault

MIB = 1 << 20
STAGE2_TABLES = 0x80_0000_0000  # far from what the model's stage 2 gives out
TABLES_IPA = 0x1000_0000  # of stage 1; no generated mapping begins or ends there


@dataclass
class Memory:
    """Sparse memory of 4 KiB pages."""

    pages: dict[int, bytearray] = field(default_factory=dict)
    reads: int = 0

    def write(self, pa: int, value: int, count: int) -> None:
        page = self.pages.setdefault(pa >> 12, bytearray(4096))
        page[pa & 4095 : (pa & 4095) + count] = value.to_bytes(count, "little")

    def read(self, pa: int, count: int) -> bytes:
        self.reads += 1
        page = self.pages.get(pa >> 12)
        return b"" if page is None else bytes(page[pa & 4095 : (pa & 4095) + count])


@dataclass
class Stage2:
    """IPA -> PA by arithmetic: blocks are swapped, and pages within some of the blocks.

    Args:
        block_key: Exclusive-or of the block's number.
        page_key: Exclusive-or of the page's number within a block that is mapped by pages.
        paged: Which blocks (by number modulo 8) are mapped by pages.
        t0sz, sl0: As in VTCR.
    """

    memory: Memory
    on: bool
    block_key: int
    page_key: int
    paged: int
    t0sz: int
    sl0: int
    mapped: set[int] = field(default_factory=set)
    level3: int = STAGE2_TABLES + (1 << 24)
    level2: int = STAGE2_TABLES + (1 << 23)

    @property
    def registers(self) -> dict[str, int]:
        if not self.on:
            return {}
        vtcr = 1 << 31 | self.sl0 << 6 | self.t0sz & 0xF | (self.t0sz < 0) << 4
        return {"HCR": 1, "VTCR": vtcr, "VTTBR": STAGE2_TABLES | 5 << 48}

    def pa(self, ipa: int) -> int:
        if not self.on:
            return ipa
        block, page = ipa >> 21, ipa >> 12 & 511
        if self.paged >> block % 8 & 1:
            page ^= self.page_key
        return (block ^ self.block_key) << 21 | page << 12 | ipa & 4095

    def map(self, ipa: int) -> None:
        """Writes the descriptors that a walk to this address needs."""
        if not self.on or ipa >> 12 in self.mapped:
            return
        block = ipa >> 21
        if self.sl0 == 1:
            gib = ipa >> 30
            table = self.level2 + gib * 4096
            self.memory.write(STAGE2_TABLES + gib * 8, table | 3, 8)
            entry = table + (block & 511) * 8
        else:
            entry = STAGE2_TABLES + block * 8
        if self.paged >> block % 8 & 1:
            table = self.level3 + block * 4096
            self.memory.write(entry, table | 3, 8)
            self.memory.write(
                table + (ipa >> 12 & 511) * 8, self.pa(ipa & ~4095) | 1 << 10 | 3 << 6 | 3, 8
            )
        else:
            self.memory.write(entry, self.pa(ipa >> 21 << 21) | 1 << 10 | 3 << 6 | 1, 8)
        self.mapped.add(ipa >> 12)


@dataclass(frozen=True)
class Mapping:
    """A piece of the address space and where it leads."""

    va: int
    size_bits: int
    ipa: int


@dataclass
class Stage1:
    """Writes tables for mappings; each has a 1 GiB (long) or 16 MiB (short) slot for itself."""

    memory: Memory
    stage2: Stage2
    next_table: int = TABLES_IPA

    def table(self, size: int) -> int:
        at = -(-self.next_table // size) * size
        self.next_table = at + size
        return at

    def put(self, ipa: int, value: int, count: int) -> None:
        self.stage2.map(ipa)
        self.memory.write(self.stage2.pa(ipa), value, count)

    def touch(self, ipa: int, size: int) -> None:
        """A table that holds nothing is mapped and zero all the same."""
        for page in range(ipa >> 12, (ipa + size + 4095) >> 12):
            self.stage2.map(page << 12)
            self.memory.pages.setdefault(self.stage2.pa(page << 12) >> 12, bytearray(4096))

    def short(self, mappings: list[Mapping], n: int) -> dict[str, int]:
        lower = self.table(1 << (14 - n))
        upper = self.table(1 << 14)
        self.touch(lower, 1 << (14 - n))
        self.touch(upper, 1 << 14)
        for each in mappings:
            base = upper if n and each.va >> (32 - n) else lower
            entry = base + (each.va >> 20) * 4
            if each.size_bits == 24:
                for i in range(16):
                    self.put(entry + 4 * i, each.ipa | 1 << 18 | 0b10, 4)
            elif each.size_bits == 20:
                self.put(entry, each.ipa | 3 << 5 | 0b10, 4)
            else:
                second = self.table(1024)
                self.touch(second, 1024)
                self.put(entry, second | 2 << 5 | 0b01, 4)
                slot = second + (each.va >> 12 & 255) * 4
                if each.size_bits == 12:
                    self.put(slot, each.ipa | 0b10, 4)
                for i in range(16 if each.size_bits == 16 else 0):
                    self.put(slot + 4 * i, each.ipa | 0b01, 4)
        return {"SCTLR": 1, "TTBCR": n, "TTBR0": lower | 0x4A, "TTBR1": upper | 0x6A, "DACR": 0x50}

    def long(self, mappings: list[Mapping], t0sz: int, t1sz: int) -> dict[str, int]:
        bases = {}
        for name, size in (("TTBR0", t0sz), ("TTBR1", t1sz)):
            bits = 32 - size - (21 if size > 1 else 30)
            bases[name] = self.table(max(8 << bits, 64))
            self.touch(bases[name], 8 << bits)
        for each in mappings:
            upper = in_upper(each.va, t0sz, t1sz)
            size = t1sz if upper else t0sz
            va = each.va & ((1 << (32 - size)) - 1)
            table = bases["TTBR1" if upper else "TTBR0"]
            leaf = 1 << 10 | 1 << 5 | (0b11 if each.size_bits == 12 else 0b01)
            if size <= 1:
                entry = table + (va >> 30) * 8
                if each.size_bits == 30:
                    self.put(entry, each.ipa | leaf, 8)
                    continue
                table = self.table(4096)
                self.touch(table, 4096)
                self.put(entry, table | 3, 8)
            entry = table + ((va >> 21) % (1 << 30 >> 21 if size <= 1 else 1 << 11)) * 8
            if each.size_bits == 21:
                self.put(entry, each.ipa | leaf, 8)
                continue
            table = self.table(4096)
            self.touch(table, 4096)
            self.put(entry, table | 3, 8)
            self.put(table + (va >> 12 & 511) * 8, each.ipa | leaf, 8)
        return {
            "SCTLR": 1,
            "TTBCR": 1 << 31 | t1sz << 16 | t0sz,
            "TTBR0": bases["TTBR0"] | 9 << 48,
            "TTBR1": bases["TTBR1"],
        }


def in_upper(va: int, t0sz: int, t1sz: int) -> bool:
    return va >= (2**32 - (1 << 32 - t1sz) if t1sz else 1 << 32 - t0sz)


@st.composite
def stages2(draw: st.DrawFn, memory: Memory) -> Stage2:
    sl0 = draw(st.sampled_from([0, 1]))
    return Stage2(
        memory=memory,
        on=draw(st.booleans()),
        block_key=draw(st.integers(0, 2**11 - 1)),
        page_key=draw(st.integers(0, 511)),
        paged=draw(st.integers(0, 255)),
        t0sz=draw(st.sampled_from([-2, -1, 0] if sl0 == 0 else [-8, -3, 0])),
        sl0=sl0,
    )


@st.composite
def some_mappings(draw: st.DrawFn, slot_bits: int, sizes: list[int]) -> list[Mapping]:
    slots = draw(
        st.lists(st.integers(0, (1 << (32 - slot_bits)) - 1), min_size=1, max_size=4, unique=True)
    )
    found = []
    for slot in slots:
        size = draw(st.sampled_from(sizes))
        step = 1 << size
        va = slot << slot_bits | draw(st.integers(0, (1 << (slot_bits - size)) - 1)) * step
        # The upper half of the address space: never where the tables are.
        ipa = draw(st.integers(1 << 31 >> size, (1 << 32 >> size) - 1)) * step
        found.append(Mapping(va, size, ipa))
    return found


@st.composite
def short_cases(draw: st.DrawFn) -> tuple[Mmu, Stage2, list[Mapping], dict[str, int]]:
    memory = Memory()
    stage2 = draw(stages2(memory))
    mappings = draw(some_mappings(24, [12, 16, 20, 24]))
    registers = Stage1(memory, stage2).short(mappings, draw(st.integers(0, 7)))
    mmu = Mmu(Registers(**registers, **stage2.registers), memory.read)
    return mmu, stage2, mappings, registers


@st.composite
def long_cases(draw: st.DrawFn) -> tuple[Mmu, Stage2, list[Mapping], dict[str, int]]:
    memory = Memory()
    stage2 = draw(stages2(memory))
    t0sz, t1sz = draw(st.sampled_from([(0, 0), (1, 1), (2, 0), (0, 2), (3, 5), (7, 7), (1, 0)]))
    mappings = [
        each
        for each in draw(some_mappings(30, [12, 21, 30]))
        if (each.va < 2 ** (32 - t0sz) or in_upper(each.va, t0sz, t1sz))
        and (each.size_bits < 30 or (t1sz if in_upper(each.va, t0sz, t1sz) else t0sz) <= 1)
    ]
    registers = Stage1(memory, stage2).long(mappings, t0sz, t1sz)
    mmu = Mmu(Registers(**registers, **stage2.registers), memory.read)
    return mmu, stage2, mappings, registers


@pytest.mark.parametrize("cases", [short_cases(), long_cases()], ids=["short", "long"])
def test_every_mapped_address_leads_where_the_mapping_says(cases: st.SearchStrategy) -> None:
    @settings(max_examples=150)
    @given(cases, st.data())
    def check(case: tuple[Mmu, Stage2, list[Mapping], dict[str, int]], data: st.DataObject) -> None:
        mmu, stage2, mappings, _ = case
        for each in mappings:
            offset = data.draw(st.integers(0, (1 << each.size_bits) - 1))
            stage2.map(each.ipa + offset)
            found = mmu.walk(each.va + offset)
            assert found.ipa == each.ipa + offset
            assert found.pa == stage2.pa(each.ipa + offset)
            assert mmu.translate(each.va + offset) == found.pa
            leaf = [step for step in found.steps if step.stage == 1][-1]
            assert leaf.size_bits == each.size_bits

    check()


@pytest.mark.parametrize("cases", [short_cases(), long_cases()], ids=["short", "long"])
def test_an_address_beside_the_mappings_is_a_stage_1_fault(cases: st.SearchStrategy) -> None:
    @settings(max_examples=150)
    @given(cases, st.integers(0, 2**32 - 1))
    def check(case: tuple[Mmu, Stage2, list[Mapping], dict[str, int]], va: int) -> None:
        mmu, _, mappings, _ = case
        if any(each.va <= va < each.va + (1 << each.size_bits) for each in mappings):
            return
        with pytest.raises(TranslationFault) as caught:
            mmu.walk(va)
        fault = caught.value
        assert (fault.stage, fault.address) == (1, va)
        assert fault.kind in {FaultKind.TRANSLATION, FaultKind.RANGE}
        if fault.kind is FaultKind.TRANSLATION and not mmu.registers.long_format:
            small = [m for m in mappings if m.size_bits < 20 and m.va >> 20 == va >> 20]
            assert fault.level == (2 if small else 1)

    check()


@settings(max_examples=100)
@given(short_cases(), st.data())
def test_what_stage_2_lacks_is_its_own_fault(
    case: tuple[Mmu, Stage2, list[Mapping], dict[str, int]], data: st.DataObject
) -> None:
    mmu, stage2, mappings, _ = case
    each = data.draw(st.sampled_from(mappings))
    if not stage2.on or each.ipa >> 21 in {page >> 9 for page in stage2.mapped}:
        return
    with pytest.raises(TranslationFault) as caught:
        mmu.walk(each.va)
    fault = caught.value
    assert (fault.stage, fault.address, fault.walking) == (2, each.ipa, False)
    assert fault.kind in {FaultKind.TRANSLATION, FaultKind.NO_MEMORY}


def short_with(memory: Memory, va: int, descriptor: int) -> Mmu:
    memory.write(0x4000 + (va >> 20) * 4, descriptor, 4)
    return Mmu(Registers(SCTLR=1, TTBR0=0x4000), memory.read)


def test_mmu_off_is_flat_in_both_stages() -> None:
    walk = Mmu(Registers(), Memory().read).walk(0x1234_5678)
    assert (walk.ipa, walk.pa, walk.steps) == (0x1234_5678, 0x1234_5678, ())


def test_hcr_dc_turns_stage_1_off() -> None:
    memory = Memory()
    mmu = Mmu(Registers(SCTLR=1, TTBR0=0x4000, HCR=1 << 27), memory.read)
    assert mmu.walk(0x1234).pa == 0x1234


def test_a_fault_says_stage_level_descriptor_and_value() -> None:
    memory = Memory()
    mmu = short_with(memory, 0xC000_0000, 0x8000 | 0b01)
    memory.write(0x8000 + 0x12 * 4, 0xDEAD_0000, 4)
    with pytest.raises(TranslationFault) as caught:
        mmu.walk(0xC001_2345)
    fault = caught.value
    assert (fault.kind, fault.stage, fault.level) == (FaultKind.TRANSLATION, 1, 2)
    assert (fault.entry, fault.value, fault.address) == (0x8048, 0xDEAD_0000, 0xC001_2345)
    assert "stage 1, level 2" in fault.message
    assert "0xdead0000" in fault.message


def test_a_stage_1_table_that_stage_2_does_not_map() -> None:
    memory = Memory()
    memory.pages[STAGE2_TABLES >> 12] = bytearray(4096)
    registers = Registers(SCTLR=1, TTBR0=0x4000, HCR=1, VTTBR=STAGE2_TABLES)
    with pytest.raises(TranslationFault) as caught:
        Mmu(registers, memory.read).walk(0x10_0000)
    fault = caught.value
    assert (fault.stage, fault.level, fault.walking) == (2, 2, True)
    assert fault.address == 0x4004
    assert fault.entry == STAGE2_TABLES


def test_supersections_reach_beyond_32_bits() -> None:
    mmu = short_with(Memory(), 0x0, 0xAB00_0000 | 0x5 << 20 | 0x9 << 5 | 1 << 18 | 0b10)
    assert mmu.walk(0x12_3456 % MIB).pa == 0x95_AB00_0000 | 0x2_3456


@pytest.mark.parametrize(
    ("registers", "kind"),
    [
        ({"TTBCR": 1 << 4}, FaultKind.DISABLED),
        ({"TTBCR": 1 << 31 | 1 << 7}, FaultKind.DISABLED),
        ({"TTBCR": 1 << 31, "TTBR0": 0x4008}, FaultKind.MISALIGNED),
        ({"TTBCR": 1 << 31 | 2 << 16 | 2}, FaultKind.RANGE),
        ({"SCTLR": 1 | 1 << 25}, FaultKind.BIG_ENDIAN),
        ({"TTBR0": 0x7F00_0000}, FaultKind.NO_MEMORY),
    ],
)
def test_walks_that_cannot_begin(registers: dict[str, int], kind: FaultKind) -> None:
    memory = Memory()
    memory.pages[4] = bytearray(4096)
    with pytest.raises(TranslationFault) as caught:
        Mmu(Registers(**{"SCTLR": 1, "TTBR0": 0x4000} | registers), memory.read).walk(0x5000_0000)
    assert caught.value.kind is kind


@pytest.mark.parametrize("bit", range(40, 48))
def test_reserved_bits_of_a_long_descriptor_are_not_masked_away(bit: int) -> None:
    memory = Memory()
    memory.write(0x4000, 1 << bit | 1 << 10 | 1, 8)
    with pytest.raises(TranslationFault) as caught:
        Mmu(Registers(SCTLR=1, TTBCR=1 << 31, TTBR0=0x4000), memory.read).walk(0)
    assert caught.value.kind is FaultKind.RESERVED


@pytest.mark.parametrize(("sctlr", "fails"), [(1, False), (1 | 1 << 29, True)])
def test_ap0_is_an_access_flag_only_with_afe(sctlr: int, *, fails: bool) -> None:
    memory = Memory()
    memory.write(0x4000, 0x4000_0000 | 0b10, 4)
    mmu = Mmu(Registers(SCTLR=sctlr, TTBR0=0x4000), memory.read)
    if not fails:
        assert mmu.walk(0x10).pa == 0x4000_0010
        return
    with pytest.raises(TranslationFault) as caught:
        mmu.walk(0x10)
    assert caught.value.kind is FaultKind.ACCESS_FLAG


def test_reading_crosses_pages_and_stops_at_a_hole() -> None:
    memory = Memory()
    mmu = short_with(memory, 0, 0x8000 | 0b01)
    memory.write(0x8000 + 4, 0x2_0000 | 0b10, 4)
    memory.write(0x8000 + 8, 0x1_0000 | 0b10, 4)
    memory.write(0x2_0FFE, 0xBBAA, 2)
    memory.write(0x1_0000, 0xDDCC, 2)
    assert mmu.read_u32(0x1FFE) == 0xDDCC_BBAA
    with pytest.raises(TranslationFault):
        mmu.read(0x2FFE, 4)


def test_a_step_can_be_read_by_a_person() -> None:
    mmu = short_with(Memory(), 0xC000_0000, 0x4000_0000 | 1 << 5 | 0b10)
    (step,) = mmu.walk(0xC000_1000).steps
    assert str(step) == (
        "stage 1 level 1: TTBR0[0xc00] at IPA 0x00007000 = 0x40000022: section -> "
        "IPA 0x40000000, 1 MiB, domain 1 (no access)"
    )


def test_all_symbols_of_a_kernel_take_less_than_a_second() -> None:
    memory = Memory()
    stage2 = Stage2(memory, on=True, block_key=3, page_key=5, paged=0, t0sz=0, sl0=0)
    mappings = [Mapping(0xC000_0000 + i * MIB, 20, 0x9000_0000 + i * MIB) for i in range(16)]
    registers = Stage1(memory, stage2).short(mappings, 0)
    for i in range(0, 16 * MIB, 4096):
        stage2.map(0x9000_0000 + i)
    mmu = Mmu(Registers(**registers, **stage2.registers), memory.read)
    vas = [0xC000_0000 + i * 372 for i in range(45_000)]
    began = time.process_time()
    found = [mmu.translate(va) for va in vas]
    assert time.process_time() - began < slowness()
    assert found == [stage2.pa(va - 0xC000_0000 + 0x9000_0000) for va in vas]
