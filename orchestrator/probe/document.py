# SPDX-License-Identifier: MIT
"""Probes as plain data: for `probes.json`, for the control socket, for people. docs/probes.md."""

from collections.abc import Iterable
from typing import Any

from orchestrator.config.probes import probe_text
from orchestrator.guest.rtos import RtosProfile
from orchestrator.probe.arm import Hits, Placed
from orchestrator.probe.fetch import Fetch
from orchestrator.probe.guest import Guest
from orchestrator.probe.place import Place, class_name


def document(
    placed: Placed, hits: Hits | None = None, *, removed: bool = False, profile: str | None = None
) -> dict[str, Any]:
    """One probe.

    Args:
        placed: The probe.
        hits: What it has counted; None: not asked for.
        removed: Whether the guest has its own bytes back.
        profile: Name of the RTOS that its guest is.
    """
    out: dict[str, Any] = {"id": placed.id, "vm_index": placed.vm_index, "profile": profile}
    out |= place_document(placed.place)
    if hits is not None:
        out |= {"hits": list(hits.cpu), "recorded": hits.recorded, "removed": removed}
        if hits.hypervisor is not None:
            out["hypervisor_hits"] = list(hits.hypervisor)
        if hits.of_records:
            out["of_records"] = True
    return out


def place_document(place: Place) -> dict[str, Any]:
    """A place, with or without a probe."""
    wanted = place.wanted
    return {
        "name": wanted.name,
        "spec": probe_text(wanted.config),
        "own": wanted.config.own,
        "mode": wanted.config.mode,
        "vm": wanted.config.vm,
        "label": wanted.label,
        "role": wanted.role,
        "va": wanted.va,
        "pa": place.code.pa,
        "encoding": place.code.encoding.value,
        "instruction": place.text,
        "word": place.original[: place.size].hex(),
        "emulation": _class(place),
        "fetch": _fetches(wanted.fetches),
        "current": wanted.current or None,
    }


def _class(place: Place) -> str | None:
    return None if place.displaced is None else class_name(place.displaced)


def _fetches(fetches: tuple[Fetch, ...]) -> list[dict[str, Any]]:
    out = []
    word = 0
    for each in fetches:
        out.append(
            {
                "name": each.name,
                "text": each.text,
                "type": each.type,
                "c_type": each.c_type,
                "word": word,
                "bytes": each.bytes,
            }
        )
        word += each.words
    return out


def _ready(guest: Guest, profile: RtosProfile) -> list[dict[str, Any]]:
    """What is true of a task that could run on: first <= fact & mask <= last."""
    bits = sum(profile.states)
    masks = {"state": bits} if bits else {}
    out: list[dict[str, Any]] = [
        {"fact": fact, "mask": masks.get(fact, 0xFFFF_FFFF), "first": 0, "last": 0}
        for fact in profile.ready_zero
    ]
    for fact, name in profile.ready_within.items():
        variable = guest.symbols.find(name)
        last = variable.va + max(variable.bytes, 1) - 1
        out.append({"fact": fact, "mask": 0xFFFF_FFFF, "first": variable.va, "last": last})
    return out


def profiles_of(guests: Iterable[Guest]) -> dict[str, Any]:
    """What the states of the tasks of each guest's RTOS mean, by the VM's name."""
    out = {}
    for guest in guests:
        profile = guest.profile
        if profile is not None:
            out[guest.name] = {
                "profile": profile.key,
                "name": profile.name,
                "ready": _ready(guest, profile),
                "states": {str(bit): what for bit, what in profile.states.items()},
            }
    return out
