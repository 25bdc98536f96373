# SPDX-License-Identifier: MIT
"""The register state of a VM's vCPUs, on a core or switched out, of a machine that stands still.

A vCPU whose registers are in a core is asked of the plugin. Those of any other lie in the
hypervisor's `struct vcpu`, which is found by the hypervisor's own symbols and types; its memory
has VA = PA. Under a stranger's hypervisor only what is in the cores can be seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

from orchestrator.errors import UsageError
from orchestrator.guest.dwarf import Dwarf
from orchestrator.guest.symbols_elf import read_symbols
from orchestrator.guest.types import CType
from orchestrator.mmu import ReadPhysical, Registers

_FIELDS: Final = ("SCTLR", "TTBCR", "TTBR0", "TTBR1", "DACR")
_MODE: Final = 0x1F
_HYP: Final = 0x1A
_VM: Final = 1  # HCR.VM
_WFI: Final = 0x0320_F003  # A32, without its condition
_WORD_BYTES: Final = 4


class Cores(Protocol):
    """What can be asked of the stopped cores; the plugin's channel."""

    cores: int

    async def read_register(self, cpu: int, name: str) -> int:
        """A register by QEMU's name."""


@dataclass(frozen=True, kw_only=True)
class VcpuState:
    """One vCPU.

    Attributes:
        index: In its VM.
        core: That it is pinned to.
        loaded: Whether its registers are in the core.
        registers: What decides about its translation.
    """

    index: int
    core: int
    loaded: bool
    registers: Registers


class HypervisorMemory:
    """Reads the vCPUs of the project's own hypervisor.

    Args:
        elf: The hypervisor. It is read when it is first needed, which most runs never do.
        read: Reads physical memory.
    """

    def __init__(self, elf: Path, read: ReadPhysical) -> None:
        self._elf = elf
        self._read = read

    @cached_property
    def idle_vas(self) -> frozenset[int]:
        """Where a core stands that waits for a vCPU to run: behind each WFI of `schedule`."""
        symbols = read_symbols(self._elf)
        function = symbols.find("schedule")
        found = set()
        for va in range(function.va, symbols.end_of(function), _WORD_BYTES):
            word = int.from_bytes(self._read(va, _WORD_BYTES), "little")
            if word & 0x0FFF_FFFF == _WFI:
                found.add(va + _WORD_BYTES)
        return frozenset(found)

    @cached_property
    def _vms(self) -> tuple[int, CType]:
        """Address of the array of VMs, and the type of its elements."""
        vms = Dwarf(self._elf).variable("vms")
        if vms is None or vms.kind != "array":
            raise UsageError(f"{self._elf}: no array `vms` in its DWARF; build it with -g")
        return read_symbols(self._elf).find("vms").va, vms.target

    def vcpu(self, vm_index: int, index: int) -> tuple[bool, int, Registers]:
        """Whether a vCPU is on its core, which core that is, and its registers as kept.

        Raises:
            UsageError: The ELF has no such symbols or types.
        """
        vms_pa, vm = self._vms
        vm_pa = vms_pa + vm_index * vm.bytes
        vcpu = vm.member("vcpu").type.target
        pa = vm_pa + vm.member("vcpu").offset + index * vcpu.bytes
        regs, regs_pa = self._member(vcpu, pa, "regs")
        values = {name: self._number(regs, regs_pa, name) for name in _FIELDS}
        registers = Registers(HCR=_VM, VTTBR=self._number(vm, vm_pa, "vttbr"), **values)
        loaded = bool(self._number(vcpu, pa, "loaded"))
        return loaded, self._number(vcpu, pa, "core"), registers

    def _member(self, kind: CType, pa: int, name: str) -> tuple[CType, int]:
        member = kind.member(name)
        return member.type, pa + member.offset

    def _number(self, kind: CType, pa: int, name: str) -> int:
        inner, at = self._member(kind, pa, name)
        return int.from_bytes(self._read(at, inner.bytes), "little")


class VcpuReader:
    """Finds the registers of a VM's vCPUs.

    Args:
        cores: The plugin's channel.
        hypervisor: None: there is none, or a stranger's.
        virtualized: Whether there is any.
        pins: By VM, the core of each vCPU.
    """

    def __init__(
        self,
        cores: Cores,
        *,
        hypervisor: HypervisorMemory | None,
        virtualized: bool,
        pins: Callable[[int], tuple[int, ...]],
    ) -> None:
        self._cores = cores
        self._hypervisor = hypervisor
        self._virtualized = virtualized
        self._pins = pins

    async def vcpus(self, vm_index: int) -> tuple[VcpuState, ...]:
        """All vCPUs of a VM.

        Raises:
            MachineError: The machine runs, or is gone.
        """
        out = []
        for index, pin in enumerate(self._pins(vm_index)):
            loaded, core, registers = True, pin, Registers()
            if self._hypervisor is not None:
                loaded, core, registers = self._hypervisor.vcpu(vm_index, index)
            live = await self._live(core)
            if loaded:
                registers = live
            elif self._virtualized:
                # How stage 2 is laid out is the same for all VMs.
                registers = Registers(**{**vars(registers), "VTCR": live.VTCR})
            out.append(VcpuState(index=index, core=core, loaded=loaded, registers=registers))
        return tuple(out)

    async def translating(self, vm_index: int) -> Registers:
        """The registers to walk a VM's tables with: of a vCPU whose MMU is on, if one is.

        Raises:
            MachineError: As `vcpus`.
        """
        vcpus = await self.vcpus(vm_index)
        return next((each.registers for each in vcpus if each.registers.stage1), vcpus[0].registers)

    async def in_hypervisor(self) -> tuple[int, ...]:
        """The cores that are in Hyp mode at this instant, without those that only wait there.

        A core that has nothing to run waits in Hyp mode; whatever had trapped there is done.
        """
        found = []
        for cpu in range(self._cores.cores):
            if await self._cores.read_register(cpu, "cpsr") & _MODE != _HYP:
                continue
            pc = await self._cores.read_register(cpu, "pc")
            if self._hypervisor is None or pc not in self._hypervisor.idle_vas:
                found.append(cpu)
        return tuple(found)

    async def _live(self, core: int) -> Registers:
        names = (*_FIELDS, "HCR", "VTCR", "VTTBR") if self._virtualized else _FIELDS
        values = {name: await self._cores.read_register(core, name) for name in names}
        return Registers(**values)
