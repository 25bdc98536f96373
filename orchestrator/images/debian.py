# SPDX-License-Identifier: MIT
"""Debian's armhf packages, by way of the machine's own apt.

apt knows the mirrors, the keys and the proxies; this module only asks it. A package that was
fetched once stays at that version until the store is cleaned, and needs no network and no apt
again. Nothing is installed on the machine: packages are only downloaded and unpacked.

A machine whose apt has no armhf packages (Ubuntu) can give it a second configuration by the
environment variable ``APT_CONFIG``, which apt reads itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from orchestrator.errors import MissingToolError, StorageError
from orchestrator.images.store import Store

ARCHITECTURE: Final = "armhf"
_DEB_NAME: Final = "package.deb"
_RECORD_NAME: Final = "package.json"
_ADVICE: Final = f"as root: dpkg --add-architecture {ARCHITECTURE} && apt-get update"


@dataclass(frozen=True, kw_only=True)
class Package:
    """One version of one package, as apt's index describes it.

    Attributes:
        depends: The first alternative of each dependency, without version.
    """

    name: str
    version: str
    sha256: str
    depends: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Deb:
    """A downloaded package."""

    package: Package
    path: Path


def fetch(store: Store, name: str) -> Deb:
    """Returns a package from the store; the first time, downloads apt's candidate.

    Raises:
        MissingToolError: apt is not there, does not know the package, or cannot download it.
        StorageError: The download is damaged, or the store cannot be written.
    """

    def fill(directory: Path) -> None:
        package = _candidate(name)
        target = f"{name}:{ARCHITECTURE}={package.version}"
        # apt drops root's privileges to a user who may not write into the store.
        _apt("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", target, cwd=directory)
        debs = list(directory.glob("*.deb"))
        if len(debs) != 1:
            raise StorageError(f"apt-get download {target} left {len(debs)} files, expected one")
        digest = hashlib.sha256(debs[0].read_bytes()).hexdigest()
        if digest != package.sha256:
            raise StorageError(f"{target}: SHA-256 is {digest}, apt's index says {package.sha256}")
        debs[0].rename(directory / _DEB_NAME)
        (directory / _RECORD_NAME).write_text(json.dumps(asdict(package), indent=1))

    directory = store.entry(f"debian/{name}", fill)
    record = json.loads((directory / _RECORD_NAME).read_text())
    record["depends"] = tuple(record["depends"])
    return Deb(package=Package(**record), path=directory / _DEB_NAME)


def unpack(deb: Path, into: Path, wanted: Callable[[str], bool]) -> tuple[str, ...]:
    """Unpacks the files and symbolic links of a package whose path `wanted` accepts.

    Args:
        deb: The package.
        into: Where the paths inside the package start.
        wanted: Told a path without leading slash, such as ``boot/vmlinuz-6.1.0-50-armmp``.

    Returns:
        The unpacked paths, in the package's order.

    Raises:
        MissingToolError: dpkg-deb is not there.
        StorageError: The package is damaged. Some files may have been unpacked.
    """
    command = [_tool("dpkg-deb", "dpkg"), "--fsys-tarfile", str(deb)]
    unpacked = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout  # noqa: S101
        assert process.stderr  # noqa: S101
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    path = PurePosixPath(member.name.removeprefix("./"))
                    if wanted(str(path)) and _extract(archive, member, into / _inside(path)):
                        unpacked.append(str(path))
        except tarfile.TarError as error:
            process.kill()
            raise StorageError(f"{deb}: not a usable package: {error}") from error
        # What follows the last member is padding; read, so that dpkg-deb does not get SIGPIPE.
        shutil.copyfileobj(process.stdout, _Nowhere())
        message = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise StorageError(f"{deb}: not a usable package: {message}")
    return tuple(unpacked)


class _Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)


def _inside(path: PurePosixPath) -> PurePosixPath:
    if path.is_absolute() or ".." in path.parts:
        raise StorageError(f"package holds {path}, which points out of its own tree")
    return path


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> bool:
    if not (member.isfile() or member.issym()):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        target.symlink_to(member.linkname)
        return True
    source = archive.extractfile(member)
    assert source  # noqa: S101
    with target.open("wb") as out:
        shutil.copyfileobj(source, out)
    target.chmod(0o755 if member.mode & 0o111 else 0o644)
    return True


def _candidate(name: str) -> Package:
    """The version that apt would install."""
    text = _apt("apt-cache", "show", "--no-all-versions", f"{name}:{ARCHITECTURE}")
    fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", text.split("\n\n", 1)[0], re.MULTILINE))
    missing = {"Version", "SHA256"} - fields.keys()
    if missing:
        raise MissingToolError(
            f"apt knows {name}:{ARCHITECTURE} only as installed, without {', '.join(missing)}; "
            f"{_ADVICE}"
        )
    depends = tuple(
        re.split(r"[\s:(|]", alternative, maxsplit=1)[0]
        for alternative in re.split(r",\s*", fields.get("Depends", ""))
        if alternative
    )
    return Package(name=name, version=fields["Version"], sha256=fields["SHA256"], depends=depends)


def _apt(*command: str, cwd: Path | None = None) -> str:
    _tool(command[0], "apt")
    result = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise MissingToolError(f"{' '.join(command)}: {lines[-1]}; {_ADVICE}", details=lines)
    return result.stdout


def _tool(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingToolError(f"{name} is not on this machine; install the package {package}")
    return path
