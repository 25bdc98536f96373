# SPDX-License-Identifier: MIT
"""The `print fmt` of the kernel's event formats, turned into functions of columns.

A format file ends with the arguments of a printf call in C. Here they are parsed once a format and
evaluated on columns: an argument that depends on one field is worked out once for each value that
occurs, which makes a million events cheap. It knows the expressions and helpers that trace events
use; an event whose text needs more is shown as ``field=value``, never wrongly.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.trace.timeline import EventFormat

Row = Mapping[str, Any]
"""Fields of one event: numbers as int, texts as str, other arrays as tuples."""
Value = Callable[[Row], Any]


class UnknownExpression(Exception):
    """The text holds something this module cannot evaluate."""


@dataclass(frozen=True)
class Argument:
    """An argument of the printf.

    Attributes:
        fields: Names of the event's fields that it depends on.
        value: The argument of one event.
    """

    fields: frozenset[str]
    value: Value


@dataclass(frozen=True)
class PrintFormat:
    """How an event's details are printed: ``template % arguments``.

    Attributes:
        template: In Python's % form, of one conversion for each argument.
        arguments: In order.
    """

    template: str
    arguments: tuple[Argument, ...]


def compile_print_format(
    event: EventFormat,
    symbols: Callable[[int], str] = hex,
    texts: Mapping[int, str] | None = None,
) -> PrintFormat:
    """Parses an event's `print fmt`; `field=value` for each field where that is not possible.

    Args:
        event: The event's format.
        symbols: Name of a kernel address, for %ps.
        texts: The kernel's texts by address, for %s of a pointer; others are shown as numbers.
    """
    try:
        return _compile(event, symbols, texts or {})
    except UnknownExpression:
        return plain_format(event)


def plain_format(event: EventFormat) -> PrintFormat:
    """The fields of the event by name, the common ones left out."""
    names = [each.name for each in event.fields if not each.name.startswith("common_")]
    return PrintFormat(
        " ".join(f"{name.replace('%', '%%')}=%s" for name in names),
        tuple(Argument(frozenset({name}), _field(name)) for name in names),
    )


def _field(name: str) -> Value:
    return lambda row: row[name]


_PRINT_FMT: Final = re.compile(r"^print fmt: (.*)", re.MULTILINE | re.DOTALL)
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>\"(?:[^\"\\]|\\.)*\")|(?P<number>0[xX][0-9a-fA-F]+|\d+)[uUlL]*"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<op>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!?:(),{}<>\[\]]))"
)
_CONVERSION: Final = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d*)(?P<precision>(?:\.\d+)?)"
    r"(?P<length>hh|h|ll|l|L|z|j|t)?(?P<kind>[diouxXcsp%])(?P<extra>[sSfF])?"
)
_ESCAPES: Final = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
_TYPE_WORDS: Final = frozenset(
    {
        *("unsigned", "signed", "long", "int", "short", "char", "void", "const", "struct"),
        *("u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"),
        *("size_t", "pid_t", "bool", "gfp_t", "dev_t"),
    }
)


def _quotient(a: int, b: int) -> int:
    """C's division, towards zero; by zero gives 0, as trace-cmd prints it."""
    if b == 0:
        return 0
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_BINARY: Final[Sequence[Mapping[str, Callable[[Any, Any], Any]]]] = (
    {"||": lambda a, b: int(bool(a) or bool(b))},
    {"&&": lambda a, b: int(bool(a) and bool(b))},
    {"|": lambda a, b: a | b},
    {"^": lambda a, b: a ^ b},
    {"&": lambda a, b: a & b},
    {"==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b)},
    {
        "<": lambda a, b: int(a < b),
        ">": lambda a, b: int(a > b),
        "<=": lambda a, b: int(a <= b),
        ">=": lambda a, b: int(a >= b),
    },
    {"<<": lambda a, b: a << b, ">>": lambda a, b: a >> b},
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {
        "*": lambda a, b: a * b,
        "/": _quotient,
        "%": lambda a, b: a - b * _quotient(a, b),
    },
)
"""C's binary operators, the loosest first."""


@dataclass
class _Parser:
    """Recursive descent over the tokens of a `print fmt`.

    Attributes:
        tokens: Kind and text, an end mark last.
        names: The event's fields.
        used: Fields of the argument being parsed.
    """

    tokens: list[tuple[str, str]]
    names: frozenset[str]
    at: int = 0
    used: set[str] = field(default_factory=set)

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)][1]

    def take(self, expected: str | None = None) -> str:
        kind, text = self.tokens[self.at]
        if kind == "end" or (expected is not None and text != expected):
            raise UnknownExpression(f"{expected} expected, not {text}")
        self.at += 1
        return text

    def arguments(self) -> list[Argument]:
        found = []
        while self.tokens[self.at][0] != "end":
            self.take(",")
            self.used = set()
            value = self.ternary()
            found.append(Argument(frozenset(self.used), value))
        return found

    def ternary(self) -> Value:
        condition = self.binary(0)
        if self.peek() != "?":
            return condition
        self.take("?")
        yes = self.ternary()
        self.take(":")
        no = self.ternary()
        return lambda row: yes(row) if condition(row) else no(row)

    def binary(self, level: int) -> Value:
        if level == len(_BINARY):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in _BINARY[level]:
            left = _applied(_BINARY[level][self.take()], left, self.binary(level + 1))
        return left

    def unary(self) -> Value:
        text = self.peek()
        if text in {"-", "~", "!"}:
            self.take()
            value = self.unary()
            apply: Callable[[Any], Any] = {
                "-": lambda a: -a,
                "~": lambda a: ~a,
                "!": lambda a: int(not a),
            }[text]
            return lambda row: apply(value(row))
        if text == "(" and self.is_cast():
            while self.take() != ")":
                pass
            return self.unary()
        return self.primary()

    def is_cast(self) -> bool:
        ahead = 1
        while self.peek(ahead) in _TYPE_WORDS or self.peek(ahead) == "*":
            ahead += 1
        return ahead > 1 and self.peek(ahead) == ")"

    def primary(self) -> Value:
        kind, text = self.tokens[self.at]
        if kind == "string":
            parts = []
            while self.tokens[self.at][0] == "string":
                parts.append(_unescaped(self.take()))
            whole = "".join(parts)
            return lambda _row: whole
        if kind == "number":
            number = _number(self.take())
            return lambda _row: number
        if text == "(":
            self.take()
            value = self.ternary()
            self.take(")")
            return value
        if text == "REC":
            self.take()
            self.take("->")
            return self.indexed(self.field())
        if kind == "name" and self.peek(1) == "(":
            return self.call()
        raise UnknownExpression(text)

    def field(self) -> Value:
        name = self.take()
        if name not in self.names:
            raise UnknownExpression(name)
        self.used.add(name)
        return _field(name)

    def indexed(self, array: Value) -> Value:
        if self.peek() != "[":
            return array
        self.take("[")
        index = self.ternary()
        self.take("]")
        return lambda row: array(row)[index(row)]

    def call(self) -> Value:
        name = self.take()
        self.take("(")
        if name in {"__get_str", "__get_dynamic_array"}:
            value = self.field()
        elif name == "__get_bitmask":
            bits = self.field()
            value = lambda row: _bitmask(bits(row))  # noqa: E731 - one small case of several
        elif name in {"__print_flags", "__print_symbolic"}:
            value = self.table(is_flags=name == "__print_flags")
        else:
            raise UnknownExpression(name)
        self.take(")")
        return value

    def table(self, *, is_flags: bool) -> Value:
        number = self.ternary()
        separator = ""
        if is_flags:
            self.take(",")
            separator = _unescaped(self.take())
        names: list[tuple[int, str]] = []
        while self.peek() == ",":
            self.take(",")
            self.take("{")
            key = self.ternary()({})
            self.take(",")
            names.append((key, self.ternary()({})))
            self.take("}")
        if is_flags:
            return lambda row: _flags(number(row), separator, names)
        symbols = dict(reversed(names))
        return lambda row: symbols.get(number(row)) or f"0x{number(row):x}"


