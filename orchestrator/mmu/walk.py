# SPDX-License-Identifier: MIT
"""The one walker, and the composition of both stages.

Each descriptor of stage 1 lies at an IPA and is itself fetched through stage 2. What is done with
the result (probes, reading guest memory) belongs to others. Permissions are not checked: whoever
asks is a debugger, not the guest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from orchestrator.mmu.faults import FaultKind, TranslationFault
from orchestrator.mmu.formats import (
    LONG,
    SHORT,
    Format,
    Pattern,
    Root,
    long_root,
    short_root,
    stage2_root,
)
from orchestrator.mmu.registers import Registers

ReadPhysical = Callable[[int, int], bytes]
"""Reads (physical address, number of bytes); fewer bytes come back where there is no memory."""

_PAGE_BITS = 12
_PAGE_BYTES = 1 << _PAGE_BITS


@dataclass(frozen=True, kw_only=True)
class Step:
    """One descriptor on the way.

    Attributes:
        stage: Whose table.
        level: As the manual counts.
        register: Where the walk of this stage began.
        address: That this stage was asked for.
        walking: Whether `address` is that of a stage-1 descriptor.
        index: In the table.
        entry: Address of the descriptor: an IPA in stage 1, a PA in stage 2.
        value: The descriptor.
        entry_bytes: Its size.
        name: What it is.
        output: Base of the next table, or of what is mapped.
        size_bits: Size of what is mapped, as a power of two; 0: a table.
        domain: Of a short descriptor, with the access that DACR grants; "" elsewhere.
    """

    stage: Literal[1, 2]
    level: int
    register: str
    address: int
    walking: bool
    index: int
    entry: int
    value: int
    entry_bytes: int
    name: str
    output: int
    size_bits: int
    domain: str = ""

    def __str__(self) -> str:
        space = "IPA" if self.stage == 1 else "PA"
        text = (
            f"{'    ' if self.walking else ''}stage {self.stage} level {self.level}: "
            f"{self.register}[{self.index:#x}] at {space} {self.entry:#010x} = "
            f"{self.value:#0{2 * self.entry_bytes + 2}x}: {self.name} -> {space} {self.output:#010x}"
        )
        if self.size_bits:
            text += f", {_size(self.size_bits)}"
        return f"{text}, domain {self.domain}" if self.domain else text


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Where an address leads.

    Attributes:
        va: The address asked for.
        ipa: After stage 1.
        pa: After both.
        steps: Every descriptor that was read, in order.
    """

    va: int
    ipa: int
    pa: int
    steps: tuple[Step, ...]


