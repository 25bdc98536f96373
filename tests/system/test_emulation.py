# SPDX-License-Identifier: MIT
"""The emulation of displaced instructions, held against the instructions themselves.

A bare-metal guest (tests/images/emulation) runs random instances of every class from random states,
natively and through a probe's HVC at the same address, and compares registers of all modes, flags,
memory and faults. Nothing here says what an instruction does: that is left to the board.
"""

import random
import re
import struct
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from orchestrator import config, records, session
from orchestrator.options import BootOptions
from orchestrator.probe import a32, system, t32
from orchestrator.probe.emulation import ALU_INDEX, PC, Access, Emulation, Flag, Operation, Shift
from orchestrator.probe.encoding import Refusal, Table
from orchestrator.probe.instruction import decode

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
GUEST = ROOT / "tests" / "images" / "emulation"
SHORT, LONG, OFF = range(3)  # enum tables of tests/images/emulation/guest.h
SITES_VA = (0x6000_0000, 0x6000_0000, 0x4030_0000)  # memory.c: struct layout
SITE_A32, SITES_T32 = 0x400, (0x400, 0x402)
MODES = frozenset({0x10, 0x11, 0x12, 0x13, 0x17, 0x1B, 0x1F})
RUN_S = 600  # a safety net, not a measure: the run takes 30 s on an idle machine
CLASSES = tuple(c for c in Emulation if c is not Emulation.NONE)
ACCESSES = (
    *(Emulation.LOAD, Emulation.STORE, Emulation.LOAD_DUAL, Emulation.STORE_DUAL),
    *(Emulation.LOAD_MULTIPLE, Emulation.STORE_MULTIPLE),
)
"""Without an MMU all RAM is code, so a branch may end anywhere; but these alone differ there."""
INSTANCES = (records.MAX_PROBES - 1) // len(CLASSES)

