# SPDX-License-Identifier: MIT
"""A bare-metal ARM ELF file as the pieces of memory that a boot loader would fill.

Symbols and DWARF are not read here; they belong to `orchestrator.guest`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from orchestrator.errors import ConfigError, StorageError

_WANTED: Final = (32, "little", "EM_ARM")
_MAX_SEGMENT_BYTES: Final = 1 << 30
"""What is only zeros is part of a segment's content."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A contiguous piece of memory, zero-initialised data included.

    Attributes:
        ipa: Where the first byte belongs (`p_paddr`), in the guest's physical address space.
        content: All bytes of it.
    """

    ipa: int
    content: bytes

    @property
    def end_ipa(self) -> int:
        """One past the last byte."""
        return self.ipa + len(self.content)


@dataclass(frozen=True, kw_only=True)
class ElfImage:
    """A guest ELF, ready to be placed.

    Attributes:
        path: The file.
        entry_ipa: First instruction; bit 0 set means Thumb.
        segments: In ascending order, not overlapping.
    """

    path: Path
    entry_ipa: int
    segments: tuple[Segment, ...]


def read_elf(path: Path, *, max_segments: int) -> ElfImage:
    """Reads the loadable segments of a 32-bit little-endian ARM executable.

    Args:
        path: The ELF file.
        max_segments: At most this many pieces are returned; the ones with the smallest gap
            between them are joined, with zeros in the gap.

    Raises:
        ConfigError: Not such a file, or nothing in it to load, or segments that overlap.
        StorageError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            segments, entry = _load(ELFFile(file), path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    except ELFError as error:
        raise ConfigError(f"{path}: not an ELF file: {error}") from error
    segments.sort(key=lambda segment: segment.ipa)
    for low, high in itertools.pairwise(segments):
        if low.end_ipa > high.ipa:
            raise ConfigError(f"{path}: segments overlap at physical address {high.ipa:#x}")
    return ElfImage(path=path, entry_ipa=entry, segments=tuple(_join(segments, max_segments)))


def _load(elf: ELFFile, path: Path) -> tuple[list[Segment], int]:
    header = elf.header
    found = (elf.elfclass, "little" if elf.little_endian else "big", header["e_machine"])
    if found != _WANTED:
        raise ConfigError(
            f"{path}: {found[0]}-bit {found[1]}-endian {found[2]}; "
            f"a guest is a {_WANTED[0]}-bit {_WANTED[1]}-endian {_WANTED[2]} executable"
        )
    if header["e_type"] != "ET_EXEC":
        raise ConfigError(f"{path}: {header['e_type']}; link it to a fixed address (ET_EXEC)")
    for segment in elf.iter_segments(type="PT_LOAD"):
        if not segment["p_filesz"] <= segment["p_memsz"] <= _MAX_SEGMENT_BYTES:
            raise ConfigError(
                f"{path}: the segment at {segment['p_paddr']:#x} has {segment['p_filesz']} bytes in "
                f"the file and {segment['p_memsz']} in memory; is the linker script right?"
            )
    segments = [
        Segment(
            ipa=segment["p_paddr"],
            content=segment.data() + bytes(segment["p_memsz"] - segment["p_filesz"]),
        )
        for segment in elf.iter_segments(type="PT_LOAD")
        if segment["p_memsz"]
    ]
    if not segments:
        raise ConfigError(f"{path}: no PT_LOAD segment, so there is nothing to run")
    return segments, _entry_ipa(elf, header["e_entry"])


def _entry_ipa(elf: ELFFile, entry_va: int) -> int:
    """The entry point as a physical address: the MMU is off when the guest starts."""
    for segment in elf.iter_segments(type="PT_LOAD"):
        offset = (entry_va & ~1) - segment["p_vaddr"]
        if 0 <= offset < segment["p_memsz"]:
            return int(segment["p_paddr"] + offset) | entry_va & 1
    return int(entry_va)


def _join(segments: list[Segment], limit: int) -> list[Segment]:
    while len(segments) > limit:
        gaps = [high.ipa - low.end_ipa for low, high in itertools.pairwise(segments)]
        at = gaps.index(min(gaps))
        low, high = segments[at : at + 2]
        joined = Segment(ipa=low.ipa, content=low.content + bytes(gaps[at]) + high.content)
        segments[at : at + 2] = [joined]
    return segments
