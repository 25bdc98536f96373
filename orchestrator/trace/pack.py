# SPDX-License-Identifier: MIT
"""Packs values into records of trace events, many at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.trace.timeline import EventFormat


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """Events that are ready to be merged.

    Attributes:
        time_ns: Guest time; uint64[n].
        cpu: Core of the board; uint16[n].
        records: uint8[n, m], m a multiple of four.
        format: Of all of them.
        source: Position in the timeline's sources.
    """

    time_ns: NDArray[np.uint64]
    cpu: NDArray[np.uint16]
    records: NDArray[np.uint8]
    format: EventFormat
    source: int


def pack(
    form: EventFormat,
    values: Mapping[str, NDArray[Any]],
    *,
    time_ns: NDArray[np.uint64],
    cpu: NDArray[Any],
    source: int,
) -> Packed:
    """Makes records of one format.

    Args:
        form: Their format; fixed-size fields only.
        values: By field name, whole numbers or bytes, as many as events. Fields of the format that
            are not named are 0; names that the format has not are left out, since kernels differ.
        time_ns: Of each event.
        cpu: Of each event.
        source: See `Packed`.
    """
    size = -(-max(each.offset + each.bytes for each in form.fields) // 4) * 4
    records = np.zeros((len(time_ns), size), np.uint8)
    all_values = {"common_type": np.full(len(time_ns), form.id), **values}
    for field in form.fields:
        if field.name not in all_values:
            continue
        value = all_values[field.name]
        raw = value.astype(f"S{field.bytes}" if value.dtype.kind == "S" else f"<i{field.bytes}")
        bytes_of = np.ascontiguousarray(raw).view(np.uint8).reshape(len(raw), field.bytes)
        if value.dtype.kind == "S":
            bytes_of = bytes_of.copy()
            bytes_of[:, -1:] = 0  # the kernel's strings end with a NUL
        records[:, field.offset : field.offset + field.bytes] = bytes_of
    return Packed(
        time_ns=time_ns, cpu=cpu.astype(np.uint16), records=records, format=form, source=source
    )
