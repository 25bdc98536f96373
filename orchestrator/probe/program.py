# SPDX-License-Identifier: MIT
"""Fetches of a probe made one program: the operations that both observers run at a hit.

What an operation means is `images/abi/trace.h` (`struct trace_op`). A pointer is loaded once for all
that is read through it in a row, so `OSTCBCur->OSTCBId`, `OSTCBCur->OSTCBPrio` cost three loads and
not four, and a value that is also the next fetch's pointer none of its own.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator import records
from orchestrator.probe.fetch import BASE_NONE, Fetch

_MASK: Final = 0xFFFF_FFFF
_WORD_BYTES: Final = 4


class Code(enum.IntEnum):
    """`enum trace_op_code`."""

    END = 0
    SET = 8
    REGISTER = 16
    LOAD = 24
    ADD = 32
    VALUE = 40
    POINTER = 48
    U8 = 56
    U16 = 64
    U32 = 72
    U64 = 80
    STRING = 88
    NAME = 96


_MOVES: Final = {Code.SET, Code.REGISTER, Code.LOAD, Code.ADD, Code.POINTER}
_OF_BYTES: Final = {1: Code.U8, 2: Code.U16, 4: Code.U32, 8: Code.U64}
_WIDTH: Final = {code: width for width, code in _OF_BYTES.items()} | {Code.LOAD: 4, Code.POINTER: 4}
_STRINGS: Final = {Code.STRING, Code.NAME}


@dataclass(frozen=True)
class _Op:
    code: Code
    value: int = 0
    reg: int = BASE_NONE
    extent: int = 0

    @property
    def end(self) -> int:
        """How far it reads behind p; 0: it does not."""
        width = _WIDTH.get(self.code, self.extent if self.code not in _MOVES else 0)
        return self.value + width if width else 0

    @property
    def words(self) -> int:
        """That it writes."""
        if self.code in _STRINGS:
            return -(-self.extent // _WORD_BYTES)
        return 2 if self.code is Code.U64 else int(self.code >= Code.VALUE)


def assemble(fetches: Sequence[Fetch]) -> NDArray[Any]:
    """The program of a probe's fetches, their values in the same order.

    Returns:
        An array of `records.OP` that ends with END.
    """
    writer = _Writer()
    for at, each in enumerate(fetches):
        writer.fetch(each, fetches[at + 1] if at + 1 < len(fetches) else None)
    return writer.packed()


def words(program: NDArray[Any]) -> int:
    """Words of a record that a program writes."""
    return sum(_Op(Code(int(op["code"])), extent=int(op["extent"])).words for op in program.ravel())


class _Writer:
    """Operations so far, and where p is after them."""

    def __init__(self) -> None:
        self._ops: list[_Op] = []
        self._start: tuple[int, int] | None = None  # base and value that p came from
        self._loads: tuple[int, ...] = ()
        self._added = 0

    def fetch(self, wanted: Fetch, after: Fetch | None) -> None:
        if not wanted.offsets:
            self._ops.append(_Op(Code.VALUE, wanted.value, wanted.base))
            return
        *loads, offset = wanted.offsets
        is_pointer = (
            after is not None
            and wanted.bytes == _WORD_BYTES
            and wanted.type != "string"
            and (after.base, after.value) == (wanted.base, wanted.value)
            and after.offsets[:-1][: len(wanted.offsets)] == wanted.offsets
        )
        self._go(wanted, tuple(loads), offset, wanted.bytes)
        at = offset - self._added
        if is_pointer:
            self._ops.append(_Op(Code.POINTER, at))
            self._loads, self._added = wanted.offsets, 0
        elif wanted.type == "string":
            code = Code.NAME if wanted.bytes == records.NAME_BYTES else Code.STRING
            self._ops.append(_Op(code, at, extent=wanted.bytes))
        else:
            self._ops.append(_Op(_OF_BYTES[wanted.bytes], at))

    def _go(self, wanted: Fetch, loads: tuple[int, ...], offset: int, size: int) -> None:
        """Has p point to what `loads` lead to, with [offset, offset + size) in reach."""
        start = (wanted.base, wanted.value)
        if self._start is not None and self._start[0] == wanted.base and not self._loads:
            # p is there, or near.
            self._added += self._start[1] - wanted.value
            self._start = start
        if self._start != start or loads[: len(self._loads)] != self._loads:
            first = loads[0] if loads else offset
            self._added = 0 if self._in_reach(first, size) else first
            code = Code.SET if wanted.base == BASE_NONE else Code.REGISTER
            self._ops.append(_Op(code, wanted.value + self._added, wanted.base))
            self._start, self._loads = start, ()
        for at in loads[len(self._loads) :]:
            self._reach(at, _WORD_BYTES)
            self._ops.append(_Op(Code.LOAD, at - self._added))
            self._loads, self._added = (*self._loads, at), 0
        self._reach(offset, size)

    def _in_reach(self, offset: int, size: int) -> bool:
        return offset >= 0 and offset + size <= records.MAX_EXTENT

    def _reach(self, offset: int, size: int) -> None:
        if not self._in_reach(offset - self._added, size):
            self._ops.append(_Op(Code.ADD, offset - self._added))
            self._added = offset

    def packed(self) -> NDArray[Any]:
        self._ops.append(_Op(Code.END))
        out = np.zeros(len(self._ops), records.OP)
        reach = 1
        for row, op in reversed(list(zip(out, self._ops, strict=True))):
            row["code"], row["reg"], row["value"] = op.code, op.reg, op.value & _MASK
            row["extent"] = reach if op.code in _MOVES else op.extent
            reach = max(op.end, 1) if op.code in _MOVES else max(op.end, reach)
        return out
