# SPDX-License-Identifier: MIT
"""Address translation of ARMv7-A with the virtualization extensions, over any physical memory.

Reading order: `registers` (what the walk depends on), `formats` (the tables as data), `faults`,
`walk` (the one walker and the composition of both stages). Nothing here knows a guest or QEMU: it
is given a function that reads physical memory.
"""

from orchestrator.mmu.faults import FaultKind, TranslationFault
from orchestrator.mmu.registers import Registers
from orchestrator.mmu.walk import Mmu, ReadPhysical, Step, Translation

__all__ = [
    "FaultKind",
    "Mmu",
    "ReadPhysical",
    "Registers",
    "Step",
    "Translation",
    "TranslationFault",
]
