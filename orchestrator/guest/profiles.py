# SPDX-License-Identifier: MIT
"""What each kind of guest says on its console, as tables of regular expressions.

To add a kind of guest: one `GuestProfile`, and one line in `profile_of`.
"""

import re
from dataclasses import dataclass
from typing import Final

from orchestrator.config import LinuxVm, VmConfig
from orchestrator.images.initramfs import DONE_LINE, READY_LINE

_KERNEL_TIME: Final = r"^(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? )?"
_GUEST_TIME: Final = r"^(?:\[\d+\.\d+\] )?"


@dataclass(frozen=True, kw_only=True)
class GuestProfile:
    """The evidence that a kind of guest gives of itself.

    Attributes:
        ready: Searched in each line; found: the guest works.
        failures: Searched in each line; found: the guest is lost. The first group says why.
        done: Searched in each line; found: the job has ended with the exit code in the group.
    """

    ready: re.Pattern[str]
    failures: tuple[re.Pattern[str], ...] = ()
    done: re.Pattern[str] | None = None


def _patterns(prefix: str, *texts: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(prefix + text) for text in texts)


LINUX: Final = GuestProfile(
    ready=re.compile(f"^{READY_LINE}"),
    failures=(
        *_patterns(
            _KERNEL_TIME,
            r"(Kernel panic - not syncing.*)",
            r"(Unable to handle kernel .*)",
            r"(Internal error: .*)",
            r"(kernel BUG at .*)",
        ),
        re.compile(r"^orchestrate: (error: .*)"),
    ),
    done=re.compile(f"^{DONE_LINE}"),
)

RTOS: Final = GuestProfile(
    ready=re.compile(_GUEST_TIME + r"rtos: ready\b"),
    failures=_patterns(_GUEST_TIME, r"rtos: ((?:fault|panic|assert)\b.*)"),
)

ELF: Final = GuestProfile(ready=re.compile(r"."))
"""Of a stranger it is only known that it has begun to speak."""


def profile_of(vm: VmConfig) -> GuestProfile:
    """The profile of a VM, with the config's own `ready` in place of the kind's."""
    if isinstance(vm, LinuxVm):
        profile = LINUX
    elif vm.image == "rtos":
        profile = RTOS
    else:
        profile = ELF
    if vm.ready is None:
        return profile
    return GuestProfile(ready=re.compile(vm.ready), failures=profile.failures, done=profile.done)


@dataclass(frozen=True, kw_only=True)
class HypervisorNews:
    """What a line of the hypervisor's log means.

    Attributes:
        vm: The VM it is about; None: the hypervisor itself.
        what: "started", "stopped", "reset" or "panic".
        reason: The rest of the line.
    """

    vm: str | None
    what: str
    reason: str = ""


_HV_VM: Final = re.compile(
    _GUEST_TIME + r"hv: vm (?P<vm>[^:\s]+): (?P<what>started|stopped|reset)(?:: (?P<reason>.*))?$"
)
_HV_PANIC: Final = re.compile(_GUEST_TIME + r"hv: panic: (?P<reason>.*)")

POWER_OFF: Final = "power-off"
"""Reason of `stopped` when the guest itself asked for it."""


def hypervisor_news(line: str) -> HypervisorNews | None:
    """Reads a line of the hypervisor's log; None: nothing that has to be acted on."""
    if match := _HV_VM.search(line):
        return HypervisorNews(vm=match["vm"], what=match["what"], reason=match["reason"] or "")
    if match := _HV_PANIC.search(line):
        return HypervisorNews(vm=None, what="panic", reason=match["reason"])
    return None
