# SPDX-License-Identifier: MIT
"""Writes cpio archives in the `newc` format, which Linux unpacks as its initramfs.

The format is specified in the kernel's `Documentation/driver-api/early-userspace/
buffer-format.rst`. Everything a host could leave in it is fixed: owner 0:0, one time stamp for
all, inode numbers in order of addition. The same additions give the same bytes.
"""

from __future__ import annotations

import stat
from typing import Final

MTIME_S: Final = 1767225600
"""Time stamp of every file, 2026-01-01 00:00 UTC: the start of the guest's own clock."""

_MAGIC: Final = b"070701"
_TRAILER: Final = "TRAILER!!!"
_BLOCK_BYTES: Final = 512
_MAX_BYTES: Final = 0xFFFFFFFF


class Archive:
    """An archive in the making. A directory must be added before what lies in it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inode = 0

    def directory(self, path: str, *, mode: int = 0o755) -> None:
        """Adds a directory. Linux sets the mode of one that exists already."""
        self._add(path, stat.S_IFDIR | mode, links=2)

    def file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Adds a regular file; replaces one of that path that was unpacked earlier."""
        self._add(path, stat.S_IFREG | mode, content=content)

    def symlink(self, path: str, target: str) -> None:
        """Adds a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, content=target.encode())

    def character_device(self, path: str, *, major: int, minor: int, mode: int = 0o600) -> None:
        """Adds a character device node."""
        self._add(path, stat.S_IFCHR | mode, device=(major, minor))

    def finish(self) -> bytes:
        """The whole archive, padded to 512 bytes. Another archive may follow it directly."""
        data = bytes(self._data) + _record(_TRAILER, 0, inode=0, mtime_s=0)
        return data + bytes(-len(data) % _BLOCK_BYTES)

    def _add(
        self,
        path: str,
        mode: int,
        *,
        content: bytes = b"",
        device: tuple[int, int] = (0, 0),
        links: int = 1,
    ) -> None:
        """Appends one member.

        Raises:
            ValueError: A path that would not unpack below the root, or content over 4 GiB.
        """
        parts = path.split("/")
        if "" in parts or ".." in parts or "." in parts or "\0" in path:
            raise ValueError(f"archive path {path!r}: must be relative to the root, without dots")
        if len(content) > _MAX_BYTES:
            raise ValueError(f"{path}: {len(content)} bytes do not fit the format's 32 bits")
        self._inode += 1
        self._data += _record(
            path, mode, inode=self._inode, content=content, device=device, links=links
        )


def _record(
    path: str,
    mode: int,
    *,
    inode: int,
    content: bytes = b"",
    device: tuple[int, int] = (0, 0),
    links: int = 1,
    mtime_s: int = MTIME_S,
) -> bytes:
    """One header with its name and its content, each padded to four bytes."""
    name = path.encode() + b"\0"
    numbers = (inode, mode, 0, 0, links, mtime_s, len(content), 0, 0, *device, len(name), 0)
    head = _MAGIC + b"".join(b"%08X" % number for number in numbers) + name
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
