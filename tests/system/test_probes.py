# SPDX-License-Identifier: MIT
"""Probes in running guests, walks against QEMU's own, symbols against the guest's own."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pace import slowness

from orchestrator import cli, config, session
from orchestrator.config.probes import parse_probe
from orchestrator.errors import CheckFailed, UsageError
from orchestrator.guest.symbols_kallsyms import parse_kallsyms
from orchestrator.mmu import TranslationFault
from orchestrator.observe import Observer
from orchestrator.options import BootOptions
from orchestrator.session import BootResult
from orchestrator.streamfile import read_stream

pytestmark = pytest.mark.system

HOST_LIMIT_S = 800
RTOS = '[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [1]\n'
LINUX = '[vm.linux]\ntype = "linux"\nkernel = "{kernel}"\nram = "128M"\npin = [0]\n'


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command line has printed."""

    returncode: int
    stdout: str
    stderr: str


class Heard:
    """A reporter that keeps what the command wrote."""

    def __init__(self) -> None:
        self.output = b""

    def phase(self, name: str) -> None: ...
    def vm_state(self, vm: str, state: str) -> None: ...
    def console(self, vm: str, line: str) -> None: ...
    def note(self, text: str) -> None: ...
    def command_output(self, stream: str, data: bytes) -> None:
        self.output += data if stream == "stdout" else b""


def run(folder: Path, toml: str, *probes: str, **options: Any) -> tuple[BootResult, Heard]:
    folder.mkdir(exist_ok=True)
    path = folder / "test.toml"
    path.write_text(toml)
    heard = Heard()
    result = session.boot(
        config.load(path),
        BootOptions(
            out=folder / "run", probes=tuple(parse_probe(text) for text in probes), **options
        ),
        heard,
    )
    return result, heard


