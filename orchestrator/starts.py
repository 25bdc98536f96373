# SPDX-License-Identifier: MIT
"""Saved starts: a system that has booted once need not boot again.

The state of the whole board is saved at one instant: at the start point of the config (see
`probe.start`) or, if that comes first, when Linux's user space is up (see `probe.ending`). Every run
of a system that boots the same goes on from there. What differs from run to run comes later: probes
are not placed yet, and a job lies in memory that its guest has not looked at. So a run from a saved
start gives what the whole run would have given.

An entry of the store, ``starts/DIGEST``::

    machine      QEMU's own state
    plugin       the plugin's: whose turn it is, and what it has counted
    start.json   guest time of the instant, and the place, as text and as a physical address
    NAME.log     what each console had said by then

The session makes and loads them; this module knows what is in them and what they depend on.
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from orchestrator.config import Config
from orchestrator.errors import StorageError, UsageError
from orchestrator.machine.board import Layout
from orchestrator.machine.channel import PluginChannel
from orchestrator.machine.command import Paths, console_names, qemu_command
from orchestrator.machine.placement import job_name
from orchestrator.machine.process import QemuMachine, qemu_version
from orchestrator.machine.ram import GuestRam
from orchestrator.probe.ending import JobEnd, job_end
from orchestrator.probe.guest import Guest
from orchestrator.probe.start import start_point
from orchestrator.rundir import storage_errors

KIND: Final = "starts"
"""Of the store's entries."""
KEPT: Final = 32
"""So many starts are kept, those that were used last; each takes about 50 MB."""
_FORMAT: Final = 4
_MACHINE: Final = "machine"
_PLUGIN: Final = "plugin"
_START_JSON: Final = "start.json"


def digest(config: Config, layout: Layout, inputs: Mapping[Path, str]) -> str:
    """The identity of a start: equal digests, equal states.

    Args:
        config: The system; its probes do not count.
        layout: Its board; the jobs in it do not count.
        inputs: SHA-256 of each file that QEMU loads, the plugin's included.

    Raises:
        MissingToolError: QEMU does not run.
    """
    jobs = {job_name(vm.name) for vm in layout.vms}
    blobs = tuple(blob for blob in layout.blobs if blob.name not in jobs)
    names = console_names(layout)
    nowhere = Path("/")
    paths = Paths(
        qmp=nowhere,
        console_sockets=dict.fromkeys(names, nowhere),
        console_logs=dict.fromkeys(names, nowhere),
        ports={vm.name: _AnyPort() for vm in config.linux_vms[:1]},
        inputs={blob.name: Path(blob.name) for blob in blobs},
        kernel=nowhere,
        plugin=nowhere,
    )
    kernel = layout.kernel
    contents = [blob.content for blob in blobs] + [kernel]
    identity: dict[str, Any] = {
        "format": _FORMAT,
        "qemu": qemu_version(config.machine.qemu),
        "command": qemu_command(replace(layout, blobs=blobs), config, paths),
        "contents": [
            inputs[each] if isinstance(each, Path) else hashlib.sha256(each).hexdigest()
            for each in contents
        ],
        "plugin": inputs[_plugin(inputs)],
        "start": config.trace.arm_at,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


class _AnyPort(dict[str, Path]):
    """Every port of a VM has the same file: none."""

    def __missing__(self, _name: str) -> Path:
        return Path("/")


def _plugin(inputs: Mapping[Path, str]) -> Path:
    return next(path for path in inputs if path.suffix == ".so")


class Saver:
    """Watches a run until its start point, or until Linux's user space is up, and saves it there.

    Args:
        machine: The QEMU.
        channel: The plugin's socket.
        config: The system.
        layout: Its board.
        guests: By VM.
        folder: Where the state goes.

    Raises:
        UsageError: The start point cannot be found.
    """

    def __init__(
        self,
        machine: QemuMachine,
        *,
        channel: Path,
        config: Config,
        layout: Layout,
        guests: Mapping[str, Guest],
        folder: Path,
    ) -> None:
        self._machine = machine
        self._path = channel
        self._start = start_point(config, layout, guests)
        self._layout = layout
        self._guests = guests
        self._folder = folder
        self._channel: PluginChannel | None = None
        self._job_end: JobEnd | None = None

    async def attach(self) -> None:
        """Connects to the machine, which has just been started and stands still.

        Raises:
            MachineError: The plugin does not answer.
        """
        self._channel = await PluginChannel.connect(self._path)
        with contextlib.suppress(UsageError):  # a kernel of the user's, without such a place
            self._job_end = job_end(self._channel, self._layout, self._guests)
        if self._job_end is not None and self._job_end.pa != self._start.pa:
            await self._job_end.wait()
        await self._channel.stop_at(self._start.pa)

    async def stopped(self) -> bool:
        """The machine has stopped by itself: at the instant. Saves it.

        Returns:
            False: the run may end.

        Raises:
            MachineError: QEMU or the plugin failed.
            StorageError: The state cannot be written.
        """
        assert self._channel is not None  # noqa: S101 - attach() comes first
        await self._channel.cancel_stops()
        document = {"start": self._start.text, "pa": self._start.pa}
        if self._job_end is not None and await self._job_end.stacks():
            document = {"start": self._job_end.text, "pa": self._job_end.pa}
        await self._machine.save_state(self._folder / _MACHINE)
        plugin = await self._channel.save_state()
        document["time_ns"] = (await self._channel.time()).ns
        with storage_errors(self._folder):
            (self._folder / _PLUGIN).write_bytes(plugin)
            (self._folder / _START_JSON).write_text(json.dumps(document))
        return False

    async def finish(self) -> None:
        """Ends the connection."""
        if self._channel is not None:
            await self._channel.close()


class SavedStart:
    """A start in the store.

    Args:
        folder: Its entry.

    Attributes:
        time_ns: Guest time of the instant.
        text: The place whose execution it is.
        pa: Its physical address.

    Raises:
        StorageError: It is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            document = json.loads((folder / _START_JSON).read_text())
            self.time_ns = int(document["time_ns"])
            self.text = str(document["start"])
            self.pa = int(document["pa"])
        except (OSError, ValueError, KeyError) as error:
            raise StorageError(
                f"{folder}: is damaged ({error}); orchestrate images clean removes it"
            ) from error

    def log(self, console: str) -> bytes:
        """What a console had said by then.

        Raises:
            StorageError: It cannot be read.
        """
        path = self._folder / f"{console}.log"
        with storage_errors(path):
            return path.read_bytes()

    async def load(self, machine: QemuMachine, channel_path: Path, layout: Layout) -> None:
        """Puts a machine that waits for its state to the instant, with the jobs of this run.

        Raises:
            MachineError: QEMU or the plugin refused.
        """
        await machine.load_state(self._folder / _MACHINE)
        async with await PluginChannel.connect(channel_path) as channel:
            plugin = await asyncio.to_thread((self._folder / _PLUGIN).read_bytes)
            await channel.load_state(plugin)
        with GuestRam.of_process(machine.pid) as ram:
            for pa, content in _jobs(layout):
                ram.write(pa, content)


def _jobs(layout: Layout) -> list[tuple[int, bytes]]:
    """Where each VM's job is, in its RAM and where the hypervisor has copied it from."""
    found = []
    for vm in layout.vms:
        for blob in layout.blobs:
            if blob.name == job_name(vm.name) and isinstance(blob.content, bytes):
                places = [
                    image.ipa - vm.ram_ipa + vm.ram_pa
                    for image in vm.images
                    if image.source_pa == blob.pa
                ]
                found += [(pa, blob.content) for pa in (blob.pa, *places)]
    return found
