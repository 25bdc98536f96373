# SPDX-License-Identifier: MIT
"""Runs from a saved start beside whole runs: the same in every byte that a guest or a user sees."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

HOST_LIMIT_S = 800
CONFIG = """
[machine]
cores = 2
[clock]
epoch = {epoch}
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
"""
# What a guest knows of time and chance, and the way out through files and ports.
JOB = """
context1 300; sleep 0.2
date
cat /proc/interrupts /proc/uptime /proc/sys/kernel/random/uuid
dmesg | tail -3
echo from the guest >/results/note
exit 5
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A config that never was before, so that its start is yet to be made; it is removed again."""
    folder = tmp_path_factory.mktemp("starts")
    path = folder / "system.toml"
    path.write_text(CONFIG.format(epoch=datetime.now(UTC).replace(microsecond=0).isoformat()))
    yield path
    for run in folder.glob("*/run.json"):
        start = json.loads(run.read_text())["host"].get("saved_start")
        if start is not None:
            shutil.rmtree(start, ignore_errors=True)


def boot(
    config: Path, out: Path, *options: str, command: str = "boot"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "orchestrator.cli", command, "-c", config, "--out", out, *options),
        capture_output=True,
        text=True,
        timeout=HOST_LIMIT_S,
        check=False,
    )


def left(run: Path) -> dict[str, bytes]:
    """Everything that a run has left, but for what is the host's own."""
    found = {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }
    document = json.loads((run / "run.json").read_text())
    del document["host"]
    return found | {"run.json": json.dumps(document).encode()}


def differences(one: Path, other: Path) -> list[str]:
    first, second = left(one), left(other)
    return [name for name in first | second if first.get(name) != second.get(name)]


def test_a_run_from_a_saved_start_is_the_whole_run(config: Path) -> None:
    """A whole run, one that makes the start and one that finds it leave the same, to the byte.

    That is consoles, the job's output and files, and each probe hit with its time, its number and
    its cost, in both observers' streams, on both cores.
    """
    probes = ("--probe", "rtos:OSTaskSwHook mode=hvc", "--probe", "linux:__switch_to mode=shadow")
    for name, options in (
        ("whole", ()),
        ("first", ("--saved-start",)),
        ("second", ("--saved-start",)),
    ):
        end = boot(config, config.parent / name, *options, *probes, "--", "sh", "-c", JOB)
        assert end.returncode == 5, end.stderr
        assert ("boots once" in end.stderr) == (name == "first")
    assert (config.parent / "whole/results/note").read_text() == "from the guest\n"
    document = json.loads((config.parent / "whole/trace/probes.json").read_text())
    assert [sum(probe["hits"]) > 3 for probe in document["probes"]] == [True, True]
    # The RTOS goes on until QEMU is told to stop, which the host does when the job has ended.
    for name in ("first", "second"):
        assert set(differences(config.parent / "whole", config.parent / name)) <= {"rtos.log"}


def test_a_trace_from_a_saved_start_is_the_whole_runs(config: Path) -> None:
    """Linux's own events, its clock, the RTOS's tasks and the hypervisor's events, to the byte."""
    job = ("--format", "text,trace.dat", "--", "sh", "-c", "context1 20; sleep 0.2")
    for name, options in (("whole trace", ()), ("trace", ("--saved-start",))):
        end = boot(config, config.parent / name, *options, *job, command="trace")
        assert end.returncode == 0, end.stderr
        assert ("boots once" in end.stderr) == bool(options)
    events = (config.parent / "trace/trace.txt").read_text()
    assert {"context1", "RTOS-Task2", "vm_entry"} <= set(re.findall(r"[\w-]+\w", events))
    assert set(differences(config.parent / "whole trace", config.parent / "trace")) <= {"rtos.log"}


def test_probes_can_be_placed_later_than_the_start_is_saved(config: Path) -> None:
    """The start is saved before the job, whenever it is that `arm_at` is executed: here, by it."""
    late = config.with_name("late.toml")
    late.write_text(config.read_text() + '[trace]\narm_at = "linux:uptime_proc_show"\n')
    job = ("--probe", "linux:vfs_read", "--", "sh", "-c", "sleep 0.01; cat /proc/uptime")
    outputs = []
    for name, options in (("late whole", ()), ("late", ("--saved-start",))):
        end = boot(late, config.parent / name, *options, *job)
        assert end.returncode == 0, end.stderr
        outputs.append(end.stdout)
    assert outputs[0] == outputs[1]
    assert set(differences(config.parent / "late whole", config.parent / "late")) <= {"rtos.log"}
    document = json.loads((config.parent / "late/trace/probes.json").read_text())
    assert sum(document["probes"][0]["hits"]) > 0


def test_a_start_that_never_comes_is_not_waited_for_for_ever(config: Path) -> None:
    never = config.with_name("never.toml")
    never.write_text(
        '[machine]\ncores = 1\n[vm.rtos]\ntype = "elf"\nram = "16M"\npin = [0]\nready = "."\n'
        '[trace]\narm_at = "rtos:OSQFlush"\n'
    )
    end = boot(never, config.parent / "n", "--saved-start", "--timeout-ready", "2", "--for", "1s")
    assert end.returncode == 5, end.stderr
    assert "arm_at" in end.stderr


def test_a_run_that_would_end_before_its_start_is_refused(config: Path) -> None:
    end = boot(config, config.parent / "run", "--saved-start", "--for", "1ms")
    assert end.returncode == 2
    assert "after the end that --for asks for" in end.stderr
