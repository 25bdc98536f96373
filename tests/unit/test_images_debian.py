# SPDX-License-Identifier: MIT
"""Fetching packages: the machine's real apt, pointed at a repository made here."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from orchestrator.errors import MissingToolError, StorageError
from orchestrator.images import debian
from orchestrator.images.store import Store

pytestmark = pytest.mark.skipif(
    shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None,
    reason="this machine has no apt",
)


class Repository:
    """A flat apt repository in a directory, and an apt configuration that knows only it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records: list[str] = []
        for name in ("repo", "etc", "state/lists/partial", "cache/archives/partial"):
            (root / name).mkdir(parents=True)
        (root / "status").write_text("")
        (root / "etc/sources.list").write_text(f"deb [trusted=yes] file:{root}/repo ./\n")
        self.config = root / "apt.conf"
        self.config.write_text(
            f'Dir::Etc "{root}/etc";\nDir::State "{root}/state";\n'
            f'Dir::State::status "{root}/status";\nDir::Cache "{root}/cache";\n'
            'APT::Sandbox::User "root";\nAPT::Architectures { "amd64"; "armhf"; };\n'
        )

    def add(self, name: str, version: str, *, depends: str = "", **files: str) -> Path:
        """Builds a package with these files below usr/share."""
        tree = self.root / f"tree-{name}-{version}"
        control = f"Package: {name}\nVersion: {version}\nArchitecture: armhf\n"
        control += f"Depends: {depends}\n" if depends else ""
        control += "Maintainer: Test <test@example.org>\nDescription: test\n"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(control)
        (tree / "usr/share").mkdir(parents=True)
        for file_name, content in files.items():
            (tree / "usr/share" / file_name).write_text(content)
        (tree / "usr/share/link").symlink_to("one")
        deb = self.root / "repo" / f"{name}_{version}_armhf.deb"
        subprocess.run(["dpkg-deb", "--build", tree, deb], check=True, stdout=subprocess.DEVNULL)
        data = deb.read_bytes()
        self.records.append(
            f"{control}Filename: ./{deb.name}\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
        )
        return deb

    def update(self) -> None:
        """Has apt read the index again."""
        (self.root / "repo/Packages").write_text("\n".join(self.records))
        environment = {**os.environ, "APT_CONFIG": str(self.config)}
        subprocess.run(["apt-get", "-qq", "update"], check=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "apt")
    monkeypatch.setenv("APT_CONFIG", str(made.config))
    return made


def test_the_candidate_is_downloaded_and_described(repository: Repository, tmp_path: Path) -> None:
    repository.add("sample", "1.0", one="old")
    deb = repository.add("sample", "2:1.1", depends="libc6 (>= 2), one | two, any:any", one="new")
    repository.update()
    found = debian.fetch(Store(tmp_path / "store"), "sample")
    assert found.package.version == "2:1.1"
    assert found.package.depends == ("libc6", "one", "any")
    assert found.path.read_bytes() == deb.read_bytes()


def test_a_fetched_package_needs_no_apt_again(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time neither apt nor a newer version in its index matters."""
    store = Store(tmp_path / "store")
    repository.add("sample", "1.0", one="1")
    repository.update()
    first = debian.fetch(store, "sample")
    repository.add("sample", "2.0", one="2")
    repository.update()
    monkeypatch.setenv("PATH", "/nowhere")
    assert debian.fetch(store, "sample") == first
    assert first.package.version == "1.0"


def test_a_damaged_download_is_refused(repository: Repository, tmp_path: Path) -> None:
    """apt itself checks the size and the hash; nothing of it reaches the store."""
    deb = repository.add("sample", "1.0", one="1")
    repository.update()
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    store = Store(tmp_path / "store")
    with pytest.raises((MissingToolError, StorageError), match="sample"):
        debian.fetch(store, "sample")
    assert store.list() == ()


def test_an_unknown_package_names_what_to_do(repository: Repository, tmp_path: Path) -> None:
    repository.update()
    with pytest.raises(MissingToolError, match="dpkg --add-architecture armhf"):
        debian.fetch(Store(tmp_path / "store"), "sample")


def test_a_machine_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingToolError, match="apt-cache is not on this machine"):
        debian.fetch(Store(tmp_path), "sample")


def test_unpack_takes_only_what_is_wanted(repository: Repository, tmp_path: Path) -> None:
    deb = repository.add("sample", "1.0", one="1", two="2", three="3")
    into = tmp_path / "into"
    wanted = {"usr/share/one", "usr/share/link", "usr/share"}
    paths = debian.unpack(deb, into, wanted.__contains__)
    assert sorted(paths) == ["usr/share/link", "usr/share/one"]
    assert sorted(p.name for p in (into / "usr/share").iterdir()) == ["link", "one"]
    assert (into / "usr/share/link").read_text() == "1"


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.deb"
    path.write_bytes(b"nothing")
    with pytest.raises(StorageError, match="not a usable package"):
        debian.unpack(path, tmp_path / "into", lambda _path: True)


def test_a_path_out_of_the_tree_is_refused() -> None:
    """A package cannot write above the directory it is unpacked into."""
    with pytest.raises(StorageError, match="out of its own tree"):
        debian._inside(PurePosixPath("../evil"))
    with pytest.raises(StorageError, match="out of its own tree"):
        debian._inside(PurePosixPath("/etc/passwd"))
