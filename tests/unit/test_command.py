# SPDX-License-Identifier: MIT
"""QEMU's command line, option by option, where a wrong one would not be noticed at once."""

import itertools
from pathlib import Path
from typing import Literal

import pytest

from orchestrator.config import ClockConfig, Config, ElfVm
from orchestrator.machine.board import MIB, Layout
from orchestrator.machine.command import Paths, console_names, qemu_command
from orchestrator.machine.elf import ElfImage, Segment
from orchestrator.machine.layout import plan

IMAGE = ElfImage(
    path=Path("/x.elf"),
    entry_ipa=0x4001_0000,
    segments=(Segment(ipa=0x4001_0000, content=b"code"),),
)


def make(
    *names: str, mode: Literal["deterministic", "realtime"] = "deterministic"
) -> tuple[Config, Layout]:
    vms = tuple(ElfVm(name=name, ram_bytes=2 * MIB) for name in names)
    config = Config(path=Path("/x.toml"), clock=ClockConfig(mode=mode), vms=vms)
    return config, plan(config, dict.fromkeys(names, IMAGE), hypervisor=Path("/hv.elf"))


def command(
    config: Config,
    layout: Layout,
    *,
    plugin: Path | None = Path("/p.so"),
    stop_ns: int | None = None,
    directory: Path = Path("/d"),
) -> list[str]:
    names = console_names(layout)
    paths = Paths(
        qmp=directory / "qmp.sock",
        console_sockets={name: directory / f"{name}.sock" for name in names},
        console_logs={name: directory / f"{name}.log" for name in names},
        ports={},
        inputs={blob.name: directory / blob.name for blob in layout.blobs},
        kernel=Path("/hv.elf"),
        plugin=plugin,
    )
    return qemu_command(layout, config, paths, stop_ns=stop_ns)


def values(words: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(words) if name == option]


def test_nothing_runs_and_nothing_is_there_that_was_not_asked_for() -> None:
    words = command(*make("a"))
    assert {"-S", "-nodefaults", "-no-user-config", "-no-reboot", "-no-shutdown"} <= set(words)


def test_the_deterministic_clock_has_all_that_makes_it_so() -> None:
    words = command(*make("a"), stop_ns=3_000_000_000)
    assert values(words, "-icount") == ["shift=0,sleep=off"]
    assert values(words, "-plugin") == ["file=/p.so,quantum_ns=20000,stop_ns=3000000000"]
    assert values(words, "-rtc") == ["base=2026-01-01T00:00:00,clock=vm"]
    assert "dtb-randomness=off" in values(words, "-M")[0].split(",")


def test_the_realtime_clock_has_no_plugin_and_a_thread_for_each_core() -> None:
    words = command(*make("a", mode="realtime"), plugin=None)
    assert "-icount" not in words
    assert "-plugin" not in words
    assert values(words, "-accel") == ["tcg,thread=multi"]


def test_only_the_plugin_can_stop_at_a_guest_time() -> None:
    with pytest.raises(ValueError, match="plugin"):
        command(*make("a"), plugin=None, stop_ns=1)


def test_the_first_two_consoles_are_uarts_and_further_ones_ports_of_the_card() -> None:
    words = command(*make("a", "b", "c", "d"))
    assert values(words, "-serial") == ["chardev:console-a", "chardev:console-b"]
    assert (
        "pci-serial-4x,chardev1=console-hypervisor,chardev2=console-c,chardev3=console-d"
        in values(words, "-device")
    )


def test_no_port_of_the_network_is_opened() -> None:
    words = command(*make("a", "b"))
    assert not [word for word in words if "tcp" in word.split(":")[0] or "host=" in word]
    assert all(",path=" in word for word in values(words, "-chardev"))


def test_a_comma_in_a_path_is_not_the_end_of_the_option() -> None:
    words = command(*make("a"), directory=Path("/d,e"))
    assert values(words, "-chardev")[0] == "socket,id=qmp,path=/d,,e/qmp.sock,server=on,wait=off"
    loaders = [value for value in values(words, "-device") if value.startswith("loader,")]
    assert all("file=/d,,e/" in value for value in loaders)


def test_every_image_is_loaded_to_its_place() -> None:
    config, layout = make("a")
    loaders = [v for v in values(command(config, layout), "-device") if v.startswith("loader,")]
    assert loaders == [
        f"loader,file=/d/{blob.name},addr={blob.pa:#x},force-raw=on" for blob in layout.blobs
    ]
    assert loaders[0] == "loader,file=/d/vm_config.bin,addr=0x40f00000,force-raw=on"
