# SPDX-License-Identifier: MIT
"""Client of the QEMU plugin's channel: registers, time, code, probes, stop points, counters.

docs/plugin-channel.md says what each operation means and when it is allowed;
`protocol` has the layout of the messages. This module knows bytes and addresses, not
guests: who decides what to probe is `orchestrator.probe`; stopping and going on is
`process.QemuMachine`; guest memory is read by `ram.GuestRam`.
"""

import asyncio
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import MachineError
from orchestrator.machine.protocol import (
    ADDRESS,
    COUNTER_VMS,
    COUNTERS,
    COUNTS,
    HEADER,
    HELLO,
    MAGIC,
    MAX_BYTES,
    PROBE,
    PROBE_ID,
    REGISTER,
    STOPPED,
    TIME,
    VALUE,
    VERSION,
    WELCOME,
    Ability,
    Operation,
    ProbeMode,
    Status,
)
from orchestrator.records import OP

_NO_STOPS: Final = (1 << 64) - 1
_WRITE_BYTES: Final = 1 << 16
_ANSWER_S: Final = 60.0
"""A full ring or a busy host delays an answer; this is the time after which nobody will answer."""


class ChannelError(MachineError):
    """The plugin refused a request; nothing has changed.

    Attributes:
        reason: Why, for programs.
    """

    def __init__(self, message: str, reason: Status) -> None:
        super().__init__(message)
        self.reason = reason


def _no_program() -> NDArray[np.void]:
    return np.empty(0, OP)


@dataclass(frozen=True, kw_only=True, eq=False)
class PluginProbe:
    """A place that the plugin shall watch.

    Attributes:
        id: Of the records; of an `hvc` probe the immediate of its HVC.
        mode: Whether an HVC is there, or the instruction itself.
        vm: Position of the VM in the description of the board, or `protocol.ANY_VM`.
        va: Of the instruction, without Thumb bit (hvc only).
        pa: Of the instruction.
        program: What to read at a hit; an array of `records.OP` that ends with END, or empty.
        limit: Records on all cores together; 0: no limit.
        from_ns: Start of the time window in guest time.
        until_ns: Its end; 0: none.
    """

    id: int
    mode: ProbeMode
    vm: int
    pa: int
    va: int = 0
    program: NDArray[np.void] = field(default_factory=_no_program)
    limit: int = 0
    from_ns: int = 0
    until_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class ProbeCounts:
    """What a probe has seen.

    Attributes:
        hits: On all cores, recorded or not.
        recorded: Those within window and limit.
        cpu_hits: Hits by core.
    """

    hits: int
    recorded: int
    cpu_hits: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CoreCounters:
    """Instructions that a core has executed since power-on.

    Attributes:
        vm: In guests, by the VM's position.
        other: In a guest whose VMID is not that of a position.
        hypervisor: In Hyp mode.
        uncounted: Whoever's, while nothing was watched.
    """

    vm: tuple[int, ...]
    other: int
    hypervisor: int
    uncounted: int = 0


@dataclass(frozen=True, kw_only=True)
class StopPassed:
    """A stop point that a core has come by.

    Attributes:
        pa: The point.
        sp: The core's stack pointer there.
    """

    pa: int
    sp: int


@dataclass(frozen=True, kw_only=True)
class GuestTime:
    """An instant.

    Attributes:
        ns: Guest time since power-on.
        instructions: Executed until then by all cores; 0 in the realtime clock.
    """

    ns: int
    instructions: int


