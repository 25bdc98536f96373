# SPDX-License-Identifier: MIT
"""One guest's life as its console shows it: a small state machine fed with lines."""

import enum
from collections.abc import Callable

from orchestrator.guest.profiles import POWER_OFF, GuestProfile


class GuestState(enum.Enum):
    """Life of a guest; it only moves downwards."""

    BOOTING = "booting"
    READY = "ready"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class GuestWatch:
    """Follows one guest.

    Args:
        name: The VM's name.
        profile: What to look for.
        runs_job: Whether a job is expected to end; powering off before that is a failure.
        on_change: Called after each change of `state`.

    Attributes:
        state: Where the guest is.
        failure: Why it is FAILED, as the end of a sentence that begins with its name.
        exit_code: The job's, once it is DONE.
    """

    def __init__(
        self,
        name: str,
        profile: GuestProfile,
        *,
        runs_job: bool,
        on_change: Callable[["GuestWatch"], None],
    ) -> None:
        self.name = name
        self.state = GuestState.BOOTING
        self.failure = ""
        self.exit_code: int | None = None
        self._profile = profile
        self._runs_job = runs_job
        self._on_change = on_change

    @property
    def was_ready(self) -> bool:
        """Whether the guest has shown once that it works."""
        return self.state not in {GuestState.BOOTING, GuestState.FAILED}

    def line(self, text: str) -> None:
        """Takes a complete line of the console."""
        if self.state in {GuestState.STOPPED, GuestState.FAILED}:
            return
        for pattern in self._profile.failures:
            if match := pattern.search(text):
                self.fail(f"says: {match[1]}")
                return
        self.prompt(text)
        done = self._profile.done
        if self._runs_job and done and (match := done.search(text)):
            self.exit_code = int(match[1])
            self._enter(GuestState.DONE)

    def prompt(self, text: str) -> None:
        """Takes the beginning of a line; a prompt can be the evidence that a guest is ready."""
        if self.state is GuestState.BOOTING and self._profile.ready.search(text):
            self._enter(GuestState.READY)

    def started(self, *, has_console: bool) -> None:
        """The hypervisor has started the VM; without a console nothing more can be known."""
        if self.state is GuestState.BOOTING and not has_console:
            self._enter(GuestState.READY)

    def stopped(self, reason: str) -> None:
        """The VM does not run any more."""
        if self.state is GuestState.FAILED:
            return
        if reason != POWER_OFF:
            self.fail(f"was stopped: {reason}")
        elif self.state is GuestState.BOOTING:
            self.fail("powered off before it was ready")
        elif self._runs_job and self.state is not GuestState.DONE:
            self.fail("powered off before its command ended")
        else:
            self._enter(GuestState.STOPPED)

    def fail(self, failure: str) -> None:
        """The guest is lost."""
        if self.state is not GuestState.FAILED:
            self.failure = failure
            self._enter(GuestState.FAILED)

    def _enter(self, state: GuestState) -> None:
        self.state = state
        self._on_change(self)
