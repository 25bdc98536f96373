# SPDX-License-Identifier: MIT
"""The Linux guest's root file system.

The base archive is what `images/linux/initramfs.toml` lists: the project's init, Debian's static
busybox, the modules for virtio ports; it is made once. A config's files are a second archive that
the guest unpacks over the first.

The job, a command that differs from run to run, is in no archive: see `orchestrator.images.job`.

A job's output leaves the guest through the four `PORTS`. For the deterministic clock QEMU must
serve them at the guest's own time: each port's chardev a plain file, and ``-global
virtio-mmio.ioeventfd=off``. With ioeventfd (the default) QEMU's main loop takes the guest's
notification at some later moment of host time, and two runs differ from the first job on.
"""

from __future__ import annotations

import hashlib
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from orchestrator.errors import StorageError, UsageError
from orchestrator.images import debian, modules, sources
from orchestrator.images.cpio import Archive
from orchestrator.images.kernel import KernelImage
from orchestrator.images.store import Store, storage_errors

TRACE_PATH: Final = "etc/trace"
"""Where the trace agent finds what to do, images/linux/trace/agent.c."""
PORTS: Final = ("stdout", "stderr", "status", "results")
"""Names of the virtserialports that a job writes to; images/linux/init.c has the same four."""

BASE_DIRECTORIES: Final = frozenset(
    {"bin", "etc", "lib", "root", "run", "sbin", "tmp", "usr", "usr/bin", "usr/sbin"}
)
"""Directories of the base archive that a run may put files into; their modes stay."""

READY_LINE: Final = "orchestrate: ready"
DONE_LINE: Final = r"orchestrate: done (\d+)"
"""Regular expressions for the console lines of images/linux/init.c."""

_MODULE_LIST_PATH: Final = "lib/modules/load"
_RECIPE: Final = "images/linux/initramfs.toml"


def base_initramfs(store: Store, kernel: KernelImage) -> Path:
    """Returns the base archive for a kernel, made in the store the first time.

    It is uncompressed: unpacking would cost more guest time than reading. Its size is a multiple
    of 512 bytes, so that a job archive may follow it directly.

    Raises:
        MissingToolError: A package or the cross compiler is missing.
        StorageError: A file cannot be read or written.
    """
    recipe_path = sources.root() / _RECIPE
    with storage_errors(f"cannot read {recipe_path}"):
        recipe = tomllib.loads(recipe_path.read_text())
    contents = _contents(store, recipe, kernel)
    archive = _pack(recipe, contents)
    digest = hashlib.sha256(archive).hexdigest()

    def fill(directory: Path) -> None:
        (directory / "initramfs.cpio").write_bytes(archive)

    return store.entry(f"initramfs/{digest[:24]}", fill) / "initramfs.cpio"


