# SPDX-License-Identifier: MIT
"""What must hold between the keys of a config file, and between it and the board.

Each check notes its faults and goes on; none looks at a key that is already known to be wrong.
To add one: a function here and a line in `check`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.config.faults import Faults, KeyPath, did_you_mean
from orchestrator.config.model import (
    BLOCK_BYTES,
    ElfVm,
    MachineConfig,
    ProbeConfig,
    TraceConfig,
    VmConfig,
)
from orchestrator.units import format_size

# Limits of the board and of images/abi/vm_config.h.
MAX_VMS: Final = 8
MAX_LINUX_VMS: Final = 4  # pages of virtio transports
MAX_CONSOLES: Final = 5  # two UARTs of the board and three ports of the serial card
RAM_START: Final = 0x4000_0000
DEVICES_END: Final = 0x1000_0000  # of the virt board as a VM sees it
HYPERVISOR_BYTES: Final = 48 << 20
BOARD_RAM_LIMIT_BYTES: Final = 3 << 30  # 0x40000000 up to the end of 32 bits
LINUX_RAM_MIN_BYTES: Final = 64 << 20

_NAME: Final = re.compile(r"[a-z0-9_-]{1,15}")
# The run directory has logs of these names.
_RESERVED: Final = frozenset({"hypervisor", "qemu", "run"})


@dataclass(frozen=True, kw_only=True)
class VmDraft:
    """A VM that may still be wrong.

    Attributes:
        key: Path of its table in the file.
        vm: The VM; a wrong or missing attribute has a default in it.
        given: Attributes that the file sets, and rightly so.
        wrong: Attributes whose fault is already noted.
    """

    key: KeyPath
    vm: VmConfig
    given: frozenset[str]
    wrong: frozenset[str]

    def unsound(self, *attributes: str) -> bool:
        """Whether one of these attributes is already known to be wrong."""
        return not self.wrong.isdisjoint(attributes)


@dataclass(frozen=True, kw_only=True)
class ProbeDraft:
    """A probe that may still be wrong.

    Attributes:
        key: Path of its table in the file.
        probe: The probe; "vm" is empty if the place is missing or wrong.
        given: Attributes that the file sets, and rightly so.
        wrong: Attributes whose fault is already noted.
    """

    key: KeyPath
    probe: ProbeConfig
    given: frozenset[str]
    wrong: frozenset[str]


def check(
    *, machine: MachineConfig, machine_wrong: frozenset[str], vms: Sequence[VmDraft], faults: Faults
) -> None:
    """Notes every fault that lies between keys.

    Args:
        machine: The board; attributes in `machine_wrong` have their defaults.
        machine_wrong: Attributes of the board whose fault is already noted.
        vms: In the order of the file.
        faults: Collects what is wrong.
    """
    direct = machine.hypervisor == "none"
    cores = None if "cores" in machine_wrong else machine.cores
    for draft in vms:
        _check_name(draft, faults)
        _check_ram(draft, faults)
        _check_console(draft, faults)
        if draft.unsound("vcpus", "pin"):
            continue
        if direct:
            _check_direct(draft, cores, faults)
        else:
            # With a misspelt "none", a missing pin would be no fault.
            _check_pin(draft, cores, may_lack="hypervisor" in machine_wrong, faults=faults)
    _check_counts(vms, direct=direct, faults=faults)
    if "ram_bytes" not in machine_wrong:
        _check_board_ram(machine, vms, faults)


def _check_name(draft: VmDraft, faults: Faults) -> None:
    name = draft.vm.name
    if not _NAME.fullmatch(name):
        faults.add(draft.key, "a VM's name is 1 to 15 characters of a-z, 0-9, _ and -")
    elif name in _RESERVED:
        faults.add(draft.key, f'"{name}" is the name of another log; choose another name')


def _aligned(size_bytes: int) -> bool:
    return size_bytes % BLOCK_BYTES == 0


def _check_ram(draft: VmDraft, faults: Faults) -> None:
    vm, key = draft.vm, (*draft.key, "ram")
    if not draft.unsound("ram_bytes"):
        if "ram_bytes" not in draft.given:
            faults.add(key, 'is missing; give the VM\'s RAM, such as ram = "256M"')
            return
        if not _aligned(vm.ram_bytes):
            faults.add(key, f"{format_size(vm.ram_bytes)} is not a multiple of 2M")
        if not isinstance(vm, ElfVm) and vm.ram_bytes < LINUX_RAM_MIN_BYTES:
            need = format_size(LINUX_RAM_MIN_BYTES)
            faults.add(key, f"{format_size(vm.ram_bytes)} is too little for Linux; at least {need}")
    if isinstance(vm, ElfVm) and not draft.unsound("ram_ipa", "ram_bytes"):
        key = (*draft.key, "ram_ipa")
        if not _aligned(vm.ram_ipa):
            faults.add(key, f"{vm.ram_ipa:#x} is not a multiple of 2M ({BLOCK_BYTES:#x})")
        if vm.ram_ipa < DEVICES_END:
            faults.add(key, f"{vm.ram_ipa:#x} lies among the devices; at least {DEVICES_END:#x}")
        elif vm.ram_ipa + vm.ram_bytes > 1 << 32:
            faults.add(key, f"RAM from {vm.ram_ipa:#x} does not fit below 4G")


def _check_console(draft: VmDraft, faults: Faults) -> None:
    if draft.vm.console:
        return
    for attribute, key in (
        ("ready", "ready"),
        ("silence_ns", "silence"),
    ):
        if attribute in draft.given:
            faults.add((*draft.key, key), "needs a console; remove it, or set console = true")


def _check_pin(draft: VmDraft, cores: int | None, *, may_lack: bool, faults: Faults) -> None:
    vm, key = draft.vm, (*draft.key, "pin")
    if "pin" not in draft.given:
        if not may_lack:
            example = list(range(vm.vcpus))
            faults.add(key, f"is missing; give the core of each vCPU, such as pin = {example}")
        return
    if len(vm.pin) != vm.vcpus:
        faults.add(key, f"is {list(vm.pin)} but vcpus is {vm.vcpus}; give one core a vCPU")
    for core in sorted(set(vm.pin)):
        if cores is not None and core >= cores:
            faults.add(
                key, f"core {core} does not exist: machine.cores is {cores}, so use 0..{cores - 1}"
            )


def _check_direct(draft: VmDraft, cores: int | None, faults: Faults) -> None:
    vm = draft.vm
    if "pin" in draft.given and vm.pin != tuple(range(vm.vcpus)):
        faults.add(
            (*draft.key, "pin"), "without a hypervisor vCPU 0 is core 0 and so on; remove this key"
        )
    if cores is not None and vm.vcpus != cores:
        faults.add(
            (*draft.key, "vcpus"),
            f"without a hypervisor the VM has all cores: {vm.vcpus} must be {cores} as machine.cores",
        )


def _check_counts(vms: Sequence[VmDraft], *, direct: bool, faults: Faults) -> None:
    if not vms:
        faults.add(("vm",), "no VM is described; add a table [vm.NAME]")
    for draft in vms[1:] if direct else ():
        faults.add(draft.key, 'machine.hypervisor = "none" runs exactly one VM; remove this one')
    for draft in vms[MAX_VMS:]:
        faults.add(draft.key, f"is one VM too many; at most {MAX_VMS}")
    linux = [draft for draft in vms if not isinstance(draft.vm, ElfVm)]
    for draft in linux[MAX_LINUX_VMS:]:
        faults.add(draft.key, f"is one Linux VM too many; at most {MAX_LINUX_VMS}")
    for draft in [draft for draft in vms if draft.vm.console][MAX_CONSOLES:]:
        faults.add(
            draft.key,
            f"is one console too many; at most {MAX_CONSOLES}: set console = false in an ELF VM",
        )
    if direct:
        for draft in vms:
            vm = draft.vm
            if isinstance(vm, ElfVm) and vm.ram_ipa != RAM_START and not draft.unsound("ram_ipa"):
                key = (*draft.key, "ram_ipa")
                faults.add(key, f"without a hypervisor RAM is at {RAM_START:#x}; remove it")


def _check_board_ram(machine: MachineConfig, vms: Sequence[VmDraft], faults: Faults) -> None:
    own = 0 if machine.hypervisor == "none" else HYPERVISOR_BYTES
    need = own + sum(draft.vm.ram_bytes for draft in vms)
    key = ("machine", "ram")
    if machine.ram_bytes is None:
        if need > BOARD_RAM_LIMIT_BYTES:
            faults.add(
                ("vm",),
                f"hypervisor and VMs need {format_size(need)} of RAM; the board has at most 3G",
            )
        return
    if not _aligned(machine.ram_bytes):
        faults.add(key, f"{format_size(machine.ram_bytes)} is not a multiple of 2M")
    if machine.ram_bytes > BOARD_RAM_LIMIT_BYTES:
        faults.add(key, f"{format_size(machine.ram_bytes)} is more than the board's 3G")
    if machine.ram_bytes < need:
        faults.add(
            key,
            f"{format_size(machine.ram_bytes)} is too little: hypervisor and VMs need "
            f"{format_size(need)}; remove the key to have it computed",
        )


def check_probes(
    *,
    machine: MachineConfig,
    trace: TraceConfig,
    vms: Sequence[VmDraft],
    probes: Sequence[ProbeDraft],
    faults: Faults,
) -> None:
    """Notes every fault of probes that can be seen without the guests' symbols."""
    names = [draft.vm.name for draft in vms]
    for draft in probes:
        probe = draft.probe
        if probe.vm and probe.vm not in names:
            where = (*draft.key, "at")
            faults.add(where, f'there is no VM "{probe.vm}"{did_you_mean(probe.vm, names)}')
        window_known = not draft.wrong & {"from_ns", "until_ns"}
        if window_known and probe.until_ns and probe.until_ns <= probe.from_ns:
            faults.add((*draft.key, "until"), 'must be later than "from"')
        if probe.mode == "hvc" and machine.hypervisor != "builtin" and "mode" not in draft.wrong:
            key = "mode" if "mode" in draft.given else "at"
            faults.add(
                (*draft.key, key),
                "only the project's own hypervisor answers a probe's HVC; use mode = \"shadow\"",
            )
        if probe.record == "both" and probe.mode == "shadow" and "mode" not in draft.wrong:
            faults.add(
                (*draft.key, "record"),
                'the hypervisor does not see a shadow probe; use mode = "hvc"',
            )
    if trace.arm_at is not None:
        vm = trace.arm_at.partition(":")[0]
        if vm not in names:
            faults.add(("trace", "arm_at"), f'there is no VM "{vm}"{did_you_mean(vm, names)}')
