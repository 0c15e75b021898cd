"""Both ends of a download on loopback: snapshots and receivers in memory, and a relay that cuts connections."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from raftdb.core.messages import InstallSnapshot
from raftdb.endpoint import Endpoint, parse_endpoint
from raftdb.frontend.http_server import HttpServer
from raftdb.frontend.tls import Tls
from raftdb.server.incoming import FetchLimits, Incoming, Receiver
from raftdb.transport.handshake import CheckPeer, LocalIdentity
from raftdb.transport.snapshot_server import SnapshotServer
from storage.errors import SnapshotDamaged
from storage.send import SnapshotId
from tests.streams import stream_server
from tests.transport.support import accept_everybody

QUICK = FetchLimits(
    piece_bytes=1000, piece_bytes_min=10, bytes_per_second_max=0, pause_min_s=0.0, pause_max_s=0.0
)
"""Limits of a test: small pieces, no pauses."""


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that differ at every offset, so that a misplaced piece shows."""
    return hashlib.shake_128(seed.to_bytes(8)).digest(size_bytes)


class Source:
    """A snapshot in memory. `before_read` is called on the reading thread; `reads` are the offsets, as they came."""

    def __init__(self, data: bytes, *, index: int = 10, term: int = 2) -> None:
        self.data = data
        self.index = index
        self.term = term
        self.size_bytes = len(data)
        self.digest = hashlib.sha256(data).digest()
        self.reads: list[int] = []
        self.before_read: Callable[[int], None] = _ignore_offset

    @property
    def id(self) -> SnapshotId:
        return SnapshotId(
            cluster_id="c1", index=self.index, term=self.term, size_bytes=self.size_bytes, digest=self.digest
        )

    def offer(self, *, leader: str = "n1", leader_term: int = 1) -> InstallSnapshot:
        """What its leader says of it."""
        position = (self.index, self.term, 1, b"members")
        return InstallSnapshot(leader, "n2", leader_term, *position, self.size_bytes, self.digest)

    def read(self, offset: int, bytes_max: int) -> bytes:
        self.reads.append(offset)
        self.before_read(offset)
        return self.data[offset : offset + bytes_max]


def _ignore_offset(_offset: int) -> None:
    """Nothing happens."""


@dataclass
class Disk:
    """What a receiver keeps over a restart."""

    snapshot: SnapshotId | None = None
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False

    @property
    def whole(self) -> bytes | None:
        return bytes(self.data) if self.complete else None


