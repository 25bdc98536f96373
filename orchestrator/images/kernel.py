# SPDX-License-Identifier: MIT
"""Linux kernels as a hypervisor starts them: decompressed, with their modules.

Debian ships a zImage, which would unpack itself in the guest at every boot: 1.3 s of host time.
Here it is unpacked once, on the host. What must be known to start the result, `Image`:

- It is placed at ``ram + text_offset`` and entered at its first byte in SVC mode with the MMU
  off, r0 = 0, r1 = ~0, r2 = address of the device tree (kernel:
  `Documentation/arm/booting.rst`).
- ``text_offset`` is built into the kernel and is 0x208000 in Debian's armhf kernels (6.1 and
  6.12, armmp and armmp-lpae), not the 0x8000 of most: the Makefile takes the largest that any
  supported SoC needs. The zImage tells it in its table (kernel:
  `arch/arm/boot/compressed/vmlinux.lds.S`); a bare Image tells it in its first instructions.
- ``ram``, which Linux takes as PHYS_OFFSET, needs 2 MiB alignment. Verified: 0x40000000 and
  0x41000000, both kernels.
- Linux uses memory from PHYS_OFFSET on; below the Image lie only its page tables. BSS follows
  the Image and is cleared by Linux itself. Device tree and initramfs must not overlap the first
  ``text_offset + memory_bytes`` and must lie in the first 700 MiB or so (low memory).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from orchestrator.errors import MissingToolError, StorageError, UsageError
from orchestrator.images import debian
from orchestrator.images.modules import dependencies, module_name
from orchestrator.images.store import Store, storage_errors

DEFAULT_BOOTARGS: Final = "console=ttyAMA0 cryptomgr.notests"
"""What every Linux VM is started with; the config's `append` comes after it.

`cryptomgr.notests` leaves out the self-tests of the crypto algorithms: 1.12 of 1.25 G
instructions between the kernel's first time stamp and init, 1.6 of 2.8 s of host time.
"""

FLAVOURS: Final[Mapping[str, str]] = MappingProxyType(
    {"armmp": "linux-image-armmp", "armmp-lpae": "linux-image-armmp-lpae"}
)
"""Kernel flavours of the config and the Debian packages that depend on the newest of each."""

MODULES: Final = ("virtio_mmio", "virtio_console")
"""What the guest's init loads before a job; modules that they depend on are added."""

_ZIMAGE_MAGIC: Final = 0x016F2818
_ZIMAGE_TABLE_MAGIC: Final = 0x45454545
_ZIMAGE_TAG_SIZES: Final = 0x5A534C4B
_UNKNOWN_BSS_BYTES: Final = 0x400000
_PAYLOAD_MIN_BYTES: Final = 1 << 20
_LZMA_MEMORY_BYTES: Final = 256 << 20
_HEAD_WORDS: Final = 64


