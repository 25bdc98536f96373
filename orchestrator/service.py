# SPDX-License-Identifier: MIT
"""What a second process may ask of a running system, carried out: probes, walks, symbols.

`orchestrator.control` brings the requests, `orchestrator.observe` owns the run and says when its
machine may be touched. docs/probes.md has the requests and answers.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from orchestrator.config.probes import parse_probe, split_place
from orchestrator.control import Operation
from orchestrator.probe.arm import Probes
from orchestrator.probe.document import place_document
from orchestrator.probe.guest import Guest, find_guest
from orchestrator.probe.ledger import Ledger, skip_document
from orchestrator.probe.spec import address, resolve
from orchestrator.probe.survey import survey


class Service:
    """Answers about one running system.

    Args:
        probes: Those in its guests.
        guests: By VM.
        ledger: Hears of what comes and goes.
        still: While this is entered, the machine stands still.
        changed: Called after the ledger was told something.
    """

    def __init__(
        self,
        probes: Probes,
        guests: Mapping[str, Guest],
        ledger: Ledger,
        *,
        still: Callable[[], AbstractAsyncContextManager[None]],
        changed: Callable[[], None],
    ) -> None:
        self._probes = probes
        self._guests = guests
        self._ledger = ledger
        self._still = still
        self._changed = changed

    def operations(self) -> dict[str, Operation]:
        """By name."""
        return {
            "add": self._add,
            "plan": self._plan,
            "remove": self._remove,
            "list": self._list,
            "check": self._check,
            "symbols": self._symbols,
            "walk": self._walk,
        }

    async def _add(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Places probes in the running guests; says where they are and what was left out."""
        probes = [parse_probe(text) for text in request["probes"]]
        async with self._still():
            placed, skipped = await self._probes.add(probes)
        self._ledger.skip(skipped)
        self._changed()
        return {
            "placed": [self._ledger.document(each) for each in placed],
            "skipped": [skip_document(each) for each in skipped],
        }

    async def _plan(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What `_add` would do, and how each address is found."""
        probes = [parse_probe(text) for text in request["probes"]]
        async with self._still():
            places, skipped = await self._probes.plan(probes)
            views = {vm: await self._probes.view(vm) for vm in {probe.vm for probe in probes}}
        out = []
        for place in places:
            walk = views[place.wanted.config.vm].mmu.walk(place.wanted.va)
            out.append(place_document(place) | {"walk": [str(step) for step in walk.steps]})
        return {"places": out, "skipped": [skip_document(each) for each in skipped]}

    async def _check(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Where probes could be."""
        probe = parse_probe(request["probe"])
        wanted = resolve(probe, find_guest(self._guests, probe.vm))
        async with self._still():
            return survey(await self._probes.view(probe.vm), wanted).document()

    async def _symbols(self, request: Mapping[str, Any]) -> list[tuple[int, str]]:
        """Functions by a pattern."""
        guest = find_guest(self._guests, request["vm"])
        return [(each.va, each.name) for each in guest.symbols.matching(request["pattern"])]

    async def _walk(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The way of one address through both stages."""
        vm, place = split_place(request["place"])
        va = address(place, find_guest(self._guests, vm), any_kind=True)
        async with self._still():
            walk = (await self._probes.view(vm)).mmu.walk(va)
        steps = [str(step) for step in walk.steps]
        return {"va": va, "ipa": walk.ipa, "pa": walk.pa, "steps": steps}

    async def _remove(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Takes probes away; says what they have counted."""
        ids = [int(number) for number in request["ids"]]
        async with self._still():
            leaving = {number: self._probes.placed.get(number) for number in ids}
            hits = await self._probes.remove(ids)
        out = []
        for number, counted in hits.items():
            placed = leaving[number]
            assert placed is not None  # noqa: S101 - remove() knew all of them
            self._ledger.count(placed, counted)
            out.append(self._ledger.document(placed, counted))
        self._changed()
        return out

    async def _list(self, _request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All probes and what they have counted so far."""
        return [
            self._ledger.document(placed, await self._probes.hits(number))
            for number, placed in self._probes.placed.items()
        ]
