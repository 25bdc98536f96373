# SPDX-License-Identifier: MIT
"""ftrace's text: lines by the kernel's own rules, and print formats by what the kernel prints."""

import re
import subprocess
from pathlib import Path

import pytest
from timelines import HYPERVISOR_FORMATS, LINUX_FORMATS, Builder, dual_timeline, pack

from orchestrator import export
from orchestrator.export import columns, printfmt, text
from orchestrator.trace.formats import parse_format
from orchestrator.trace.timeline import ClockFit, Source, Task, Timeline

BY_NAME = {each.name: each for each in LINUX_FORMATS + HYPERVISOR_FORMATS}


def one_event(name: str, /, **values: object) -> Timeline:
    linux = Source(name="linux", kind="linux", clock=ClockFit(clock="local"), cores=(0,))
    builder = Builder(sources=(linux,), tasks={7: Task(pid=7, comm="a task", source=0)})
    builder.add(1_234_567_890_123, 0, 0, name, **values)
    return builder.timeline()


def line_of(timeline: Timeline, tmp_path: Path) -> str:
    export.write(timeline, "text", tmp_path / "trace.txt")
    return (tmp_path / "trace.txt").read_text().splitlines()[-1]


SWITCH = {
    "prev_comm": "a task", "prev_pid": 7, "prev_prio": 120,
    "next_comm": "swapper/0", "next_pid": 0, "next_prio": 120,
}  # fmt: skip


@pytest.mark.parametrize(
    ("state", "shown"),
    # As the kernel prints them: R, S, D, S|D for no real state, and R+ for a preempted task.
    [(0, "R"), (1, "S"), (2, "D"), (3, "S|D"), (0x100, "R+"), (0x80, "I"), (0x20, "Z")],
)
def test_sched_switch_is_the_kernels_line(state: int, shown: str, tmp_path: Path) -> None:
    timeline = one_event("sched_switch", **SWITCH, prev_state=state, common_pid=7)
    assert line_of(timeline, tmp_path) == (
        "          a task-7       [000] .....  1234.567890123: sched_switch: prev_comm=a task "
        f"prev_pid=7 prev_prio=120 prev_state={shown} ==> next_comm=swapper/0 next_pid=0 "
        "next_prio=120"
    )


@pytest.mark.parametrize(
    ("name", "values", "details"),
    [
        ("irq_handler_entry", {"irq": 27, "name": "arch_timer"}, "irq=27 name=arch_timer"),
        ("irq_handler_exit", {"irq": 27, "ret": 1}, "irq=27 ret=handled"),
        ("softirq_entry", {"vec": 7}, "vec=7 [action=SCHED]"),
        ("softirq_entry", {"vec": 12}, "vec=12 [action=0xc]"),
        (
            "sched_wakeup",
            {"comm": "100%", "pid": 7, "prio": 120, "target_cpu": 1},
            "comm=100% pid=7 prio=120 target_cpu=001",
        ),
        (
            "sched_process_exec",
            {"filename": "/bin/true", "pid": 7, "old_pid": 8},
            "filename=/bin/true pid=7 old_pid=8",
        ),
        (
            "sched_stat_runtime",
            {"comm": "x", "pid": 7, "runtime": 2**40, "vruntime": 2**64 - 1},
            "comm=x pid=7 runtime=1099511627776 [ns] vruntime=18446744073709551615 [ns]",
        ),
        (
            "hrtimer_expire_entry",
            {"hrtimer": 0xC2000010, "function": 0xC0101000, "now": 5},
            "hrtimer=0xc2000010 function=tick_sched_timer now=5",
        ),
        ("ipi_raise", {"target_cpus": b"\2\0\0\0", "reason": 0xC0A00000},
         "target_mask=00000002 (Function call interrupts)"),
        ("vm_exit", {"vm": "linux", "pc": 16, "reason": 18, "hsr": 0x4A000000},
         "vm=linux vcpu=0 pc=0x00000010 reason=HVC hsr=0x4a000000"),
    ],
)  # fmt: skip
def test_details_follow_the_print_format(
    name: str, values: dict[str, object], details: str, tmp_path: Path
) -> None:
    line = line_of(one_event(name, **values), tmp_path)
    assert line.split(f"{name}: ", 1)[1] == details


@pytest.mark.parametrize(
    ("flags", "count", "shown"),
    [
        (0, 0, "....."),
        (0x01, 0, "d...."),
        (0x81, 2, "D..2."),
        (0x80, 0x10, "b...1"),
        (0x05, 0, "dn..."),
        (0x24, 0, ".N..."),
        (0x20, 0, ".p..."),
        (0x09, 0, "d.h.."),
        (0x18, 0, "..H.."),
        (0x10, 0, "..s.."),
        (0x48, 15, "..Zf."),
        (0x40, 0, "..z.."),
    ],
)
def test_context_letters(flags: int, count: int, shown: str) -> None:
    """The table is that of the kernel's Documentation/trace/ftrace.rst."""
    assert text._context(flags << 8 | count) == shown