def _applied(apply: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    return lambda row: apply(left(row), right(row))


def _number(text: str) -> int:
    if len(text) > 1 and text[0] == "0" and text.isdecimal():
        return int(text, 8)
    return int(text, 0)


def _unescaped(literal: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), literal[1:-1])


def _flags(value: int, separator: str, names: Sequence[tuple[int, str]]) -> str:
    parts = []
    for mask, name in names:
        if mask and value & mask == mask:
            parts.append(name)
            value &= ~mask
    if value:
        parts.append(f"0x{value:x}")
    return separator.join(parts)


def _bitmask(words: Sequence[int]) -> str:
    """As the kernel prints it: 32-bit words, the highest first."""
    return ",".join(f"{word:08x}" for word in reversed(words)) if words else "0"


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise UnknownExpression(text[at : at + 20])
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return [*tokens, ("end", "")]


def _compile(
    event: EventFormat, symbols: Callable[[int], str], texts: Mapping[int, str]
) -> PrintFormat:
    found = _PRINT_FMT.search(event.text)
    if found is None:
        raise UnknownExpression("no print fmt")
    parser = _Parser(_tokens(found[1]), frozenset(each.name for each in event.fields))
    template = ""
    while parser.tokens[parser.at][0] == "string":
        template += _unescaped(parser.take())
    arguments = parser.arguments()
    pieces: list[str] = []
    at = used = 0
    for each in _CONVERSION.finditer(template):
        pieces.append(template[at : each.start()].replace("%", "%%"))
        at = each.end()
        if each["kind"] == "%":
            pieces.append("%%")
            continue
        if used == len(arguments):
            raise UnknownExpression("more conversions than arguments")
        conversion, convert = _conversion(each, symbols, texts)
        if convert is not None:
            arguments[used] = Argument(
                arguments[used].fields, _then(convert, arguments[used].value)
            )
        pieces.append(conversion)
        used += 1
        if each["extra"] and each["kind"] != "p":
            pieces.append(each["extra"])
    pieces.append(template[at:].replace("%", "%%"))
    if used != len(arguments):
        raise UnknownExpression("more arguments than conversions")
    return PrintFormat("".join(pieces), tuple(arguments))


def _then(convert: Callable[[Any], Any], value: Value) -> Value:
    return lambda row: convert(value(row))


def _conversion(
    found: re.Match[str], symbols: Callable[[int], str], texts: Mapping[int, str]
) -> tuple[str, Callable[[Any], Any] | None]:
    """Python's conversion for one of C's, and what is done to the argument first."""
    kind, flags, width = found["kind"], found["flags"], found["width"]
    shape = f"%{flags}{width}{found['precision']}"
    if kind == "p":
        if found["extra"] in {"s", "S", "f", "F"}:
            return f"%{flags}{width}s", symbols
        return f"%{flags}{width}s", "0x{:08x}".format
    if kind == "s":
        return (
            shape + "s",
            lambda value: value if isinstance(value, str) else texts.get(value, f"0x{value:x}"),
        )
    if kind == "c":
        return shape + "c", lambda value: chr(value & 0xFF)
    if kind in "uxXo":
        bits = 64 if found["length"] in {"ll", "L", "j"} else 32
        return shape + ("d" if kind == "u" else kind), lambda value: value & ((1 << bits) - 1)
    return shape + "d", int
