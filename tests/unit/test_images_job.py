# SPDX-License-Identifier: MIT
"""The memory of a Linux guest's job against the C header that the guest is compiled with."""

from pathlib import Path

import pytest
from cheader import measured

from orchestrator.errors import UsageError
from orchestrator.images import job, sources
from orchestrator.images.job import JOB_AREA_BYTES, MAX_COMMAND_BYTES, job_area, reported_entries

STATS = """\
entries: {entries}
overrun: 0
commit overrun: 0
bytes: 1234
oldest event ts:     1.000000
now ts:     2.000000
dropped events: 0
read events: 0
"""


def test_the_layout_is_the_headers(tmp_path: Path) -> None:
    names = (
        *("sizeof(struct job_area)", "offsetof(struct job_area, report)"),
        *("sizeof(struct job_report)", "offsetof(struct job_report, stats)"),
        *("JOB_REPORT_CPUS", "JOB_STATS_BYTES", "JOB_COMMAND_BYTES"),
        *("offsetof(struct job_area, command)", "offsetof(struct job_report, taken)"),
    )
    found = measured(sources.root() / "images/abi/job.h", names, tmp_path)
    assert found["sizeof(struct job_area)"] == JOB_AREA_BYTES
    assert found["offsetof(struct job_area, report)"] == job.REPORT_OFFSET
    assert found["sizeof(struct job_report)"] == job.REPORT_BYTES
    assert found["offsetof(struct job_report, stats)"] == job._REPORT.size
    assert found["JOB_REPORT_CPUS"] == job._REPORT_CPUS
    assert found["JOB_STATS_BYTES"] == job._STATS_BYTES
    assert found["JOB_COMMAND_BYTES"] > MAX_COMMAND_BYTES
    assert found["offsetof(struct job_area, command)"] == 4
    assert found["offsetof(struct job_report, taken)"] == 0


def test_the_command_keeps_every_word() -> None:
    """A little-endian length, then each word with a NUL, as init.c reads it."""
    words = b"sh\0-c\0echo 'a  b'\0\0\xc3\xbc\n\0"
    area = job_area(["sh", "-c", "echo 'a  b'", "", "ü\n"])
    assert area.rstrip(b"\0") + b"\0" == bytes([len(words), 0, 0, 0]) + words


def test_every_job_is_of_one_size_and_none_is_zero() -> None:
    """The hypervisor copies it, so a boot with a long command takes as long as one without."""
    assert job_area(None) == bytes(JOB_AREA_BYTES)
    assert len(job_area(["true"])) == len(job_area(["x" * 60000])) == JOB_AREA_BYTES


@pytest.mark.parametrize("command", [[], ["a\0b"], ["x"] * 1025, ["x" * 65001]])
def test_a_command_that_init_could_not_read_is_refused(command: list[str]) -> None:
    with pytest.raises(UsageError, match="the command for the guest"):
        job_area(command)


def report(*stats: str, cpus: int) -> bytes:
    """`struct job_report`, as the guest fills it in."""
    head = (0).to_bytes(4, "little") + cpus.to_bytes(4, "little")
    texts = b"".join(each.encode().ljust(504, b"\0") for each in stats)
    return (head + texts).ljust(job.REPORT_BYTES, b"\0")


def test_what_each_ring_holds_is_read_from_the_guests_own_counts() -> None:
    texts = [STATS.format(entries=number) for number in (7, 1_000_000)]
    assert reported_entries(report(*texts, cpus=2)) == {0: 7, 1: 1_000_000}


@pytest.mark.parametrize(
    "damaged", [report(cpus=0), report(cpus=9), report("garbage", cpus=1), bytes(job.REPORT_BYTES)]
)
def test_a_guest_that_has_not_reported_is_not_believed(damaged: bytes) -> None:
    assert reported_entries(damaged) is None
