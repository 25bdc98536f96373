# SPDX-License-Identifier: MIT
"""Makes everything that a run needs before QEMU starts: images, their places, files, the command.

Images are made by `orchestrator.images`, placed by `orchestrator.machine`; who starts QEMU with the
result is `orchestrator.session`.
"""

import time
from pathlib import Path
from typing import Final

from orchestrator.config import LinuxVm, VmConfig
from orchestrator.guest.ftrace import agent_lines
from orchestrator.images import sources
from orchestrator.images.initramfs import PORTS, base_initramfs, files_cpio
from orchestrator.images.job import job_area
from orchestrator.images.kernel import DEFAULT_BOOTARGS, linux_kernel
from orchestrator.images.store import Store
from orchestrator.machine.board import MAX_IMAGES, Layout
from orchestrator.machine.command import INCOMING, Paths, console_names, qemu_command
from orchestrator.machine.elf import read_elf
from orchestrator.machine.layout import plan
from orchestrator.machine.placement import LinuxImage, VmImage
from orchestrator.observe import TRACE_FOLDER, ObserverPaths
from orchestrator.options import Reporter
from orchestrator.run_record import Run
from orchestrator.rundir import storage_errors
from orchestrator.starts import SavedStart

_ELF_IMAGES: Final = MAX_IMAGES - 1
"""One image of a VM is its device tree."""


def prepare(run: Run, reporter: Reporter) -> tuple[Layout, Path]:
    """Gets all images ready and gives each its place.

    Returns:
        The board, and the file of the plugin.

    Raises:
        OrchestrateError: An image cannot be made or read, or there is no room for it.
    """
    reporter.phase("images")
    began_s = time.monotonic()
    config = run.config
    run.inputs["config"] = config.path
    images = {vm.name: _vm_image(run, vm) for vm in config.vms}
    hypervisor = None
    if config.machine.hypervisor != "none":
        built_in = config.machine.hypervisor == "builtin"
        hypervisor = sources.build("hypervisor") if built_in else Path(config.machine.hypervisor)
        run.inputs["hypervisor"] = hypervisor
    plugin = run.inputs["plugin"] = sources.build("plugin")
    with storage_errors(config.path):
        layout = plan(config, images, hypervisor=hypervisor)
    run.phases_s["images"] = time.monotonic() - began_s
    return layout, plugin


def _vm_image(run: Run, vm: VmConfig) -> VmImage:
    if not isinstance(vm, LinuxVm):
        path = sources.build("rtos") if vm.image == "rtos" else Path(vm.image)
        run.inputs[f"{vm.name}.image"] = run.symbols[vm.name] = path
        return read_elf(path, max_segments=_ELF_IMAGES)
    store = Store()
    kernel = linux_kernel(store, vm.kernel)
    default = vm.initramfs == "default"
    initramfs = base_initramfs(store, kernel) if default else Path(vm.initramfs)
    run.inputs[f"{vm.name}.kernel"] = run.symbols[vm.name] = kernel.path
    run.versions[f"{vm.name}.kernel"] = kernel.version
    run.inputs[f"{vm.name}.initramfs"] = initramfs
    for host_path, guest_path in vm.files:
        run.inputs[f"{vm.name}:{guest_path}"] = host_path
    first = vm is run.config.linux_vms[0]
    ftrace = agent_lines(run.config.trace.linux) if first and run.options.ftrace else None
    return LinuxImage(
        kernel=kernel.path,
        text_offset=kernel.text_offset,
        memory_bytes=kernel.memory_bytes,
        initramfs=initramfs,
        files=files_cpio(vm.files, trace=ftrace),
        job=job_area(run.options.command if first else None),
        bootargs=f"{DEFAULT_BOOTARGS} {vm.append}".strip(),
    )


def write_files(
    run: Run, layout: Layout, *, sockets: Path, plugin: Path, start: SavedStart | None
) -> Paths:
    """Writes what was made for this run, and names all that QEMU will open.

    Args:
        run: Gets its layout and QEMU's command.
        layout: The board.
        sockets: The run's private directory.
        plugin: The plugin's file.
        start: Where the run goes on; None: it boots.

    Raises:
        StorageError: A file cannot be written.
    """
    inputs = {}
    for blob in layout.blobs:
        if isinstance(blob.content, bytes):
            inputs[blob.name] = run.run_dir.write_input(blob.name, blob.content)
            run.inputs[blob.name] = inputs[blob.name]
        else:
            inputs[blob.name] = blob.content
    kernel = layout.kernel
    if isinstance(kernel, bytes):
        kernel = run.run_dir.write_input("boot.elf", kernel)
    names = console_names(layout)
    observed = observer_paths(run, sockets)
    paths = Paths(
        qmp=sockets / "qmp.sock",
        console_sockets={name: sockets / f"console-{name}.sock" for name in names},
        console_logs={name: run.run_dir.file(f"{name}.log") for name in names},
        ports={
            vm.name: {port: run.run_dir.file(f"{vm.name}.{port}.part") for port in PORTS}
            for vm in run.config.linux_vms[:1]
        },
        inputs=inputs,
        kernel=kernel,
        plugin=plugin,
        channel=observed.channel,
        ring=observed.ring,
        append_logs=start is not None,
    )
    if start is not None:
        for name, log in paths.console_logs.items():
            with storage_errors(log):
                log.write_bytes(start.log(name))
    run.layout = layout
    command = qemu_command(layout, run.config, paths, stop_ns=run.options.for_ns)
    run.command = (*command, *(INCOMING if start else ()))
    return paths


def observer_paths(run: Run, sockets: Path) -> ObserverPaths:
    """Files by which the run is observed; `sockets` is the run's private directory."""
    return ObserverPaths(
        channel=sockets / "plugin.sock",
        ring=sockets / "plugin.rings",
        control=sockets / "control.sock",
        folder=run.run_dir.file(TRACE_FOLDER),
    )
