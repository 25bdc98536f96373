# SPDX-License-Identifier: MIT
"""What guests say, and what is made of it. The lines are those of real boots and real faults."""

from pathlib import Path

import pytest

from orchestrator.config import ElfVm, LinuxVm
from orchestrator.guest.profiles import (
    LINUX,
    RTOS,
    GuestProfile,
    HypervisorNews,
    hypervisor_news,
    profile_of,
)
from orchestrator.guest.watch import GuestState, GuestWatch


def watch(profile: GuestProfile = LINUX, *, runs_job: bool = False) -> GuestWatch:
    return GuestWatch("vm", profile, runs_job=runs_job, on_change=lambda _: None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs",
            "Kernel panic - not syncing: VFS: Unable to mount root fs",
        ),
        (
            "[   12.000001] Unable to handle kernel NULL pointer dereference at address 00000000",
            "Unable to handle kernel NULL pointer dereference at address 00000000",
        ),
        (
            "[    3.5] Internal error: Oops: 805 [#1] SMP ARM",
            "Internal error: Oops: 805 [#1] SMP ARM",
        ),
        ("[    3.5][   T77] kernel BUG at mm/slub.c:379!", "kernel BUG at mm/slub.c:379!"),
        (
            "Kernel panic - not syncing: no time stamps",
            "Kernel panic - not syncing: no time stamps",
        ),
        ("orchestrate: error: no such job", "error: no such job"),
    ],
)
def test_a_dying_linux_is_recognised(line: str, reason: str) -> None:
    guest = watch()
    guest.line(line)
    assert guest.state.name == "FAILED"
    assert guest.failure == f"says: {reason}"


@pytest.mark.parametrize(
    "line",
    [
        "[    0.1] Kernel command line: console=ttyAMA0 panic=5",
        "# echo Kernel panic - not syncing",
        "grep: Internal error: Oops",
        "[    0.2] rcu: INFO: rcu_sched detected stalls on CPUs/tasks",
    ],
)
def test_talk_of_death_is_not_death(line: str) -> None:
    guest = watch()
    guest.line(line)
    assert guest.state.name == "BOOTING"


def test_rtos_is_ready_and_faults_on_its_own_lines() -> None:
    guest = watch(RTOS)
    guest.line("[000000.005392] rtos: kernel with the uC/OS-II API, tick 1000 Hz")
    assert guest.state.name == "BOOTING"
    guest.line("[000000.128513] rtos: ready")
    assert guest.state.name == "READY"
    guest.line("[000000.200000] rtos: fault: data abort at 0x40010020")
    assert guest.failure == "says: fault: data abort at 0x40010020"


def test_a_job_is_done_with_its_exit_code() -> None:
    guest = watch(runs_job=True)
    guest.line("orchestrate: ready")
    guest.line("orchestrate: done 137")
    assert (guest.state, guest.exit_code) == (GuestState.DONE, 137)


def test_the_config_replaces_the_evidence_but_not_the_failures() -> None:
    vm = LinuxVm(name="l", ram_bytes=1, ready=r"login: $")
    guest = watch(profile_of(vm))
    guest.line("orchestrate: ready")
    assert guest.state.name == "BOOTING"
    guest.prompt("debian login: ")
    assert guest.state.name == "READY"
    guest.line("[    9.0] Kernel panic - not syncing: later")
    assert guest.state.name == "FAILED"


def test_a_stranger_is_ready_when_it_speaks() -> None:
    guest = watch(profile_of(ElfVm(name="e", ram_bytes=1, image=Path("/x.elf"))))
    guest.line("")
    assert guest.state.name == "BOOTING"
    guest.line("hello")
    assert guest.state.name == "READY"


def test_a_vm_without_console_is_ready_when_it_was_started() -> None:
    guest = watch(RTOS)
    guest.started(has_console=True)
    assert guest.state.name == "BOOTING"
    guest.started(has_console=False)
    assert guest.state.name == "READY"


READY, DONE = "orchestrate: ready", "orchestrate: done 0"
FAULT = "fault: unmapped access"


@pytest.mark.parametrize(
    ("said", "job", "reason", "outcome"),
    [
        ([], "no job", "power-off", "powered off before it was ready"),
        ([READY], "no job", "power-off", None),
        ([READY], "job", "power-off", "powered off before its command ended"),
        ([READY, DONE], "job", "power-off", None),
        ([READY], "no job", FAULT, f"was stopped: {FAULT}"),
    ],
)
def test_powering_off_is_judged_by_what_was_reached(
    said: list[str], job: str, reason: str, outcome: str | None
) -> None:
    guest = watch(runs_job=job == "job")
    for line in said:
        guest.line(line)
    guest.stopped(reason)
    assert guest.failure == (outcome or "")
    assert guest.state is (GuestState.FAILED if outcome else GuestState.STOPPED)


def test_the_first_failure_is_kept_and_told_once() -> None:
    told: list[str] = []
    guest = GuestWatch("vm", LINUX, runs_job=False, on_change=lambda w: told.append(w.failure))
    guest.line("[    1.0] Unable to handle kernel paging request at virtual address dead")
    guest.line("[    1.1] Kernel panic - not syncing: Fatal exception")
    guest.stopped("power-off")
    assert told == ["says: Unable to handle kernel paging request at virtual address dead"]


@pytest.mark.parametrize(
    ("line", "news"),
    [
        (
            "[000000.005253] hv: vm rtos: started",
            HypervisorNews(vm="rtos", what="started", reason=""),
        ),
        (
            "[000001.000000] hv: vm a-b_9: stopped: fault: write of 0x0",
            HypervisorNews(vm="a-b_9", what="stopped", reason="fault: write of 0x0"),
        ),
        (
            "[000001.000000] hv: vm linux: reset",
            HypervisorNews(vm="linux", what="reset", reason=""),
        ),
        (
            "[000000.000230] hv: panic: VM description version 1",
            HypervisorNews(vm=None, what="panic", reason="VM description version 1"),
        ),
        ("[000000.010752] hv: 2 cores, 4 VMs", None),
        ("[000000.1] hv: vm linux: vcpu 0: read of 0x0 at pc 0x10: data abort", None),
    ],
)
def test_lines_of_the_hypervisor(line: str, news: HypervisorNews | None) -> None:
    assert hypervisor_news(line) == news
