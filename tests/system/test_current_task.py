# SPDX-License-Identifier: MIT
"""Linux's current task at a probe, against what Linux's own sched_switch events say in the same run."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import cli
from orchestrator.streamfile import read_stream
from orchestrator.trace.run import merge_run
from orchestrator.trace.streams import read_probes

pytestmark = pytest.mark.system

CONFIG = """
[vm.linux]
type = "linux"
kernel = "{kernel}"
ram = "128M"
pin = [0]
[vm.linux.files]
"/run/prios" = "{program}"
"""
JOB = "context1 60 > /dev/null; ls / | cat > /dev/null; /run/prios"
PRIOS = """
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>
int main(void)
{
    struct sched_param rt = {.sched_priority = 30};

    setpriority(PRIO_PROCESS, 0, 7);
    usleep(2000);
    sched_setscheduler(0, SCHED_FIFO, &rt);
    usleep(2000);
    return 0;
}
"""
PREEMPTED = 0x100
IDLE, DEAD = 0x402, 0x80
ZOMBIES = {0x10, 0x20}


def facts(hits: Any, probe: Any) -> dict[str, list[Any]]:
    """All that the records of a probe tell, decoded; every word must have been read."""
    for each in probe.fetched:
        assert each.known(hits).all(), each.name
    return {each.name: each.values(hits).tolist() for each in probe.fetched}


def switches(run: Path) -> tuple[Any, list[dict[str, Any]]]:
    """Times and fields of Linux's own events."""
    timeline = merge_run(run)
    form = timeline.format_named("sched_switch")
    assert form is not None
    rows = timeline.rows("sched_switch")
    out = []
    for at in timeline.offset[rows].tolist():
        values: dict[str, Any] = {}
        for each in form.fields:
            data = timeline.payload[at + each.offset : at + each.offset + each.bytes].tobytes()
            values[each.name] = (
                data.split(b"\0")[0]
                if each.c_type.startswith("char[")
                else int.from_bytes(data, "little", signed=each.signed)
            )
        out.append(values)
    return timeline.time_ns[rows], out


def told_state(state: int) -> set[int]:
    """What the event says of a task in that state: kernel, __task_state_index()."""
    if state & IDLE == IDLE:
        return {0x80}
    if state == DEAD:
        return ZOMBIES
    bits = state & 0x7F
    return {1 << bits.bit_length() - 1 if bits else 0}


@pytest.mark.parametrize("kernel", ["armmp", "armmp-lpae"])
def test_current_is_the_task_that_linux_says(tmp_path: Path, kernel: str) -> None:
    """Name, pid and priority at every switch and at every write, by both observers."""
    config = tmp_path / "test.toml"
    (tmp_path / "prios.c").write_text(PRIOS)
    program = tmp_path / "prios"
    subprocess.run(
        ("arm-linux-gnueabihf-gcc", "-static", "-o", program, tmp_path / "prios.c"), check=True
    )
    config.write_text(CONFIG.format(kernel=kernel, program=program))
    run = tmp_path / "run"
    probes = ("linux:__switch_to record=both", "linux:vfs_write record=both file=%r0")
    options = [word for probe in probes for word in ("--probe", probe)]
    code = cli.main(["trace", "-c", str(config), "-o", str(run), *options, "--", "sh", "-c", JOB])
    assert code == 0
    plugin = read_stream(run / "trace/plugin-0.rec").records
    hypervisor = read_stream(run / "trace/hypervisor-0.rec").records
    named = {each.name: each for each in read_probes(run / "trace").values()}
    at_switch, at_write = named["linux:__switch_to"], named["linux:vfs_write"]
    own = plugin[np.isin(plugin["id"], [at_switch.id, at_write.id])]
    also = hypervisor[hypervisor["kind"] == 1]
    for name in ("id", "pc", "words", "valid", "word"):
        assert np.array_equal(own[name], also[name]), name

    times, events = switches(run)
    hits = own[own["id"] == at_switch.id]
    found = facts(hits, at_switch)
    # The event comes some hundred instructions before the switch: one hit between any two of them.
    first = np.searchsorted(hits["time_ns"], times)
    inside = (first > 0) & (first < len(hits))
    assert np.sum(inside) > 100
    assert np.all(np.diff(first[inside]) == 1)
    states = set()
    for hit, event in zip(first[inside].tolist(), np.array(events)[inside], strict=True):
        for who in ("prev", "next"):
            assert found[f"{who}_name"][hit] == event[f"{who}_comm"]
            assert found[f"{who}_id"][hit] == event[f"{who}_pid"]
            assert found[f"{who}_priority"][hit] == event[f"{who}_prio"]
        if event["prev_state"] != PREEMPTED:
            assert event["prev_state"] in told_state(found["prev_state"][hit])
        states.add(event["prev_state"])
    assert 0x1 in states
    assert ZOMBIES & states
    assert {120, 127, 69} <= {event["next_prio"] for event in events}

    hits = own[own["id"] == at_write.id]
    found = facts(hits, at_write)
    assert list(found) == ["task", "task_id", "task_priority", "task_state", "task_name", "file"]
    last = np.searchsorted(times, hits["time_ns"]) - 1
    assert np.sum(last >= 0) > 10
    for hit, at in enumerate(last.tolist()):
        if 0 <= at < len(events) - 1:
            assert found["task_id"][hit] == events[at]["next_pid"]
            assert found["task_priority"][hit] == events[at]["next_prio"]
            assert found["task_state"][hit] == 0
    assert {b"context1", b"ls"} <= set(found["task_name"])
    document = json.loads((run / "trace/probes.json").read_text())
    assert document["profiles"]["linux"]["name"] == "Linux"
    assert {each["role"] for each in document["probes"]} == {""}
