# SPDX-License-Identifier: MIT
"""Where a Linux kernel writes its own code while it works, from the bytes of its image.

A static branch is a NOP or a branch that the kernel changes into the other one when what it depends
on changes. They are in the table `__jump_table` of addresses: of the place, of its target, and of the
key, which is data (kernel: include/linux/jump_label.h, struct jump_entry; 32-bit ARM has no relative
ones). No symbol of it is left in a kernel's kallsyms, so its rows are known by their form. Kprobes
refuses the same places.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

_NOP: Final = 0xE320_F000
_B: Final = 0xEA
_B_SHIFT: Final = 24
_REACH: Final = 0x1_0000
"""Bytes; a static branch does not leave its function."""


def static_branches(image: bytes, *, image_va: int, functions: Sequence[int]) -> frozenset[int]:
    """Addresses of a kernel's static branches; none, where its code is T32.

    Args:
        image: The kernel, uncompressed.
        image_va: Of its first byte.
        functions: Addresses of all functions.
    """
    if not functions:
        return frozenset()
    first, last = min(functions), max(functions)
    words = np.frombuffer(image, "<u4", len(image) // 4).astype(np.int64)
    place, target, key = words[:-2], words[1:-1], words[2:]
    in_text = (words >= first) & (words <= last)
    rows = in_text[:-2] & in_text[1:-1] & (np.abs(target - place) < _REACH) & (key > last)
    found = np.unique(place[rows & (place % 4 == 0)])
    code = words[(found - image_va) // 4]
    return frozenset(found[(code == _NOP) | (code >> _B_SHIFT == _B)].tolist())
