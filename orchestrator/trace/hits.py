# SPDX-License-Identifier: MIT
"""Hits of probes as trace events of the system "probe": one event for each probe."""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from orchestrator.trace.formats import make_format
from orchestrator.trace.pack import Packed, pack
from orchestrator.trace.streams import Fetched, Probe
from orchestrator.trace.timeline import Field


def hit_events(
    hits: NDArray[np.void],
    probe: Probe,
    *,
    source: int,
    next_id: Callable[[], int],
    pid: NDArray[np.int64],
) -> Packed:
    """Packs the records of one probe.

    Args:
        hits: In order of time.
        probe: The probe.
        source: See `Packed`.
        next_id: Gives a number that no event has yet.
        pid: The task that ran at each hit.
    """
    names = _names(probe.fetched)
    fields = [
        *(Field(name=each, c_type="u32", offset=0, bytes=4, signed=False) for each in ("ip", "lr")),
        *(_field(name, each) for name, each in names.items()),
    ]
    shown = ["ip=0x%08x", "lr=0x%08x", *(f"{n}={_conversion(e)}" for n, e in names.items())]
    form = make_format(
        number=next_id(),
        system="probe",
        name=re.sub(r"\W+", "_", probe.name),
        fields=fields,
        print_format=f'"{" ".join(shown)}", ' + ", ".join(f"REC->{each.name}" for each in fields),
    )
    time_ns = hits["time_ns"].astype(np.uint64)
    values = {"common_pid": pid, "ip": hits["pc"], "lr": hits["lr"]}
    values |= {name: each.values(hits) for name, each in names.items()}
    return pack(form, values, time_ns=time_ns, cpu=hits["cpu"], source=source)


def _names(fetched: tuple[Fetched, ...]) -> dict[str, Fetched]:
    """Names that C would take, each but once."""
    names: dict[str, Fetched] = {}
    for each in fetched:
        name = re.sub(r"\W+", "_", each.name).strip("_") or "value"
        if name[0].isdigit() or name in {"ip", "lr"}:
            name = f"_{name}"
        while name in names:
            name += "_"
        names[name] = each
    return names


def _field(name: str, each: Fetched) -> Field:
    c_type = f"char[{each.bytes}]" if each.type == "string" else each.type
    return Field(
        name=name,
        c_type=c_type,
        offset=0,
        bytes=each.bytes,
        signed=each.type.startswith("s") and each.type != "string",
    )


def _conversion(each: Fetched) -> str:
    if each.type == "string":
        return "%s"
    return ("%ll" if each.bytes == 8 else "%") + each.type[0].replace("s", "d")  # noqa: PLR2004
