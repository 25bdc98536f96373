# SPDX-License-Identifier: MIT
"""Guest ELF files, made with the real linker."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from orchestrator.errors import ConfigError, StorageError
from orchestrator.machine.elf import read_elf

SOURCE = """
    .section .text
    .global _start
_start:
    b _start
    .section .far, "ax"
    .word 0x11223344
    .section .data
    .word 0xcafef00d
    .section .bss
    .space 0x100
"""
SCRIPT = """
PHDRS { text PT_LOAD; far PT_LOAD; data PT_LOAD; }
SECTIONS {
    . = 0x80010000;
    .text : AT(0x40010000) { *(.text) } :text
    .far 0x80030000 : AT(0x40030000) { *(.far) } :far
    .data 0x80020000 : AT(0x40020000) { *(.data) } :data
    .bss : { *(.bss) } :data
}
"""


def build(directory: Path, *flags: str, source: str = SOURCE, script: str = SCRIPT) -> Path:
    compiler = shutil.which("arm-linux-gnueabihf-gcc")
    assert compiler, "the tests need gcc-arm-linux-gnueabihf"
    (directory / "a.S").write_text(source)
    (directory / "a.lds").write_text(script)
    command = [
        *(compiler, "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"),
        *("-Wl,-T,a.lds", "-o", "a.elf", "a.S", *flags),
    ]
    subprocess.run(command, check=True, cwd=directory)
    return directory / "a.elf"


def test_segments_lie_at_their_physical_addresses_in_order(tmp_path: Path) -> None:
    image = read_elf(build(tmp_path), max_segments=7)
    assert [segment.ipa for segment in image.segments] == [0x4001_0000, 0x4002_0000, 0x4003_0000]
    text, data, far = (segment.content for segment in image.segments)
    assert text[:4] == bytes.fromhex("feffffea")
    assert data[:4] == bytes.fromhex("0df0feca")
    assert far == bytes.fromhex("44332211")


def test_zeroed_data_is_part_of_the_image(tmp_path: Path) -> None:
    """A reset must clear it again."""
    data = read_elf(build(tmp_path), max_segments=7).segments[1].content
    assert len(data) == 0x104
    assert not any(data[4:])


def test_entry_is_translated_to_the_physical_address(tmp_path: Path) -> None:
    assert read_elf(build(tmp_path), max_segments=7).entry_ipa == 0x4001_0000


def test_a_thumb_entry_keeps_its_mark(tmp_path: Path) -> None:
    source = SOURCE.replace(
        "_start:", ".thumb\n    .thumb_func\n    .type _start, %function\n_start:"
    )
    assert (
        read_elf(build(tmp_path, "-Wl,-e,_start", source=source), max_segments=7).entry_ipa
        == 0x4001_0001
    )


def test_too_many_segments_are_joined_across_the_smallest_gap(tmp_path: Path) -> None:
    apart = read_elf(build(tmp_path), max_segments=3)
    joined = read_elf(build(tmp_path), max_segments=2)
    assert [segment.ipa for segment in joined.segments] == [0x4001_0000, 0x4002_0000]
    memory = joined.segments[1].content
    assert memory[:0x104] == apart.segments[1].content
    assert not any(memory[0x104:0x10000])
    assert memory[0x10000:] == apart.segments[2].content


def test_overlapping_segments_are_refused(tmp_path: Path) -> None:
    script = SCRIPT.replace("AT(0x40020000)", "AT(0x40010000)")
    with pytest.raises(ConfigError, match="overlap at physical address 0x40010000"):
        read_elf(build(tmp_path, "-Wl,--no-check-sections", script=script), max_segments=7)


def test_an_object_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    build(tmp_path)
    compiler = shutil.which("arm-linux-gnueabihf-gcc")
    assert compiler
    subprocess.run([compiler, "-c", "a.S"], check=True, cwd=tmp_path)
    with pytest.raises(ConfigError, match="ET_REL; link it to a fixed address"):
        read_elf(tmp_path / "a.o", max_segments=7)


def test_a_program_of_this_machine_is_refused_by_what_it_is() -> None:
    shell = Path("/bin/sh").resolve()
    with pytest.raises(ConfigError, match=r"-endian EM_\w+; a guest is a 32-bit little-endian"):
        read_elf(shell, max_segments=7)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n"])
def test_what_is_no_elf_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not an ELF file"):
        read_elf(path, max_segments=7)


@pytest.mark.parametrize("size", [1, 0xC000_0000])
def test_a_segment_of_a_size_that_cannot_be_is_refused(tmp_path: Path, size: int) -> None:
    """Smaller than what the file has of it, or larger than any memory."""
    path = build(tmp_path)
    data = bytearray(path.read_bytes())
    (headers,) = struct.unpack_from("<I", data, 28)  # e_phoff
    struct.pack_into("<I", data, headers + 20, size)  # p_memsz of the first one
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=f"in the file and {size} in memory"):
        read_elf(path, max_segments=7)


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        read_elf(tmp_path / "none.elf", max_segments=7)