def streams(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {path.stem: read_stream(path).records for path in (folder / "run/trace").glob("*.rec")}


def probes_of(folder: Path) -> list[dict[str, Any]]:
    probes: list[dict[str, Any]] = json.loads((folder / "run/trace/probes.json").read_text())[
        "probes"
    ]
    return probes


async def gva2gpa(observer: Observer, va: int, cpu: int) -> int | None:
    """QEMU's own translation of an address of what runs on a core; None: not mapped."""
    text = await observer._machine._qmp.execute(
        "human-monitor-command", {"command-line": f"gva2gpa {va:#x}", "cpu-index": cpu}
    )
    match = re.match(r"gpa: (0x[0-9a-f]+)", str(text))
    return int(match[1], 16) if match else None


@pytest.mark.parametrize("kernel", ["armmp", "armmp-lpae"])
def test_walks_and_symbols_are_those_of_qemu_and_of_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    """Short and long descriptors under stage 2: kernel text, heap, user space, holes.

    That exported data has its right name shows in a value that /proc/cpuinfo makes of it.
    """
    told: Counter[str] = Counter()

    class Checking(Observer):
        async def _arm(self) -> None:
            await super()._arm()
            choose = np.random.default_rng(1)
            symbols = self.guests["linux"].symbols.symbols
            vas = [symbol.va for symbol in symbols[::400]]
            for low, high in (
                (0, 1 << 32),
                (0xC000_0000, 0xC800_0000),  # the linear map
                (0x1_0000, 0x11_0000),  # busybox
                (0xF000_0000, 0xFFFF_FFFF),
            ):
                vas += choose.integers(low, high, 100).tolist()
            mmu = (await self.probes.view("linux")).mmu
            for va in vas:
                found: int | None = None
                try:
                    walk = mmu.walk(va)
                    # QEMU asks as the kernel, which has locked itself out of user space (PAN).
                    why = "denied" if any("no access" in s.domain for s in walk.steps) else "mapped"
                    found = None if why == "denied" else walk.pa
                    assert mmu.translate(va) == walk.pa
                except TranslationFault as fault:
                    why = fault.kind.name
                told[why] += 1
                assert found == await gva2gpa(self, va, 0), f"{va:#x}: {why}"
            began = time.process_time()
            for symbol in symbols:
                mmu.translate(symbol.va)
            assert time.process_time() - began < slowness()

    monkeypatch.setattr(session, "Observer", Checking)
    _, heard = run(
        tmp_path,
        LINUX.format(kernel=kernel),
        "linux:ksys_read mode=shadow tasks=no lpj=@loops_per_jiffy",
        command=("sh", "-c", "cat /proc/kallsyms; grep -m1 BogoMIPS /proc/cpuinfo"),
    )
    assert told["mapped"] > 200
    assert told["TRANSLATION"] > 50
    *names, bogomips = heard.output.decode().splitlines()
    own = [line.split() for line in names if "[" not in line]
    image = probes_image(tmp_path)
    found = parse_kallsyms(image.read_bytes(), source="linux")
    assert found == tuple((int(va, 16), kind, name) for va, kind, name in own)
    (probe,) = probes_of(tmp_path)
    assert sum(probe["hits"]) == probe["recorded"] == len(streams(tmp_path)["plugin-0"]) > 0
    assert probe["removed"]
    hertz = 250
    per_jiffy = float(bogomips.split(":")[1]) * 500_000 / hertz
    values = streams(tmp_path)["plugin-0"]["word"][:, 0]
    assert np.all(np.abs(values - per_jiffy) < 500_000 / hertz / 100)


def probes_image(folder: Path) -> Path:
    inputs = json.loads((folder / "run/run.json").read_text())["host"]["inputs"]
    return Path(inputs["linux.kernel"])


def test_two_runs_record_the_same_and_cost_the_guest_nothing(tmp_path: Path) -> None:
    """Shadow probes everywhere in the RTOS: same bytes twice, same console as without any."""
    probes = ("rtos:OS* mode=shadow", "rtos:main mode=shadow $stack0 tasks=no")
    for name in ("first", "second"):
        run(tmp_path / name, RTOS, *probes, for_ns=150_000_000)
    run(tmp_path / "without", RTOS, for_ns=150_000_000)
    logs = [(tmp_path / name / "run/rtos.log").read_bytes() for name in ("first", "without")]
    assert logs[0] == logs[1] != b""
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "run/trace").iterdir()}
        for name in ("first", "second")
    )
    assert first == second
    records = streams(tmp_path / "first")["plugin-1"]
    assert len(records) == sum(each["recorded"] for each in probes_of(tmp_path / "first")) > 1000
    assert np.all(np.diff(records["time_ns"].astype(np.int64)) >= 0)


def test_the_switches_that_are_recorded_are_those_that_the_rtos_counts(tmp_path: Path) -> None:
    """Each record's "next" is the following one's "prev", and all tasks of the workload come by."""
    run(tmp_path, RTOS, "rtos:OSTaskSwHook mode=shadow", for_ns=200_000_000)
    (probe,) = probes_of(tmp_path)
    assert probe["role"] == "switch"
    words = {each["name"]: each["word"] for each in probe["fetch"]}
    records = streams(tmp_path)["plugin-1"]
    word = records["word"]
    assert np.array_equal(word[1:, words["prev"]], word[:-1, words["next"]])
    names = {
        row[words["next_name"] : words["next_name"] + 4].tobytes().split(b"\0")[0] for row in word
    }
    assert {b"RTOS-Task1", b"RTOS-Task2", b"RTOS-Task3", b"RTOS-Task4"} <= names


def test_records_begin_and_end_at_the_same_instant_in_every_run(tmp_path: Path) -> None:
    """From init's first sync() to its last; what the job itself syncs does not count."""
    toml = "[machine]\ncores = 2\n" + LINUX.format(kernel="armmp") + RTOS
    job = ("sh", "-c", "ls / | cat; sync; sleep 0.02; sync; ls /")
    kept = []
    for name in ("first", "second"):
        run(
            tmp_path / name,
            toml,
            *("rtos:OS* record=both", "linux:vfs_* record=both", "linux:ksys_sync mode=shadow"),
            command=job,
        )
        folder = tmp_path / name / "run/trace"
        kept.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert sum(probes_of(tmp_path / name)[-1]["hits"]) == 3  # the job's two and init's last
    assert kept[0] == kept[1]


