# SPDX-License-Identifier: MIT
"""The config file as frozen, typed objects: all that the rest of the package sees of it.

Plain data without behaviour; what these attributes promise is checked by the modules beside this
one before an object is handed out. The defaults of optional keys are here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

BLOCK_BYTES: Final = 2 << 20  # what stage 2 maps at once, so the unit of a VM's RAM
DEFAULT_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """The board and what runs on it first.

    Attributes:
        cores: Cores of the board, 1..8.
        ram_bytes: RAM of the board; None: as much as the VMs need.
        hypervisor: The project's own, none at all (one VM directly on the board), or an ELF file.
        time_slice_ns: Guest time after which vCPUs of equal priority on a core take turns.
        qemu: QEMU's program, by name or by path.
    """

    cores: int = 2
    ram_bytes: int | None = None
    hypervisor: Path | Literal["builtin", "none"] = "builtin"
    time_slice_ns: int = 200_000
    qemu: str = "qemu-system-arm"


@dataclass(frozen=True, kw_only=True)
class ClockConfig:
    """How guest time passes.

    Attributes:
        mode: "deterministic": by instructions, the same in every run; "realtime": by the host.
        shift: One instruction takes 2**shift ns of guest time (deterministic only).
        quantum_ns: In this time each core that has work gets its share (deterministic only).
        epoch: What the guests' real-time clock shows at power-on, in UTC.
    """

    mode: Literal["deterministic", "realtime"] = "deterministic"
    shift: int = 0
    quantum_ns: int = 20_000
    epoch: datetime = DEFAULT_EPOCH


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Longest time of each phase, in seconds on the host's clock.

    Attributes:
        start_s: From starting QEMU until it answers.
        ready_s: From the first instruction until every guest is ready.
        command_s: A command run in Linux.
        silence_s: Without a console line, while a guest is not ready yet.
    """

    start_s: float = 30.0
    ready_s: float = 300.0
    command_s: float = 600.0
    silence_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class VmBase:
    """What every VM has.

    Attributes:
        name: 1..15 characters of a-z, 0-9, "_" and "-".
        ram_bytes: A multiple of 2 MiB.
        vcpus: Number of virtual CPUs.
        pin: The core of each vCPU, as many as vCPUs.
        priority: 0..255; on a shared core the higher one runs.
        ready: Regular expression, searched in each console line, that shows the guest is ready;
            None: the evidence that the guest's type gives by itself.
        silence_ns: Longest time on the host's clock without a console line, for the whole run;
            None: `Timeouts.silence_s`, and only until the guest is ready.
        console: Whether the VM has a UART that is shown and logged.
    """

    name: str
    ram_bytes: int
    vcpus: int = 1
    pin: tuple[int, ...] = (0,)
    priority: int = 100
    ready: str | None = None
    silence_ns: int | None = None
    console: bool = True


@dataclass(frozen=True, kw_only=True)
class LinuxVm(VmBase):
    """A Linux guest.

    Attributes:
        kernel: Flavour of Debian's kernel, or a kernel image file.
        initramfs: The project's own, or a cpio archive.
        append: Added at the end of the kernel command line.
        files: Pairs of a file on the host and the absolute path it gets in the guest.
    """

    kernel: Path | Literal["armmp", "armmp-lpae"] = "armmp"
    initramfs: Path | Literal["default"] = "default"
    append: str = ""
    files: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ElfVm(VmBase):
    """A guest that is one ELF file built for QEMU's plain `virt` board.

    Attributes:
        image: The project's RTOS, or an ELF file.
        ram_ipa: Where the VM sees its RAM, 2 MiB aligned.
    """

    priority: int = 200
    image: Path | Literal["rtos"] = "rtos"
    ram_ipa: int = 0x4000_0000


