# SPDX-License-Identifier: MIT
"""No signal is lost: at work, while guests run, and while a run is wound up."""

import signal

import pytest

from orchestrator.errors import GuestError, Interrupted
from orchestrator.interruptions import Interruptions


def wind_up(error: Exception | None = None) -> None:
    with Interruptions() as interruptions:
        interruptions.hold()
        signal.raise_signal(signal.SIGTERM)
        if error is not None:
            raise error


def test_a_signal_at_work_stops_it_there() -> None:
    with Interruptions(), pytest.raises(Interrupted, match="SIGINT"):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_while_a_run_is_wound_up_waits_for_its_end() -> None:
    with pytest.raises(Interrupted, match="SIGTERM") as raised:
        wind_up()
    assert raised.value.status == 128 + signal.SIGTERM


def test_a_signal_stops_work_that_goes_on_after_a_run() -> None:
    with Interruptions() as interruptions:
        interruptions.hold()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"):
            interruptions.release()


def test_a_held_signal_does_not_hide_what_failed() -> None:
    with pytest.raises(GuestError, match="died"):
        wind_up(GuestError("died"))


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruptions():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
