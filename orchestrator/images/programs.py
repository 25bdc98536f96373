# SPDX-License-Identifier: MIT
"""Programs from Debian's armhf packages, with the libraries they need, as files for one run.

A dynamically linked program needs its interpreter and its libraries under the names that are in
its ELF file; they come from the packages that the caller names and lie in /lib of the guest, where
the interpreter looks without being told. So the base initramfs, which every boot unpacks, stays
small.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any, cast

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from orchestrator.errors import StorageError
from orchestrator.images import debian
from orchestrator.images.store import Store, storage_errors

_MAX_LINKS = 8


def debian_program(
    store: Store, *, package: str, path: str, libraries: tuple[str, ...], guest_path: str
) -> tuple[tuple[Path, str], ...]:
    """A program and all that it loads, each as its file on the host and its path in the guest.

    Args:
        store: Where packages are kept.
        package: Debian's name of it.
        path: Of the program in the package, such as "usr/bin/hackbench".
        libraries: Packages that hold its interpreter and its libraries.
        guest_path: Where the program goes.

    Raises:
        MissingToolError: A package cannot be fetched.
        StorageError: A package is damaged, or a library is in none of the packages.
    """
    program = _unpacked(store, package, frozenset({path})) / path
    if not program.is_file():
        raise StorageError(f"Debian's package {package} has no {path}")
    folders = [_libraries(store, name) for name in libraries]
    files = {guest_path: program}
    todo = [program]
    while todo:
        for name in _needs(todo.pop()):
            if f"/lib/{name}" not in files:
                files[f"/lib/{name}"] = _find(folders, name, wanted_by=path, packages=libraries)
                todo.append(files[f"/lib/{name}"])
    return tuple((host, guest) for guest, host in files.items())


def _needs(path: Path) -> list[str]:
    """Names of the interpreter and of the libraries that an ELF file asks for."""
    names = []
    with storage_errors(f"cannot read {path}"), path.open("rb") as file:
        for segment in ELFFile(file).iter_segments():
            if isinstance(segment, InterpSegment):
                names.append(PurePosixPath(segment.get_interp_name()).name)
            elif isinstance(segment, DynamicSegment):
                names += [cast("Any", tag).needed for tag in segment.iter_tags("DT_NEEDED")]
    return names


def _find(folders: list[Path], name: str, *, wanted_by: str, packages: tuple[str, ...]) -> Path:
    for folder in folders:
        for path in sorted(folder.rglob(name)):
            return _followed(path, folder)
    raise StorageError(f"{wanted_by} needs {name}, which is in none of {', '.join(packages)}")


def _followed(path: Path, top: Path) -> Path:
    """The file behind a symbolic link of a package, whose absolute targets start at its top."""
    for _ in range(_MAX_LINKS):
        if not path.is_symlink():
            return path
        target = path.readlink()
        path = top / target.relative_to("/") if target.is_absolute() else path.parent / target
    raise StorageError(f"{path}: too many symbolic links")


def _libraries(store: Store, package: str) -> Path:
    return _unpacked(store, package, None)


def _unpacked(store: Store, package: str, paths: frozenset[str] | None) -> Path:
    """Where some files of a package lie, or (None) its shared libraries."""
    deb = debian.fetch(store, package)

    def wanted(path: str) -> bool:
        return path in paths if paths is not None else ".so" in PurePosixPath(path).name

    def fill(directory: Path) -> None:
        debian.unpack(deb.path, directory, wanted)

    which = "libraries" if paths is None else "\0".join(sorted(paths))
    digest = hashlib.sha256(which.encode()).hexdigest()[:12]
    version = deb.package.version.replace(":", "%3a")
    return store.entry(f"unpacked/{package}_{version}_{digest}", fill)
