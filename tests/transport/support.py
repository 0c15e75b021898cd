"""Nodes that only have links: a listener with the peer route, outgoing links, and a log of what came of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from raftdb.core.messages import AppendEntries, Heartbeat, Message
from raftdb.core.model import Entry, EntryKind, StartId
from raftdb.endpoint import Endpoint, parse_endpoint
from raftdb.frontend.http_server import HttpServer
from raftdb.frontend.tls import Tls
from raftdb.memory import MemoryAccount
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import CheckPeer, Introduction, LocalIdentity
from raftdb.transport.limits import PEER_PATH, LinkLimits
from raftdb.transport.medium import THE_NETWORK, Medium
from raftdb.transport.peer_client import PeerLinks
from raftdb.transport.peer_server import PeerServer
from raftdb.wire.handshake import Hello, Refused, Welcome, decode_handshake, encode_handshake
from raftdb.wire.stream import Kind
from tests.blocks import blocks

WAIT_S = 10.0
"""Longest wait for something that must come: only a failing test waits as long."""

FAST = LinkLimits(backoff_min_s=0.001, backoff_max_s=0.01, close_timeout_s=0.2)
"""Limits of a test that waits for another dial."""


def identity(node: str, *, cluster: str = "c1", start: int = 1) -> LocalIdentity:
    return LocalIdentity(
        cluster_id=cluster,
        node_id=node,
        node_uuid=f"uuid-{node}",
        start=StartId(start, f"nonce-{start}"),
        http=Endpoint("127.0.0.1", 8001),
    )


def accept_everybody(_introduction: Introduction) -> Refused | None:
    return None


def at(*addresses: str) -> tuple[Endpoint, ...]:
    return tuple(map(parse_endpoint, addresses))


def heartbeat(round_: int, *, source: str = "n1", target: str = "n2") -> Heartbeat:
    return Heartbeat(source, target, 1, 0, round_)


def append(data: bytes, *, index: int = 1) -> AppendEntries:
    return AppendEntries("n1", "n2", 1, index - 1, 0, 0, blocks([Entry(index, 1, EntryKind.COMMAND, data)]))


class EventLog:
    """The events of one direction of links, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []
        self.trips_s: list[float] = []
        self.events = PeerEvents(
            on_peer_up=lambda peer: self.lines.append(("up", peer)),
            on_peer_down=lambda peer, reason: self.lines.append(("down", peer, reason)),
            on_refused=lambda peer, code, reason: self.lines.append(("refused", peer, code, reason)),
            on_sighted=lambda peer, address: self.lines.append(("sighted", peer, str(address))),
            on_trip=lambda peer, seconds: self.trips_s.append(seconds),
        )

    def count(self, kind: str) -> int:
        return sum(line[0] == kind for line in self.lines)

    def last(self, kind: str) -> tuple[str, ...]:
        return [line for line in self.lines if line[0] == kind][-1]


class Receiver:
    """A node as its peers see it: the route, what it received, and its port."""

    def __init__(
        self,
        port: int,
        http: HttpServer,
        peers: PeerServer,
        log: EventLog,
        frames: list[Sequence[Message]],
    ) -> None:
        self.port = port
        self.http = http
        self.peers = peers
        self.log = log
        self.frames = frames

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def received(self) -> list[Message]:
        return [message for frame in self.frames for message in frame]

    async def close(self) -> None:
        await self.peers.close()
        await self.http.close(grace_s=0.2)


async def start_receiver(
    node: LocalIdentity,
    *,
    port: int = 0,
    check_peer: CheckPeer = accept_everybody,
    limits: LinkLimits = FAST,
    is_member: Callable[[str], bool] = lambda peer: True,
    memory: MemoryAccount | None = None,
    medium: Medium = THE_NETWORK,
    tls: Tls | None = None,
) -> Receiver:
    log = EventLog()
    received: list[Sequence[Message]] = []
    peers = PeerServer(
        node,
        check_peer=check_peer,
        on_messages=lambda messages, _start: received.append(messages),
        events=log.events,
        limits=limits,
        is_member=is_member,
        medium=medium,
    )
    http = HttpServer(peers.routes, memory=memory, tls=tls)
    _, bound = await http.start("127.0.0.1", port)
    return Receiver(bound, http, peers, log, received)


