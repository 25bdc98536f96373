# SPDX-License-Identifier: MIT
"""A translation that has no result, as one typed exception."""

import enum
from typing import Literal

from orchestrator.errors import CheckFailed


class FaultKind(enum.Enum):
    """Why; the value ends the sentence "the descriptor ..."."""

    TRANSLATION = "maps nothing"
    ACCESS_FLAG = "has its access flag clear"
    RESERVED = "has reserved bits set"
    DISABLED = "is not looked up: the walk is disabled by TTBCR"
    RANGE = "does not exist: the address is beyond the tables"
    MISALIGNED = "is not looked up: the table base is not aligned to the table's size"
    BIG_ENDIAN = "is big-endian (SCTLR.EE), which is not supported"
    NO_MEMORY = "lies where there is no memory"


class TranslationFault(CheckFailed):
    """An address is not mapped.

    Args:
        kind: Why.
        stage: Whose tables: 1 the guest's, 2 the hypervisor's.
        level: Level of the table, 1 to 3.
        address: What stage 1 was asked for (a VA) or stage 2 (an IPA).
        entry: Address of the descriptor: an IPA in stage 1, a PA in stage 2; None: none was read.
        value: The descriptor; None: none was read.
        walking: In stage 2: whether the IPA is that of a stage-1 descriptor.
    """

    def __init__(
        self,
        *,
        kind: FaultKind,
        stage: Literal[1, 2],
        level: int,
        address: int,
        entry: int | None = None,
        value: int | None = None,
        walking: bool = False,
    ) -> None:
        self.kind = kind
        self.stage = stage
        self.level = level
        self.address = address
        self.entry = entry
        self.value = value
        self.walking = walking
        name = "VA" if stage == 1 else "IPA"
        what = "descriptor" if value is None else f"descriptor {value:#x}"
        at = "" if entry is None else f" at {'IPA' if stage == 1 else 'PA'} {entry:#x}"
        where = " of a stage-1 descriptor" if walking else ""
        super().__init__(
            f"{name} {address:#x}{where}: stage {stage}, level {level}: the {what}{at} {kind.value}"
        )