VmConfig = LinuxVm | ElfVm


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """A probe as the user asks for it; docs/probes.md explains each part.

    Attributes:
        vm: Name of the VM that it is in.
        place: "SYMBOL", "SYMBOL+OFFSET", "0xADDRESS", or a glob of function names.
        name: In all that shows it; "" makes it that of the place.
        fetch: What to read at a hit.
        mode: "hvc": an HVC replaces the instruction; "shadow": only the plugin looks there.
        limit: Hits to record; 0: all.
        from_ns: Guest time from which on hits are recorded.
        until_ns: Guest time until which hits are recorded; 0: no end.
        tasks: Whether an RTOS's tasks are fetched, too.
        record: "plugin": the hypervisor emulates and counts; "both": it records, too.
        own: Placed for what it tells this program, as no user can ask: see `trace.streams.Probe`.
    """

    vm: str
    place: str
    name: str = ""
    fetch: tuple[str, ...] = ()
    mode: Literal["hvc", "shadow"] = "hvc"
    limit: int = 0
    from_ns: int = 0
    until_ns: int = 0
    tasks: bool = True
    record: Literal["plugin", "both"] = "plugin"
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class LinuxTraceConfig:
    """What Linux's own tracing, ftrace, records in the first Linux VM during a command.

    Attributes:
        events: Systems such as "sched", or single events such as "irq:irq_handler_entry".
        filters: Event or system -> the kernel's own filter expression for it.
        tracer: The kernel's name of a tracer; "nop" records the events alone.
        clock: The kernel's name of the clock that events are stamped by.
        buffer_bytes: Size of the ring buffer of each CPU; the oldest events give way.
        instance: Name of a buffer of its own; "" is the kernel's first one.
    """

    events: tuple[str, ...] = ("sched", "irq")
    filters: Mapping[str, str] = field(default_factory=dict)
    tracer: str = "nop"
    clock: Literal["local", "global", "mono", "mono_raw", "boot", "perf"] = "local"
    buffer_bytes: int = 8 << 20
    instance: str = ""


@dataclass(frozen=True, kw_only=True)
class TraceConfig:
    """What is recorded of a run.

    Attributes:
        arm_at: The place, as "VM:PLACE", at whose first execution the probes are placed; None: the
            first Linux VM's `ksys_sync`, which its init calls when user space is up, and without
            Linux the first instruction of the first VM.
        hypervisor: Whether the hypervisor records VM entries and exits, virtual interrupts and
            vCPU switches during `orchestrate trace`.
        linux: Linux's own part.
    """

    arm_at: str | None = None
    hypervisor: bool = True
    linux: LinuxTraceConfig = field(default_factory=LinuxTraceConfig)


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """A user's own benchmark: a program that runs in Linux.

    Attributes:
        name: What the user types, 1..32 characters of a-z, 0-9, "_" and "-".
        path: The program: a static ARM program, or a script.
        args: Its arguments.
        unit: What one operation is.
        count: Regular expression that finds the number of operations, in its group "count", in a
            line of the program's output; None: the form of UnixBench, ``COUNT|x|y|unit``.
    """

    name: str
    path: Path
    args: tuple[str, ...] = ()
    unit: str = "operation"
    count: str | None = None


@dataclass(frozen=True, kw_only=True)
class Config:
    """One config file, checked.

    Attributes:
        path: The file, absolute; every other path in here is absolute too.
        vms: In the order of the file, 1..8 of them.
    """

    path: Path
    machine: MachineConfig = field(default_factory=MachineConfig)
    clock: ClockConfig = field(default_factory=ClockConfig)
    vms: tuple[VmConfig, ...] = ()
    timeouts: Timeouts = field(default_factory=Timeouts)
    trace: TraceConfig = field(default_factory=TraceConfig)
    probes: tuple[ProbeConfig, ...] = ()
    benches: tuple[BenchConfig, ...] = ()

    @property
    def linux_vms(self) -> tuple[LinuxVm, ...]:
        """The Linux VMs, in the order of the file."""
        return tuple(vm for vm in self.vms if isinstance(vm, LinuxVm))
