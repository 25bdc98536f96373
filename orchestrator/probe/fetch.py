# SPDX-License-Identifier: MIT
"""Fetch arguments, as a probe's user writes them, compiled to registers, offsets and loads.

::

    fetch   = [NAME "="] expr [":" type]
    type    = u8 u16 u32 u64 s8 s16 s32 s64 | "string" ["[" BYTES "]"]
    expr    = "*" expr | "(" C-TYPE "*" ")" expr | operand { "->" MEMBER | "." MEMBER | "[" N "]" }
    operand = VARIABLE | "%" REGISTER | "$stack" [N] | "$arg" N | "@" (VARIABLE | ADDRESS)
            | ("+" | "-") N "(" expr ")" | "(" expr ")"

The forms are those of perf and of kprobe events, with C's for what DWARF knows. Compiled, each is a
register or a constant, and loads with offsets; `program` makes one program of all of a probe.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from orchestrator import records
from orchestrator.errors import UsageError
from orchestrator.guest.symbols import SymbolTable
from orchestrator.guest.types import CType, Types

BASE_CPSR: Final = 16
BASE_NONE: Final = 17
_REGISTERS: Final = {
    **{f"r{number}": number for number in range(16)},
    "ip": 12,
    "sp": 13,
    "lr": 14,
    "pc": 15,
    "cpsr": BASE_CPSR,
    "tpidruro": 18,
}
_SP: Final = 13
_ARGUMENT_REGISTERS: Final = 4  # AAPCS: the fifth argument is the first word of the stack
_STRING_BYTES: Final = 16
_MAX_LOADS: Final = 6
_WORD_BYTES: Final = 4

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>0x[0-9a-fA-F]+|\d+)|(?P<name>[A-Za-z_]\w*)|(?P<sign>->|[%$@().\[\]*+:=-]))"
)
_TYPE: Final = re.compile(r"([us])(8|16|32|64)|string(?:\[(\d+)\])?")


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """One thing to read at a hit, compiled.

    Attributes:
        name: Of the value in all that shows it.
        text: What was asked for.
        type: "u32", "s8", "string" and so on.
        c_type: As DWARF has it; "" where it does not say.
        base: Register, or `BASE_NONE`.
        value: Added to it.
        offsets: One for each load.
        bytes: Of the value; of a string at most.
    """

    name: str
    text: str
    type: str
    c_type: str
    base: int
    value: int
    offsets: tuple[int, ...]
    bytes: int

    @property
    def words(self) -> int:
        """Words of a record that it takes."""
        return -(-self.bytes // _WORD_BYTES) if self.offsets else 1


def compile_fetch(text: str, *, symbols: SymbolTable, types: Types | None, name: str = "") -> Fetch:
    """Compiles one fetch argument.

    Args:
        text: As the module's docstring has it.
        symbols: Of the guest.
        types: Of the guest; None: they are not known.
        name: Used where the text gives none; "" makes one of the text.

    Raises:
        UsageError: It cannot be read, or not be done; the message says where and why.
    """
    return _Parser(text, symbols, types).fetch(name)


@dataclass(frozen=True, kw_only=True)
class _Value:
    """An expression so far: `offset` beyond what the loads found, there if `lvalue`.

    `type` None is a plain word. Not an lvalue: the address itself is the value.
    """

    base: int = BASE_NONE
    value: int = 0
    loads: tuple[int, ...] = ()
    offset: int = 0
    lvalue: bool = False
    type: CType | None = None

    def loaded(self) -> "_Value":
        """The pointer or number that is there, as a value."""
        if not self.lvalue:
            return self
        return replace(self, loads=(*self.loads, self.offset), offset=0, lvalue=False)

    def at(self, offset: int, kind: CType | None) -> "_Value":
        """What lies `offset` bytes from here, as something that can be loaded."""
        return replace(self, offset=self.offset + offset, lvalue=True, type=kind)


class _Parser:
    def __init__(self, text: str, symbols: SymbolTable, types: Types | None) -> None:
        self._text = text
        self._symbols = symbols
        self._types = types
        self._tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._error(f"{text[at:].strip()[:1]!r} has no meaning here")
            self._tokens.append(match[0].strip())
            at = match.end()
        self._next = 0

    def _error(self, what: str) -> UsageError:
        return UsageError(f"fetch {self._text!r}: {what}")

    def _peek(self, ahead: int = 0) -> str:
        at = self._next + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> str:
        word = self._peek()
        if not word or (wanted and word != wanted):
            what = repr(wanted) if wanted else "something"
            raise self._error(f"{what} is missing {f'before {word!r}' if word else 'at its end'}")
        self._next += 1
        return word

    def _number(self) -> int:
        word = self._take()
        try:
            return int(word, 0)
        except ValueError:
            raise self._error(f"{word!r} is not a number") from None

    def _name(self) -> str:
        word = self._take()
        if not (word[0].isalpha() or word[0] == "_"):
            raise self._error(f"{word!r} is not a name")
        return word

    def fetch(self, name: str) -> Fetch:
        if self._peek(1) == "=":
            name = self._name()
            self._take("=")
        start = self._next
        value = self._expression()
        told = "".join(self._tokens[start : self._next])
        kind = ""
        if self._peek() == ":":
            self._take(":")
            kind = "".join(self._tokens[self._next :])
            self._next = len(self._tokens)
        if self._peek():
            raise self._error(f"{self._peek()!r} is not expected")
        name = name or re.sub(r"\W+", "_", told).strip("_")
        return self._finish(value, name, kind)

    def _finish(self, value: _Value, name: str, kind: str) -> Fetch:
        c_type = str(value.type) if value.type is not None else ""
        if kind.startswith("string"):
            size = self._string_bytes(kind)
            inner = value.type
            if inner is None or inner.kind != "array":
                value = replace(value.loaded(), lvalue=True)
            return self._made(value, name, "string", c_type, size)
        if kind:
            match = _TYPE.fullmatch(kind)
            if match is None:
                raise self._error(f"{kind!r} is not a type; use u8 to s64 or string[BYTES]")
            return self._made(value, name, kind, c_type, int(match[2]) // 8)
        if value.type is None or not value.lvalue:
            return self._made(value, name, "u32", c_type, _WORD_BYTES)
        inner = value.type
        if inner.kind == "array" and inner.target.is_char:
            size = min(inner.bytes or _STRING_BYTES, _STRING_BYTES)
            return self._made(value, name, "string", c_type, size)
        if inner.kind in {"struct", "array"}:
            part = "member" if inner.kind == "struct" else "element"
            raise self._error(f"is a whole {inner}; name a {part} of it")
        if inner.bytes not in {1, 2, 4, 8}:
            raise self._error(f"{inner} has {inner.bytes} bytes; give a type, such as :u32")
        return self._made(
            value, name, f"{'s' if inner.signed else 'u'}{8 * inner.bytes}", c_type, inner.bytes
        )

    def _string_bytes(self, kind: str) -> int:
        match = _TYPE.fullmatch(kind)
        size = int(match[3] or _STRING_BYTES) if match else 0
        if not 0 < size <= records.MAX_STRING:
            raise self._error(f"{kind!r}: a string has 1 to {records.MAX_STRING} bytes")
        return size

    def _made(self, value: _Value, name: str, kind: str, c_type: str, size: int) -> Fetch:
        if not value.lvalue and value.loads and value.offset == 0:
            # The last load gives the value itself.
            *loads, last = value.loads
            value = replace(value, loads=tuple(loads), offset=last, lvalue=True)
        loads_all = (*value.loads, value.offset) if value.lvalue else value.loads
        constant = value.value + (0 if value.lvalue else value.offset)
        if not loads_all and size != _WORD_BYTES:
            raise self._error(f"a register has 4 bytes, not {size}")
        if len(loads_all) > _MAX_LOADS:
            raise self._error(f"takes {len(loads_all)} loads, at most {_MAX_LOADS} are possible")
        return Fetch(
            name=name,
            text=self._text,
            type=kind,
            c_type=c_type,
            base=value.base,
            value=constant,
            offsets=loads_all,
            bytes=size,
        )

    def _expression(self) -> _Value:
        if self._peek() == "*":
            self._take("*")
            return self._dereferenced(self._expression())
        if self._peek() == "(" and (cast := self._cast()) is not None:
            value = self._expression().loaded()
            return replace(value, type=cast)
        return self._postfix(self._operand())

    def _dereferenced(self, value: _Value) -> _Value:
        inner = value.type
        if inner is not None and inner.kind not in {"pointer", "array"}:
            raise self._error(f"* needs a pointer, not {inner}")
        if inner is not None and inner.kind == "array":
            return value.at(0, inner.target)
        return value.loaded().at(0, inner.target if inner is not None else None)

    def _cast(self) -> CType | None:
        """A pointer type in parentheses; None: the parentheses hold an expression."""
        words = []
        at = 1
        while (word := self._peek(at)) and (word[0].isalpha() or word[0] == "_"):
            words.append(word)
            at += 1
        if not words or self._peek(at) != "*" or self._peek(at + 1) != ")":
            return None
        self._next += at + 2
        if self._types is None:
            raise self._error("this guest has no type information")
        return self._types.pointer_to(" ".join(words))

    def _postfix(self, value: _Value) -> _Value:
        steps: dict[str, Callable[[_Value], _Value]] = {
            "->": self._arrow,
            ".": self._dot,
            "[": self._element,
        }
        while step := steps.get(self._peek()):
            self._take()
            value = step(value)
        return value

    def _arrow(self, value: _Value) -> _Value:
        inner = value.type
        if inner is None or inner.kind != "pointer":
            raise self._error(f"-> needs a pointer to a structure, not {inner or 'a plain word'}")
        return self._member(value.loaded().at(0, inner.target))

    def _dot(self, value: _Value) -> _Value:
        if value.type is not None and value.type.kind == "pointer":
            raise self._error(f"{value.type} is a pointer; use ->")
        return self._member(value)

    def _member(self, value: _Value) -> _Value:
        name = self._name()
        if value.type is None:
            raise self._error("its type is not known; give one by a cast")
        try:
            member = value.type.member(name)
        except UsageError as error:
            raise self._error(error.message) from None
        if member.bit_field:
            raise self._error(f"{name} is a bit field; fetch the word around it")
        return value.at(member.offset, member.type)

    def _element(self, value: _Value) -> _Value:
        index = self._number()
        self._take("]")
        inner = value.type
        if inner is None or inner.kind not in {"pointer", "array"}:
            raise self._error(f"[] needs an array or a pointer, not {inner or 'a plain word'}")
        if inner.kind == "array":
            if inner.count and index >= inner.count:
                raise self._error(f"{inner} has no element {index}")
            return value.at(index * inner.target.bytes, inner.target)
        return value.loaded().at(index * inner.target.bytes, inner.target)

    def _operand(self) -> _Value:
        word = self._take()
        if word == "(":
            value = self._expression()
            self._take(")")
            return value
        if word == "%":
            return _Value(base=self._register())
        if word == "$":
            return self._special()
        if word == "@":
            return self._memory()
        if word in "+-":
            offset = self._number() * (-1 if word == "-" else 1)
            self._take("(")
            value = self._expression().loaded()
            self._take(")")
            return value.at(offset, None)
        if word[0].isalpha() or word[0] == "_":
            return self._variable(word)
        if word[0].isdigit():
            raise self._error(f"{word} is a number; what is in memory there is @{word}")
        raise self._error(f"{word!r} is not expected")

    def _register(self) -> int:
        name = self._name()
        if name not in _REGISTERS:
            raise self._error(
                f"there is no register %{name}; r0 to r15, sp, lr, pc, cpsr, tpidruro"
            )
        return _REGISTERS[name]

    def _special(self) -> _Value:
        name = self._name()
        match = re.fullmatch(r"(stack|arg)(\d*)", name)
        if match is None or (match[1] == "arg" and match[2] in {"", "0"}):
            raise self._error(f"${name} is not known; use $stack, $stackN or $argN from 1")
        if match[1] == "stack":
            stack = _Value(base=_SP)
            return stack.at(int(match[2]) * _WORD_BYTES, None) if match[2] else stack
        number = int(match[2]) - 1
        if number < _ARGUMENT_REGISTERS:
            return _Value(base=number)
        return _Value(base=_SP).at((number - _ARGUMENT_REGISTERS) * _WORD_BYTES, None)

    def _memory(self) -> _Value:
        word = self._peek()
        if word[:1].isdigit():
            return _Value(value=self._number()).at(0, None)
        return _Value(value=self._symbols.find(self._name()).va).at(0, None)

    def _variable(self, name: str) -> _Value:
        kind = self._types.variable(name) if self._types is not None else None
        try:
            symbol = self._symbols.find(name)
        except UsageError as error:
            raise self._error(error.message) from None
        if symbol.kind == "absolute":
            return _Value(value=symbol.va)
        if symbol.kind == "function":
            raise self._error(f"{name} is a function; for its first word ask for @{name}")
        return _Value(value=symbol.va).at(0, kind)
