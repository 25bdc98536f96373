# SPDX-License-Identifier: MIT
"""A VM as probes see it: its symbols, types and RTOS, and its memory at one instant.

`Guest` is what is known of a VM for the whole run, `View` what is true while the machine stands
still. Whose registers the view is made of is decided by `registers`.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import ElfVm, VmConfig
from orchestrator.errors import StorageError, UsageError
from orchestrator.guest import linux_tasks, rtos
from orchestrator.guest.dwarf import Dwarf
from orchestrator.guest.static_branches import static_branches
from orchestrator.guest.symbols import Encoding, Symbol, SymbolTable
from orchestrator.guest.symbols_elf import read_symbols
from orchestrator.guest.symbols_exports import with_exported_data
from orchestrator.guest.symbols_kallsyms import page_offset, read_kallsyms
from orchestrator.guest.types import Types
from orchestrator.images.kernel import text_offset_of_code
from orchestrator.mmu import Mmu, TranslationFault

_SCTLR_TE: Final = 30
_WORD_BYTES: Final = 4
_ALWAYS: Final = 14  # the condition AL
_LONGEST_FUNCTION: Final = 1 << 20
_NEIGHBOURHOOD: Final = 64


class Guest:
    """What is known of a VM before it runs; read when it is first asked for.

    Args:
        vm: As in the config.
        index: Its position there; the VM's number in records.
        image: The ELF file, or the uncompressed kernel, that it starts from.
    """

    def __init__(self, vm: VmConfig, *, index: int, image: Path) -> None:
        self.vm = vm
        self.name = vm.name
        self.index = index
        self.image = image

    @property
    def is_linux(self) -> bool:
        """Whether its symbols are a kernel's own, without types."""
        return not isinstance(self.vm, ElfVm)

    @cached_property
    def symbols(self) -> SymbolTable:
        """Its symbols.

        Raises:
            UsageError: The image has none.
            StorageError: It cannot be read.
        """
        if not self.is_linux:
            return read_symbols(self.image)
        image = self._image
        known = read_kallsyms(image, source=self.name)
        image_va = _image_va(image, known)
        return known if image_va is None else with_exported_data(known, image, image_va=image_va)

    @cached_property
    def types(self) -> Types | None:
        """Its types; of a Linux kernel, which comes without, its tasks if they are known."""
        return linux_tasks.task_types(self._function) if self.is_linux else Dwarf(self.image)

    @cached_property
    def profile(self) -> rtos.RtosProfile | None:
        """The kernel that it is; None: none that is known, or one whose tasks are not."""
        if self.is_linux:
            return rtos.linux() if self.types is not None else None
        return rtos.detect(self.symbols)

    @cached_property
    def static_branches(self) -> frozenset[int]:
        """Places whose code a Linux kernel changes while it works; none of other guests."""
        image_va = _image_va(self._image, self.symbols) if self.is_linux else None
        if image_va is None:
            return frozenset()
        functions = [each.va for each in self.symbols.functions]
        return static_branches(self._image, image_va=image_va, functions=functions)

    def has_current(self, va: int) -> bool:
        """Whether the profile's `current` is the running task at a place."""
        return not self.is_linux or linux_tasks.has_current(va, self.symbols)

    def is_user(self, va: int) -> bool:
        """Whether code at an address is known to run in User mode (PL0)."""
        return self.is_linux and linux_tasks.is_user(va, self.symbols)

    def _function(self, name: str) -> tuple[int, bytes]:
        """Address and code of a kernel's function, as the image has it; no code: none is found."""
        symbol, image = self.symbols.get(name), self._image
        image_va = _image_va(image, self.symbols)
        if symbol is None or image_va is None:
            return 0, b""
        at = symbol.va - image_va
        return symbol.va, image[at : at + self.symbols.end_of(symbol) - symbol.va]

    @property
    def _image(self) -> bytes:
        try:
            return self.image.read_bytes()
        except OSError as error:
            raise StorageError(f"{self.image}: cannot be read: {error.strerror}") from error


def _image_va(image: bytes, symbols: SymbolTable) -> int | None:
    """Where a kernel's image begins; None: of one from before 5.11 it is not known."""
    try:
        return page_offset(symbols) + text_offset_of_code(image)
    except StorageError:
        return None


@dataclass(frozen=True, kw_only=True)
class Code:
    """What is encoded at an address.

    Attributes:
        va: Of the instruction.
        pa: Of the instruction.
        encoding: A32, T32, or literal data.
        data: Up to 8 bytes from there on, as far as they are mapped in a row.
    """

    va: int
    pa: int
    encoding: Encoding
    data: bytes


