"""A node with a real machine and no cluster, and connections to it whose bytes go through memory."""

import asyncio
from collections.abc import Callable, Mapping
from io import BufferedRWPair
from typing import Any, cast

import hiredis

from raftdb.errors import LeaderHint, RaftdbError, ReplyError
from raftdb.frontend.redis.connection import RedisConnection
from raftdb.frontend.redis.server import RedisLimits, RedisServer
from raftdb.limits import DEFAULT_LIMITS, Limits
from raftdb.machine.machine import Machine
from raftdb.machine.operations import ClientOperation
from raftdb.machine.reply import Result
from raftdb.machine.service import Query
from raftdb.machine.services import QUERIES, READS
from raftdb.memory import MemoryAccount
from raftdb.node.effects import OnAnswer
from raftdb.node.turn import Answer
from tests.holding import Holding
from tests.machine.database import Database

TURNS_MAX = 200
"""Turns of the loop in which a reply must come: nothing here waits for anything else."""


class MachineNode(Holding):
    """Answers in the next turn of the loop; if it is `held`, when it is told to. `refusal` is what it says instead."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self.waiting: list[tuple[ClientOperation | Query, OnAnswer]] = []
        self.submitted: list[ClientOperation | Query] = []
        self.refusal: RaftdbError | None = None
        self.failure: RaftdbError | None = None
        self.is_held = False
        self.most_waiting = 0
        self.more_status: Mapping[str, Any] = {}
        self.unreachable: set[str] = set()
        self.leader: LeaderHint | None = None
        self.stale: list[bool] = []
        """Of each read, whether it may be stale."""

    def submit(
        self, operation: ClientOperation | Query, on_answer: OnAnswer, *, user: bytes | None = None
    ) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.submitted.append(operation)
        self.waiting.append((operation, on_answer))
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        if len(self.waiting) == 1 and not self.is_held:
            asyncio.get_running_loop().call_soon(self.answer_all)

    def answer_all(self) -> None:
        waiting, self.waiting = self.waiting, []
        for operation, on_answer in waiting:
            on_answer(self.failure or self.answer_to(operation))

    def answer_to(self, operation: ClientOperation | Query) -> Answer | RaftdbError:
        if type(operation) in READS or type(operation) in QUERIES:
            reply: Any = Machine().read(cast(Query, operation), self.database.layer)
        else:
            reply = self.database.applied(cast(ClientOperation, operation)).reply
        if isinstance(reply, ReplyError):
            return reply
        assert isinstance(reply, Result)
        return Answer(reply.value, self.database.index, self.database.term, reply.revision)

    def read(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool,
        user: bytes | None = None,
    ) -> None:
        self.stale.append(stale)
        self.submit(operation, on_answer)

    def status(self) -> Mapping[str, Any]:
        return {
            "id": "n1",
            "role": "leader",
            "leader": {"id": "n1"},
            "term": 1,
            "members": [{"id": "n1", "redis": None, "redis_cluster": None, "alive": True}],
            "commit_index": self.database.index,
            "applied_index": self.database.index,
            "checkpoint_index": 0,
            "uptime_seconds": 1.5,
            "memory_bytes": {"requests": 0},
            **self.more_status,
        }

    def reaches(self, node_id: str) -> bool:
        return node_id not in self.unreachable

    def other_leader(self) -> LeaderHint | None:
        return self.leader


class FakeTransport(asyncio.Transport):
    """Keeps what is written; `unread_bytes` is what a client that does not read has left in it, or all that was written
    if its client `reads_nothing`."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.writes = 0
        self.unread_bytes = 0
        self.reads_nothing = False
        self.is_reading_paused = False
        self.is_closed = False
        self.is_aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 4711), "sockname": ("192.0.2.2", 6379)}.get(name, default)

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        assert not self.is_closed
        self.written += data
        self.writes += 1

    def get_write_buffer_size(self) -> int:
        return len(self.written) if self.reads_nothing else self.unread_bytes

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True


def request(*arguments: bytes | str | int) -> bytes:
    """A request as client libraries send it."""
    encoded = [each if isinstance(each, bytes) else str(each).encode() for each in arguments]
    head = b"*%d\r\n" % len(encoded)
    return head + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in encoded)


class Client:
    """One connection of a server."""

    def __init__(self, server: RedisServer) -> None:
        self.transport = FakeTransport()
        self.protocol = RedisConnection(server)
        self.protocol.connection_made(self.transport)

    def send(self, *requests: bytes) -> None:
        self.protocol.data_received(b"".join(requests))

    def take(self) -> bytes:
        """What was written since this was asked last."""
        written = bytes(self.transport.written)
        self.transport.written.clear()
        return written

    async def receive(self, count: int) -> bytes:
        """The next replies."""
        reader = hiredis.Reader()
        found, fed = 0, 0
        for _ in range(TURNS_MAX):
            reader.feed(bytes(self.transport.written[fed:]))
            fed = len(self.transport.written)
            while found < count and reader.gets() is not False:
                found += 1
            if found == count:
                return self.take()
            await asyncio.sleep(0)
        raise AssertionError(f"{found} of {count} replies: {bytes(self.transport.written)!r}")

    async def ask(self, *arguments: bytes | str | int) -> bytes:
        """The reply to one request."""
        self.send(request(*arguments))
        return await self.receive(1)

    async def tell(self, line: str) -> bytes:
        """The reply to a line."""
        self.send(line.encode() + b"\r\n")
        return await self.receive(1)


def serve(
    node: MachineNode | None = None,
    *,
    limits: RedisLimits | None = None,
    command_limits: Limits = DEFAULT_LIMITS,
    memory: MemoryAccount | None = None,
) -> tuple[MachineNode, RedisServer]:
    """A node and its listener, without a socket."""
    node = node or MachineNode()
    return node, RedisServer(node, limits=limits, command_limits=command_limits, memory=memory)


async def turns(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    for _ in range(TURNS_MAX):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


def real_reply(stream: BufferedRWPair) -> bytes:
    """The bytes of the next reply, whole, as they came."""
    line = stream.readline()
    if line[:1] in b"+-:_,#(":
        return line
    count = int(line[1:-2])
    if count < 0:
        return line
    if line[:1] in b"$=":
        return line + stream.read(count + 2)
    parts = 2 * count if line[:1] == b"%" else count
    return line + b"".join(real_reply(stream) for _ in range(parts))
