# SPDX-License-Identifier: MIT
"""The reader of the rings against the plugin's own writer, which runs in a process of its own."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator.errors import MachineError, StorageError
from orchestrator.machine.rings import RingReader, plugin_rings
from orchestrator.streamfile import read_stream

HERE = Path(__file__).parent / "plugin"
PLUGIN = HERE.parents[2] / "qemu_plugin"
CAPACITY = 256

Feed = Callable[[int], subprocess.Popen[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gcc = shutil.which("gcc")
    assert gcc
    made = tmp_path_factory.mktemp("feed") / "ring_feed"
    sources = (HERE / "ring_feed.c", PLUGIN / "ring.c")
    subprocess.run((gcc, "-O2", "-D_GNU_SOURCE", f"-I{PLUGIN}", "-o", made, *sources), check=True)
    return made


@pytest.fixture
def ring_file(tmp_path: Path) -> Path:
    return tmp_path / "rings"


@pytest.fixture
def feed(program: Path, ring_file: Path) -> Iterator[Feed]:
    """Starts a writer that has made its rings and waits for `go`."""
    started: list[subprocess.Popen[str]] = []

    def start(records: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            (program, ring_file, str(CAPACITY), str(records)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go(process: subprocess.Popen[str]) -> None:
    """Returns when the writer has written all; it only can if somebody takes them."""
    process.communicate("go\n", timeout=400)
    assert process.returncode == 0


@contextmanager
def reader_of(ring_file: Path, folder: Path, **options: Any) -> Iterator[RingReader]:
    reader = RingReader(plugin_rings(ring_file, 2), folder, **options)
    reader.start()
    try:
        yield reader
    finally:
        reader.discard()


def test_every_record_comes_once_and_in_order(feed: Feed, ring_file: Path, tmp_path: Path) -> None:
    """The rings go round some thousand times; the files and the live view hold every record."""
    count = 100_000
    live: dict[str, list[NDArray[np.void]]] = {"plugin-0": [], "plugin-1": []}
    process = feed(count)
    with reader_of(
        ring_file, tmp_path / "trace", on_records=lambda name, got: live[name].append(got)
    ) as reader:
        go(process)
        summaries = reader.finish()
    assert sorted(path.name for path in (tmp_path / "trace").iterdir()) == [
        "plugin-0.rec",
        "plugin-1.rec",
    ]
    for core in range(2):
        name = f"plugin-{core}"
        summary = summaries[name]
        assert (summary.records, summary.lost) == (count, 0)
        stored = read_stream(summary.path).records
        assert np.array_equal(stored["seq"], np.arange(count, dtype=np.uint64))
        assert np.array_equal(stored["pc"], np.arange(count, dtype=np.uint32) * 3 + core)
        assert np.array_equal(np.concatenate(live[name]), stored)


def test_a_ring_that_was_read_before_goes_on(feed: Feed, ring_file: Path, tmp_path: Path) -> None:
    """As after a saved state: the first records are somebody else's, the rest keep their numbers."""
    process = feed(200)
    go(process)
    rings = plugin_rings(ring_file, 2)
    for ring in rings:
        ring.header["tail"] = 150
    reader = RingReader(rings, tmp_path)
    reader.start()
    summaries = reader.finish()
    for summary in summaries.values():
        assert summary.records == 50
        assert read_stream(summary.path).records["seq"].tolist() == list(range(150, 200))


def test_a_file_that_cannot_be_written_holds_nobody_up(
    feed: Feed, ring_file: Path, tmp_path: Path
) -> None:
    """The writer comes to its end, the caller hears of it at once, and nothing half is left."""
    folder = tmp_path / "trace"
    (folder / "plugin-1.rec.part").mkdir(parents=True)
    failures: list[str] = []
    process = feed(10_000)
    with reader_of(ring_file, folder, on_failure=lambda: failures.append("failed")) as reader:
        go(process)
        (folder / "plugin-1.rec.part").rmdir()
        with pytest.raises(StorageError, match=r"plugin-1\.rec\.part: cannot be written"):
            reader.finish()
    assert failures == ["failed"]
    assert list(folder.iterdir()) == []


def test_a_listener_that_fails_holds_nobody_up(feed: Feed, ring_file: Path, tmp_path: Path) -> None:
    def listen(_name: str, _records: NDArray[np.void]) -> None:
        raise KeyError("bad listener")

    process = feed(10_000)
    with reader_of(ring_file, tmp_path / "trace", on_records=listen) as reader:
        go(process)
        with pytest.raises(KeyError, match="bad listener"):
            reader.finish()
    assert list((tmp_path / "trace").iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda ring: ring.header.__setitem__("head", CAPACITY + 1), "head 257 does not fit"),
        (lambda ring: ring.header.__setitem__("head", 2), "out of sequence"),
        (lambda ring: ring.header.__setitem__("version", 9), "another version"),
    ],
    ids=["head", "sequence", "version"],
)
def test_a_damaged_ring_is_an_error(
    feed: Feed, ring_file: Path, tmp_path: Path, damage: Callable[[Any], None], message: str
) -> None:
    feed(0)
    rings = plugin_rings(ring_file, 2)
    damage(rings[1])
    reader = RingReader(rings, tmp_path / "trace")
    reader.start()
    with pytest.raises(MachineError, match=message):
        reader.finish()
    assert list((tmp_path / "trace").iterdir()) == []


def test_a_file_without_rings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be mapped"):
        plugin_rings(tmp_path / "none", 2)
    (tmp_path / "zeros").write_bytes(bytes(2 * 8192))
    with pytest.raises(MachineError, match="no ring of core 0"):
        plugin_rings(tmp_path / "zeros", 2)


def test_an_incomplete_stream_is_refused(feed: Feed, ring_file: Path, tmp_path: Path) -> None:
    process = feed(100)
    with reader_of(ring_file, tmp_path) as reader:
        go(process)
        path = reader.finish()["plugin-0"].path
    assert len(read_stream(path).records) == 100
    whole = path.read_bytes()
    for size in (0, 4096, len(whole) - 1, len(whole) - 128):
        path.write_bytes(whole[:size])
        with pytest.raises(StorageError, match="stream"):
            read_stream(path)
