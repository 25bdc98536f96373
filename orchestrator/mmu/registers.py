# SPDX-License-Identifier: MIT
"""The registers that decide how a vCPU's addresses are translated, and their fields."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Registers:
    """Register state of one vCPU, live or switched out. Names and fields: DDI 0406C, B4.1.

    The defaults are those of power-on: no stage translates.

    Attributes:
        SCTLR: M (bit 0), EE (25), AFE (29).
        TTBCR: EAE (31) selects the long format; N, T0SZ, T1SZ and the bits that disable a walk.
        TTBR0: 64 bits wide with EAE, else 32.
        TTBR1: The same.
        DACR: Domains; not checked, a step reports the domain and what this register makes of it.
        HCR: VM (bit 0), DC (12), TGE (27).
        VTCR: T0SZ and S (bits 4:0), SL0 (7:6).
        VTTBR: Base of the stage-2 tables, and the VMID.
    """

    SCTLR: int = 0
    TTBCR: int = 0
    TTBR0: int = 0
    TTBR1: int = 0
    DACR: int = 0
    HCR: int = 0
    VTCR: int = 0
    VTTBR: int = 0

    @property
    def stage1(self) -> bool:
        """Whether the guest's own tables are in use; HCR.DC and HCR.TGE turn them off, too."""
        return bool(self.SCTLR & 1) and not self.HCR & (1 << 12 | 1 << 27)

    @property
    def stage2(self) -> bool:
        """Whether the hypervisor's tables are in use; HCR.DC implies VM."""
        return bool(self.HCR & (1 | 1 << 12))

    @property
    def long_format(self) -> bool:
        """Whether stage 1 uses long descriptors (TTBCR.EAE)."""
        return bool(self.TTBCR >> 31 & 1)

    @property
    def access_flag(self) -> bool:
        """Whether AP[0] of a short descriptor is an access flag (SCTLR.AFE)."""
        return bool(self.SCTLR >> 29 & 1)

    @property
    def big_endian_tables(self) -> bool:
        """Whether stage-1 tables are read big-endian (SCTLR.EE)."""
        return bool(self.SCTLR >> 25 & 1)

    def domain_access(self, domain: int) -> str:
        """What DACR grants in a domain."""
        return ("no access", "client", "reserved", "manager")[self.DACR >> 2 * domain & 3]