# struct instance and its enums: tests/images/emulation/guest.h
MEMORY, ALIGNED, CODE, SPSR, STRICT = 1, 2, 4, 8, 16
ANY, POINTER, INDEX, CODE_ADDRESS, CODE_ARM, PSR = range(6)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instruction, and what its registers must hold so that it does something."""

    word: int
    thumb: bool
    site: int
    operation: Operation
    flags: int
    bias: int
    kinds: dict[int, int]

    def packed(self) -> bytes:
        memory_order = self.word >> 16 | self.word << 16 & 0xFFFF_FFFF if self.thumb else self.word
        nibbles = sum(kind << 4 * register for register, kind in self.kinds.items())
        return struct.pack(
            "<IHHIQ",
            memory_order,
            self.site | self.thumb,
            self.flags,
            self.bias & 0xFFFF_FFFF,
            nibbles,
        )


def signed16(value: int) -> int:
    return (value & 0xFFFF ^ 0x8000) - 0x8000


def _access(operation: Operation, site_va: int) -> tuple[int, int, dict[int, int]] | None:
    """Flags, bias and kinds of a load or store; None: where it goes is not to be tested here."""
    o, load = operation, operation.emulation in (Emulation.LOAD, Emulation.LOAD_DUAL)
    flags, kinds = MEMORY, {}
    if o.rn < PC:
        kinds[o.rn] = POINTER
    elif not load:
        return None  # it would write between the sites
    else:
        address = o.value if o.rn > PC else site_va + 8 + (o.value if o.rm > PC else 0)
        # What is loaded must not be the instruction itself, which its HVC replaces.
        if (o.rm < PC and o.flags & Flag.SUBTRACT) or abs(address - site_va) < 12:
            return None
    if o.rm < PC:
        # The index stays small, and so the address in its window, which alone is filled.
        small = o.shift in (Shift.LSR, Shift.ASR) or (o.shift == Shift.LSL and o.value <= 4)
        small |= o.shift == Shift.ROR and o.value >= 28
        if o.rm == o.rn or not small:
            return None
        kinds[o.rm] = INDEX
    to_pc = load and o.rd == PC
    if to_pc and (o.rm < PC or o.value % 4 or o.rn > PC):
        return None
    if to_pc:
        flags |= CODE | ALIGNED
    bias = o.value if o.flags & Flag.PRE and o.rm > PC else 0
    return flags, bias, kinds


def _alu_to_pc(o: Operation) -> dict[int, int] | None:
    """Only what gives an address that exists: a multiple of 4, or bit 0 set."""
    if o.emulation is Emulation.ALU_IMM:
        return None if o.value % 4 else {o.rn: CODE_ARM}
    if o.shift != Shift.LSL:
        return None
    moved = o.op == ALU_INDEX["mov"] and o.value == 0
    return {o.rn: CODE_ARM, o.rm: CODE_ADDRESS if moved else CODE_ARM}


def _needs(  # noqa: PLR0911 -- one answer for each class
    operation: Operation, site_va: int
) -> tuple[int, int, dict[int, int]] | None:
    """Flags, bias and kinds with which an instruction does something; None: not to be tested."""
    o = operation
    match o.emulation:
        case Emulation.LOAD | Emulation.STORE | Emulation.LOAD_DUAL | Emulation.STORE_DUAL:
            return _access(o, site_va)
        case Emulation.LOAD_MULTIPLE | Emulation.STORE_MULTIPLE:
            to_pc = o.emulation is Emulation.LOAD_MULTIPLE and o.value >> PC
            return MEMORY | (CODE if to_pc else 0), signed16(o.extra), {o.rn: POINTER}
        case Emulation.TABLE_BRANCH:
            return None if o.rn == o.rm else (MEMORY, 0, {o.rn: POINTER, o.rm: INDEX})
        case Emulation.BRANCH_REG:
            return 0, 0, {o.rm: CODE_ADDRESS}
        case Emulation.ALU_IMM | Emulation.ALU_SHIFT if o.rd == PC:
            kinds = _alu_to_pc(o)
            return None if kinds is None else (0, 0, kinds)
        case Emulation.READ_PSR | Emulation.WRITE_PSR:
            to_mode = o.rm > PC and not o.op and o.value & 31
            if to_mode and o.extra & 31 not in MODES:
                return None
            return SPSR if o.op else 0, 0, {o.rm: PSR}
    return 0, 0, {}


def instance_of(
    word: int, *, thumb: bool, generator: random.Random, sites_va: int
) -> Instance | None:
    site = generator.choice(SITES_T32) if thumb else SITE_A32
    operation = decode(word, va=sites_va + site, thumb=thumb)
    if isinstance(operation, Refusal):
        return None
    needs = _needs(operation, sites_va + site)
    if needs is None:
        return None
    flags, bias, kinds = needs
    # QEMU lets TBH load a halfword that is not aligned even where SCTLR.A forbids it.
    may_be_strict = operation.emulation is not Emulation.TABLE_BRANCH and not flags & CODE
    if may_be_strict and generator.randrange(4) == 0:
        flags |= STRICT
    return Instance(
        word=word,
        thumb=thumb,
        site=site,
        operation=operation,
        flags=flags,
        bias=bias,
        kinds={register: kind for register, kind in kinds.items() if register < PC},
    )


def pool(
    table: Table, generator: random.Random, *, thumb: bool, sites_va: int
) -> Iterator[Instance]:
    """Random words of every row; conditional A32 ones are unconditional half of the time."""
    conditional = table is a32.CONDITIONAL
    for row in table.rows:
        for _ in range(400):
            word = row.value | generator.getrandbits(32) & ~row.mask & 0xFFFF_FFFF
            if conditional:
                cond = generator.choice((*range(14), *[14] * 14))
                word = word & 0x0FFF_FFFF | cond << 28
            instance = instance_of(word, thumb=thumb, generator=generator, sites_va=sites_va)
            if instance is not None:
                yield instance


def system_registers(generator: random.Random, sites_va: int) -> Iterator[Instance]:
    """MRC and MCR of the registers that are emulated: random words would hardly hit one."""
    for opc1, crn, crm, opc2 in system.SYSTEM_REGISTERS:
        for rest in range(2 * PC):
            read, register = divmod(rest, PC)
            fields = opc1 << 21 | read << 20 | crn << 16 | register << 12 | opc2 << 5 | crm
            for thumb in (False, True):
                word = 0xEE00_0F10 | fields
                instance = instance_of(word, thumb=thumb, generator=generator, sites_va=sites_va)
                if instance is not None:
                    yield instance


def pushes(generator: random.Random, sites_va: int) -> Iterator[Instance]:
    """Function entries, of which random words have too few."""
    single = [((1 << count) - 1) << first for count in range(10) for first in range(13 - count)]
    # Two rows with a gap of one or more, such as {r0-r2, r4, r5}.
    double = [
        low | high << low.bit_length() + gap
        for low in single
        for high in ((1 << count) - 1 for count in range(1, 10))
        for gap in range(1, 12)
        if low and (high << low.bit_length() + gap) < 1 << 13
    ]
    rows = single + generator.sample(double, 300)
    for row in rows:
        for word, thumb in (
            (0xE92D_0000 | row, False),
            (0xE92D_4000 | row, False),
            (generator.randrange(14) << 28 | 0x092D_4000 | row, False),
            (0xE92D_4000 | row, True),
            (0xE52D_E004, False),
            (generator.randrange(14) << 28 | 0x052D_E004, False),
            (0xF84D_ED04, True),
            (0xE52D_0000 | generator.randrange(13) << 12 | generator.randrange(256), False),
            (0xE16D_00F0 | generator.randrange(6) << 13 | generator.randrange(16), False),
            (0xE16D_01F0 | generator.randrange(6) << 13 | generator.randrange(16), False),
            (0xE96D_4502 | generator.randrange(64), True),
        ):
            instance = instance_of(word, thumb=thumb, generator=generator, sites_va=sites_va)
            if instance is not None:
                yield instance


def instances(sites_va: int, classes: Collection[Emulation]) -> list[Instance]:
    """Equally many of each class, and of each row of it."""
    generator = random.Random(20260101)  # noqa: S311 -- test data
    by_class: dict[Emulation, list[Instance]] = defaultdict(list)
    for table, thumb in ((a32.CONDITIONAL, False), (a32.UNCONDITIONAL, False), (t32.TABLE, True)):
        for instance in pool(table, generator, thumb=thumb, sites_va=sites_va):
            by_class[instance.operation.emulation].append(instance)
    for instance in (
        *system_registers(generator, sites_va),
        *pushes(generator, sites_va),
    ):
        by_class[instance.operation.emulation].append(instance)
    assert set(by_class) == set(CLASSES)
    return [
        instance
        for emulation in classes
        for instance in generator.choices(by_class[emulation], k=INSTANCES)
    ]


def probe_table(chosen: list[Instance], sites_va: int) -> bytes:
    table = np.zeros(records.MAX_PROBES, dtype=records.PROBE)
    for number, instance in enumerate(chosen, start=1):
        entry = table[number]
        entry["va"] = sites_va + instance.site
        entry["next"] = sites_va + instance.site + 4
        entry["word"] = instance.word
        entry["state"] = 1
        entry["vm"] = 0
        entry["flags"] = (
            records.ProbeFlag.T32 * instance.thumb
            | records.ProbeFlag.CONDITIONAL * instance.operation.conditional
        )
        entry["emulation"] = instance.operation.emulation
        entry["operand"], entry["cond"] = instance.operation.packed(), instance.operation.cond
    return table.tobytes()


class _Silent:
    def __getattr__(self, _name: str) -> object:
        return lambda *_args, **_kwargs: None


def run(directory: Path, chosen: list[Instance], table: bytes, states: int, tables: int) -> str:
    """Builds the guest with its list, boots it with the probe table in place, gives its log."""
    listed, probes = directory / "instances.bin", directory / "probes.bin"
    listed.write_bytes(b"".join(instance.packed() for instance in chosen))
    probes.write_bytes(table)
    subprocess.run(
        [
            *("make", "-C", GUEST, f"O={directory}", f"INSTANCES={listed}"),
            *(f"STATES={states}", f"TABLES={tables}"),
        ],
        check=True,
        capture_output=True,
    )
    toml = directory / "emulation.toml"
    toml.write_text(
        f'[machine]\ncores = 2\n[vm.emulation]\ntype = "elf"\nram = "4M"\npin = [1]\n'
        f'image = "{directory}/emulation.elf"\nready = "emulation: done"\n'
    )
    options = BootOptions(out=directory / "run", dry_run=True)
    boot = session.boot(config.load(toml), options, _Silent())  # type: ignore[arg-type]
    where = records.HV_TRACE_PA + records.HV_TRACE_PROBES
    # It shall start at once, and end with its guest.
    command = [word for word in boot.qemu_command if word not in {"-S", "-no-shutdown"}]
    command += ["-device", f"loader,file={probes},addr={where:#x},force-raw=on"]
    subprocess.run(command, check=True, timeout=RUN_S, capture_output=True, cwd=directory)
    return (boot.run_dir / "emulation.log").read_text()


SUMMARY = re.compile(
    r"instances (0x\w+) states (0x\w+) aborts (0x\w+) differences (0x\w+)\r?\nemulation: done"
)


@pytest.mark.parametrize(
    ("tables", "classes", "per_class", "faults"),
    [
        (SHORT, CLASSES, 100_000, 10_000),
        (LONG, CLASSES, 10_000, 1_000),
        (OFF, ACCESSES, 10_000, 1_000),
    ],
    ids=["short descriptors", "long descriptors", "MMU off"],
)
def test_emulated_and_native_leave_the_same(
    tmp_path: Path, tables: int, classes: Collection[Emulation], per_class: int, faults: int
) -> None:
    """So many states of each class, in both instruction sets and endiannesses; nothing differs."""
    chosen = instances(SITES_VA[tables], classes)
    wanted = -(-per_class // INSTANCES)
    log = run(tmp_path, chosen, probe_table(chosen, SITES_VA[tables]), wanted, tables)
    shown = []
    for index, rest in re.findall(r"differs: instance (0x\w+) (.*)", log):
        instance = chosen[int(index, 16)]
        shown.append(f"{'T32' if instance.thumb else 'A32'} {instance.operation} {rest}")
    assert shown == []
    summary = SUMMARY.search(log)
    assert summary, log
    count, states, aborts, differences = (int(text, 16) for text in summary.groups())
    assert (count, states, differences) == (len(chosen), wanted, 0)
    assert INSTANCES * states >= per_class
    assert aborts > faults, "the windows should make many accesses fault"


def test_a_wrong_operand_is_found(tmp_path: Path) -> None:
    """The comparison can fail: ADD decoded as SUB, and a store of the wrong size."""
    generator = random.Random(1)  # noqa: S311 -- test data
    words = (0xE0810002, 0xE5810000, 0xE1A00001)  # add r0, r1, r2; str r0, [r1]; mov r0, r1
    chosen = [
        instance
        for word in words
        if (
            instance := instance_of(
                word, thumb=False, generator=generator, sites_va=SITES_VA[SHORT]
            )
        )
        is not None
    ]
    table = np.frombuffer(probe_table(chosen, SITES_VA[SHORT]), dtype=records.PROBE).copy()
    sub = decode(0xE0410002, va=SITES_VA[SHORT] + SITE_A32, thumb=False)
    strb = decode(0xE5C10000, va=SITES_VA[SHORT] + SITE_A32, thumb=False)
    assert isinstance(sub, Operation)
    assert isinstance(strb, Operation)
    assert strb.op == Access.BYTE
    table[1]["operand"] = sub.packed()
    table[2]["operand"] = strb.packed()
    log = run(tmp_path, chosen, table.tobytes(), 64, SHORT)
    found = {int(index, 16) for index in re.findall(r"differs: instance (0x\w+)", log)}
    assert found == {0, 1}
