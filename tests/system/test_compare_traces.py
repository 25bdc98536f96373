# SPDX-License-Identifier: MIT
"""`orchestrate compare` on directories of `orchestrate trace`: equal runs, and one that is worse."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

HOST_LIMIT_S = 240
CONFIG = """
[machine]
cores = 2
[vm.linux]
type = "linux"
ram = "128M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
{place}
"""
ON_ITS_OWN_CORE = "pin = [1]"
BEHIND_LINUX = "pin = [0]\npriority = 50"
# Work with pauses, over a period of the RTOS: where it shares Linux's core it has only the pauses.
WORK = "n=0; while [ $n -lt 3000 ]; do n=$((n + 1)); done"
JOB = "for i in $(seq {rounds}); do context1 {switches} >/dev/null; " + WORK + "; sleep 0.002; done"


def orchestrate(*words: object, code: int) -> str:
    done = subprocess.run(
        (sys.executable, "-m", "orchestrator.cli", *map(str, words)),
        capture_output=True, text=True, timeout=HOST_LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two equal runs, one in which the command does a little more, one with a starved RTOS."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for name, place, rounds, switches in (
        ("first", ON_ITS_OWN_CORE, 8, 20),
        ("second", ON_ITS_OWN_CORE, 8, 20),
        ("longer", ON_ITS_OWN_CORE, 8, 21),
        ("starved", BEHIND_LINUX, 20, 20),
    ):
        # One name for all: where a config lies is not part of a run's identity.
        config = folder / name / "system.toml"
        config.parent.mkdir()
        config.write_text(CONFIG.format(place=place))
        found[name] = folder / name / "run"
        job = JOB.format(rounds=rounds, switches=switches)
        options = ("-c", config, "-o", found[name], "--format", "text,trace.dat")
        orchestrate("trace", *options, "--", "sh", "-c", job, code=0)
    return found


def figures(told: str) -> dict[str, tuple[str, list[str]]]:
    """Verdict and further words of each row of `compare`, by the figure's name."""
    rows = (line.split() for line in told.splitlines() if "/" in line.partition("  ")[2][:40])
    return {words[1]: (words[0], words[2:]) for words in rows if words[1].startswith("trace/")}


def test_equal_runs_have_no_difference_at_all(runs: dict[str, Path]) -> None:
    told = orchestrate("compare", runs["first"], runs["second"], "--exact", "--all", code=0)
    assert {verdict for verdict, _ in figures(told).values()} == {"same"}
    files = re.search(r"^(\d+) logs, streams and timelines: (\d+) identical$", told, re.MULTILINE)
    assert files
    assert files[1] == files[2]
    # All that is asked for: switches, shares, wake-up latency, responses, and time between VMs.
    names = set(figures(told))
    for wanted in (
        *("trace/linux/switches", "trace/rtos/switches", "trace/linux/context1/share"),
        *("trace/linux/context1/wakeup_max", "trace/rtos/RTOS-Task1/share"),
        *("trace/rtos/RTOS-Task4/response_max", "trace/hypervisor/away_mean"),
    ):
        assert wanted in names


def test_the_figures_are_those_that_trace_cmd_sees(runs: dict[str, Path]) -> None:
    told = orchestrate("compare", runs["first"], runs["second"], "--all", code=0)
    report = subprocess.run(
        ("trace-cmd", "report", "-i", runs["first"] / "trace.dat", "-F", "sched_switch"),
        capture_output=True, text=True, timeout=HOST_LIMIT_S, check=True,
    ).stdout  # fmt: skip
    for guest, core in (("linux", 0), ("rtos", 1)):
        lines = len(re.findall(rf"\[00{core}\].*sched_switch:", report))
        value = figures(told)[f"trace/{guest}/switches"][1][0]
        assert float(value.replace(",", "")) == lines


def test_the_first_event_that_differs_is_shown_with_what_is_around(runs: dict[str, Path]) -> None:
    """Where it is, follows from the lines of both runs' text exports."""
    told = orchestrate("compare", runs["longer"], runs["first"], code=1)
    mine, others = (
        [
            line
            for line in (runs[name] / "trace.txt").read_text().splitlines()
            if not line.startswith("#")
        ]
        for name in ("longer", "first")
    )
    pairs = enumerate(itertools.zip_longest(mine, others))
    at = next(number for number, (one, other) in pairs if one != other)
    first = re.search(r"^timeline differs first at (\d+):\n((?:[ +-] .*\n)+)", told, re.MULTILINE)
    assert first, told
    shown = first[2].splitlines()
    before, left, right = (
        [line[2:] for line in shown if line.startswith(sign)] for sign in ("  ", "- ", "+ ")
    )
    assert int(first[1]) == at + 1
    assert before == mine[at - 3 : at]
    assert left == others[at : at + 3]
    assert right == mine[at : at + 3]


def test_a_starved_rtos_is_worse_than_its_baseline_allows(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    """A baseline on its own says the same as the run it was made of."""
    baseline, tolerances = tmp_path / "baseline", tmp_path / "tolerances.toml"
    orchestrate("baseline", "save", runs["first"], baseline, code=0)
    orchestrate("compare", runs["first"], baseline, "--exact", code=0)
    tolerances.write_text('[tolerances]\n"*" = "1%"\n"trace/rtos/*/response_*" = 100_000\n')
    told = orchestrate("compare", runs["starved"], baseline, "-t", tolerances, code=1)
    verdict, words = figures(told)["trace/rtos/RTOS-Task4/response_max"]
    assert verdict == "worse"
    late, due = (float(word.replace(",", "")) for word in words[:2])
    assert late > due + 100_000
