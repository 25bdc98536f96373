# SPDX-License-Identifier: MIT
"""What a saved start depends on, and what it must not depend on."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.config import Config, LinuxVm, ProbeConfig, TraceConfig
from orchestrator.errors import StorageError
from orchestrator.images.job import job_area
from orchestrator.machine.board import MIB
from orchestrator.machine.layout import plan
from orchestrator.machine.placement import LinuxImage
from orchestrator.starts import SavedStart, digest

PLUGIN, HYPERVISOR = Path("plugin.so"), Path("hypervisor.elf")


def config(**clock: object) -> Config:
    vm = LinuxVm(name="linux", ram_bytes=128 * MIB)
    made = Config(path=Path("/x.toml"), vms=(vm,))
    # Any program that tells a version will do.
    machine = replace(made.machine, qemu="true" if clock.pop("other", False) else "ls")
    return replace(made, machine=machine, clock=replace(made.clock, **clock))  # type: ignore[arg-type]


def of(
    folder: Path,
    system: Config,
    *,
    job: list[str] | None = None,
    kernel: str = "k",
    plugin: str = "p",
) -> str:
    image, initramfs = folder / "Image", folder / "initramfs"
    image.write_bytes(bytes(MIB))
    initramfs.write_bytes(bytes(512))
    linux = LinuxImage(
        kernel=image,
        text_offset=0x8000,
        memory_bytes=2 * MIB,
        initramfs=initramfs,
        files=b"",
        job=job_area(job),
        bootargs="",
    )
    layout = plan(system, {"linux": linux}, hypervisor=HYPERVISOR)
    inputs = {image: kernel, initramfs: "i", HYPERVISOR: "h", PLUGIN: plugin}
    return digest(system, layout, inputs)


def test_jobs_and_probes_do_not_make_another_start(tmp_path: Path) -> None:
    start = of(tmp_path, config())
    probed = replace(config(), probes=(ProbeConfig(vm="linux", place="f"),))
    assert of(tmp_path, config(), job=["ls", "-l"]) == start
    assert of(tmp_path, probed) == start


def test_all_that_the_state_follows_from_makes_another_start(tmp_path: Path) -> None:
    later = replace(config(), trace=TraceConfig(arm_at="linux:f"))
    starts = [
        of(tmp_path, config()),
        of(tmp_path, config(), kernel="another"),
        of(tmp_path, config(), plugin="another"),
        of(tmp_path, config(shift=1)),
        of(tmp_path, config(quantum_ns=50_000)),
        of(tmp_path, config(other=True)),
        of(tmp_path, later),
    ]
    assert len(set(starts)) == len(starts)


def test_a_damaged_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "start.json").write_text('{"start": "linux:ksys_sync"}')
    with pytest.raises(StorageError, match="images clean removes it"):
        SavedStart(tmp_path)