class PluginChannel:
    """A connection to the plugin of one QEMU.

    Requests of several tasks are sent one after the other. Made by `connect`; to be closed by
    `close`, or used as an async context manager.

    Attributes:
        cores: Number of cores of the board.
        abilities: What the plugin can do in this run.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.cores = 0
        self.abilities = Ability(0)
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Connects and agrees on the version.

        Args:
            path: The plugin's argument `channel`.

        Raises:
            MachineError: Nobody listens, or it is another version.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError as error:
            raise MachineError(
                f"{path}: the plugin does not answer ({error.strerror}); "
                "was QEMU started with the plugin argument channel=?"
            ) from error
        channel = cls(reader, writer)
        try:
            reply = await channel._ask(Operation.HELLO, HELLO.pack(MAGIC, VERSION))
            magic, version, channel.cores, abilities = channel._unpack(WELCOME, reply)
            if (magic, version) != (MAGIC, VERSION):
                channel._bad(f"it speaks version {version}, needed is {VERSION}")
        except BaseException:
            await channel.close()
            raise
        channel.abilities = Ability(abilities)
        return channel

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; the plugin keeps its probes. Safe to call at any time."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # QEMU went first

    async def time(self) -> GuestTime:
        """Guest time; while the machine runs, that of some recent instant.

        Raises:
            MachineError: QEMU is gone.
        """
        ns, instructions = self._unpack(TIME, await self._ask(Operation.TIME))
        return GuestTime(ns=ns, instructions=instructions)

    async def read_register(self, cpu: int, name: str) -> int:
        """A register of a core of the stopped machine.

        Args:
            cpu: Number of the core.
            name: As QEMU calls it: "r0", "cpsr", "TTBR0", "TPIDR_EL2", ...

        Raises:
            ChannelError: The machine runs; no such core or register.
            MachineError: QEMU is gone.
        """
        reply = await self._ask(Operation.READ_REGISTER, REGISTER.pack(cpu) + name.encode())
        value, _bits, _reserved = self._unpack(VALUE, reply)
        return int(value)

    async def write_physical(self, pa: int, data: bytes) -> None:
        """Writes RAM of the stopped machine, code too.

        Args:
            pa: Physical address of the first byte.
            data: Any number of bytes.

        Raises:
            ChannelError: The machine runs; not all of it is RAM. Nothing of the piece of 64 KiB
                in question was written.
            MachineError: QEMU is gone.
        """
        for start in range(0, len(data), _WRITE_BYTES):
            piece = data[start : start + _WRITE_BYTES]
            await self._ask(Operation.WRITE_PHYSICAL, ADDRESS.pack(pa + start) + piece)

    async def add_probe(self, probe: PluginProbe) -> None:
        """Watches a place, from the next instruction of the stopped machine on.

        Raises:
            ChannelError: The machine runs; the id is taken; there is no ring to record into.
            MachineError: QEMU is gone.
        """
        if probe.program.dtype != OP:
            raise ValueError(f"a program is an array of records.OP, not {probe.program.dtype}")
        head = PROBE.pack(
            *(probe.id, probe.mode, probe.vm, len(probe.program), probe.va, probe.limit),
            *(probe.pa, probe.from_ns, probe.until_ns),
        )
        await self._ask(Operation.ADD_PROBE, head + probe.program.tobytes())

    async def remove_probe(self, probe_id: int) -> ProbeCounts:
        """Watches a place of the stopped machine no more.

        Returns:
            What the probe has seen.

        Raises:
            ChannelError: The machine runs; there is no such probe.
            MachineError: QEMU is gone.
        """
        reply = await self._ask(Operation.REMOVE_PROBE, PROBE_ID.pack(probe_id))
        return self._counts(reply)

    async def probe_counts(self, probe_id: int) -> ProbeCounts:
        """What a probe has seen so far.

        Raises:
            ChannelError: There is no such probe.
            MachineError: QEMU is gone.
        """
        return self._counts(await self._ask(Operation.PROBE_COUNTS, PROBE_ID.pack(probe_id)))

    async def stop_at(self, pa: int) -> None:
        """Stops the machine, once, at the next execution of a physical address.

        The machine must be stopped now. QMP tells of the stop by its event STOP.

        Raises:
            ChannelError: The machine runs; `protocol.MAX_STOPS` points wait already.
            MachineError: QEMU is gone.
        """
        await self._ask(Operation.STOP_AT, ADDRESS.pack(pa))

    async def cancel_stops(self) -> None:
        """Takes back all stop points that wait.

        Raises:
            ChannelError: The machine runs.
            MachineError: QEMU is gone.
        """
        await self._ask(Operation.STOP_AT, ADDRESS.pack(_NO_STOPS))

    async def stopped(self) -> tuple[StopPassed | None, ...]:
        """By core, the stop point that it came by since the machine went on; None: it came by none.

        Of cores that run side by side, several may.

        Raises:
            ChannelError: The machine runs.
            MachineError: QEMU is gone.
        """
        reply = await self._ask(Operation.STOPPED)
        if len(reply) != self.cores * STOPPED.size:
            self._bad("its answer to STOPPED has the wrong size")
        return tuple(
            None if pa == _NO_STOPS else StopPassed(pa=pa, sp=sp)
            for pa, sp, _ in STOPPED.iter_unpack(reply)
        )

    async def count(self) -> None:
        """Has instructions counted from now on, also while there is no probe and no stop point.

        Raises:
            ChannelError: The machine runs, or the clock is not deterministic.
            MachineError: QEMU is gone.
        """
        await self._ask(Operation.COUNT)

    async def counters(self) -> tuple[CoreCounters, ...]:
        """Instructions by core, exact to the instant of `time`.

        Raises:
            ChannelError: The clock is not deterministic.
            MachineError: QEMU is gone.
        """
        reply = await self._ask(Operation.COUNTERS)
        if len(reply) != self.cores * COUNTERS.size:
            self._bad("its answer to COUNTERS has the wrong size")
        return tuple(
            CoreCounters(
                vm=tuple(row[:COUNTER_VMS]),
                other=row[COUNTER_VMS],
                hypervisor=row[COUNTER_VMS + 1],
                uncounted=row[COUNTER_VMS + 2],
            )
            for row in COUNTERS.iter_unpack(reply)
        )

    async def save_state(self) -> bytes:
        """What `QemuMachine.save_state` lacks, of the stopped machine.

        Raises:
            ChannelError: The machine runs, or the clock is not deterministic.
            MachineError: QEMU is gone.
        """
        return await self._ask(Operation.STATE)

    async def load_state(self, state: bytes) -> None:
        """Completes `QemuMachine.load_state`, before the machine goes on.

        Raises:
            ChannelError: It is not of this board, or the machine runs.
            MachineError: QEMU is gone.
        """
        await self._ask(Operation.STATE, state)

    def _counts(self, reply: bytes) -> ProbeCounts:
        hits, recorded, *cpu_hits = self._unpack(COUNTS, reply)
        return ProbeCounts(hits=hits, recorded=recorded, cpu_hits=tuple(cpu_hits[: self.cores]))

    async def _ask(self, operation: Operation, payload: bytes = b"") -> bytes:
        request = HEADER.pack(HEADER.size + len(payload), operation, 0) + payload
        async with self._turn:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    self._writer.write(request)
                    await self._writer.drain()
                    head = await self._reader.readexactly(HEADER.size)
                    size, answered, status = HEADER.unpack(head)
                    if not HEADER.size <= size <= MAX_BYTES or answered != operation:
                        self._bad(f"its answer to {operation.name} is not one")
                    reply = await self._reader.readexactly(size - HEADER.size)
            except (OSError, EOFError) as error:
                raise MachineError(
                    f"the plugin has gone before it answered {operation.name}"
                ) from (error)
            except TimeoutError:
                # What comes later would be taken for the answer to the next request.
                self._writer.close()
                raise MachineError(
                    f"the plugin did not answer {operation.name} within {_ANSWER_S:g} s"
                ) from None
            except asyncio.CancelledError:
                self._writer.close()
                raise
        if status != Status.OK:
            raise ChannelError(
                f"plugin: {operation.name}: {reply.decode(errors='replace')}", Status(status)
            )
        return reply

    def _unpack(self, form: struct.Struct, reply: bytes) -> tuple[Any, ...]:
        if len(reply) != form.size:
            self._bad(f"an answer has {len(reply)} bytes, not {form.size}")
        return form.unpack(reply)

    def _bad(self, what: str) -> NoReturn:
        self._writer.close()
        raise MachineError(f"the plugin does not fit this orchestrate: {what}; rebuild it")