def test_a_shadow_probe_costs_linux_nothing(tmp_path: Path) -> None:
    """What Linux's own clock, tick and scheduler show is the same with thousands of hits and none."""
    job = "for i in 1 2 3 4; do ls / | cat >/dev/null; done; grep now /proc/timer_list; cat /proc/stat"
    said = []
    for name, probes in (("with", ("linux:_raw_spin_lock* mode=shadow",)), ("without", ())):
        _, heard = run(
            tmp_path / name, LINUX.format(kernel="armmp"), *probes, command=("sh", "-c", job)
        )
        said.append((heard.output, (tmp_path / name / "run/linux.log").read_bytes()))
    assert sum(sum(each["hits"]) for each in probes_of(tmp_path / "with")) > 2000
    assert said[0] == said[1]
    assert b"now at" in said[0][0]


def test_a_thousand_probes_in_linux_at_once(tmp_path: Path) -> None:
    """The guest works on; every hit is recorded by both observers; the bytes are put back."""
    patterns = ("sys_*", "vfs_*", "tcp_*", "do_*", "ip*")
    result, heard = run(
        tmp_path,
        LINUX.format(kernel="armmp"),
        *(f"linux:{pattern} record=both" for pattern in patterns),
        command=("sh", "-c", "ls / && grep -c processor /proc/cpuinfo"),
    )
    assert result.exit_code == 0
    assert heard.output.endswith(b"1\n")
    probes = probes_of(tmp_path)
    assert len(probes) > 1000
    assert all(each["removed"] and each["hits"] == each["hypervisor_hits"][:2] for each in probes)
    recorded = streams(tmp_path)
    plugin, hypervisor = recorded["plugin-0"], recorded["hypervisor-0"]
    assert len(plugin) == sum(sum(each["hits"]) for each in probes) > 1000
    for name in ("id", "pc", "lr", "sp", "cpsr", "vm", "vcpu"):
        assert np.array_equal(plugin[name], hypervisor[name]), name
    hits = Counter(plugin["id"].tolist())
    assert {each["id"]: sum(each["hits"]) for each in probes if any(each["hits"])} == hits


def test_every_function_of_the_rtos_at_once(tmp_path: Path) -> None:
    """HVCs everywhere: the workload goes on, with as many switches as without a probe."""
    run(tmp_path / "all", RTOS, "rtos:*", for_ns=200_000_000)
    assert not json.loads((tmp_path / "all/run/trace/probes.json").read_text())["skipped"]
    probes = {each["label"]: sum(each["hits"]) for each in probes_of(tmp_path / "all")}
    assert len(probes) > 120
    assert len(streams(tmp_path / "all")["plugin-1"]) == sum(probes.values()) > 1500
    run(tmp_path / "one", RTOS, "rtos:OSTaskSwHook mode=shadow", for_ns=200_000_000)
    (one,) = probes_of(tmp_path / "one")
    assert probes["OSTaskSwHook"] == sum(one["hits"])
    many, few = (
        json.loads((tmp_path / name / "run/trace/probes.json").read_text())["instructions"]
        for name in ("all", "one")
    )
    assert [core["rtos"] > 100_000 for core in many] == [False, True]
    assert many[1]["hypervisor"] - few[1]["hypervisor"] > 50 * sum(probes.values())


def test_linux_counts_its_switches_as_the_probe_does(tmp_path: Path) -> None:
    """Between two looks at /proc/stat: its `ctxt` against the hits of __switch_to."""
    script = "cat /proc/stat; for i in 1 2 3; do ls / | cat >/dev/null; done; cat /proc/stat"
    _, heard = run(
        tmp_path,
        LINUX.format(kernel="armmp"),
        "linux:__switch_to",
        "linux:show_stat mode=shadow",
        command=("sh", "-c", script),
    )
    first, last = (
        int(line.split()[1]) for line in heard.output.decode().splitlines() if "ctxt" in line
    )
    switch, look = (each["id"] for each in probes_of(tmp_path))
    ids = streams(tmp_path)["plugin-0"]["id"].tolist()
    looks = [index for index, number in enumerate(ids) if number == look]
    assert len(looks) == 2
    between = ids[looks[0] : looks[1]].count(switch)
    assert between == last - first > 10


