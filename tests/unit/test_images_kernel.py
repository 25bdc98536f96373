# SPDX-License-Identifier: MIT
"""Finding and unpacking a kernel: zImages made here, and Debian's own where the store has one."""

import gzip
import hashlib
import lzma
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import StorageError, UsageError
from orchestrator.images import kernel
from orchestrator.images.kernel import decompress, linux_kernel, text_offset_of_code
from orchestrator.images.store import Store

SUB_R8_R8_0X8000 = 0xE2488902
SUB_R8_R8_0X208000 = 0xE2488982
"""As objdump shows them in a Linux kernel's head.S."""


def code(word: int = SUB_R8_R8_0X8000) -> bytes:
    """A body that begins like an Image and is long enough to be taken for one."""
    head = struct.pack("<20I", *[0xE1A00000] * 19, word)
    banner = b"Linux version 6.1.0-test-armmp (someone@somewhere) #1\n\0"
    filler = hashlib.sha256(b"x").digest() * 40000
    return head + banner + filler


def zimage(
    payload: bytes,
    *,
    size: int,
    text_offset: int = 0x208000,
    table: bool = True,
    decoy: bytes = b"",
) -> bytes:
    """A zImage's layout: header at 0x24, table, unpacking code with a decoy, payload, its size."""
    head = bytearray(0x40)
    body = decoy + bytes(64) + payload + struct.pack("<I", size)
    struct.pack_into("<I", head, 0x24, 0x016F2818)
    struct.pack_into("<I", head, 0x30, 0x04030201)
    tail = b""
    if table:
        at = len(head) + len(body)
        struct.pack_into("<2I", head, 0x34, 0x45454545, at)
        size_at = at - 4
        tail = struct.pack("<7I", 6, 0x5A534C4B, size_at, 0x5000, text_offset, 0x10000, 0)
    return bytes(head) + body + tail + bytes(0x200)


def by_program(name: str, *options: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        command = [name, *options, "-c"]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    return pack


def arm_xz(data: bytes) -> bytes:
    """As the kernel's build packs it: CRC32 and the filter for ARM branches."""
    filters = [{"id": lzma.FILTER_ARM}, {"id": lzma.FILTER_LZMA2, "preset": 1}]
    return lzma.compress(data, check=lzma.CHECK_CRC32, filters=filters)


PACKERS = {
    "gzip": gzip.compress,
    "xz": arm_xz,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE, preset=1),
    "lz4": by_program("lz4", "-l"),
    "zstd": by_program("zstd"),
}


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("table", [True, False])
def test_every_packing_is_unpacked(name: str, *, table: bool) -> None:
    """With the table the length is checked and TEXT_OFFSET read; without, taken from the code."""
    image = code()
    found = decompress(zimage(PACKERS[name](image), size=len(image), table=table))
    assert found.image == image
    assert found.text_offset == (0x208000 if table else 0x8000)
    assert found.bss_bytes == (0x5000 if table else 0x400000)


@pytest.mark.parametrize("name", ["gzip", "xz"])
def test_the_magic_in_the_unpacking_code_is_not_taken_for_the_payload(name: str) -> None:
    image = code()
    decoy = PACKERS[name](b"not a kernel") + b"\xfd7zXZ\x00\x1f\x8b\x08garbage"
    assert decompress(zimage(PACKERS[name](image), size=len(image), decoy=decoy)).image == image


def test_a_payload_of_another_length_than_named_is_refused() -> None:
    image = code()
    with pytest.raises(StorageError, match=f"no payload of {len(image) + 1} bytes"):
        decompress(zimage(gzip.compress(image), size=len(image) + 1))


def test_a_cut_off_zimage_is_refused() -> None:
    image = code()
    whole = zimage(arm_xz(image), size=len(image), table=False)
    with pytest.raises(StorageError, match="no payload"):
        decompress(whole[: len(whole) // 2])


def test_an_unknown_packing_is_refused() -> None:
    image = code()
    with pytest.raises(StorageError, match="no payload"):
        decompress(zimage(bytes(b ^ 0x55 for b in image), size=len(image)))


def test_an_image_is_taken_as_it_is() -> None:
    image = code(SUB_R8_R8_0X208000)
    found = decompress(image)
    assert (found.image, found.text_offset) == (image, 0x208000)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", bytes(4096), b"#!/bin/sh\n" * 100])
def test_what_is_no_kernel_is_refused(data: bytes) -> None:
    with pytest.raises(StorageError, match="not an ARM kernel"):
        decompress(data)


@pytest.mark.parametrize(
    ("word", "offset"),
    [(0xE2488902, 0x8000), (0xE2488982, 0x208000), (0xE2488801, 0x10000), (0xE24880FF, 0xFF)],
)
def test_text_offset_is_decoded_as_the_architecture_rotates_it(word: int, offset: int) -> None:
    """Pairs taken from the assembler: sub r8, r8, #offset."""
    assert text_offset_of_code(code(word)) == offset


def test_a_kernel_by_path_is_kept_in_the_store(tmp_path: Path) -> None:
    image = code()
    path = tmp_path / "zImage"
    path.write_bytes(zimage(gzip.compress(image), size=len(image)))
    store = Store(tmp_path / "store")
    first = linux_kernel(store, path)
    assert first.path.read_bytes() == image
    assert first.release == "6.1.0-test-armmp"
    assert first.sha256 == hashlib.sha256(image).hexdigest()
    assert first.memory_bytes == len(image) + 0x5000
    assert first.modules_dir is None
    assert linux_kernel(store, path) == first


def test_a_kernel_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read the kernel .*nowhere"):
        linux_kernel(Store(tmp_path), tmp_path / "nowhere")
    assert Store(tmp_path).list() == ()


def test_a_file_that_is_no_kernel_is_named(tmp_path: Path) -> None:
    (tmp_path / "hostname").write_text("box\n")
    with pytest.raises(UsageError, match=r"hostname: not an ARM kernel: only 4 bytes; name a zIm"):
        linux_kernel(Store(tmp_path / "store"), tmp_path / "hostname")
    assert Store(tmp_path / "store").list() == ()


def debian_zimages() -> list[Path]:
    return sorted(Store().root.glob("kernel/linux-image-*/package/boot/vmlinuz-*"))


@pytest.mark.skipif(not debian_zimages(), reason="the store has no Debian kernel yet")
def test_debians_kernels_tell_the_same_text_offset_twice() -> None:
    """The zImage's table and the Image's own instructions agree."""
    for path in debian_zimages():
        found = kernel.decompress(path.read_bytes())
        assert found.text_offset == text_offset_of_code(found.image) == 0x208000
        assert b"Linux version " in found.image
