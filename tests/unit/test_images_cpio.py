# SPDX-License-Identifier: MIT
"""The cpio writer, read back by the cpio program."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.images.cpio import MTIME_S, Archive

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")


def sample() -> Archive:
    archive = Archive()
    archive.directory("dir", mode=0o1777)
    archive.file("dir/odd", b"12345", mode=0o755)
    archive.file("dir/empty", b"")
    archive.symlink("link", "dir/odd")
    archive.character_device("console", major=5, minor=1)
    return archive


def cpio(*arguments: str, data: bytes, cwd: Path | None = None) -> str:
    result = subprocess.run(
        ["cpio", "--quiet", *arguments],
        input=data,
        cwd=cwd,
        capture_output=True,
        check=True,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
    )
    assert result.stderr == b""
    return result.stdout.decode()


@needs_cpio
def test_cpio_lists_what_was_added() -> None:
    """cpio sees every member with its type, mode, owner, size and time, in order."""
    listing = cpio("-tv", "--numeric-uid-gid", data=sample().finish()).splitlines()
    fields = [line.split() for line in listing]
    assert [(f[0], f[2], f[3]) for f in fields] == [
        ("drwxrwxrwt", "0", "0"),
        ("-rwxr-xr-x", "0", "0"),
        ("-rw-r--r--", "0", "0"),
        ("lrwxrwxrwx", "0", "0"),
        ("crw-------", "0", "0"),
    ]
    assert [line.split("2026 ")[1] for line in listing] == [
        "dir",
        "dir/odd",
        "dir/empty",
        "link -> dir/odd",
        "console",
    ]
    assert "5," in fields[4]


@needs_cpio
def test_cpio_extracts_the_content(tmp_path: Path) -> None:
    """What cpio unpacks is what was added."""
    archive = Archive()
    archive.directory("dir")
    for size in range(9):
        archive.file(f"dir/{size}", b"x" * size)
    cpio("-idm", data=archive.finish(), cwd=tmp_path)
    assert {p.name: p.read_bytes() for p in (tmp_path / "dir").iterdir()} == {
        str(size): b"x" * size for size in range(9)
    }
    assert (tmp_path / "dir/3").stat().st_mtime == MTIME_S


def test_equal_additions_give_equal_bytes() -> None:
    assert sample().finish() == sample().finish()


def test_an_archive_can_be_finished_twice_and_extended() -> None:
    archive = sample()
    first = archive.finish()
    assert archive.finish() == first
    archive.file("more", b"")
    assert archive.finish() != first
    assert len(first) % 512 == 0


@pytest.mark.parametrize("path", ["/abs", "a//b", "a/../b", "./a", "", "a\0b"])
def test_a_path_outside_the_root_is_refused(path: str) -> None:
    archive = Archive()
    with pytest.raises(ValueError, match="archive path"):
        archive.file(path, b"")
    assert archive.finish() == Archive().finish()
