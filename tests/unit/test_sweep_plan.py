# SPDX-License-Identifier: MIT
"""sweep.toml: which jobs it stands for, and each fault with its place and the nearest name."""

from pathlib import Path

import pytest

from orchestrator.bench.sweep.plan import Job, label, load
from orchestrator.errors import ConfigError

SYSTEM = """
[vm.linux]
type = "linux"
ram = "256M"
pin = [0]
[vm.rtos]
type = "elf"
ram = "16M"
pin = [1]
"""
HEAD = """\
[sweep]
config = "system.toml"
bench = ["context1"]
"""


def read(folder: Path, text: str) -> tuple[Job, ...]:
    (folder / "system.toml").write_text(SYSTEM)
    (folder / "sweep.toml").write_text(text)
    return load(folder / "sweep.toml")


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, text)
    place = str(folder / "sweep.toml")
    assert all(fault.startswith(place) for fault in caught.value.faults)
    return [fault.removeprefix(place) for fault in caught.value.faults]


def test_every_combination_is_a_job_in_the_order_of_the_file(tmp_path: Path) -> None:
    jobs = read(
        tmp_path,
        HEAD
        + """
variants = ["none", "hvc"]
repeats = 2
[parameters]
clock.shift = [0, 1]
"vm.rtos.pin" = [[0], [1]]
""",
    )
    assert [label(job.point) for job in jobs[::4]] == [
        "clock.shift=0 vm.rtos.pin=[0]",
        "clock.shift=0 vm.rtos.pin=[1]",
        "clock.shift=1 vm.rtos.pin=[0]",
        "clock.shift=1 vm.rtos.pin=[1]",
    ]
    assert [(job.variant, job.repeat) for job in jobs[:4]] == [
        ("none", 0),
        ("none", 1),
        ("hvc", 0),
        ("hvc", 1),
    ]
    config = jobs[-1].config()
    assert (config.clock.shift, config.vms[1].pin) == (1, (1,))
    assert jobs[0].config().vms[1].pin == (0,)


def test_a_probe_set_is_a_value_like_any_other(tmp_path: Path) -> None:
    jobs = read(tmp_path, HEAD + '[parameters]\nprobe = [[], [{ at = "rtos:OSTaskSwHook" }]]\n')
    assert [len(job.config().probes) for job in jobs] == [0, 1]


def test_a_variant_that_a_benchmark_cannot_have_is_left_out(tmp_path: Path) -> None:
    """Linux's own tracers say nothing of the RTOS."""
    text = HEAD.replace("context1", "rtos-switch") + 'variants = ["none", "event"]\n'
    assert [job.variant for job in read(tmp_path, text)] == ["none"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "[parameter]\n", ':4: parameter: is not a table of this file; did you mean "parameters"?'),
        (HEAD + "repeat = 2\n", ':4: sweep.repeat: is not a key of this table; did you mean "repeats"?'),
        (HEAD + "repeats = 0\n", ":4: sweep.repeats: must be a whole number from 1 to 1000, not 0"),
        (HEAD + 'variants = ["hvx"]\n', ':4: sweep.variants[0]: there is no "hvx"; did you mean "hvc"?'),
        (
            HEAD.replace("context1", "contex"),
            ':3: sweep.bench[0]: there is no "contex"; did you mean "context1"?',
        ),
        (
            HEAD + "[parameters]\nmachine.timeslice = ['1ms']\n",
            (
                ":5: parameters.machine.timeslice: 1ms: machine.timeslice: is not a key of this "
                'table; did you mean "time_slice"?'
            ),
        ),
        (
            HEAD + "[parameters]\nclock.shift = [0, 11]\n",
            ":5: parameters.clock.shift: 11: clock.shift: must be 10 or less, not 11",
        ),
        (
            HEAD + "[parameters]\nvm.linus.ram = ['64M']\n",
            ':5: parameters.vm.linus.ram: system.toml has no VM "linus"; did you mean "linux"?',
        ),
        (
            HEAD + "[parameters]\nclock.shift = 1\n",
            ":5: parameters.clock.shift: must be a list of the values that the key takes",
        ),
        (HEAD + "[parameters]\nclock.shift = [1, 1]\n", ":5: parameters.clock.shift: has a value twice: [1, 1]"),
        ("[sweep]\nbench = ['context1']\n", ':1: sweep.config: is missing; give the system, such as config = "dual.toml"'),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    assert faults(tmp_path, text) == [told]


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, HEAD + "repeats = 0\n[parameters]\nclock.shift = [99]\nx.y = [1]\n")
    assert [fault.split(": ")[1] for fault in found] == [
        "sweep.repeats",
        "parameters.clock.shift",
        "parameters.x.y",
    ]


def test_values_that_are_wrong_only_together_are_told(tmp_path: Path) -> None:
    """Each is fine with the config as it is: one core more, or no pin on it."""
    (fault,) = faults(
        tmp_path,
        HEAD + "[parameters]\nmachine.cores = [2, 4]\nvm.rtos.pin = [[1], [3]]\n",
    )[:1]
    assert "core 3 does not exist" in fault
