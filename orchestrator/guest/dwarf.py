# SPDX-License-Identifier: MIT
"""C types from the DWARF of an ELF file: what a global variable is, where a member lies.

Only what a fetch needs: numbers, pointers, structures, unions and arrays. Bit fields and C++ are
told apart and refused by whoever asks for them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from orchestrator.errors import Interrupted, StorageError, UsageError
from orchestrator.guest.types import Kind, Member, closest

_TRANSPARENT: Final = frozenset(
    {
        *("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"),
        *("DW_TAG_restrict_type", "DW_TAG_atomic_type"),
    }
)
_STRUCTS: Final = frozenset({"DW_TAG_structure_type", "DW_TAG_union_type"})
_NAMED: Final = _STRUCTS | {"DW_TAG_typedef", "DW_TAG_base_type", "DW_TAG_enumeration_type"}
# DW_ATE_signed and DW_ATE_signed_char (DWARF 5, 7.8).
_SIGNED: Final = frozenset({5, 6})
_CHARS: Final = frozenset({6, 8})
_POINTER_BYTES: Final = 4


class CType:
    """A C type, read on demand.

    Args:
        dwarf: Where it is from.
        die: Its entry; None: void.
        pointed: Makes it a pointer to that, whether or not the program has such a type.
    """

    def __init__(self, dwarf: Dwarf, die: Any, *, pointed: CType | None = None) -> None:
        self._dwarf = dwarf
        self._pointed = pointed
        self._named = die
        while die is not None and die.tag in _TRANSPARENT:
            die = _type_of(die)
        if die is not None and die.tag in _STRUCTS and "DW_AT_declaration" in die.attributes:
            die = dwarf.definition(_name(die)) or die
        self._die = die

    @property
    def kind(self) -> Kind:
        """What can be done with it."""
        if self._pointed is not None:
            return "pointer"
        tag = None if self._die is None else self._die.tag
        if tag in {"DW_TAG_base_type", "DW_TAG_enumeration_type"}:
            return "integer"
        if tag == "DW_TAG_pointer_type":
            return "pointer"
        if tag in _STRUCTS:
            return "struct"
        return "array" if tag == "DW_TAG_array_type" else "other"

    @property
    def bytes(self) -> int:
        """Its size; 0: none is known."""
        if self.kind == "pointer":
            return _POINTER_BYTES
        if self._die is None:
            return 0
        if self.kind == "array":
            return self.target.bytes * self.count
        return _number(self._die, "DW_AT_byte_size")

    @property
    def signed(self) -> bool:
        """Whether it is a signed number."""
        return self._encoding in _SIGNED

    @property
    def is_char(self) -> bool:
        """Whether it is a character, so that an array of it may be a string."""
        return self._encoding in _CHARS

    @property
    def _encoding(self) -> int:
        return 0 if self._die is None else _number(self._die, "DW_AT_encoding")

    @cached_property
    def target(self) -> CType:
        """Of a pointer or an array: of what."""
        if self._pointed is not None:
            return self._pointed
        return CType(self._dwarf, _type_of(self._die))

    @property
    def count(self) -> int:
        """Of an array: its elements, all dimensions together; 0: not known."""
        count = 1
        for child in self._die.iter_children():
            if child.tag == "DW_TAG_subrange_type":
                if "DW_AT_count" in child.attributes:
                    count *= _number(child, "DW_AT_count")
                else:
                    count *= _number(child, "DW_AT_upper_bound", -1) + 1
        return count

    @cached_property
    def members(self) -> Mapping[str, Member]:
        """Of a structure or union, those of unnamed members included."""
        found: dict[str, Member] = {}
        for child in self._die.iter_children():
            if child.tag != "DW_TAG_member":
                continue
            offset = _number(child, "DW_AT_data_member_location")
            inner = CType(self._dwarf, _type_of(child))
            name = _name(child)
            if name:
                bits = {"DW_AT_bit_size", "DW_AT_data_bit_offset"} & child.attributes.keys()
                found[name] = Member(name=name, offset=offset, type=inner, bit_field=bool(bits))
            elif inner.kind == "struct":
                for each in inner.members.values():
                    found[each.name] = Member(
                        name=each.name,
                        offset=offset + each.offset,
                        type=each.type,
                        bit_field=each.bit_field,
                    )
        return found

    def member(self, name: str) -> Member:
        """The member of that name.

        Raises:
            UsageError: No structure, or no such member; the message has the closest.
        """
        if self.kind != "struct":
            raise UsageError(f"{self} has no members, so no {name!r}")
        found = self.members.get(name)
        if found is None:
            raise UsageError(f"{self} has no member {name!r}{closest(name, self.members)}")
        return found

    def __str__(self) -> str:
        if self._pointed is not None:
            return f"{self._pointed} *"
        named = _name(self._named) if self._named is not None else "void"
        if self.kind == "struct":
            word = "union" if self._die.tag == "DW_TAG_union_type" else "struct"
            return named if self._named is not self._die else f"{word} {named}"
        if self.kind == "pointer" and not named:
            return f"{self.target} *"
        if self.kind == "array":
            return f"{self.target}[{self.count}]"
        return named or self.kind


class Dwarf:
    """The types of one ELF file.

    Args:
        path: The file.

    Raises:
        UsageError: It is no ELF file; of damaged types, when the first one is looked up.
        StorageError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            elf = ELFFile(io.BytesIO(path.read_bytes()))
            self._info = elf.get_dwarf_info() if elf.has_dwarf_info() else None
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
        except ELFError as error:
            raise UsageError(f"{path}: not an ELF file: {error}") from error

    @cached_property
    def _index(self) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            return self._read()
        except Interrupted:  # raised wherever a run is
            raise
        except Exception as error:  # pyelftools meets damage with whatever comes of it
            raise UsageError(
                f"{self.path}: its debug information cannot be read ({error}); build it anew"
            ) from error

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Global variables and named types, by name; of the latter also as "struct NAME"."""
        variables: dict[str, Any] = {}
        types: dict[str, Any] = {}
        for unit in self._info.iter_CUs() if self._info is not None else ():
            for die in unit.get_top_DIE().iter_children():
                name = _name(die)
                if die.tag == "DW_TAG_variable" and name:
                    # A definition tells the size of an array, a declaration may not.
                    if name not in variables or "DW_AT_declaration" not in die.attributes:
                        variables[name] = die
                elif die.tag in _NAMED and name and "DW_AT_declaration" not in die.attributes:
                    if die.tag in _STRUCTS:
                        word = "union" if die.tag == "DW_TAG_union_type" else "struct"
                        types.setdefault(f"{word} {name}", die)
                    elif die.tag == "DW_TAG_enumeration_type":
                        types.setdefault(f"enum {name}", die)
                    else:
                        types.setdefault(name, die)
        return variables, types

    def definition(self, name: str) -> Any:
        """The entry that defines a structure which another unit only declares; None: nowhere."""
        _, types = self._index
        return types.get(f"struct {name}") or types.get(f"union {name}")

    def variable(self, name: str) -> CType | None:
        """The type of a global variable; None: there is nothing about it."""
        variables, _ = self._index
        die = variables.get(name)
        if die is not None and "DW_AT_specification" in die.attributes:
            inner = die.get_DIE_from_attribute("DW_AT_specification")
            die = die if "DW_AT_type" in die.attributes else inner
        return None if die is None else CType(self, _type_of(die))

    def type(self, name: str) -> CType:
        """A type by its name as in C: "OS_TCB", "struct os_tcb".

        Raises:
            UsageError: None of that name; the message has the closest.
        """
        _, types = self._index
        die = types.get(name)
        if die is None:
            raise UsageError(f"{self.path.name}: no type {name!r}{closest(name, types)}")
        return CType(self, die)

    def pointer_to(self, name: str) -> CType:
        """A pointer to a type by its name.

        Raises:
            UsageError: As `type`.
        """
        return CType(self, None, pointed=self.type(name))


def _type_of(die: Any) -> Any:
    return die.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in die.attributes else None


def _name(die: Any) -> str:
    attribute = die.attributes.get("DW_AT_name")
    return attribute.value.decode(errors="replace") if attribute else ""


def _number(die: Any, attribute: str, default: int = 0) -> int:
    found = die.attributes.get(attribute)
    return found.value if found is not None and isinstance(found.value, int) else default
