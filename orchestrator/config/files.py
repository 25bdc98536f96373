# SPDX-License-Identifier: MIT
"""Files that a config names: that they are there, and begin as what they are named for.

Only the first bytes are looked at: enough to tell a mistaken path before anything is started.
Whoever uses a file reads the rest of it (`orchestrator.images`, `orchestrator.machine`). To add a
kind of file: a function here that takes a path, returns it, and raises ValueError.
"""

import os
import struct
from pathlib import Path
from typing import Final

from orchestrator.config.faults import nearest

# ELF identification: magic, ELFCLASS32, ELFDATA2LSB; e_machine at offset 18 is EM_ARM
# (System V ABI, chapter 4, and its ARM supplement).
_ELF: Final = b"\x7fELF"
_ELF32_LE: Final = b"\x7fELF\x01\x01"
_EM_ARM: Final = 40
_ELF_MACHINE_END: Final = 20

# A zImage has its magic at offset 0x24 (kernel: Documentation/arch/arm/booting.rst); an Image
# begins with code, which computes PHYS_OFFSET by SUB r8, r8, #TEXT_OFFSET (see `images.kernel`).
_ZIMAGE_MAGIC: Final = bytes.fromhex("18286f01")
_ZIMAGE_MAGIC_AT: Final = 0x24
_IMAGE_CODE_BYTES: Final = 256
_SUB_R8_R8: Final = 0xE2488000
_SUB_MASK: Final = 0xFFFFF000

_CPIO: Final = (b"070701", b"070702")
"""The two forms that Linux unpacks (kernel: Documentation/driver-api/early-userspace/buffer-format)."""
_PACKED: Final = (
    *(b"\x1f\x8b", b"\x1f\x9e", b"BZ", b"\x5d\x00", b"\xfd7"),
    *(b"\x89L", b"\x02\x21", b"\x28\xb5"),
)
"""By which Linux tells gzip (old and new), bzip2, lzma, xz, lzo, lz4 and zstd (lib/decompress.c)."""
_ARCHIVE_HEAD_BYTES: Final = 4096


def existing_file(value: str, base: Path, *, words: tuple[str, ...] = ()) -> Path:
    """The file of a path that is relative to a folder.

    Args:
        value: As in the config.
        base: The folder.
        words: What the value might have been meant for instead.

    Raises:
        ValueError: There is none that can be read.
    """
    try:
        path = Path(os.path.normpath(base / Path(value).expanduser()))
        if not path.is_file():
            raise ValueError(_missing(value, path, words))
    except RuntimeError as error:
        raise ValueError(f"{value}: there is no such user, whose home it could be in") from error
    except OSError as error:  # such as a folder that is closed
        raise ValueError(f"{error.filename} cannot be looked at: {error.strerror}") from error
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} cannot be read; check its permissions")
    return path


def _missing(value: str, path: Path, words: tuple[str, ...]) -> str:
    what = f"{path} is a folder, not a file" if path.is_dir() else f"there is no file {path}"
    if words:
        quoted = ", ".join(f'"{word}"' for word in words)
        what = f'"{value}" is not one of {quoted}, and {what}'
    beside = []
    if not path.exists() and path.parent.is_dir():
        beside = [entry.name for entry in path.parent.iterdir()]
    if near := nearest(value, words) or nearest(path.name, beside):
        what += f'; did you mean "{near}"?'
    return what


def arm_elf(path: Path) -> Path:
    """An ELF file for this board.

    Raises:
        ValueError: It is another one, or none.
    """
    head = _head(path, _ELF_MACHINE_END)
    if len(head) < _ELF_MACHINE_END or not head.startswith(_ELF):
        raise ValueError(f"{path} is not an ELF file")
    machine = struct.unpack_from("<H", head, 18)[0]
    if not head.startswith(_ELF32_LE) or machine != _EM_ARM:
        raise ValueError(f"{path} is an ELF file, but not for 32-bit little-endian ARM")
    return path


def arm_kernel(path: Path) -> Path:
    """A Linux kernel for ARM, packed (zImage) or not (Image).

    Raises:
        ValueError: It is neither.
    """
    head = _head(path, _IMAGE_CODE_BYTES)
    if head[_ZIMAGE_MAGIC_AT:].startswith(_ZIMAGE_MAGIC):
        return path
    words = struct.unpack_from(f"<{len(head) // 4}I", head)
    if any(word & _SUB_MASK == _SUB_R8_R8 for word in words):
        return path
    what = "an ELF file" if head.startswith(_ELF) else "no kernel for 32-bit ARM"
    raise ValueError(f"{path} is {what}; name a zImage, or an Image of Linux 5.11 or later")


def cpio_archive(path: Path) -> Path:
    """An archive that Linux unpacks as its first file system.

    Raises:
        ValueError: It is neither a cpio archive nor packed.
    """
    head = _head(path, _ARCHIVE_HEAD_BYTES).lstrip(b"\0")  # Linux, too, passes over zeros
    if not head.startswith((*_CPIO, *_PACKED)):
        raise ValueError(
            f"{path} is no cpio archive, nor packed with gzip, bzip2, lzma, xz, lzo, lz4 or zstd; "
            "make one with cpio -o -H newc"
        )
    return path


def _head(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