@dataclass(frozen=True, kw_only=True)
class KernelImage:
    """A kernel that is ready to be placed into a VM's memory.

    Attributes:
        path: The decompressed `Image`.
        release: `uname -r`.
        modules_dir: Holds `lib/modules/<release>`; None for a kernel given by path.
        text_offset: Distance of the Image from the start of the VM's RAM, bytes.
        memory_bytes: Image and BSS together, from the start of the Image.
        sha256: Of the decompressed Image.
        version: Debian's package and version, or the given path.
    """

    path: Path
    release: str
    modules_dir: Path | None
    text_offset: int
    memory_bytes: int
    sha256: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A decompressed kernel and where it wants to lie."""

    image: bytes
    text_offset: int
    bss_bytes: int


def linux_kernel(store: Store, flavour: str | Path) -> KernelImage:
    """Returns a kernel from the store, made there the first time.

    Args:
        store: Keeps packages and the decompressed Image.
        flavour: A key of `FLAVOURS`, or the path of a zImage or Image.

    Raises:
        MissingToolError: The package or a decompressor is not available on this machine.
        UsageError: The file is no ARM kernel.
        StorageError: A file cannot be read or written.
    """
    if isinstance(flavour, Path):
        return _kernel_of_file(store, flavour)
    package_name = _kernel_package(debian.fetch(store, FLAVOURS[flavour]))
    deb = debian.fetch(store, package_name)
    package = deb.package

    def fill(directory: Path) -> None:
        unpacked_dir = directory / "package"
        _unpack_with_modules(deb.path, unpacked_dir)
        (zimage,) = unpacked_dir.glob("boot/vmlinuz-*")
        version = f"{package.name} {package.version}"
        _write(directory, decompress(zimage.read_bytes()), version=version)

    key = f"kernel/{package.name}_{package.version}_{package.sha256[:12]}"
    directory = store.entry(key, fill)
    return _read(directory, modules_dir=directory / "package")


def _kernel_package(meta: debian.Deb) -> str:
    for name in meta.package.depends:
        if re.match(r"linux-image-\d", name):
            return name
    raise MissingToolError(
        f"Debian's package {meta.package.name} {meta.package.version} names no kernel; "
        f"it depends on {', '.join(meta.package.depends) or 'nothing'}"
    )


def _unpack_with_modules(deb: Path, into: Path) -> None:
    """Unpacks the kernel, its configuration, and `MODULES` with all that they depend on."""
    present: set[str] = set()
    missing = frozenset(MODULES)
    while missing:
        paths = debian.unpack(deb, into, _chooser(missing, with_kernel=not present))
        modules = {module_name(path): into / path for path in paths if "/kernel/" in path}
        if not present:
            (builtin,) = into.glob("lib/modules/*/modules.builtin")
            present.update(module_name(path) for path in builtin.read_text().split())
        unknown = missing - modules.keys() - present
        if unknown:
            raise StorageError(f"{deb}: has no kernel module {', '.join(sorted(unknown))}")
        present |= modules.keys()
        needed = {name for path in modules.values() for name in dependencies(path)}
        missing = frozenset(needed - present)


def _chooser(modules: frozenset[str], *, with_kernel: bool) -> Callable[[str], bool]:
    def wanted(path: str) -> bool:
        if path.startswith(("boot/vmlinuz-", "boot/config-")) or path.endswith("/modules.builtin"):
            return with_kernel
        return "/kernel/" in path and module_name(path) in modules

    return wanted


def _kernel_of_file(store: Store, path: Path) -> KernelImage:
    with storage_errors(f"cannot read the kernel {path}"):
        data = path.read_bytes()

    def fill(directory: Path) -> None:
        try:
            kernel = decompress(data)
            _release(kernel.image)
        except StorageError as error:
            raise UsageError(f"{path}: {error.message}; name a zImage or an Image") from error
        _write(directory, kernel, version=str(path))

    return _read(store.entry(f"kernel/file_{hashlib.sha256(data).hexdigest()}", fill))


def _write(directory: Path, kernel: Unpacked, *, version: str) -> None:
    (directory / "Image").write_bytes(kernel.image)
    described = {
        "release": _release(kernel.image),
        "text_offset": kernel.text_offset,
        "memory_bytes": len(kernel.image) + kernel.bss_bytes,
        "sha256": hashlib.sha256(kernel.image).hexdigest(),
        "version": version,
    }
    (directory / "kernel.json").write_text(json.dumps(described, indent=1))


def _read(directory: Path, *, modules_dir: Path | None = None) -> KernelImage:
    described = json.loads((directory / "kernel.json").read_text())
    return KernelImage(path=directory / "Image", modules_dir=modules_dir, **described)


def _release(image: bytes) -> str:
    found = re.search(rb"Linux version ([0-9][!-~]*) ", image)
    if not found:
        raise StorageError("not a Linux kernel: it holds no line 'Linux version …'")
    return found[1].decode()


# --- decompression -----------------------------------------------------------------------------


def _gzip(data: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    plain = stream.decompress(data)
    if not stream.eof:
        raise ValueError("cut off")
    return plain


def _xz(data: bytes) -> bytes:
    return _lzma(data, lzma.FORMAT_XZ)


def _lzma_alone(data: bytes) -> bytes:
    return _lzma(data, lzma.FORMAT_ALONE)


def _lzma(data: bytes, container: int) -> bytes:
    # The limit stops a false match from claiming gigabytes for its dictionary.
    stream = lzma.LZMADecompressor(format=container, memlimit=_LZMA_MEMORY_BYTES)
    plain = stream.decompress(data)
    if not stream.eof:
        raise ValueError("cut off")
    return plain


def _by_program(name: str, package: str) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        program = shutil.which(name)
        if program is None:
            raise MissingToolError(f"the kernel is packed with {name}; install {package}")
        result = subprocess.run([program, "-d", "-c"], input=data, capture_output=True, check=False)
        # A program complains of the bytes that follow the stream; the caller checks the length.
        return result.stdout

    return run


FORMATS: Final = (
    (b"\x1f\x8b\x08", _gzip),
    (b"\xfd7zXZ\x00", _xz),
    (b"\x5d\x00\x00", _lzma_alone),
    (b"\x02\x21\x4c\x18", _by_program("lz4", "lz4")),
    (b"\x28\xb5\x2f\xfd", _by_program("zstd", "zstd")),
)
"""First bytes of a compressed kernel and what unpacks it; to add a format, add a line."""


def decompress(data: bytes) -> Unpacked:
    """Unpacks a zImage, or takes an Image as it is.

    The payload is looked for by its first bytes. They also occur in the zImage's own unpacking
    code, so each place is tried; the right one is that whose length is the one that the zImage
    names.

    Raises:
        StorageError: Not an ARM kernel, or packed in a way that `FORMATS` does not have.
        MissingToolError: The program that unpacks it is not on this machine.
    """
    if len(data) < 4 * _HEAD_WORDS:
        raise StorageError(f"not an ARM kernel: only {len(data)} bytes")
    magic, _start, _end, _order, table_magic, table = struct.unpack_from("<6I", data, 0x24)
    if magic != _ZIMAGE_MAGIC:
        text_offset = text_offset_of_code(data)
        return Unpacked(image=data, text_offset=text_offset, bss_bytes=_UNKNOWN_BSS_BYTES)

    size_at, bss_bytes, text_offset = 0, _UNKNOWN_BSS_BYTES, 0
    if table_magic == _ZIMAGE_TABLE_MAGIC and table + 20 <= len(data):
        _words, tag, size_at, bss_bytes, text_offset = struct.unpack_from("<5I", data, table)
        if tag != _ZIMAGE_TAG_SIZES or size_at + 4 > len(data):
            raise StorageError(f"zImage's table at {table:#x} is not one that this program knows")
    size = struct.unpack_from("<I", data, size_at)[0] if size_at else 0
    for image in _payloads(data):
        if len(image) == size or (not size and len(image) >= _PAYLOAD_MIN_BYTES):
            text_offset = text_offset or text_offset_of_code(image)
            return Unpacked(image=image, text_offset=text_offset, bss_bytes=bss_bytes)
    raise StorageError(
        f"zImage holds no payload of {size or 'any'} bytes packed with gzip, xz, lzma, lz4 or zstd"
    )


def _payloads(data: bytes) -> Iterator[bytes]:
    for magic, unpack in FORMATS:
        at = data.find(magic)
        while at >= 0:
            with contextlib.suppress(ValueError, zlib.error, lzma.LZMAError):
                yield unpack(data[at:])
            at = data.find(magic, at + 1)


def text_offset_of_code(image: bytes) -> int:
    """Finds TEXT_OFFSET in the first instructions of an Image.

    They compute PHYS_OFFSET with ``sub r8, r8, #TEXT_OFFSET`` (kernel: `arch/arm/kernel/head.S`,
    since 5.11).

    Raises:
        StorageError: There is no such instruction.
    """
    words: tuple[int, ...] = struct.unpack_from(f"<{_HEAD_WORDS}I", image)
    for word in words:
        if word & 0xFFFFF000 == 0xE2488000:  # noqa: PLR2004 - SUB r8, r8, #imm, A32 encoding A1
            rotation, value = (word >> 8 & 0xF) * 2, word & 0xFF
            return (value >> rotation | value << (32 - rotation)) & 0xFFFFFFFF
    raise StorageError("not an ARM kernel: neither a zImage nor an Image of Linux 5.11 or later")
