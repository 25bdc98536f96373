# SPDX-License-Identifier: MIT
"""Limits, the table for people, JUnit for CI, and the figures."""

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import pytest

from orchestrator.bench import figures, limits, report
from orchestrator.bench.model import BenchResult, Instructions, ProbeCost

SVG = "{http://www.w3.org/2000/svg}"


def result(bench: str, variant: str, instructions: int) -> BenchResult:
    """1,000 operations of so many instructions each."""
    return BenchResult(
        bench=bench,
        variant=variant,
        vm="linux",
        unit="switch",
        operations=1000,
        elapsed_ns=1000 * instructions,
        instructions=Instructions(guest=1000 * instructions),
    )


RESULTS = (
    result("context1", "none", 1000),
    result("context1", "hvc", 1030),
    result("context1", "function", 16_200),
    result("pipe", "none", 2000),
    result("pipe", "hvc", 2010),
    result("pipe", "function", 30_000),
)


def test_a_benchmark_s_own_limit_goes_before_the_general_one() -> None:
    """hvc costs context1 3 % and pipe 0.5 %; only what is above its limit does not hold."""
    own = [limits.parse_limit(text) for text in ("context1:hvc=3.5%", "hvc=0.4%")]
    judged = {each.result.bench: each for each in limits.verdicts(RESULTS, own)}
    assert judged["context1"].holds
    assert judged["context1"].most == pytest.approx(0.035)
    assert not judged["pipe"].holds
    assert judged["pipe"].overhead == pytest.approx(0.005)


def test_a_limit_of_zero_is_kept_by_an_equal_cost_only() -> None:
    same = (RESULTS[0], dataclasses.replace(RESULTS[0], variant="shadow"))
    (verdict,) = limits.verdicts(same, [limits.parse_limit("shadow=0%")])
    assert verdict.holds


@pytest.mark.parametrize("text", ["hvc", "hvc=1", "hvc=-1%", "a:b:c=1%", "=1%"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as"):
        limits.parse_limit(text)


def test_the_table_shows_costs_overheads_and_where_they_went() -> None:
    probed = dataclasses.replace(
        RESULTS[1],
        instructions=Instructions(guest=1_002_000, hypervisor=28_000),
        probes=(ProbeCost(name="switch", hits=1001, instructions=27_000),),
    )
    text = report.text_table((RESULTS[0], probed), {"context1": "what it is"})
    head, _, none, hvc = text.rstrip().split("\n")
    assert head == "context1: what it is"
    assert none.split() == ["none", "1,000.0", "1,000.0", "0.0", "-", "-", "1,000.0", "-"]
    assert hvc.split() == [
        *("hvc", "1,030.0", "1,002.0", "28.0", "27.0", "+3.00", "%", "1,030.0", "1001")
    ]


def test_several_benchmarks_get_an_overview() -> None:
    lines = report.text_table(RESULTS, {}).rstrip().split("\n")
    assert [line.split() for line in lines[-3:]] == [
        ["overhead", "hvc", "function"],
        ["context1", "+3.00", "%", "16.2x"],
        ["pipe", "+0.50", "%", "15.0x"],
    ]


def test_junit_tells_failures_and_errors_of_each_case() -> None:
    judged = limits.verdicts(RESULTS, [limits.parse_limit("hvc=1%")])
    root = ET.fromstring(report.junit(RESULTS, judged, {("spawn", "none"): "the guest died"}))
    suites = {suite.get("name"): suite for suite in root}
    assert {
        name: (s.get("tests"), s.get("failures"), s.get("errors")) for name, s in suites.items()
    } == {
        "context1": ("3", "1", "0"),
        "pipe": ("3", "0", "0"),
        "spawn": ("1", "0", "1"),
    }
    (failure,) = root.iter("failure")
    assert failure.get("message") == "overhead +3.00 %, allowed +1.00 %"
    (error,) = root.iter("error")
    assert error.get("message") == "the guest died"


@pytest.mark.parametrize("draw", [figures.performance, figures.overhead_figure])
def test_figures_are_svg_with_all_names_and_the_same_bytes_twice(
    draw: Callable[[Sequence[BenchResult]], bytes],
) -> None:
    first = draw(RESULTS)
    assert draw(RESULTS) == first
    text = " ".join("".join(each.itertext()) for each in ET.fromstring(first).iter(f"{SVG}text"))
    for name in ("context1", "pipe", "hvc", "function"):
        assert name in text


def test_a_figure_of_nothing_is_still_a_figure() -> None:
    assert ET.fromstring(figures.performance(())).tag == f"{SVG}svg"