class Mmu:
    """Translates as one vCPU does, at one instant.

    Results are kept for each page, so this is right for as long as the guest's tables stay as they
    are: make a new one after the guest has run.

    Args:
        registers: The vCPU's.
        read: Reads physical memory.
    """

    def __init__(self, registers: Registers, read: ReadPhysical) -> None:
        self.registers = registers
        self._read = read
        self._pages: dict[int, int] = {}
        self._stage2_pages: dict[int, int] = {}

    def walk(self, va: int) -> Translation:
        """Translates an address and records how; nothing is taken from what was kept.

        Raises:
            TranslationFault: It is not mapped.
        """
        steps: list[Step] = []
        ipa = self._stage1(va, steps)
        return Translation(
            va=va, ipa=ipa, pa=self._stage2(ipa, steps, walking=False), steps=tuple(steps)
        )

    def translate(self, va: int) -> int:
        """The physical address of a virtual one.

        Raises:
            TranslationFault: It is not mapped.
        """
        page = va >> _PAGE_BITS
        base = self._pages.get(page)
        if base is None:
            ipa = self._stage1(page << _PAGE_BITS, None)
            base = self._pages[page] = self._stage2(ipa, None, walking=False)
        return base | va & (_PAGE_BYTES - 1)

    def read(self, va: int, count: int) -> bytes:
        """Reads the guest's virtual memory, across pages where need be.

        Raises:
            TranslationFault: Part of it is not mapped, or mapped to where there is no memory.
        """
        out = b""
        while len(out) < count:
            at = va + len(out) & 0xFFFF_FFFF
            part = min(count - len(out), _PAGE_BYTES - at % _PAGE_BYTES)
            pa = self.translate(at)
            data = self._read(pa, part)
            if len(data) != part:
                raise TranslationFault(
                    kind=FaultKind.NO_MEMORY, stage=2, level=3, address=at, entry=pa
                )
            out += data
        return out

    def read_u32(self, va: int) -> int:
        """A little-endian word of the guest's virtual memory.

        Raises:
            TranslationFault: As `read`.
        """
        return int.from_bytes(self.read(va, 4), "little")

    def _stage1(self, va: int, steps: list[Step] | None) -> int:
        registers = self.registers
        if not registers.stage1:
            return va
        long_format = registers.long_format
        if registers.big_endian_tables:
            raise TranslationFault(kind=FaultKind.BIG_ENDIAN, stage=1, level=1, address=va)
        root = (long_root if long_format else short_root)(registers, va)
        if isinstance(root, FaultKind):
            raise TranslationFault(kind=root, stage=1, level=1, address=va)
        return self._walk(LONG if long_format else SHORT, root, va, stage=1, steps=steps)

    def _stage2(self, ipa: int, steps: list[Step] | None, *, walking: bool) -> int:
        if not self.registers.stage2:
            return ipa
        page = ipa >> _PAGE_BITS
        base = None if steps is not None else self._stage2_pages.get(page)
        if base is None:
            root = stage2_root(self.registers, ipa)
            if isinstance(root, FaultKind):
                raise TranslationFault(kind=root, stage=2, level=1, address=ipa, walking=walking)
            out = self._walk(LONG, root, ipa, stage=2, steps=steps, walking=walking)
            base = self._stage2_pages[page] = out >> _PAGE_BITS << _PAGE_BITS
        return base | ipa & (_PAGE_BYTES - 1)

    def _walk(
        self,
        tables: Format,
        root: Root,
        address: int,
        *,
        stage: Literal[1, 2],
        steps: list[Step] | None,
        walking: bool = False,
    ) -> int:
        base = root.base
        bits = root.input_bits - tables.levels[root.level].shift

        def fault(kind: FaultKind, value: int | None) -> TranslationFault:
            return TranslationFault(
                kind=kind,
                stage=stage,
                level=level.number,
                address=address,
                entry=entry,
                value=value,
                walking=walking,
            )

        for level in tables.levels[root.level :]:
            index = address >> level.shift & ((1 << bits) - 1)
            entry = base + index * tables.entry_bytes
            entry_pa = entry if stage == 2 else self._stage2(entry, steps, walking=True)  # noqa: PLR2004
            data = self._read(entry_pa, tables.entry_bytes)
            if len(data) != tables.entry_bytes:
                raise fault(FaultKind.NO_MEMORY, None)
            value = int.from_bytes(data, "little")
            for pattern in level.patterns:
                if value & pattern.mask == pattern.match:
                    break
            else:
                raise fault(FaultKind.TRANSLATION, value)
            if value & pattern.reserved:
                raise fault(FaultKind.RESERVED, value)
            if root.access_flags and pattern.access_flag & ~value:
                raise fault(FaultKind.ACCESS_FLAG, value)
            base = pattern.output(value)
            if steps is not None:
                steps.append(
                    Step(
                        stage=stage,
                        level=level.number,
                        register=root.register if level is tables.levels[root.level] else "table",
                        address=address,
                        walking=walking,
                        index=index,
                        entry=entry,
                        value=value,
                        entry_bytes=tables.entry_bytes,
                        name=pattern.name,
                        output=base,
                        size_bits=pattern.size_bits,
                        domain=self._domain(pattern, value),
                    )
                )
            if pattern.size_bits:
                return base | address & ((1 << pattern.size_bits) - 1)
            bits = tables.levels[level.number].bits
        raise AssertionError("the last level of a format has no tables")

    def _domain(self, pattern: Pattern, value: int) -> str:
        if not pattern.domain:
            return ""
        domain = value >> 5 & 15
        return f"{domain} ({self.registers.domain_access(domain)})"


def _size(bits: int) -> str:
    for unit, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if bits >= unit:
            return f"{1 << (bits - unit)} {name}"
    return f"{1 << bits} bytes"
