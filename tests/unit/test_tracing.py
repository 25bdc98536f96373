# SPDX-License-Identifier: MIT
"""What a traced run boots besides itself, never after Ctrl-C; and what a user is told of its timeline."""

from pathlib import Path

import pytest
from timelines import dual_timeline

from orchestrator import config, session, tracing
from orchestrator.errors import GuestError, Interrupted, OrchestrateError
from orchestrator.options import BootOptions
from orchestrator.terminal import TextReporter
from orchestrator.trace.memory import PAGES_FOLDER
from orchestrator.trace.run import STREAMS_FOLDER

DUAL = Path(__file__).parents[2] / "dual.toml"


@pytest.mark.parametrize(("failure", "boots"), [(Interrupted(), 1), (GuestError("died"), 2)])
def test_an_interrupted_run_is_not_booted_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: OrchestrateError, boots: int
) -> None:
    """Both leave pages of the dead Linux, which need another boot to be read."""
    run_dir = tmp_path / "run"
    calls = []

    def boot(_config: object, options: BootOptions, _reporter: object) -> None:
        calls.append(options.out)
        (run_dir / STREAMS_FOLDER / PAGES_FOLDER).mkdir(parents=True, exist_ok=True)
        raise failure

    monkeypatch.setattr(session, "boot", boot)
    with pytest.raises(type(failure)):
        tracing.trace(
            config.load(DUAL),
            BootOptions(out=run_dir),
            TextReporter(show_consoles=False),
            formats=["text"],
        )
    assert len(calls) == boots


def test_the_run_before_a_live_one_goes_on_from_a_saved_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def boot(_config: object, options: BootOptions, _reporter: object) -> None:
        asked.append(options.saved_start)
        raise Interrupted

    monkeypatch.setattr(session, "boot", boot)
    with pytest.raises(Interrupted):
        tracing.trace(
            config.load(DUAL),
            BootOptions(out=tmp_path / "run"),
            TextReporter(show_consoles=False),
            formats=["text"],
            live=print,
        )
    assert asked == [True]


def test_what_is_missing_is_told_by_its_reason() -> None:
    """Events that nobody can read contradict nothing; a user can have their formats saved."""
    told = tracing.summary(dual_timeline(1, left_out=5, contradictions=("too early",)))
    assert "hypervisor: 3 events were lost on core 1" in told
    (left_out,) = (line for line in told if "left out" in line)
    assert left_out.startswith("linux: 5 events were left out on core 0: damaged, or of an event ")
    assert "events of [trace.linux]" in left_out
    assert [line for line in told if "contradiction" in line] == ["contradiction: too early"]
    assert not any("left out" in line for line in tracing.summary(dual_timeline(1)))