def test_a_print_format_it_cannot_evaluate_shows_the_fields() -> None:
    source = BY_NAME["sched_wakeup"].text.split("print fmt:")[0]
    odd = parse_format(source + 'print fmt: "%s", some_helper(REC->pid)\n', system="sched")
    form = printfmt.compile_print_format(odd)
    assert form.template == "comm=%s pid=%s prio=%s target_cpu=%s"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("REC->pid + 2 * 3", 13),
        ("(REC->pid + 2) * 3", 27),
        ("REC->pid & 3 | 8", 11),
        ("REC->pid > 3 ? 1 : 0", 1),
        ("-REC->pid / 2", -3),
        ("-REC->pid % 4", -3),
        ("(int)(REC->pid << 2) >> 1", 14),
        ("!REC->pid || REC->prio == 120 && 1", 1),
        ("~0x0fUL & 0xff", 0xF0),
        ("010 + 1", 9),
    ],
)
def test_expressions_are_those_of_c(expression: str, value: int) -> None:
    source = BY_NAME["sched_wakeup"].text.split("print fmt:")[0]
    event = parse_format(f'{source}print fmt: "%d", {expression}\n', system="sched")
    form = printfmt.compile_print_format(event)
    assert form.template == "%d"
    assert form.arguments[0].value({"pid": 7, "prio": 120}) == value


def test_every_event_has_a_line_in_order(tmp_path: Path) -> None:
    timeline = dual_timeline(10)
    export.write(timeline, "text", tmp_path / "trace.txt")
    lines = [line for line in (tmp_path / "trace.txt").read_text().splitlines() if line[0] != "#"]
    found = [re.search(r"\[(\d+)\] \S+ +(\d+)\.(\d{9}): (\w+):", line) for line in lines]
    assert [
        (int(each[2]) * 10**9 + int(each[3]), int(each[1]), each[4]) for each in found if each
    ] == [
        (int(time), int(cpu), timeline.formats[int(event)].name)
        for time, cpu, event in zip(timeline.time_ns, timeline.cpu, timeline.event, strict=True)
    ]


def test_loss_and_contradictions_are_told(tmp_path: Path) -> None:
    timeline = dual_timeline(
        1, left_out=5, contradictions=("irq 5 was handled before it was sent",)
    )
    export.write(timeline, "text", tmp_path / "trace.txt")
    content = (tmp_path / "trace.txt").read_text()
    assert "# lost: hypervisor, cpu 1: 3 events\n" in content
    assert "# left out: linux, cpu 0: 5 events\n" in content
    assert "# contradiction: irq 5 was handled before it was sent\n" in content
    assert f"entries-written: {len(timeline)}/{len(timeline) + 3 + 5} " in content


LINE = re.compile(
    r" *(?P<task>.+)-(?P<pid>\d+) +\[(?P<cpu>\d+)\] (?:[.\w]{5})? *(?P<time>\d+\.\d{9}): "
    r"(?P<event>\w+): +(?P<details>.*)"
)


def lines_of(content: str) -> list[tuple[str, ...]]:
    return [found.groups() for line in content.splitlines() if (found := LINE.fullmatch(line))]


def every_kind_of_event() -> Timeline:
    """A dual system's events, and those whose text is not just numbers and names."""
    dual = dual_timeline(2)
    builder = Builder(sources=dual.sources, tasks={**dual.tasks})
    for time_ns, name, values in (
        (1, "ipi_raise", {"target_cpus": b"\2\0\0\0", "reason": 0xC0A00000}),
        (2, "ipi_raise", {"target_cpus": b"\2\0\0\0\1\0\0\0", "reason": 0xC0A00000}),
        (3, "hrtimer_expire_entry", {"function": 0xC0101000, "hrtimer": 0xC2000010, "now": 5}),
        (4, "sched_process_exec", {"filename": "/bin/true", "pid": 401, "common_pid": 401}),
        (5, "softirq_entry", {"vec": 7}),
        (6, "softirq_entry", {"vec": 12}),
        (7, "sched_stat_runtime", {"comm": "x y", "runtime": 2**40, "vruntime": 2**64 - 1}),
        (8, "sched_switch", {"prev_comm": "100%", "prev_state": 3}),
        (9, "sched_switch", {"prev_state": 0x100, "prev_prio": -1}),
        (10, "vm_exit", {"vm": "linux", "reason": 99, "hsr": 5}),
    ):
        builder.add(time_ns, 0, 0, name, **values)
    own = builder.events
    for row in range(len(dual)):
        start, size = int(dual.offset[row]), int(dual.bytes[row])
        record = dual.payload[start : start + size].tobytes()
        own.append((int(dual.time_ns[row]), int(dual.cpu[row]), int(dual.source[row]), record))
    return builder.timeline()


def test_trace_cmd_prints_the_same_lines(tmp_path: Path) -> None:
    """From the trace.dat of the same timeline, by its own reading of the print formats."""
    timeline = every_kind_of_event()
    for name in ("text", "trace.dat"):
        export.write(timeline, name, tmp_path / name)
    peer = subprocess.run(
        ["trace-cmd", "report", "-t", "-N", "-i", tmp_path / "trace.dat"],
        check=True,
        capture_output=True,
        text=True,
    )
    expected = lines_of(peer.stdout)
    assert len(expected) == len(timeline)
    # At one instant trace-cmd may take the cores in another order.
    assert sorted(lines_of((tmp_path / "text").read_text())) == sorted(expected)


def test_pack_and_the_formats_agree() -> None:
    """The helper's records have the size that the kernel's have: 60 bytes of sched_switch."""
    assert len(pack(BY_NAME["sched_switch"])) == 60


def test_lines_of_symbols_that_are_none_are_passed_over() -> None:
    """A guest says what its symbols are."""
    timeline = dual_timeline(
        1,
        kallsyms="c0008000 T _stext\nc0\x00 t damaged\nc0101000 T tick\t[mod]\n\nc0 T\n",
        printk_formats='0xc0a0 : "text "\n0x\x00 : "damaged"\n0xc0b0 : \n',
    )
    assert [columns.symbolizer(timeline)(at) for at in (0xC0008004, 0xC0101000)] == [
        "_stext",
        "tick",
    ]
    assert columns.kernel_strings(timeline) == {0xC0A0: "text "}
