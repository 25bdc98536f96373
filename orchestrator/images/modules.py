# SPDX-License-Identifier: MIT
"""Kernel modules as files: unpacked, and what they depend on.

Debian's packages hold no `modules.dep` (depmod writes it at installation), so the dependencies
are read where depmod reads them, in the module itself.
"""

from __future__ import annotations

import gzip
import io
import lzma
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from orchestrator.errors import StorageError


def module_name(path: str) -> str:
    """The name by which modules refer to each other: `a-b.ko.xz` is `a_b`; "" if no module."""
    name, dot, _ = path.rsplit("/", 1)[-1].partition(".ko")
    return name.replace("-", "_") if dot else ""


def content(path: Path) -> bytes:
    """The ELF file of a module. Debian 13 packs modules with xz, which costs guest time."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return data


def dependencies(path: Path) -> tuple[str, ...]:
    """The names of the modules that must be loaded before this one.

    Raises:
        StorageError: The file is not a kernel module.
    """
    try:
        section = ELFFile(io.BytesIO(content(path))).get_section_by_name(".modinfo")
    except (ELFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise StorageError(f"{path}: not a kernel module: {error}") from error
    if section is None:
        raise StorageError(f"{path}: not a kernel module: no section .modinfo")
    for line in section.data().split(b"\0"):
        name, _, value = line.partition(b"=")
        if name == b"depends":
            return tuple(part.replace("-", "_") for part in value.decode().split(",") if part)
    return ()
