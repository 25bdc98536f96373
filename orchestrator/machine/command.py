# SPDX-License-Identifier: MIT
"""QEMU's command line for a planned board.

Nothing that differs between two runs of one config is visible to a guest: the clock starts at the
config's epoch, device trees hold no seeds, and paths stay outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.config import ClockConfig, Config
from orchestrator.images.initramfs import PORTS
from orchestrator.machine.board import BOARD_UARTS, SERIAL_PORTS, Blob, Layout, VmLayout

HYPERVISOR_CONSOLE: Final = "hypervisor"
"""Name of the hypervisor's log among the consoles; no VM is called so."""

INCOMING: Final = ("-incoming", "defer")
"""Added to a command: the machine waits for `QemuMachine.load_state` before it can run."""


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where a run keeps its files.

    Attributes:
        qmp: Socket of QEMU's monitor.
        console_sockets: By console name.
        console_logs: By console name.
        ports: By VM name, then by port name: what the guest writes. At most one VM is in it,
            since QEMU wants the names of ports to be unique.
        inputs: By the name of a `Blob` or of the kernel, the file to load.
        kernel: The ELF that QEMU enters.
        plugin: QEMU plugin, needed by the deterministic clock.
        channel: Socket of the plugin's channel; None: it opens none, and traces nothing.
        append_logs: Whether the console logs have a beginning already.
        ring: File that the plugin makes for its rings; None: it does not record.
    """

    qmp: Path
    console_sockets: Mapping[str, Path]
    console_logs: Mapping[str, Path]
    ports: Mapping[str, Mapping[str, Path]]
    inputs: Mapping[str, Path]
    kernel: Path
    plugin: Path | None
    channel: Path | None = None
    ring: Path | None = None
    append_logs: bool = False


def console_names(layout: Layout) -> tuple[str, ...]:
    """All consoles of the board, the hypervisor's log first."""
    vms = tuple(vm.name for vm in layout.vms if vm.has_console)
    return (HYPERVISOR_CONSOLE, *vms) if layout.virtualization else vms


def qemu_command(
    layout: Layout, config: Config, paths: Paths, *, stop_ns: int | None = None
) -> list[str]:
    """The exact command, program first, with the board stopped before its first instruction.

    Args:
        layout: The planned board.
        config: Where it came from: the clock and QEMU's name.
        paths: All files and sockets.
        stop_ns: Guest time in nanoseconds at which the plugin stops the machine.

    Raises:
        ValueError: stop_ns, channel or ring without a plugin.
    """
    return [
        config.machine.qemu,
        *("-nodefaults", "-no-user-config", "-display", "none", "-S"),
        # A board that its guests have switched off can still be read, and goes when it is told to:
        # QEMU that goes by itself may crash at whatever it is told meanwhile (process.py, quit).
        *("-no-reboot", "-no-shutdown"),
        *_board(layout),
        *_clock(config.clock, paths, stop_ns),
        *("-chardev", f"socket,id=qmp,path={_escape(paths.qmp)},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *_consoles(layout, paths),
        *_virtio(layout, paths),
        *("-kernel", str(paths.kernel)),
        *(word for blob in layout.blobs for word in _loader(blob, paths)),
    ]


def _escape(path: Path) -> str:
    """A path inside an option: QEMU reads a doubled comma as one comma."""
    return str(path).replace(",", ",,")


def _board(layout: Layout) -> list[str]:
    virtualization = "on" if layout.virtualization else "off"
    machine = (
        f"virt,virtualization={virtualization},gic-version=2,highmem=off,"
        "dtb-randomness=off,memory-backend=ram"
    )
    # Anonymous memory with a file descriptor: readers open it through /proc, nothing stays.
    backend = f"memory-backend-memfd,id=ram,size={layout.ram_bytes},share=on"
    return [
        *("-M", machine),
        *("-cpu", "cortex-a15"),
        *("-smp", str(layout.cores)),
        *("-m", f"{layout.ram_bytes // 1024}k"),
        *("-object", backend),
    ]


def _clock(clock: ClockConfig, paths: Paths, stop_ns: int | None) -> list[str]:
    words = ["-rtc", f"base={clock.epoch:%Y-%m-%dT%H:%M:%S},clock=vm"]
    if clock.mode == "realtime":
        words += ["-accel", "tcg,thread=multi"]
    else:
        words += ["-icount", f"shift={clock.shift},sleep=off"]
    values = _plugin_values(clock, paths, stop_ns)
    if paths.plugin is None:
        if values.keys() - {"quantum_ns"}:
            raise ValueError(f"{', '.join(values)}: only the plugin can do that")
        return words
    if values:
        given = (f"{key}={value}" for key, value in values.items())
        words += ["-plugin", ",".join((f"file={_escape(paths.plugin)}", *given))]
    return words


def _plugin_values(clock: ClockConfig, paths: Paths, stop_ns: int | None) -> dict[str, str]:
    """What the plugin shall do; empty: it is not needed."""
    values = {}
    if clock.mode == "deterministic":
        values["quantum_ns"] = str(clock.quantum_ns)
    if stop_ns is not None:
        values["stop_ns"] = str(stop_ns)
    if paths.channel is not None:
        values["channel"] = _escape(paths.channel)
    if paths.ring is not None:
        values["ring"] = _escape(paths.ring)
    return values


def _consoles(layout: Layout, paths: Paths) -> list[str]:
    words = []
    for name in console_names(layout):
        socket = f"path={_escape(paths.console_sockets[name])},server=on,wait=off"
        append = "on" if paths.append_logs else "off"
        log = f"logfile={_escape(paths.console_logs[name])},logappend={append}"
        words += ["-chardev", f"socket,id=console-{name},{socket},{log}"]
    uarts = {vm.uart: vm.name for vm in layout.vms if vm.uart is not None}
    for index in range(len(BOARD_UARTS)):
        if index in uarts:
            words += ["-serial", f"chardev:console-{uarts[index]}"]
    if layout.virtualization:
        words += ["-device", _serial_card(layout.vms)]
    return words


def _serial_card(vms: tuple[VmLayout, ...]) -> str:
    """Four UARTs on PCI: the hypervisor's log, and consoles beyond the board's own two."""
    names = {vm.serial_port: vm.name for vm in vms if vm.serial_port is not None}
    card = f"pci-serial-4x,chardev1=console-{HYPERVISOR_CONSOLE}"
    for port in SERIAL_PORTS:
        if port in names:
            card += f",chardev{port + 1}=console-{names[port]}"
    return card


def _virtio(layout: Layout, paths: Paths) -> list[str]:
    """A port is a plain file on the host: written at once, hence at the same guest time always."""
    words: list[str] = []
    for vm in layout.vms:
        if vm.name not in paths.ports:
            continue
        # Without ioeventfd the guest's kick is served at once, in guest time.
        words += ["-global", "virtio-mmio.force-legacy=false"]
        words += ["-global", "virtio-mmio.ioeventfd=off"]
        bus = f"ports-{vm.name}"
        words += [
            "-device",
            f"virtio-serial-device,id={bus},bus=virtio-mmio-bus.{vm.virtio_buses[0]}",
        ]
        for port in PORTS:
            chardev = f"{bus}-{port}"
            path = _escape(paths.ports[vm.name][port])
            words += [
                *("-chardev", f"file,id={chardev},path={path}"),
                *("-device", f"virtserialport,bus={bus}.0,chardev={chardev},name={port}"),
            ]
    return words


def _loader(blob: Blob, paths: Paths) -> list[str]:
    path = _escape(paths.inputs[blob.name])
    return ["-device", f"loader,file={path},addr={blob.pa:#x},force-raw=on"]
