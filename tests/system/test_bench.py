# SPDX-License-Identifier: MIT
"""Benchmarks in the real system: exact, repeatable, and free where nothing is observed."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from orchestrator import cli, config
from orchestrator.bench.model import BenchResult, overhead, to_json
from orchestrator.bench.registry import BENCHMARKS
from orchestrator.bench.run import run_bench
from orchestrator.bench.variants import VARIANTS

pytestmark = pytest.mark.system

ITERATIONS = 1000
SYSTEM = """
[machine]
cores = 2
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
"""
CONTEXT1 = dataclasses.replace(BENCHMARKS["context1"], command=("/bench/context1", str(ITERATIONS)))


def measure(folder: Path, name: str, variant: str, *, saved_start: bool = True) -> BenchResult:
    path = folder / "system.toml"
    path.write_text(SYSTEM)
    return run_bench(
        config.load(path), CONTEXT1, VARIANTS[variant], out=folder / name, saved_start=saved_start
    )


def test_a_context_switch_costs_the_same_twice_and_nothing_when_a_shadow_looks(
    tmp_path: Path,
) -> None:
    """Twice: by a whole boot, and from the saved start. The HVC costs what the README promises."""
    whole = measure(tmp_path, "whole", "none", saved_start=False)
    none, shadow, hvc = (measure(tmp_path, name, name) for name in ("none", "shadow", "hvc"))
    assert to_json([none]) == to_json([whole])
    assert (shadow.elapsed_ns, shadow.instructions) == (none.elapsed_ns, none.instructions)
    assert 0 < overhead(hvc, none) <= 0.03
    assert hvc.instructions is not None
    assert none.instructions is not None
    for result in (shadow, hvc):
        (probe,) = result.probes
        assert 2 * ITERATIONS <= probe.hits <= 2 * ITERATIONS + 50  # ticks wake a kernel thread
    assert hvc.probes[0].instructions <= hvc.instructions.hypervisor
    # Two observers of one span: the guest's clock has a nanosecond for each instruction of any core,
    # and for each in which all sleep; between the marks lie two system calls more.
    total = none.instructions.guest + none.instructions.hypervisor + none.instructions.other
    assert total <= none.elapsed_ns + 20_000
    assert none.instructions.guest > 0.8 * none.elapsed_ns


def test_a_user_s_own_program_is_measured_judged_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its COUNT line is UnixBench's; the same script under the function tracer breaks its limit."""
    script = tmp_path / "mine.sh"
    script.write_text(
        '#!/bin/sh\ni=0\nwhile [ $i -lt 200 ]; do i=$((i + 1)); done\necho "COUNT|$i|1|lps" >&2\n'
    )
    script.chmod(0o755)
    path = tmp_path / "own.toml"
    path.write_text(SYSTEM + f'[bench.mine]\npath = "{script}"\n')
    out = tmp_path / "out"
    code = cli.main(
        [
            *("bench", "--config", str(path), "--bench", "mine", "--out", str(out)),
            *("--variants", "none,function", "--limit", "function=1%"),
        ]
    )
    told = capsys.readouterr()
    assert code == 1, told.err
    assert re.search(r"mine in variant function costs \+\d", told.err)
    results = json.loads((out / "bench.json").read_text())["results"]
    assert [(each["variant"], each["operations"]) for each in results] == [
        ("none", 200),
        ("function", 200),
    ]
    assert results[1]["events"] > 1000
    assert cli.main(["compare", str(out), str(out), "--exact"]) == 0
