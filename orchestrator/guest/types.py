# SPDX-License-Identifier: MIT
"""What a fetch needs to know of C types, wherever they were read from.

Who reads them: `dwarf` (an ELF file's debug information) and `linux_tasks` (a kernel without any).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["integer", "pointer", "struct", "array", "other"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of a structure or union.

    Attributes:
        name: Its name.
        offset: In bytes from the structure's start.
        type: What it is.
        bit_field: Whether it has no address of its own.
    """

    name: str
    offset: int
    type: CType
    bit_field: bool = False


class CType(Protocol):
    """A C type."""

    @property
    def kind(self) -> Kind:
        """What can be done with it."""

    @property
    def bytes(self) -> int:
        """Its size; 0: none is known."""

    @property
    def signed(self) -> bool:
        """Whether it is a signed number."""

    @property
    def is_char(self) -> bool:
        """Whether it is a character, so that an array of it may be a string."""

    @property
    def target(self) -> CType:
        """Of a pointer or an array: of what."""

    @property
    def count(self) -> int:
        """Of an array: its elements, all dimensions together; 0: not known."""

    def member(self, name: str) -> Member:
        """The member of that name.

        Raises:
            UsageError: No structure, or no such member; the message has the closest.
        """


class Types(Protocol):
    """The types of one guest."""

    def variable(self, name: str) -> CType | None:
        """The type of a global variable; None: there is nothing about it."""

    def pointer_to(self, name: str) -> CType:
        """A pointer to a type by its name, as in C.

        Raises:
            UsageError: There is no such type; the message has the closest.
        """


def closest(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is not known."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return "; did you mean " + " or ".join(near) + "?" if near else ""
