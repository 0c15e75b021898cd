"""Whole connections to a node, in memory: the bytes of a stranger, and what the node makes of them.

A fault is what no caller may cause: a status of 500, an error in the log, something that is left when the connection is
over, and with a cluster's secret any message or byte of a snapshot.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import hiredis

from raftdb.client.http1 import ResponseParser
from raftdb.errors import RaftdbError, RequestRefused
from raftdb.frontend.http_server import HttpServer
from raftdb.frontend.node_api import Consistency
from raftdb.machine.operations import ClientOperation
from raftdb.machine.service import Query
from raftdb.node.turn import Answer
from raftdb.transport.peer_server import PeerServer
from raftdb.transport.snapshot_server import SnapshotServer
from tests.frontend.redis_support import Client, FakeTransport, MachineNode, serve
from tests.frontend.support import StubNode, running, wait_until
from tests.fuzz.harness import pieces
from tests.machine.database import Database
from tests.transport.support import accept_everybody, identity

TURNS = 40
"""Turns of the loop that a request gets: nothing here waits for anything but its client."""
LOGGERS = ("raftdb", "asyncio")


class Errors(logging.Handler):
    """What is logged as an error while a request is served: a fault of the program."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.words.append(logging.Formatter().format(record))

    def check(self) -> None:
        """Raise if there was one."""
        words, self.words = self.words, []
        if words:
            raise AssertionError(f"it was logged: {words[0]}")


@contextmanager
def on_a_loop() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """What runs a coroutine; errors in the log fail it."""
    loop, errors = asyncio.new_event_loop(), Errors()
    loggers = [logging.getLogger(name) for name in LOGGERS]

    def complete(coroutine: Coroutine[Any, Any, Any]) -> Any:
        result = loop.run_until_complete(coroutine)
        errors.check()
        return result

    for each in loggers:
        each.addHandler(errors)
        # Refusals are logged, too, and thousands of them would be written.
        each.propagate = False
    try:
        yield complete
    finally:
        for each in loggers:
            each.removeHandler(errors)
            each.propagate = True
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


class Executing(StubNode):
    """A node with a real machine, begun anew for each input."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = MachineNode()

    async def execute(
        self, operation: ClientOperation | Query, *, consistency: Consistency, user: bytes | None = None
    ) -> Answer:
        answer = self.machine.answer_to(operation)
        if isinstance(answer, RaftdbError):
            raise answer
        return answer

    def begin_anew(self) -> None:
        """Forget what the last input has left."""
        self.machine.database = Database()
        self.waits.clear()
        self.left.clear()
        self.changes.clear()
        self.transfers.clear()


class SwitchingTransport(FakeTransport):
    """A connection whose protocol may be changed, as by an upgrade."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def is_reading(self) -> bool:
        return not self.is_reading_paused

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass


async def connected(server: HttpServer, data: bytes) -> bytes:
    """What a listener answers to these bytes, which come in one piece or in two, and then the connection ends."""
    assert server._server is not None
    protocol = server._server()
    transport = SwitchingTransport(protocol)
    protocol.connection_made(transport)
    await asyncio.sleep(0)
    for piece in pieces(data, max(1, len(data) if len(data) % 3 else len(data) // 2)):
        if not transport.is_closing():
            transport.protocol.data_received(piece)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    transport.is_closed = True
    transport.protocol.connection_lost(None)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    try:
        # A few requests have something done on a thread.
        await wait_until(lambda: not server.connections)
    except TimeoutError:
        raise AssertionError("something is left of a connection that is over") from None
    return bytes(transport.written)


def status_of(written: bytes) -> int | None:
    """The status of the first answer. Raises RequestRefused for one of 400 and above."""
    if not written:
        return None
    response = ResponseParser().feed(written)
    status = response.status if response is not None else int(written[9:12])
    if status >= 500 and status != 503:
        raise AssertionError(f"HTTP status {status}: {written[-300:]!r}")
    if status >= 400:
        raise RequestRefused("bad_request", f"HTTP status {status}")
    return status


@contextmanager
def served(
    context: AbstractAsyncContextManager[Any], check: Callable[[], None]
) -> Iterator[Callable[[bytes], Any]]:
    """Reading connections by a listener; `check` is called after each."""

    def read(data: bytes) -> object:
        written = complete(connected(harness.server, data))
        check()
        return status_of(written)

    with on_a_loop() as complete:
        harness = complete(context.__aenter__())
        # A client that has gone is not waited for, as it would be for two seconds if it had not sent all of a body.
        harness.server._server._kwargs["lingering_time"] = 0.0
        try:
            yield read
        finally:
            complete(context.__aexit__(None, None, None))


@contextmanager
def listening() -> Iterator[Callable[[bytes], Any]]:
    """Serving a client of HTTP."""
    node = Executing()

    def check() -> None:
        if len(node.left) != len(node.waits):
            raise AssertionError("a request is held whose client has gone")
        node.begin_anew()

    with served(running(node=node), check) as read:
        yield read


@contextmanager
def listening_to_peers(secret: bytes | None) -> Iterator[Callable[[bytes], Any]]:
    """Serving one that would be a peer, as the node n2."""
    local, told = identity("n2"), list[object]()
    local.proof.change((secret,))

    def find(peer: str, digest: bytes) -> None:
        told.append(peer)

    peers = PeerServer(
        local,
        check_peer=accept_everybody,
        on_messages=lambda messages, _start: told.append(messages),
        is_member=lambda peer: True,
    )
    snapshots = SnapshotServer(local, check_peer=accept_everybody, find=find, is_member=lambda peer: True)

    def check() -> None:
        if secret is not None and (told or peers.connected()):
            raise AssertionError("one that has proved nothing was heard")
        if peers.connected():
            raise AssertionError("a link is left that is over")
        told.clear()

    with served(running(more_routes={**peers.routes, **snapshots.routes}), check) as read:
        yield read


@contextmanager
def redis_listening() -> Iterator[Callable[[bytes], Any]]:
    """Serving a connection of the Redis protocol on which these bytes come."""
    node, server = serve()
    member = {"id": "n1", "redis": "127.0.0.1:6391", "redis_cluster": None, "alive": True}
    node.more_status = {"members": [member]}

    async def replied(data: bytes) -> bytes:
        node.database = Database()
        client = Client(server)
        for piece in pieces(data, max(1, len(data) if len(data) % 3 else len(data) // 2)):
            client.send(piece)
            for _ in range(TURNS):
                await asyncio.sleep(0)
        written = client.take()
        client.protocol.connection_lost(None)
        for number in list(node.waits):
            del node.waits[number]
        node.submitted.clear()
        node.left.clear()
        if server.memory.request_bytes:
            raise AssertionError("memory is held for a connection that is over")
        return written

    def read(data: bytes) -> object:
        reader = hiredis.Reader()
        reader.feed(complete(replied(data)))
        replies = []
        while (reply := reader.gets()) is not False:
            replies.append(reply)
            if isinstance(reply, hiredis.ReplyError) and "internal" in str(reply):
                raise AssertionError(reply)
        return replies

    with on_a_loop() as complete:
        yield read
