# SPDX-License-Identifier: MIT
"""From a wanted place to what lies there: the walk, the instruction, and whether a probe can be.

Nothing is written here. Whether an HVC can take an instruction's place is known by `instruction`;
whether its word is code at all by `guest`.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import capstone

from orchestrator.errors import CheckFailed
from orchestrator.guest.symbols import Encoding
from orchestrator.mmu import TranslationFault
from orchestrator.probe import instruction
from orchestrator.probe.emulation import Emulation, Operation
from orchestrator.probe.guest import Code, View
from orchestrator.probe.spec import GONE, Wanted

_NEAR_BYTES: Final = 64
_NEAREST: Final = 2
_TOLD: Final = 20
_USER_MODE: Final = "runs in user mode, where an HVC is an undefined instruction; use mode=shadow"
_REWRITTEN: Final = frozenset({Emulation.NOP, Emulation.BRANCH})
_STATIC_BRANCH: Final = (
    "Linux changes this instruction while it works (a static branch) and would overwrite the HVC; "
    "use mode=shadow"
)
_USER_PAGE: Final = (
    "user-space addresses are those of the program that has the core at this instant, as far as its "
    "pages are in memory; take another instant, as by arm_at in [trace]"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a probe can be.

    Attributes:
        wanted: What was asked for.
        code: What is there.
        size: Of the instruction, 2 or 4 bytes.
        displaced: How the hypervisor does its work; None in shadow mode.
    """

    wanted: Wanted
    code: Code
    size: int
    displaced: Operation | None

    @property
    def thumb(self) -> bool:
        """Whether it is T32."""
        return self.code.encoding is Encoding.T32

    @property
    def word(self) -> int:
        """The instruction as a number; of a T32 one the first halfword is the high half."""
        return instruction.word_at(self.code.data, thumb=self.thumb)

    @property
    def text(self) -> str:
        """The instruction, for people."""
        return disassemble(self.code)

    @property
    def original(self) -> bytes:
        """The bytes that a hypercall replaces."""
        return self.code.data[:4]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A place where no probe can be.

    Attributes:
        where: As "vm:function+offset".
        reason: Why.
        nearest: Places beside it that work, the nearest first.
    """

    where: str
    reason: str
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        near = f"; the nearest that work: {', '.join(self.nearest)}" if self.nearest else ""
        return f"{self.where}: {self.reason}{near}"


class ProbeRefused(CheckFailed):
    """Probes cannot be where they were wanted; nothing was written.

    Args:
        refusals: Each with its reason.
    """

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        self.refusals = refusals
        lines = [str(each) for each in refusals[:_TOLD]]
        if len(refusals) > _TOLD:
            lines.append(f"... and {len(refusals) - _TOLD} more")
        super().__init__("no probe can be placed at " + "\n".join(lines))


def find(wanted: Wanted, view: View, *, near: bool = True) -> Place | Refusal:
    """Looks at a place; `near`: says which ones beside it work."""
    where = f"{wanted.config.vm}:{wanted.label}"
    found = _look(view, wanted.va, hvc=wanted.config.mode == "hvc", thumb=wanted.thumb)
    if isinstance(found, str):
        return Refusal(where=where, reason=found, nearest=nearest(wanted, view) if near else ())
    code, size, displaced = found
    return Place(
        wanted=wanted,
        code=code,
        size=size,
        displaced=displaced,
    )


def nearest(wanted: Wanted, view: View) -> tuple[str, ...]:
    """Places beside a refused one, in the same function, that work in any mode: the nearest first."""
    return tuple(itertools.islice(_around(wanted, view), _NEAREST))


def class_name(operation: Operation) -> str:
    """A class of emulation, for people: "load multiple"."""
    return operation.emulation.name.lower().replace("_", " ")


def disassemble(code: Code) -> str:
    """An instruction as text; its bytes where it is none."""
    mode = capstone.CS_MODE_THUMB if code.encoding is Encoding.T32 else capstone.CS_MODE_ARM
    reader = capstone.Cs(capstone.CS_ARCH_ARM, mode)
    for _, _, mnemonic, operands in reader.disasm_lite(code.data, code.va, 1):
        return f"{mnemonic} {operands}".strip()
    return code.data[:4].hex()


def _look(
    view: View, va: int, *, hvc: bool, thumb: bool = False
) -> tuple[Code, int, Operation | None] | str:
    if reason := _out_of_question(view, va, hvc=hvc):
        return reason
    try:
        encoding = view.encoding(va, thumb=thumb)
        code = view.code(va, encoding)
        around, at = view.around(va, encoding)
        reason = _no_code(code, around, at, thumb=thumb)
        if reason or not hvc:
            return reason or (code, _size(code), None)
    except TranslationFault as fault:
        return fault.message + (f"; {_USER_PAGE}" if view.guest.is_user(va) else "")
    decoded = instruction.check(around, at, va=va, thumb=code.encoding is Encoding.T32)
    if isinstance(decoded, instruction.Refusal):
        return str(decoded)
    if decoded.emulation in _REWRITTEN and va in view.guest.static_branches:
        return _STATIC_BRANCH
    return code, _size(code), decoded


def _out_of_question(view: View, va: int, *, hvc: bool) -> str:
    """Why no probe can be at an address, whatever is there; "": one could."""
    if va in view.guest.symbols.init:
        return GONE
    if hvc and view.guest.is_user(va):
        return _USER_MODE
    return view.unknown(va)


def _no_code(code: Code, around: bytes, at: int, *, thumb: bool) -> str:
    """Why no instruction begins there, or none in T32 if that was said; "": one does."""
    if thumb and code.encoding is Encoding.A32:
        return "an odd address means T32, and here is A32"
    if code.encoding is Encoding.DATA:
        return f"{code.data[:4].hex()} is literal data, not code"
    start = 0
    while start < at:
        first = int.from_bytes(around[start : start + 2], "little")
        start += 4 if code.encoding is Encoding.A32 or instruction.is_long(first) else 2
    return "" if start == at else "it is in the middle of an instruction"


def _size(code: Code) -> int:
    if code.encoding is not Encoding.T32:
        return 4
    return 4 if instruction.is_long(int.from_bytes(code.data[:2], "little")) else 2


def _around(wanted: Wanted, view: View) -> Iterator[str]:
    """Places that work in the same function, outwards from the refused one."""
    symbols = view.guest.symbols
    function = symbols.at(wanted.va)
    if function is None:
        return
    low, high = function[0].va, symbols.end_of(function[0])
    offsets = sorted(range(-_NEAR_BYTES, _NEAR_BYTES + 1, 2), key=lambda at: (abs(at), -at))
    for va in ((wanted.va & ~1) + offset for offset in offsets):
        if low <= va < high and not isinstance(_look(view, va, hvc=True), str):
            yield f"{wanted.config.vm}:{symbols.name_of(va)}"