def test_one_place_is_hit_by_both_cores(tmp_path: Path) -> None:
    """Linux with a vCPU on each core: one HVC for both, and none of the hits is lost."""
    toml = LINUX.format(kernel="armmp").replace("pin = [0]", "pin = [0, 1]")
    script = "for i in 1 2 3 4; do (ls / | cat >/dev/null) & done; wait"
    run(
        tmp_path,
        "[machine]\ncores = 2\n" + toml,
        "linux:__switch_to record=both",
        "linux:ksys_read record=both",
        command=("sh", "-c", script),
    )
    for each in probes_of(tmp_path):
        assert each["hits"] == each["hypervisor_hits"][:2]
        assert min(each["hits"]) > 0
        assert sum(each["hits"]) > 10
    recorded = streams(tmp_path)
    for core in (0, 1):
        plugin, hypervisor = recorded[f"plugin-{core}"], recorded[f"hypervisor-{core}"]
        assert set(plugin["vcpu"].tolist()) == {core}
        assert np.array_equal(plugin[["id", "pc", "sp"]], hypervisor[["id", "pc", "sp"]])


def test_a_guest_that_is_switched_out_is_probed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both VMs on one core: while Linux runs, the RTOS's registers are in the hypervisor's memory."""
    seen: list[bool] = []

    class Checking(Observer):
        async def _arm(self) -> None:
            await super()._arm()
            rtos = self._layout.vms[1]
            (vcpu,) = await self.probes._vcpus.vcpus(1)
            seen.append(vcpu.loaded)
            assert vcpu.registers.stage1
            mmu = (await self.probes.view("rtos")).mmu
            for symbol in self.guests["rtos"].symbols.functions:
                # It maps its memory flat; the layout says where the hypervisor has put it.
                assert mmu.walk(symbol.va).pa == symbol.va - rtos.ram_ipa + rtos.ram_pa

    monkeypatch.setattr(session, "Observer", Checking)
    run(
        tmp_path,
        "[machine]\ncores = 1\n" + LINUX.format(kernel="armmp") + RTOS.replace("[1]", "[0]"),
        "rtos:OSTaskSwHook record=both",
        "linux:__switch_to record=both",
        command=("sleep", "0.3"),
    )
    assert seen == [False]
    for each in probes_of(tmp_path):
        assert sum(each["hits"]) > 10
        assert each["hits"] == each["hypervisor_hits"]
    recorded = streams(tmp_path)
    assert set(recorded["plugin-0"]["vm"].tolist()) == {0, 1}
    for name in ("id", "vm", "pc", "word"):
        assert np.array_equal(recorded["plugin-0"][name], recorded["hypervisor-0"][name]), name


def test_a_refused_place_is_told_with_its_neighbours_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(CheckFailed, match=r"the nearest that work: linux:\w+"):
        run(
            tmp_path / "enter",
            LINUX.format(kernel="armmp"),
            "linux:vfp_support_entry",
            until_ready=True,
        )
    with pytest.raises(UsageError, match="only there while Linux boots"):
        run(tmp_path / "gone", LINUX.format(kernel="armmp"), "linux:start_kernel", until_ready=True)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A dual system that runs, and a way to ask it."""
    tmp_path = tmp_path_factory.mktemp("live")
    path = tmp_path / "live.toml"
    path.write_text("[machine]\ncores = 2\n" + LINUX.format(kernel="armmp") + RTOS)
    command = (sys.executable, "-m", "orchestrator.cli")
    with (tmp_path / "boot.log").open("wb") as log:
        boot = subprocess.Popen(
            (*command, "boot", "--config", path, "--out", tmp_path / "run"),
            stdout=log,
            stderr=log,
        )

        def ask(*words: str) -> Answer:
            # In this process: to start Python takes longer than to be answered.
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = cli.main([*words, "--run", str(tmp_path / "run")])
            return Answer(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())

        try:

            def is_ready() -> bool:
                told = (tmp_path / "boot.log").read_text()
                assert boot.poll() is None, told
                return "linux: ready" in told

            until(is_ready)
            yield ask
        finally:
            boot.terminate()
            boot.wait(HOST_LIMIT_S)


