# SPDX-License-Identifier: MIT
"""Results as a file, overheads, the lines that programs print, and the tables of benchmarks."""

import dataclasses
import json
from pathlib import Path

import pytest

from orchestrator.bench import lines, model
from orchestrator.bench.lines import Reading
from orchestrator.bench.model import BenchResult, Instructions, ProbeCost
from orchestrator.bench.registry import BENCHMARKS, UNIXBENCH, DebianProgram
from orchestrator.bench.variants import VARIANTS, guest_script
from orchestrator.errors import CheckFailed, StorageError

SOURCES = Path(__file__).parents[2] / "images" / "linux"


def result(**changes: object) -> BenchResult:
    base = BenchResult(
        bench="context1",
        variant="none",
        vm="linux",
        unit="switch",
        operations=200,
        elapsed_ns=1_400_000,
        instructions=Instructions(guest=1_200_000, hypervisor=40_000, other=77),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_an_operation_costs_what_guest_and_hypervisor_did_for_it() -> None:
    assert result().instructions_per_operation == 6200
    assert result().ns_per_operation == 7000
    assert result(instructions=None).instructions_per_operation is None


def test_overhead_is_in_instructions_where_both_have_them() -> None:
    """1,302,000 instructions against 1,240,000 are 5 %; without a count, time decides."""
    more = result(instructions=Instructions(guest=1_262_000, hypervisor=40_000), elapsed_ns=9)
    assert model.overhead(more, result()) == pytest.approx(0.05)
    timed = result(instructions=None, elapsed_ns=2_800_000)
    assert model.overhead(timed, result()) == pytest.approx(1.0)


def test_a_file_reads_back_as_it_was_and_is_written_the_same_twice(tmp_path: Path) -> None:
    results = (
        result(),
        result(
            variant="hvc",
            probes=(ProbeCost(name="switch", hits=3, instructions=400),),
            figures={"max_ns": 1.5},
            system={"qemu": "10.0.2"},
            instructions=None,
        ),
    )
    text = model.to_json(results)
    assert text == model.to_json(results)
    (tmp_path / "b").mkdir()
    (tmp_path / "a.json").write_bytes(text)
    (tmp_path / "b" / model.RESULTS_NAME).write_bytes(text)
    assert model.load(tmp_path / "a.json") == results
    assert model.load(tmp_path) == results


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no benchmark results"),
        ("[]", "holds no benchmark results"),
        ('{"format": 99, "results": []}', "format 99"),
        ('{"format": 1, "results": [{"bench": "x"}]}', "results.0.variant: Field required"),
    ],
)
def test_what_is_no_results_file_is_refused(text: str, told: str) -> None:
    with pytest.raises(StorageError, match=told):
        model.from_json(text, place="here")


def test_no_results_below_a_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no bench\.json"):
        model.load(tmp_path)


def test_unixbench_lines_are_read_and_the_last_of_a_kind_counts() -> None:
    """The form is that of UnixBench's own programs, here as its `spawn` prints it."""
    text = "noise\nCOUNT|11|1|lps\nCOUNT|55|1|lps\nTIME|5000|1|ns\nMAX|17|ns\n"
    found = lines.read(text, Reading(figures={"max_ns": r"^MAX\|(\d+)"}), what="x")
    assert (found.count, found.elapsed_ns, found.figures) == (55, 5000, {"max_ns": 17})


@pytest.mark.parametrize(
    "text", ["", "COUNT|5|1|lps\n", "COUNT|0|1|lps\nTIME|5|1|ns", "COUNT|5|1|lps\nTIME|0|1|ns"]
)
def test_missing_or_empty_figures_are_an_error(text: str) -> None:
    with pytest.raises(CheckFailed):
        lines.read(text, Reading(), what="x")


def test_every_benchmark_has_the_programs_that_its_command_names() -> None:
    for bench in BENCHMARKS.values():
        names = {
            Path(each.path).name if isinstance(each, DebianProgram) else each
            for each in bench.programs
        }
        used = {word.removeprefix("/bench/") for word in bench.command if "/bench/" in word}
        assert used == names, bench.name
        assert bool(bench.command) != bool(bench.phase), bench.name
        for name in names - {"hackbench", "cyclictest"}:
            source = name if name.endswith(".sh") else f"{name}.c"
            assert (SOURCES / "workloads" / source).exists(), bench.name


def test_the_paper_s_table_has_all_of_unixbench_s_index_tests() -> None:
    """UnixBench's "system" index has twelve tests, UnixBench/Run, 'index'."""
    assert len(UNIXBENCH) == 12


def test_a_guest_side_tracer_is_set_up_before_and_counted_after_the_command() -> None:
    script = guest_script(VARIANTS["event"], "/bench/x 'a b'")
    assert script.index("sched_switch/enable") < script.index("/bench/x 'a b' ||")
    assert script.index("/bench/x 'a b' ||") < script.index("TRACED|")
    assert guest_script(VARIANTS["none"], "/bench/x") == "sleep 0.5\nexec /bench/x\n"


def test_results_are_plain_json() -> None:
    document = json.loads(model.to_json([result()]))
    assert document["format"] == model.FORMAT
    assert document["results"][0]["instructions"] == {
        "guest": 1_200_000,
        "hypervisor": 40_000,
        "other": 77,
    }