def _contents(
    store: Store, recipe: Mapping[str, Any], kernel: KernelImage
) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every regular file, by path in the guest, in packing order."""
    files: dict[str, tuple[bytes, int]] = {}
    built = sources.build("linux")
    with storage_errors("cannot read the initramfs's parts"):
        for guest_path, name in recipe["programs"].items():
            files[guest_path] = ((built / name).read_bytes(), 0o755)
        for package, wanted in recipe["packages"].items():
            unpacked = _unpacked(store, package, frozenset(wanted.values()))
            for guest_path, package_path in wanted.items():
                path = unpacked / package_path
                is_program = path.stat().st_mode & stat.S_IXUSR
                files[guest_path] = (path.read_bytes(), 0o755 if is_program else 0o644)
        if kernel.modules_dir:
            paths = {
                f"lib/modules/{name}.ko": path for name, path in _load_order(kernel.modules_dir)
            }
            for guest_path, path in paths.items():
                files[guest_path] = (modules.content(path), 0o644)
            text = "".join(f"/{guest_path}\n" for guest_path in paths)
            files[_MODULE_LIST_PATH] = (text.encode(), 0o644)
    return files


def _unpacked(store: Store, name: str, paths: frozenset[str]) -> Path:
    """The directory of the store where these files of a package lie."""
    deb = debian.fetch(store, name)

    def fill(directory: Path) -> None:
        missing = paths - set(debian.unpack(deb.path, directory, paths.__contains__))
        if missing:
            raise StorageError(
                f"Debian's package {name} {deb.package.version} has no {', '.join(sorted(missing))}"
            )

    which = hashlib.sha256("\0".join(sorted(paths)).encode()).hexdigest()
    key = f"unpacked/{name}_{deb.package.version.replace(':', '%3a')}_{which[:12]}"
    return store.entry(key, fill)


def _load_order(modules_dir: Path) -> list[tuple[str, Path]]:
    """All unpacked modules, each after those that it depends on."""
    paths = {
        modules.module_name(path.name): path
        for path in sorted(modules_dir.glob("lib/modules/*/kernel/**/*.ko*"))
    }
    ordered: dict[str, Path] = {}

    def visit(name: str) -> None:
        if name in paths and name not in ordered:
            for dependency in modules.dependencies(paths[name]):
                visit(dependency)
            ordered[name] = paths[name]

    for name in paths:
        visit(name)
    return list(ordered.items())


def _pack(recipe: Mapping[str, Any], files: Mapping[str, tuple[bytes, int]]) -> bytes:
    archive = Archive()
    for path, mode in recipe["directories"].items():
        archive.directory(path, mode=mode)
    archive.directory("lib/modules")
    for path, numbers in recipe["devices"].items():
        archive.character_device(path, major=numbers["major"], minor=numbers["minor"])
    for path, target in recipe["symlinks"].items():
        archive.symlink(path, target)
    for path, (content, mode) in files.items():
        archive.file(path, content, mode=mode)
    return archive.finish()


def files_cpio(
    files: Sequence[tuple[Path, PurePosixPath | str]], *, trace: str | None = None
) -> bytes:
    """Packs what a config adds to the base archive.

    It must lie behind the base archive in memory, at an address that is a multiple of four from
    the initramfs's start; what lies between must be zero.

    Args:
        files: Host file or directory and its absolute path in the guest. Of a file's mode only
            "executable" is kept; symbolic links are kept within directories, followed otherwise.
        trace: What the guest's trace agent shall do around the command; None: nothing.

    Returns:
        The archive; empty where there is nothing to add.

    Raises:
        UsageError: A guest path is not absolute.
        StorageError: A host file cannot be read.
    """
    if not files and trace is None:
        return b""
    archive = Archive()
    known = set(BASE_DIRECTORIES)
    for host_path, guest_path in files:
        path = PurePosixPath(guest_path)
        if not path.is_absolute() or ".." in path.parts or path == PurePosixPath("/"):
            raise UsageError(f"{guest_path}: the path in the guest must be absolute, without ..")
        with storage_errors(f"cannot read {host_path}"):
            _add_parents(archive, path, known)
            _add_tree(archive, host_path.resolve(strict=True), str(path)[1:], known)
    if trace is not None:
        archive.file(TRACE_PATH, trace.encode())
    return archive.finish()


def _add_parents(archive: Archive, path: PurePosixPath, known: set[str]) -> None:
    """Adds the directories above, except those that exist: adding would reset their mode."""
    for parent in reversed(path.parents[:-1]):
        name = str(parent)[1:]
        if name not in known:
            known.add(name)
            archive.directory(name)


def _add_tree(archive: Archive, host_path: Path, guest_path: str, known: set[str]) -> None:
    if host_path.is_symlink():
        archive.symlink(guest_path, str(host_path.readlink()))
    elif host_path.is_dir():
        if guest_path not in known:
            known.add(guest_path)
            archive.directory(guest_path)
        for child in sorted(host_path.iterdir()):
            _add_tree(archive, child, f"{guest_path}/{child.name}", known)
    elif host_path.is_file():
        mode = 0o755 if host_path.stat().st_mode & stat.S_IXUSR else 0o644
        archive.file(guest_path, host_path.read_bytes(), mode=mode)
    else:
        raise StorageError(f"{host_path}: neither a file, a directory nor a symbolic link")