@asynccontextmanager
async def receiver(
    node: LocalIdentity,
    *,
    check_peer: CheckPeer = accept_everybody,
    limits: LinkLimits = FAST,
    is_member: Callable[[str], bool] = lambda peer: True,
    memory: MemoryAccount | None = None,
    medium: Medium = THE_NETWORK,
    tls: Tls | None = None,
) -> AsyncIterator[Receiver]:
    running = await start_receiver(
        node,
        check_peer=check_peer,
        limits=limits,
        is_member=is_member,
        memory=memory,
        medium=medium,
        tls=tls,
    )
    try:
        yield running
    finally:
        await running.close()


@asynccontextmanager
async def sender(
    node: LocalIdentity,
    addresses: dict[str, str],
    *,
    check_peer: CheckPeer = accept_everybody,
    limits: LinkLimits = FAST,
    medium: Medium = THE_NETWORK,
) -> AsyncIterator[tuple[PeerLinks, EventLog]]:
    log = EventLog()
    links = PeerLinks(node, check_peer=check_peer, events=log.events, limits=limits, medium=medium)
    links.update_peers({peer: at(address) for peer, address in addresses.items()})
    try:
        yield links, log
    finally:
        await links.close()


class RawPeer:
    """The dialling side of a link, written by hand: it says what a test wants, right or wrong."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def write(self, data: bytes) -> None:
        """Any bytes."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def send(self, body: bytes, kind: int = Kind.MESSAGES) -> None:
        """A frame."""
        await self.write(len(body).to_bytes(4, "big") + bytes([kind]) + body)

    async def receive(self) -> tuple[Kind, bytes] | None:
        """The next frame, None at the end."""
        async with asyncio.timeout(WAIT_S):
            try:
                head = await self._reader.readexactly(5)
                return Kind(head[4]), await self._reader.readexactly(int.from_bytes(head[:4], "big"))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def say(self, hello: Hello | bytes) -> None:
        """The first frame."""
        await self.send(hello if isinstance(hello, bytes) else encode_handshake(hello), Kind.HANDSHAKE)

    async def greet(self, hello: Hello) -> Welcome | Refused | Hello:
        await self.say(hello)
        return await self.answer()

    async def answer(self) -> Welcome | Refused | Hello:
        answer = await self.receive()
        assert answer is not None
        assert answer[0] is Kind.HANDSHAKE
        return decode_handshake(answer[1])

    def abort(self) -> None:
        """Go away without a word."""
        self.writer.transport.abort()

    async def ends(self) -> str | None:
        """Wait for the end; returns the reason that was given, None if there was none."""
        while (frame := await self.receive()) is not None:
            if frame[0] is Kind.CLOSE:
                return frame[1].decode()
        return None


async def upgrade(
    address: str, *, headers: dict[str, str] | None = None, path: str = PEER_PATH
) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for frames, as a dialler does; returns the status of the answer, too."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    wanted = {"Host": address, "Connection": "Upgrade", "Upgrade": "raftdb", **(headers or {})}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items()), "", ""]
    writer.write("\r\n".join(lines).encode("latin-1"))
    async with asyncio.timeout(WAIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split()[1]), reader, writer


async def status_of_dial(address: str, *, headers: dict[str, str] | None = None) -> int:
    """What a dial is answered with."""
    status, _, writer = await upgrade(address, headers=headers)
    writer.close()
    return status


@asynccontextmanager
async def raw_peer(address: str, *, path: str = PEER_PATH) -> AsyncIterator[RawPeer]:
    status, reader, writer = await upgrade(address, path=path)
    assert status == 101
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.close()


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)
