# SPDX-License-Identifier: MIT
"""Tables of instruction encodings: one row a line, as the architecture's manual draws them.

A row's pattern has 32 letters, the highest bit first: `0` and `1` must be so, any other letter
belongs to the field of that name, `.` may be anything. The first row that matches decides.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.probe.emulation import NO_FLAGS, Flag, Operation, Shift

Fields = Mapping[str, int]
_BITS: Final = 32
_INDEX_SHIFT: Final = 20
_INDEX_SIZE: Final = 1 << 12


class Reason(enum.Enum):
    """Why an instruction can't be displaced by an HVC."""

    LITERAL = "it is literal data, not an instruction"
    SHORT = "it has 16 bits, and an HVC has 32"
    IT_BLOCK = "it is in an IT block or begins one"
    EXCLUSIVE = "an exclusive pair would never succeed: a trap clears the monitor"
    CALL = "it enters another mode by itself (SVC, HVC, SMC, BKPT, UDF)"
    RETURN = "it returns from an exception, or stores for one"
    USER_BANK = "it moves registers of another mode"
    VFP = "it is a VFP or Advanced SIMD instruction"
    COPROCESSOR = "it accesses a system register that the hypervisor does not emulate"
    WAITS = "it waits for an event or interrupt"
    UNPREDICTABLE = "the architecture calls it unpredictable"
    UNKNOWN = "it is no instruction of ARMv7-A that the hypervisor knows"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An instruction that can't be displaced.

    Attributes:
        reason: Why not.
    """

    reason: Reason

    def __str__(self) -> str:
        return self.reason.value


Decoded = Operation | Refusal


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a decoder may need beside the fields.

    Attributes:
        va: Address of the instruction.
        cond: Its condition.
    """

    va: int
    cond: int


Decoder = Callable[[Fields, Context], Decoded]


def refuse(reason: Reason) -> Decoder:
    """A decoder that says no."""
    refusal = Refusal(reason=reason)
    return lambda _fields, _context: refusal


UNPREDICTABLE: Final = Refusal(reason=Reason.UNPREDICTABLE)
UNKNOWN: Final = Refusal(reason=Reason.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One encoding.

    Attributes:
        name: Of the instructions, for people.
        mask: Bits that must be so.
        value: How.
        fields: For each its parts, the highest first: how far to shift right, and the mask then.
        decode: What the instruction does.
    """

    name: str
    mask: int
    value: int
    fields: Mapping[str, tuple[tuple[int, int], ...]]
    decode: Decoder

    def read(self, word: int) -> Fields:
        """The fields of a word that matches. A field in several parts is put together."""
        result = {}
        for name, parts in self.fields.items():
            value = 0
            for shift, mask in parts:
                value = value << mask.bit_length() | (word >> shift & mask)
            result[name] = value
        return result


def row(pattern: str, name: str, decode: Decoder) -> Row:
    """A row from its picture; blanks don't count."""
    bits = pattern.replace(" ", "")
    if len(bits) != _BITS:
        raise ValueError(f"{name}: {len(bits)} bits in {pattern!r}")
    fields: dict[str, list[tuple[int, int]]] = {}
    before = ""
    for index, letter in enumerate(bits):
        shift = _BITS - 1 - index
        if letter not in "01.":
            parts = fields.setdefault(letter, [])
            if letter == before:
                parts[-1] = (shift, parts[-1][1] << 1 | 1)
            else:
                parts.append((shift, 1))
        before = letter
    return Row(
        name=name,
        mask=int("".join("1" if bit in "01" else "0" for bit in bits), 2),
        value=int("".join("1" if bit == "1" else "0" for bit in bits), 2),
        fields={field: tuple(parts) for field, parts in fields.items()},
        decode=decode,
    )


class Table:
    """Rows in order, found by the upper bits of a word.

    Args:
        rows: The first that matches decides.
    """

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows
        self._by_top: dict[int, tuple[Row, ...]] = {}

    def find(self, word: int) -> Row | None:
        """The row that a word belongs to."""
        top = word >> _INDEX_SHIFT
        candidates = self._by_top.get(top)
        if candidates is None:
            candidates = tuple(
                row
                for row in self.rows
                if not (row.value ^ word) & row.mask & (_INDEX_SIZE - 1) << _INDEX_SHIFT
            )
            self._by_top[top] = candidates
        return next((row for row in candidates if word & row.mask == row.value), None)


def sign_extend(value: int, bits: int) -> int:
    """A two's complement number of `bits` bits as an int."""
    return value - (value >> (bits - 1) << bits)


def immediate_shift(kind: int, amount: int) -> tuple[int, int]:
    """Type and amount of a shift by a constant, of which 0 has meanings of its own (A8.4.3)."""
    if amount == 0 and kind == Shift.ROR:
        return Shift.RRX, 0
    if amount == 0 and kind != Shift.LSL:
        return kind, 32
    return kind, amount


def rotated_carry(*, value: int, rotated: bool) -> Flag:
    """What a constant does to the carry of an operation that keeps the shifter's."""
    if not rotated:
        return NO_FLAGS
    return Flag.CARRY_SET if value >> 31 else Flag.CARRY_CLEAR
