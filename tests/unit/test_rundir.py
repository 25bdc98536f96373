# SPDX-License-Identifier: MIT
"""A run directory never looks finished when it is not."""

import errno
import gzip
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from orchestrator import rundir
from orchestrator.errors import StorageError, UsageError
from orchestrator.rundir import RunDir, find_control, find_live, read_live, write_atomically

CONFIG = Path("/somewhere/dual.toml")


def dead_pid() -> int:
    """The id of a process that has just ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_run_json_is_there_only_at_the_end_and_live_json_only_before(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    run.set_live({"pid": os.getpid()})
    assert not run.file("run.json").exists()
    run.finish({"status": "ok"})
    assert json.loads(run.file("run.json").read_text()) == {"status": "ok"}
    assert not run.file("live.json").exists()


def test_unfinished_output_of_a_command_does_not_survive(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    run.file("linux.stdout.part").write_text("half a li")
    run.file("linux.stderr.part").write_text("whole")
    run.keep_part("linux.stderr")
    run.finish({})
    assert sorted(path.name for path in run.path.iterdir()) == [
        "inputs",
        "linux.stderr",
        "run.json",
    ]


def test_an_atomic_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """In a process of its own, because the limit holds for all files of a process."""
    path = tmp_path / "run.json"
    path.write_text("old")

    script = (
        "import sys, pathlib, orchestrator.rundir as r, orchestrator.errors as e\n"
        "try:\n    r.write_atomically(pathlib.Path(sys.argv[1]), bytes(100000))\n"
        "except e.StorageError as error:\n    print(error.message)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, path],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert "the file size limit is reached" in result.stdout
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_readable_by_others(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


def test_a_directory_with_something_in_it_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(UsageError, match="holds files already"):
        RunDir.create(tmp_path, CONFIG)
    assert (tmp_path / "precious").read_text() == "data"


def test_a_killed_run_gives_its_directory_back_and_a_living_one_does_not(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    run.set_live({"pid": os.getpid()})
    with pytest.raises(UsageError):
        RunDir.create(run.path, CONFIG)
    run.set_live({"pid": dead_pid()})
    run.file("linux.log").write_text("old")
    again = RunDir.create(run.path, CONFIG)
    assert [path.name for path in again.path.iterdir()] == ["inputs"]


def test_a_finished_run_is_never_taken_for_a_killed_one(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    run.set_live({"pid": dead_pid()})
    write_atomically(run.file("run.json"), b"{}")
    with pytest.raises(UsageError):
        RunDir.create(run.path, CONFIG)


def test_default_place_is_new_for_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    run = RunDir.create(None, CONFIG)
    assert run.path.parent == tmp_path / "orchestrate" / "runs"
    assert run.path.name.startswith("dual-")


def test_only_running_runs_are_found(tmp_path: Path) -> None:
    for name, pid in (("alive", os.getpid()), ("dead", dead_pid())):
        RunDir.create(tmp_path / name, CONFIG).set_live({"pid": pid})
    RunDir.create(tmp_path / "done", CONFIG).finish({})
    assert find_live(tmp_path) == [tmp_path / "alive"]
    with pytest.raises(UsageError, match="was killed"):
        read_live(tmp_path / "dead")
    with pytest.raises(UsageError, match="no running system"):
        read_live(tmp_path / "done")


def test_without_a_run_to_find_it_is_said_where_was_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that was started with --out is not there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=rf"in {tmp_path}/orchestrate/runs; .* with --run DIR"):
        find_control(None)


def test_a_full_file_system_is_seen_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    run.check_room()
    status = os.statvfs(tmp_path)
    room = status.f_bavail * status.f_frsize
    monkeypatch.setattr(rundir, "_FULL_BYTES", room * 2)
    with pytest.raises(StorageError, match="the disk is full"):
        run.check_room()


def archive(path: Path, name: str) -> Path:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 4
        tar.addfile(info, io.BytesIO(b"data"))
    return path


def test_results_are_unpacked(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    run.unpack_results(archive(tmp_path / "a.tar", "deep/file"))
    assert (run.path / "results/deep/file").read_bytes() == b"data"


def test_results_cannot_leave_the_run_directory(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    with pytest.raises(StorageError, match="damaged"):
        run.unpack_results(archive(tmp_path / "a.tar", "../../escaped"))
    assert not (tmp_path / "escaped").exists()


def test_packed_results_are_refused(tmp_path: Path) -> None:
    """They could unpack to any size; the guest's agent never packs them."""
    run = RunDir.create(tmp_path / "run", CONFIG)
    whole = archive(tmp_path / "a.tar", "file").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(StorageError, match="damaged"):
        run.unpack_results(tmp_path / "a.tar.gz")


def test_results_with_holes_are_refused(tmp_path: Path) -> None:
    """A few bytes could say that they are a terabyte; made by GNU tar."""
    run = RunDir.create(tmp_path / "run", CONFIG)
    with (tmp_path / "file").open("wb") as file:
        file.truncate(64 << 20)
    command = ("tar", "--sparse", "-cf", "a.tar", "file")
    subprocess.run(command, cwd=tmp_path, check=True)
    with pytest.raises(StorageError, match="have holes"):
        run.unpack_results(tmp_path / "a.tar")
    assert not list(run.path.glob("results/*"))


def test_a_time_that_no_clock_has_is_an_error(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("file")
        info.mtime = 1 << 70
        tar.addfile(info)
    with pytest.raises(StorageError, match="damaged"):
        run.unpack_results(tmp_path / "a.tar")


def test_cut_off_results_are_an_error(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", CONFIG)
    whole = archive(tmp_path / "a.tar", "file").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:514])
    with pytest.raises(StorageError, match="damaged"):
        run.unpack_results(tmp_path / "cut.tar")


def test_a_full_disk_is_told_of_what_is_written() -> None:
    """The error of a copy names both files, and the one that was read first."""
    copying = OSError(errno.ENOSPC, "No space left on device", "/run/x.rec", None, "/b/.b.1/x.rec")
    with (
        pytest.raises(StorageError, match=r"^/b: the disk is full$"),
        rundir.storage_errors(Path("/b")),
    ):
        raise copying