class View:
    """A guest's memory while the machine stands still.

    Args:
        guest: Whose.
        mmu: With the registers of one of its vCPUs.
    """

    def __init__(self, guest: Guest, mmu: Mmu) -> None:
        self.guest = guest
        self.mmu = mmu
        self._literals: dict[int, frozenset[int]] = {}

    def unknown(self, _va: int) -> str:
        """Why this view can have nothing at an address, whatever the tables say; "": it can."""
        return ""

    def code(self, va: int, encoding: Encoding | None = None, *, size: int = 8) -> Code:
        """The instruction at an address; `encoding`: None finds it out.

        Raises:
            TranslationFault: It is not mapped.
        """
        pa = self.mmu.translate(va)
        data = self.mmu.read(va, _WORD_BYTES)
        if size > _WORD_BYTES:
            with contextlib.suppress(TranslationFault):
                data += self.mmu.read(va + _WORD_BYTES, size - _WORD_BYTES)
        return Code(va=va, pa=pa, encoding=encoding or self.encoding(va), data=data)

    def around(self, va: int, encoding: Encoding) -> tuple[bytes, int]:
        """The code around a place, in its function, and the place's offset in it.

        It begins where an instruction does: in T32 that is known only of a function's start.

        Raises:
            TranslationFault: The place is not mapped.
        """
        function = self.guest.symbols.at(va)
        start = function[0].va if function is not None else va & ~1
        if encoding is not Encoding.T32:
            aligned = va & ~3
            start = aligned if function is None else max(start, aligned - _NEIGHBOURHOOD)
        data = self.mmu.read(start, va + _WORD_BYTES - start)
        with contextlib.suppress(TranslationFault):
            data += self.mmu.read(va + _WORD_BYTES, _NEIGHBOURHOOD)
        return data, va - start

    def encoding(self, va: int, *, thumb: bool = False) -> Encoding:
        """What is encoded at an address: by the mapping symbols, else by what the code itself says.

        A kernel's kallsyms have no mapping symbols. Whether it is Thumb is in SCTLR.TE; its literals
        are found by the instructions that load them; and what a function begins with is not
        conditional, since flags mean nothing there (AAPCS): else it is a table among the code.
        Of a program in Linux nothing is known: `thumb` says what the user knows, and what does not
        begin on a word boundary is T32.
        """
        known = self.guest.symbols.encoding(va)
        if known is not None:
            return known
        if self.guest.is_linux and not self.guest.is_user(va):
            thumb = bool(self.mmu.registers.SCTLR >> _SCTLR_TE & 1)
        elif va % _WORD_BYTES:
            thumb = True
        if thumb:
            return Encoding.T32
        found = self.guest.symbols.at(va)
        if found is not None and self._is_data(va, function=found[0]):
            return Encoding.DATA
        return Encoding.A32

    def _is_data(self, va: int, *, function: Symbol) -> bool:
        if self.mmu.read_u32(function.va) >> 28 < _ALWAYS:
            return True
        return va != function.va and va in self._literals_of(function)

    def _literals_of(self, function: Symbol) -> frozenset[int]:
        known = self._literals.get(function.va)
        if known is None:
            size = min(self.guest.symbols.end_of(function) - function.va, _LONGEST_FUNCTION)
            words = np.frombuffer(self.mmu.read(function.va, size & ~3), "<u4").astype(np.int64)
            known = self._literals[function.va] = literals(words, function.va)
        return known


def literals(words: NDArray[np.int64], start_va: int) -> frozenset[int]:
    """Addresses of the words in an A32 function that are data, by the instructions that use them.

    Those are loads relative to PC (DDI 0406C, A8.8.64 LDR, A8.8.73 LDRD, A8.8.333 VLDR) and the
    tables of addresses behind `LDR pc, [pc, Rm, LSL #2]`, which compilers make of a switch.

    Args:
        words: The function.
        start_va: Of its first word.
    """
    found: set[int] = set()
    end_va = start_va + _WORD_BYTES * len(words)

    def add(at: NDArray[np.intp], offset: NDArray[np.int64], count: int) -> None:
        up = words[at] >> 23 & 1
        base = (start_va + 4 * at + 8) & ~3
        for target in (base + np.where(up == 1, offset, -offset)).tolist():
            found.update(target + 4 * i for i in range(count))

    at = np.flatnonzero((words & 0x0F7F_0000) == 0x051F_0000)  # noqa: PLR2004 - LDR (literal)
    add(at, words[at] & 0xFFF, 1)
    at = np.flatnonzero((words & 0x0F7F_00F0) == 0x014F_00D0)  # noqa: PLR2004 - LDRD (literal)
    add(at, (words[at] >> 4 & 0xF0) | words[at] & 0xF, 2)
    at = np.flatnonzero((words & 0x0F3F_0E00) == 0x0D1F_0A00)  # noqa: PLR2004 - VLDR (literal)
    add(at, (words[at] & 0xFF) * 4, 2)
    for index in np.flatnonzero((words & 0x0FFF_FFF0) == 0x079F_F100).tolist():  # noqa: PLR2004
        entry = index + 2
        while entry < len(words) and start_va <= words[entry] < end_va:
            found.add(start_va + 4 * entry)
            entry += 1
    return frozenset(found)


def find_guest(guests: Mapping[str, Guest], name: str) -> Guest:
    """The guest of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in guests:
        raise UsageError(f"there is no VM {name!r}; there are {', '.join(guests)}")
    return guests[name]
