# SPDX-License-Identifier: MIT
"""The channel's client: its layout against the C header, its errors against a peer that misbehaves."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cheader import measured

from orchestrator.errors import MachineError
from orchestrator.machine import protocol
from orchestrator.machine.channel import PluginChannel

PLUGIN = Path(__file__).parents[2] / "qemu_plugin"
STRUCTS = {
    "channel_header": protocol.HEADER,
    "channel_hello": protocol.HELLO,
    "channel_welcome": protocol.WELCOME,
    "channel_time": protocol.TIME,
    "channel_register": protocol.REGISTER,
    "channel_value": protocol.VALUE,
    "channel_address": protocol.ADDRESS,
    "channel_probe": protocol.PROBE,
    "channel_probe_id": protocol.PROBE_ID,
    "channel_counts": protocol.COUNTS,
    "channel_counters": protocol.COUNTERS,
    "channel_stopped": protocol.STOPPED,
}
CONSTANTS = {
    "CHANNEL_MAGIC": protocol.MAGIC,
    "CHANNEL_VERSION": protocol.VERSION,
    "CHANNEL_MAX_BYTES": protocol.MAX_BYTES,
    "CHANNEL_MAX_OPS": protocol.MAX_OPS,
    "CHANNEL_MAX_PROBE_ID": protocol.MAX_PROBE_ID,
    "CHANNEL_MAX_STOPS": protocol.MAX_STOPS,
    "CHANNEL_ANY_VM": protocol.ANY_VM,
    "CHANNEL_COUNTER_VMS": protocol.COUNTER_VMS,
    **{f"CHANNEL_{each.name}": each.value for each in protocol.Operation},
    **{f"CHANNEL_{each.name}": each.value for each in protocol.Status},
    **{f"CHANNEL_{each.name}": each.value for each in protocol.Ability},
    **{f"CHANNEL_{each.name}": each.value for each in protocol.ProbeMode},
}
PROBE_MEMBERS = ("id", "mode", "vm", "ops", "va", "limit", "pa", "from_ns", "until_ns")


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Sizes, offsets and constants of protocol.h, as the host's compiler sees them."""
    names = [f"sizeof(struct {name})" for name in STRUCTS]
    names += [f"offsetof(struct channel_probe, {member})" for member in PROBE_MEMBERS]
    names += CONSTANTS
    return measured(PLUGIN / "protocol.h", names, tmp_path_factory.mktemp("protocol"))


def test_constants_are_the_headers(header: dict[str, int]) -> None:
    assert {name: header[name] for name in CONSTANTS} == CONSTANTS


@pytest.mark.parametrize("name", STRUCTS)
def test_messages_have_the_headers_size(header: dict[str, int], name: str) -> None:
    assert STRUCTS[name].size == header[f"sizeof(struct {name})"]


def test_members_of_a_probe_lie_where_the_compiler_puts_them(header: dict[str, int]) -> None:
    """Each member gets its own value, which is then found at the compiler's offset."""
    values = (0x01020304, 5, 6, 0x0708, 0x090A0B0C, 0x0D0E0F10, 1 << 60 | 17, 1 << 60 | 18, 19)
    packed = protocol.PROBE.pack(*values)
    widths = (4, 1, 1, 2, 4, 4, 8, 8, 8)
    for member, width, value in zip(PROBE_MEMBERS, widths, values, strict=True):
        offset = header[f"offsetof(struct channel_probe, {member})"]
        assert int.from_bytes(packed[offset : offset + width], "little") == value


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talk(path: Path, peer: Peer) -> None:
    """Connects to a peer and asks it for the time."""

    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await peer(reader, writer)
            writer.close()

        async with (
            await asyncio.start_unix_server(serve, path),
            await PluginChannel.connect(path) as connected,
        ):
            await connected.time()

    asyncio.run(run())


def welcome(version: int = protocol.VERSION) -> bytes:
    body = protocol.WELCOME.pack(protocol.MAGIC, version, 2, 0)
    return protocol.HEADER.pack(8 + len(body), protocol.Operation.HELLO, 0) + body


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="was QEMU started with the plugin argument channel="):
        asyncio.run(PluginChannel.connect(tmp_path / "none.sock"))


def test_another_version_is_refused(tmp_path: Path) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(16)
        writer.write(welcome(protocol.VERSION + 1))

    with pytest.raises(
        MachineError, match=f"speaks version {protocol.VERSION + 1}, needed is {protocol.VERSION}"
    ):
        talk(tmp_path / "peer.sock", peer)


def test_a_peer_that_goes_is_an_error_that_names_the_request(tmp_path: Path) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(16)
        writer.write(welcome())
        await reader.readexactly(8)

    with pytest.raises(MachineError, match="gone before it answered TIME"):
        talk(tmp_path / "peer.sock", peer)


@pytest.mark.parametrize(
    "answer",
    [
        struct.pack("<IHH", 24, 9, 0) + bytes(16),
        struct.pack("<IHH", 4, 2, 0),
        struct.pack("<IHH", 1 << 20, 2, 0),
        struct.pack("<IHH", 16, 2, 0) + bytes(8),
    ],
    ids=["of another request", "too short", "too long", "of the wrong size"],
)
def test_an_answer_that_is_none_is_refused(tmp_path: Path, answer: bytes) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(16)
        writer.write(welcome())
        await reader.readexactly(8)
        writer.write(answer)

    with pytest.raises(MachineError, match="does not fit this orchestrate"):
        talk(tmp_path / "peer.sock", peer)
