# SPDX-License-Identifier: MIT
"""What one run adds to the initramfs, read back by the cpio program."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from orchestrator.errors import StorageError, UsageError
from orchestrator.images import initramfs, sources
from orchestrator.images.initramfs import files_cpio
from orchestrator.images.job import MAX_COMMAND_WORDS

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")


def unpack(data: bytes, into: Path) -> None:
    into.mkdir(exist_ok=True)
    subprocess.run(["cpio", "--quiet", "-id"], input=data, cwd=into, check=True)


def names(data: bytes) -> list[str]:
    run = subprocess.run(["cpio", "--quiet", "-t"], input=data, capture_output=True, check=True)
    return run.stdout.decode().split()


def test_nothing_to_do_is_nothing_to_add() -> None:
    assert files_cpio([]) == b""


@needs_cpio
def test_files_get_their_parents_but_known_directories_keep_their_mode(tmp_path: Path) -> None:
    """An archive entry for /tmp would take its sticky bit away."""
    (tmp_path / "a").write_text("A")
    files: list[tuple[Path, PurePosixPath | str]] = [
        (tmp_path / "a", "/tmp/x"),  # noqa: S108 - a path in the guest
        (tmp_path / "a", "/opt/deep/y"),
        (tmp_path / "a", PurePosixPath("/opt/deep/z")),
    ]
    data = files_cpio(files)
    assert names(data) == ["tmp/x", "opt", "opt/deep", "opt/deep/y", "opt/deep/z"]


@needs_cpio
def test_a_directory_is_packed_in_sorted_order_with_links_and_modes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for name in ("c", "a", "b"):
        (tree / name).write_text(name)
    (tree / "a").chmod(0o4775)
    (tree / "b").chmod(0o600)
    (tree / "sub/link").symlink_to("../c")
    data = files_cpio([(tree, "/srv")])
    assert names(data) == ["srv", "srv/a", "srv/b", "srv/c", "srv/sub", "srv/sub/link"]
    unpack(data, tmp_path / "out")
    modes = {n: (tmp_path / "out/srv" / n).stat().st_mode & 0o7777 for n in "ab"}
    assert modes == {"a": 0o755, "b": 0o644}
    assert (tmp_path / "out/srv/sub/link").read_text() == "c"


@pytest.mark.parametrize("path", ["relative", "/", "/a/../b"])
def test_a_bad_guest_path_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UsageError, match="must be absolute"):
        files_cpio([(tmp_path / "a", path)])


def test_a_missing_host_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*nowhere"):
        files_cpio([(tmp_path / "nowhere", "/a")])


def test_init_and_the_packer_agree() -> None:
    """Port names, paths, limits and console lines are the same in images/linux/init.c."""
    source = (sources.root() / "images/linux/init.c").read_text()
    (ports,) = re.findall(r"port_names\[PORT_COUNT\] = \{(.*?)\}", source)
    assert tuple(re.findall(r'"(\w+)"', ports)) == initramfs.PORTS
    assert f'#define MODULE_LIST_PATH "/{initramfs._MODULE_LIST_PATH}"' in source
    assert f'say("{initramfs.READY_LINE}\\n")' in source
    assert f"#define JOB_MAX_WORDS {MAX_COMMAND_WORDS}" in source
    symbols = (sources.root() / "images/linux/trace/symbols.c").read_text()
    assert f'#define MODULE_LIST_PATH "/{initramfs._MODULE_LIST_PATH}"' in symbols


def test_the_packer_knows_the_recipes_directories() -> None:
    """Every directory that a file may be put into without resetting it is in the recipe."""
    recipe = tomllib.loads((sources.root() / "images/linux/initramfs.toml").read_text())
    assert set(recipe["directories"]) >= initramfs.BASE_DIRECTORIES