class MemoryReceiver:
    """A receiver on a `Disk`. `before(step)` is called on its thread first, and may raise; `steps` are the calls, each
    with the offset that it was made at."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.steps: list[tuple[str, int]] = []
        self.before: Callable[[str], None] = _ignore_step
        self._running = 0

    def _enter(self, step: str) -> None:
        assert not self._running, "two calls at once"
        self.steps.append((step, len(self.disk.data)))
        self._running = 1
        try:
            self.before(step)
        finally:
            self._running = 0

    @property
    def received(self) -> int:
        return len(self.disk.data)

    def count(self, step: str) -> int:
        return sum(name == step for name, _ in self.steps)

    def offsets(self) -> list[int]:
        """Where pieces were appended."""
        return [offset for name, offset in self.steps if name == "append"]

    def begin(self, snapshot: SnapshotId) -> int:
        self._enter("begin")
        disk = self.disk
        if disk.snapshot != snapshot:
            disk.snapshot, disk.data, disk.complete = snapshot, bytearray(), False
        return len(disk.data)

    def append(self, piece: bytes) -> int:
        self._enter("append")
        self.disk.data += piece
        return len(self.disk.data)

    def finish(self) -> None:
        self._enter("finish")
        disk = self.disk
        assert disk.snapshot is not None
        if hashlib.sha256(disk.data).digest() != disk.snapshot.digest:
            self.discard()
            raise SnapshotDamaged("the snapshot", "its digest does not match")
        disk.complete = True

    def discard(self) -> None:
        self.disk.snapshot, self.disk.data, self.disk.complete = None, bytearray(), False


def _ignore_step(_step: str) -> None:
    """Nothing happens."""


class Member:
    """A node that serves snapshots: `files` are those that it has, in memory."""

    def __init__(
        self,
        identity: LocalIdentity,
        *sources: Source,
        check_peer: CheckPeer = accept_everybody,
        tls: Tls | None = None,
    ) -> None:
        self.files = {source.digest: source for source in sources}
        self.members = {"n1", "n2", "n3"}
        self.server = SnapshotServer(
            identity,
            check_peer=check_peer,
            find=lambda _peer, digest: self.files.get(digest),
            is_member=lambda peer: peer in self.members,
            send_timeout_s=0.2,
        )
        self.http = HttpServer(self.server.routes, tls=tls)
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        _, self.port = await self.http.start("127.0.0.1", port)

    async def close(self) -> None:
        await self.http.close(grace_s=0.002)


@asynccontextmanager
async def member(
    identity: LocalIdentity,
    *sources: Source,
    check_peer: CheckPeer = accept_everybody,
    tls: Tls | None = None,
) -> AsyncIterator[Member]:
    running = Member(identity, *sources, check_peer=check_peer, tls=tls)
    await running.start()
    try:
        yield running
    finally:
        await running.close()


def endpoints_in(addresses: dict[str, str]) -> Callable[[str], Endpoint | None]:
    """Looks up where a node is; the addresses may change."""
    return lambda node: parse_endpoint(addresses[node]) if node in addresses else None


class Follower:
    """A node that fetches, from the addresses of who offers. `received` are the ends of what it was told is here."""

    def __init__(
        self,
        identity: LocalIdentity,
        receiver: Receiver,
        addresses: dict[str, str],
        *,
        check_peer: CheckPeer = accept_everybody,
        limits: FetchLimits = QUICK,
    ) -> None:
        self.received: list[tuple[int, int]] = []
        self.may_begin = True
        self.incoming = Incoming(
            self,
            receiver,
            identity,
            check_peer=check_peer,
            endpoint_of=endpoints_in(addresses),
            limits=limits,
        )

    def give_up_received(self) -> bool:
        return self.may_begin

    def snapshot_received(self, index: int, term: int) -> None:
        self.received.append((index, term))

    async def fetch_at_last(self, offer: InstallSnapshot, *, attempts_max: int = 1000) -> int:
        """As often as it takes, as the leader says so again; returns how often that was."""
        for attempts in range(1, attempts_max + 1):
            if await self.incoming.fetch(offer):
                return attempts
        raise AssertionError(f"not there after {attempts_max} attempts")


@asynccontextmanager
async def follower(
    identity: LocalIdentity,
    receiver: Receiver,
    addresses: dict[str, str],
    *,
    check_peer: CheckPeer = accept_everybody,
    limits: FetchLimits = QUICK,
) -> AsyncIterator[Follower]:
    running = Follower(identity, receiver, addresses, check_peer=check_peer, limits=limits)
    try:
        yield running
    finally:
        await running.incoming.close()


class Relay:
    """A TCP relay to `target_port()`. `budget()` says, per connection, how many bytes pass before it is cut.

    None: all. `alter(data)` may change what is on its way back from the target. With `stalls` it falls silent.
    """

    def __init__(
        self,
        target_port: Callable[[], int],
        *,
        budget: Callable[[], int | None] = lambda: None,
        alter: Callable[[bytes], bytes] = bytes,
        stalls: bool = False,
    ) -> None:
        self._target_port = target_port
        self._budget = budget
        self._alter = alter
        self._stalls = stalls
        self.connections = 0
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Relay":
        self._server = stream_server(self._pass_on)
        self.port = await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__(None, None, None)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection("127.0.0.1", self._target_port())
            left = [self._budget()]
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, upstream, left, bytes))
                group.create_task(self._pump(answers, writer, left, self._alter))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for side in (writer, upstream):
                if side is not None:
                    side.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        left: list[int | None],
        alter: Callable[[bytes], bytes],
    ) -> None:
        while True:
            data = await reader.read(65536)
            if not data:
                raise ConnectionResetError
            if left[0] is not None:
                data = data[: left[0]]
                left[0] -= len(data)
            writer.write(alter(data))
            await writer.drain()
            if left[0] == 0:
                if self._stalls:
                    await asyncio.Event().wait()
                # What passed is read first: an abort would throw it away.
                with suppress(OSError):
                    writer.write_eof()
                await asyncio.sleep(0)
                raise ConnectionResetError
