"""Both ends of a snapshot transfer on loopback: sources and receivers in memory, and a relay that cuts connections."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from raftdb.frontend.http_server import HttpServer
from raftdb.transport.handshake import CheckPeer, LocalIdentity
from raftdb.transport.snapshot_client import SnapshotClient
from raftdb.transport.snapshot_protocol import (
    PieceDamaged,
    PieceMisplaced,
    SnapshotRefused,
    Transfer,
    TransferLimits,
)
from raftdb.transport.snapshot_server import OnReceived, SnapshotServer
from tests.transport.support import accept_everybody

QUICK = TransferLimits(
    piece_bytes=1000,
    piece_bytes_min=10,
    bytes_per_second_max=0,
    backoff_min_s=0.001,
    backoff_max_s=0.01,
    finish_wait_s=0.05,
)
"""Limits of a test: small pieces, short pauses."""

TURNS_TO_CLOSE = 5
"""Turns of the event loop after which connections that were just accepted or aborted are closed."""


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that differ at every offset, so that a misplaced piece shows."""
    return hashlib.shake_128(seed.to_bytes(8)).digest(size_bytes)


class Source:
    """A snapshot in memory. `before_read` is called on the reading thread."""

    def __init__(self, data: bytes, *, index: int = 10, term: int = 2) -> None:
        self.data = data
        self.index = index
        self.term = term
        self.size_bytes = len(data)
        self.sha256 = hashlib.sha256(data).digest()
        self.reading = 0
        self.before_read: Callable[[int], None] = _ignore_offset

    def transfer(self, cluster_id: str = "c1") -> Transfer:
        return Transfer(cluster_id, self.index, self.term, self.size_bytes, self.sha256)

    def read(self, offset: int, bytes_max: int) -> bytes:
        self.reading += 1
        try:
            self.before_read(offset)
            return self.data[offset : offset + bytes_max]
        finally:
            self.reading -= 1


def _ignore_offset(_offset: int) -> None:
    """Nothing happens."""


@dataclass
class Disk:
    """What a receiver keeps over a restart."""

    transfer: Transfer | None = None
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False

    @property
    def whole(self) -> bytes | None:
        return bytes(self.data) if self.complete else None


class MemoryReceiver:
    """A receiver on a `Disk`. `before(step)` is called on its thread first, and may raise; `steps` are the calls."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.steps: list[tuple[str, int]] = []
        self.before: Callable[[str], None] = _ignore_step
        self._running = 0

    def _enter(self, step: str, offset: int = 0) -> None:
        assert not self._running, "two calls at once"
        self.steps.append((step, offset))
        self._running = 1
        try:
            self.before(step)
        finally:
            self._running = 0

    def count(self, step: str) -> int:
        return sum(name == step for name, _ in self.steps)

    def begin(self, transfer: Transfer) -> int:
        self._enter("begin")
        disk = self.disk
        if disk.transfer != transfer:
            disk.transfer, disk.data, disk.complete = transfer, bytearray(), False
        return len(disk.data)

    def write(self, offset: int, piece: bytes, crc32: int) -> int:
        self._enter("write", offset)
        data = self.disk.data
        if zlib.crc32(piece) != crc32:
            raise PieceDamaged("the piece does not match its checksum")
        if offset > len(data):
            raise PieceMisplaced(len(data))
        if offset < len(data) and data[offset : offset + len(piece)] != piece:
            raise PieceDamaged("the piece differs from what is here")
        data[offset : offset + len(piece)] = piece
        return len(data)

    def finish(self) -> None:
        self._enter("finish")
        disk = self.disk
        assert disk.transfer is not None
        if hashlib.sha256(disk.data).digest() != disk.transfer.sha256:
            raise SnapshotRefused("damaged", "the snapshot does not match its checksum")
        disk.complete = True

    def discard(self) -> None:
        self._enter("discard")
        self.disk.transfer, self.disk.data, self.disk.complete = None, bytearray(), False


def _ignore_step(_step: str) -> None:
    """Nothing happens."""


def _ignore_received(_index: int, _term: int) -> None:
    """Nothing happens."""


class Node:
    """A receiving node: listener, snapshot routes, receiver, and what it was told is received."""

    def __init__(
        self,
        identity: LocalIdentity,
        receiver: MemoryReceiver,
        *,
        check_peer: CheckPeer = accept_everybody,
        limits: TransferLimits = QUICK,
        on_received: OnReceived = _ignore_received,
    ) -> None:
        self.receiver = receiver
        self.received: list[tuple[int, int]] = []
        self.may_begin = True
        self.turned_away: set[str] = set()

        def note_received(index: int, term: int) -> None:
            on_received(index, term)
            self.received.append((index, term))

        self.server = SnapshotServer(
            identity,
            check_peer=check_peer,
            receiver=receiver,
            on_received=note_received,
            may_begin=lambda: self.may_begin,
            may_offer=lambda source, term: source not in self.turned_away,
            limits=limits,
        )
        self.http = HttpServer(self.server.routes)
        self.port = 0

    async def start(self, port: int = 0) -> None:
        _, self.port = await self.http.start("127.0.0.1", port)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def close(self) -> None:
        await self.server.close()
        await self.http.close(grace_s=0.002)


@asynccontextmanager
async def node(
    identity: LocalIdentity,
    receiver: MemoryReceiver | None = None,
    *,
    check_peer: CheckPeer = accept_everybody,
    limits: TransferLimits = QUICK,
) -> AsyncIterator[Node]:
    running = Node(identity, receiver or MemoryReceiver(), check_peer=check_peer, limits=limits)
    await running.start()
    try:
        yield running
    finally:
        await running.close()


def client(
    identity: LocalIdentity, *, check_peer: CheckPeer = accept_everybody, limits: TransferLimits = QUICK
) -> SnapshotClient:
    return SnapshotClient(identity, check_peer=check_peer, limits=limits)


class Relay:
    """A TCP relay to `target_port()`. `budget()` says, per connection, how many bytes pass before it is cut.

    None: all. `alter(data)` may change what is on its way to the target. With `stalls` it falls silent.
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
        self._is_closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Relay":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._is_closing = True
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Connections that were just accepted have tasks that did not begin, and aborted ones end a turn later.
        for _turn in range(TURNS_TO_CLOSE):
            await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closing:
            writer.transport.abort()
            return
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection("127.0.0.1", self._target_port())
            left = [self._budget()]
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, upstream, left, self._alter))
                group.create_task(self._pump(answers, writer, left, bytes))
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
