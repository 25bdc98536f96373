# SPDX-License-Identifier: MIT
"""What the study holds against its limits, and what it refuses. It is run by hand: docs/benchmarks.md."""

import dataclasses
from pathlib import Path

import pytest

from orchestrator.bench.model import BenchResult, Instructions, from_tables
from orchestrator.bench.study import table
from orchestrator.bench.study.__main__ import main

NONE = BenchResult(
    bench="syscall",
    variant="none",
    vm="linux",
    unit="loop",
    operations=100,
    elapsed_ns=20_000,
    instructions=Instructions(guest=10_000, hypervisor=0),
)


def variant(name: str, **changed: object) -> BenchResult:
    return dataclasses.replace(NONE, variant=name, **changed)  # type: ignore[arg-type]


def broken(*results: BenchResult) -> list[str]:
    return [each.name for each in table.claims((NONE, *results)) if not each.holds]


def test_an_hvc_may_cost_a_hundredth_and_what_is_off_nothing() -> None:
    dear, cheap = Instructions(guest=10_101), Instructions(guest=10_099)
    assert broken(variant("hvc", instructions=cheap), variant("off"), variant("shadow")) == []
    (name,) = broken(variant("hvc", instructions=dear))
    assert name.startswith("syscall: overhead of the HVC")
    # Not an instruction more, and not one less; nor a nanosecond.
    for changed in (
        {"instructions": Instructions(guest=10_001)},
        {"instructions": Instructions(guest=9_999)},
        {"elapsed_ns": 20_001},
    ):
        (name,) = broken(variant("off", **changed))
        assert name.startswith("off:")


def test_context1_has_a_limit_of_its_own() -> None:
    results = [
        dataclasses.replace(each, bench="context1")
        for each in (NONE, variant("hvc", instructions=Instructions(guest=10_299)))
    ]
    assert all(each.holds for each in table.claims(results))


def test_results_come_back_from_tables() -> None:
    assert from_tables([dataclasses.asdict(NONE)]) == (NONE,)


def test_a_folder_with_files_and_an_absent_config_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--out", str(tmp_path)]) == 2
    assert "name another folder" in capsys.readouterr().err
    assert main(["--config", str(tmp_path / "absent.toml")]) == 2
    assert "absent.toml" in capsys.readouterr().err