def hits(live: Callable[..., Answer]) -> dict[int, list[int]]:
    """What each probe has counted so far, by core."""
    return {each["id"]: each["hits"] for each in json.loads(live("probe", "list", "--json").stdout)}


def until(condition: Callable[[], bool]) -> None:
    """Waits for what stays once it is so."""
    deadline = time.monotonic() + HOST_LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def test_probes_come_and_go_in_a_running_system(
    live: Callable[..., Answer],
) -> None:
    added = live("probe", "add", "rtos:OSTimeTick mode=shadow", "linux:vfs_* mode=shadow")
    assert added.returncode == 0, added.stderr
    numbers = [line.split()[0] for line in added.stdout.splitlines()]
    assert len(numbers) > 50
    again = live("probe", "add", "rtos:OSTimeTick mode=shadow")
    assert again.returncode == 1
    assert f"probe {numbers[0]} (rtos:OSTimeTick) is there already" in again.stderr
    until(lambda: hits(live)[int(numbers[0])][1] > 10)
    # An HVC while it is hit, at any instant of the host.
    here = live("probe", "add", "--json", "rtos:OSIntExit")
    assert here.returncode == 0, here.stderr
    (placed,) = json.loads(here.stdout)["placed"]
    until(lambda: hits(live)[placed["id"]][1] > 0)
    gone = live("probe", "remove", "--json", str(placed["id"]))
    assert gone.returncode == 0, gone.stderr
    assert json.loads(gone.stdout)[0]["hits"][1] > 0
    removed = json.loads(live("probe", "remove", "--json", numbers[0]).stdout)
    assert removed[0]["hits"][1] > 10
    assert removed[0]["removed"]
    left = json.loads(live("probe", "list", "--json").stdout)
    assert [str(each["id"]) for each in left] == numbers[1:]
    assert live("probe", "remove", numbers[0]).returncode == 2
    assert live("probe", "remove", "all").returncode == 0
    assert live("probe", "list").stdout == ""


def test_a_running_system_is_asked_for_walks_symbols_and_places(
    live: Callable[..., Answer],
) -> None:
    walk = live("walk", "linux:__schedule").stdout.splitlines()
    assert "stage 2 level 2" in walk[0]
    assert re.fullmatch(r"VA 0xc\w+ -> IPA 0x\w+ -> PA 0x\w+", walk[-1])
    assert live("walk", "linux:0x00000004").returncode == 1
    assert live("walk", "linux:jiffies").returncode == 0  # exported data
    inner = live("walk", "linux:swapper_pg_dir")
    assert inner.returncode == 2
    assert "CONFIG_KALLSYMS_ALL" in inner.stderr
    planned = live("probe", "add", "--dry-run", "rtos:OSTimeTick mode=shadow").stdout
    assert "rtos:OSTimeTick: VA 0x4" in planned
    assert live("probe", "list").stdout == ""
    unknown = live("probe", "add", "linux:__shedule")
    assert unknown.returncode == 2
    assert "the closest are __schedule" in unknown.stderr
    assert "OSQPend" in live("probe", "symbols", "rtos:OSQ*").stdout
    everywhere = json.loads(live("probe", "check", "linux", "--all", "--json").stdout)
    assert everywhere["places"] > 40_000
    assert everywhere["possible"] >= 0.99 * everywhere["places"]
    assert live("probe", "check", "rtos", "--all").returncode == 0
    short = live("probe", "check", "rtos:OSTimeTick+2 mode=shadow")
    assert "middle of an instruction; the nearest that work: rtos:OSTimeTick" in short.stderr
    program = live("probe", "check", "linux:0x00000004 mode=shadow")
    assert program.returncode == 1
    assert "placed: VA 0x0: stage 1, level 2: the descriptor" in program.stderr
    assert "user-space addresses are those of the program that has the core" in program.stderr
    assert "  shadow" in live("probe", "check", "rtos:OSTimeTick mode=shadow").stdout
