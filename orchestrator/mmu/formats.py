# SPDX-License-Identifier: MIT
"""The translation-table formats of ARMv7-A as data (DDI 0406C, B3.5 and B3.6).

A format is a tuple of levels, a level a list of patterns, and a pattern says what a descriptor is
that matches it. The walker (`walk`) loops over them and knows none of the numbers. To add a format:
a `Format` here, and a function that finds the root of its tables.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.mmu.faults import FaultKind
from orchestrator.mmu.registers import Registers


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """What a descriptor with `value & mask == match` is.

    Attributes:
        name: For people.
        mask: See above.
        match: See above.
        address: Where the output address lies in it: pairs of a mask and a shift to the left.
        size_bits: Of what it maps, as a power of two; 0: it points to the table of the next level.
        access_flag: The bit that must be set, if access flags are in use.
        reserved: Bits that must be clear.
        domain: Whether bits 8:5 name a domain.
    """

    name: str
    mask: int
    match: int
    address: tuple[tuple[int, int], ...]
    size_bits: int = 0
    access_flag: int = 0
    reserved: int = 0
    domain: bool = False

    def output(self, value: int) -> int:
        """The address in a descriptor."""
        out = 0
        for mask, shift in self.address:
            out |= (value & mask) << shift
        return out


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level of tables.

    Attributes:
        number: As the manual counts, from 1.
        shift: The input address's bits from here on are the index.
        bits: Width of the index; the first table of a walk may have another (`Root`).
        patterns: Of its descriptors; what matches none of them maps nothing.
    """

    number: int
    shift: int
    bits: int
    patterns: tuple[Pattern, ...]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of tables.

    Attributes:
        name: For people.
        entry_bytes: Size of a descriptor.
        levels: In the order of a walk.
    """

    name: str
    entry_bytes: int
    levels: tuple[Level, ...]


_ADDRESS_40: Final = 0xFF_FFFF_F000
_LONG_RESERVED: Final = 0xFF << 40
_LONG_AF: Final = 1 << 10
_CONCATENATED_BITS: Final = 4  # up to 16 tables in a row at the first level of stage 2
_DOMAIN_TO_PA: Final = (0x1E0, 31)  # a supersection's bits 8:5 are PA[39:36]

SHORT: Final = Format(
    name="short",
    entry_bytes=4,
    levels=(
        Level(
            number=1,
            shift=20,
            bits=12,
            patterns=(
                Pattern(
                    name="page table",
                    mask=0b11,
                    match=0b01,
                    address=((0xFFFF_FC00, 0),),
                    domain=True,
                ),
                # Bit 0 of a section is PXN.
                Pattern(
                    name="section",
                    mask=1 << 18 | 0b10,
                    match=0b10,
                    address=((0xFFF0_0000, 0),),
                    size_bits=20,
                    access_flag=1 << 10,
                    domain=True,
                ),
                Pattern(
                    name="supersection",
                    mask=1 << 18 | 0b10,
                    match=1 << 18 | 0b10,
                    address=((0xFF00_0000, 0), (0x00F0_0000, 12), _DOMAIN_TO_PA),
                    size_bits=24,
                    access_flag=1 << 10,
                ),
            ),
        ),
        Level(
            number=2,
            shift=12,
            bits=8,
            patterns=(
                Pattern(
                    name="large page",
                    mask=0b11,
                    match=0b01,
                    address=((0xFFFF_0000, 0),),
                    size_bits=16,
                    access_flag=1 << 4,
                ),
                # Bit 0 of a small page is XN.
                Pattern(
                    name="small page",
                    mask=0b10,
                    match=0b10,
                    address=((0xFFFF_F000, 0),),
                    size_bits=12,
                    access_flag=1 << 4,
                ),
            ),
        ),
    ),
)


def _long_table() -> Pattern:
    return Pattern(
        name="table", mask=0b11, match=0b11, address=((_ADDRESS_40, 0),), reserved=_LONG_RESERVED
    )


def _long_leaf(name: str, match: int, size_bits: int) -> Pattern:
    return Pattern(
        name=name,
        mask=0b11,
        match=match,
        address=((_ADDRESS_40 >> size_bits << size_bits, 0),),
        size_bits=size_bits,
        access_flag=_LONG_AF,
        reserved=_LONG_RESERVED,
    )


LONG: Final = Format(
    name="long",
    entry_bytes=8,
    levels=(
        Level(number=1, shift=30, bits=9, patterns=(_long_table(), _long_leaf("block", 0b01, 30))),
        Level(number=2, shift=21, bits=9, patterns=(_long_table(), _long_leaf("block", 0b01, 21))),
        Level(number=3, shift=12, bits=9, patterns=(_long_leaf("page", 0b11, 12),)),
    ),
)
"""Both of stage 1 with TTBCR.EAE and of stage 2: only the attributes differ."""


@dataclass(frozen=True, kw_only=True)
class Root:
    """Where a walk begins.

    Attributes:
        register: That holds the table's base.
        base: Of the first table; concatenated tables count as one.
        level: Index into `Format.levels`.
        input_bits: Width of the input address; higher bits are not looked at any more.
        access_flags: Whether access flags are in use.
    """

    register: str
    base: int
    level: int
    input_bits: int
    access_flags: bool


def short_root(registers: Registers, va: int) -> Root | FaultKind:
    """TTBR0 or TTBR1 by TTBCR.N (B3.5.4)."""
    n = registers.TTBCR & 7
    upper = n > 0 and va >> (32 - n) != 0
    if registers.TTBCR >> (5 if upper else 4) & 1:
        return FaultKind.DISABLED
    ttbr = registers.TTBR1 if upper else registers.TTBR0
    bits = 32 if upper else 32 - n
    size_bits = bits - 20 + 2
    return Root(
        register="TTBR1" if upper else "TTBR0",
        base=ttbr & 0xFFFF_FFFF & -(1 << size_bits),  # the bits below are attributes
        level=0,
        input_bits=bits,
        access_flags=registers.access_flag,
    )


def long_root(registers: Registers, va: int) -> Root | FaultKind:
    """TTBR0 or TTBR1 by TTBCR.T0SZ and T1SZ (B3.6.4)."""
    t0sz, t1sz = registers.TTBCR & 7, registers.TTBCR >> 16 & 7
    in_lower = va >> (32 - t0sz) == 0
    if t1sz:
        in_upper = va >= (1 << 32) - (1 << (32 - t1sz))
        in_lower = in_lower and not in_upper
    else:
        in_upper = not in_lower
    if not in_lower and not in_upper:
        return FaultKind.RANGE
    if registers.TTBCR >> (23 if in_upper else 7) & 1:
        return FaultKind.DISABLED
    size = t1sz if in_upper else t0sz
    return _long(
        "TTBR1" if in_upper else "TTBR0",
        registers.TTBR1 if in_upper else registers.TTBR0,
        # B3.6.6: the first level is left out when its table would have a single entry.
        level=1 if size > 1 else 0,
        input_bits=32 - size,
    )


def stage2_root(registers: Registers, ipa: int) -> Root | FaultKind:
    """VTTBR by VTCR: T0SZ is signed, SL0 the level to begin at (B3.6.6, stage 2)."""
    t0sz = registers.VTCR & 15
    input_bits = 32 - (t0sz - 16 if t0sz & 8 else t0sz)
    sl0 = registers.VTCR >> 6 & 3
    if ipa >> input_bits or sl0 > 1:
        return FaultKind.RANGE
    return _long("VTTBR", registers.VTTBR, level=1 - sl0, input_bits=input_bits)


def _long(register: str, value: int, *, level: int, input_bits: int) -> Root | FaultKind:
    base = value & 0xFF_FFFF_FFFF
    index_bits = input_bits - LONG.levels[level].shift
    if not 0 < index_bits <= LONG.levels[level].bits + _CONCATENATED_BITS:
        return FaultKind.RANGE
    if base & ((1 << (index_bits + 3)) - 1):
        return FaultKind.MISALIGNED
    return Root(register=register, base=base, level=level, input_bits=input_bits, access_flags=True)
