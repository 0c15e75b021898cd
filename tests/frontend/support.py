"""A node that answers from memory, a server around it, and a client that writes raw bytes to a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from raftdb.access.logins import Logins
from raftdb.core.events import Change
from raftdb.errors import LeaderHint, RaftdbError
from raftdb.frontend.http_api import HttpApi
from raftdb.frontend.http_browser import Browsers
from raftdb.frontend.http_data import ApiLimits
from raftdb.frontend.http_lean import HEADS_MAX, KnownHead
from raftdb.frontend.http_login import Gate
from raftdb.frontend.http_pages import PagesApi
from raftdb.frontend.http_server import HttpServer, ServerLimits
from raftdb.frontend.node_api import Backup, Consistency
from raftdb.frontend.tls import Tls
from raftdb.impairment import ImpairedNetwork, NetworkChange
from raftdb.limits import DEFAULT_LIMITS, Limits
from raftdb.machine.connection import Ping
from raftdb.machine.operations import ClientOperation, SessionOperation
from raftdb.machine.service import Command, Query
from raftdb.machine.strings import Get, Set
from raftdb.machine.users.rights import Need
from raftdb.memory import MemoryAccount
from raftdb.node.chronicle import Chronicle
from raftdb.node.effects import OnAnswer
from raftdb.node.history import History
from raftdb.node.membership import CatchingUp, MembersChanged
from raftdb.node.turn import Answer
from raftdb.route import Routes
from raftdb.tally import RequestTallies
from tests.addresses import at

WAIT_S = 10.0
"""Longest wait for something that must come: only a failing test waits as long."""


def answered(value: object, *, revision: int | None = None) -> Answer:
    """The answer of an operation at a place in the log that has nothing special."""
    return Answer(value, 12, 3, revision)


class StubNode:
    """Executes ping, get and set on a dictionary; `answers` and `failure` override what it says."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.executed: list[tuple[ClientOperation | Query, Consistency]] = []
        self.waits: dict[int, tuple[Command | SessionOperation, int, OnAnswer]] = {}
        self.left: list[int] = []
        self.checked: list[tuple[bytes | None, tuple[Need, ...]]] = []
        self.failure: BaseException | None = None
        self.answer: Answer | None = None
        self.leader: LeaderHint | None = None
        self.leads = True
        self.cluster_id = "c1"
        self.history = History()
        self.election_timeout_s = 0.3
        self.changes: list[tuple[Change, bool]] = []
        self.catching_up: CatchingUp | None = None
        self.transfers: list[str | None] = []
        self.backup_path: Path | None = None
        self.backups = 0
        self.chronicle = Chronicle()
        self.impaired = ImpairedNetwork("n1", 1)
        self.shape: dict[str, Any] = {"first_index": 1, "last_index": 12, "terms": [(1, 3)]}
        self.release = asyncio.Event()
        self.release.set()

    async def execute(
        self, operation: ClientOperation | Query, *, consistency: Consistency, user: bytes | None = None
    ) -> Answer:
        self.executed.append((operation, consistency))
        await self.release.wait()
        if self.failure is not None:
            raise self.failure
        if self.answer is not None:
            return self.answer
        match operation:
            case Ping():
                return answered("PONG")
            case Set(key, value):
                self.values[key] = value
                return answered("OK")
            case Get(key):
                return answered(self.values.get(key, b""), revision=12 if key in self.values else 0)
            case _:
                raise AssertionError(operation)

    def wait(
        self,
        operation: Command | SessionOperation,
        on_answer: OnAnswer,
        *,
        wait_ms: int,
        user: bytes | None = None,
    ) -> int:
        if isinstance(self.failure, RaftdbError):
            raise self.failure
        self.waits[len(self.waits) + 1] = (operation, wait_ms, on_answer)
        return len(self.waits)

    def check(self, user: bytes | None, *needs: Need) -> None:
        self.checked.append((user, needs))

    def leave(self, request_id: int) -> None:
        self.left.append(request_id)

    def submit(
        self,
        operation: ClientOperation | Query,
        on_answer: OnAnswer,
        *,
        stale: bool = False,
        user: bytes | None = None,
    ) -> None:
        if self.failure is not None and not isinstance(self.failure, RaftdbError):
            raise self.failure

        def settle(task: asyncio.Task[Answer]) -> None:
            error = task.exception()
            assert error is None or isinstance(error, RaftdbError)
            on_answer(error or task.result())

        execution = self.execute(operation, consistency="stale" if stale else "linearizable")
        asyncio.get_running_loop().create_task(execution).add_done_callback(settle)

    async def request_log(self, first: int | None, limit: int) -> Mapping[str, object]:
        if self.failure is not None:
            raise self.failure
        entry = {"index": 1, "term": 1, "kind": "command", "command": "set", "args": [b"a", b"\xff"]}
        return {
            "first_index": first or 1,
            "last_index": 1,
            "commit_index": 1,
            "entries": [entry],
            "limit": limit,
        }

    async def checkpoint(self) -> int:
        if self.failure is not None:
            raise self.failure
        return 12

    @asynccontextmanager
    async def backup(self) -> AsyncIterator[Backup]:
        if self.failure is not None:
            raise self.failure
        self.backups += 1
        assert self.backup_path is not None
        yield Backup(self.backup_path, 12, 3)

    def status(self) -> Mapping[str, Any]:
        return {"id": "n1", "role": "leader", "leader": None}

    def log_shape(self) -> Mapping[str, Any]:
        return self.shape

    def figures(self) -> Mapping[str, Any]:
        return {"applied_index": 12}

    def election_timer(self) -> Mapping[str, Any] | None:
        return None

    def membership(self) -> Mapping[str, object]:
        members = [
            {"id": "n1", "http": "127.0.0.1:8001", "redis": None, "redis_cluster": None, "voter": True}
        ]
        return {"members": members, "removed": ["n0"]}

    def network(self) -> Mapping[str, object]:
        if self.failure is not None:
            raise self.failure
        return self.impaired.described()

    def change_network(self, change: NetworkChange) -> None:
        if self.failure is not None:
            raise self.failure
        self.impaired.change(change)

    async def change_members(self, change: Change, *, force: bool) -> Answer:
        if self.failure is not None:
            raise self.failure
        self.changes.append((change, force))
        return Answer(MembersChanged((), self.catching_up), 7, 3)

    async def transfer(self, target: str | None) -> LeaderHint:
        if self.failure is not None:
            raise self.failure
        self.transfers.append(target)
        return LeaderHint(target or "n3", at("127.0.0.1:8003"))

    def is_leader(self) -> bool:
        return self.leads

    def leader_hint(self) -> LeaderHint | None:
        return self.leader


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> object:
        return self.json["error"]["code"]


class RawClient:
    """One TCP connection: bytes out, responses in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, *, body: bool = True) -> Response:
        """The next response; `body` False for an answer to HEAD."""
        async with asyncio.timeout(WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            assert first.startswith("HTTP/1.1 "), f"not the start of a response: {first!r}"
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", 0))
            data = await self.reader.readexactly(length) if body and length else b""
        return Response(int(first.split(" ", 2)[1]), headers, data)

    async def ends(self) -> bytes:
        """Wait until the server has closed the connection; returns what came before."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Harness:
    """A running server with its stub node. `request` opens a connection for one request."""

    def __init__(self, node: StubNode, api: HttpApi, server: HttpServer, port: int) -> None:
        self.node = node
        self.api = api
        self.server = server
        self.port = port
        self._clients: list[RawClient] = []

    async def connect(self) -> RawClient:
        client = RawClient(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def request(self, data: bytes, *, body: bool = True) -> Response:
        client = await self.connect()
        await client.send(data)
        return await client.receive(body=body)

    async def execute(self, body: object) -> Response:
        return await self.request(post(body if isinstance(body, bytes) else json.dumps(body).encode()))

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self.server.close(grace_s=0.0)


def post(body: bytes, path: str = "/v1/execute", *, headers: Sequence[str] = ()) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: node", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def get(path: str, *, method: str = "GET", headers: Sequence[str] = ()) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: node", *headers, "", ""]).encode()


class Ways:
    """Which way requests of `post` without further headers take."""

    is_lean = False
    """Whether their heads are known from the beginning, and else only after the first request."""


def know_heads(server: HttpServer) -> None:
    """Have the server know the heads of `post` as if it had learned them."""
    for key, handler in server._lean.routes.items():
        for body_bytes in range(min(HEADS_MAX, handler.body_bytes_max + 1)):
            head = post(b"", key[1]).replace(b"Content-Length: 0", b"Content-Length: %d" % body_bytes)
            server._lean.heads[head] = KnownHead(key[1], handler, body_bytes, None)


@asynccontextmanager
async def running(
    *,
    api_limits: ApiLimits | None = None,
    command_limits: Limits = DEFAULT_LIMITS,
    server_limits: ServerLimits | None = None,
    more_routes: Routes | None = None,
    checks: Mapping[str, Callable[[], str | None]] | None = None,
    warnings: Mapping[str, Callable[[], str | None]] | None = None,
    node: StubNode | None = None,
    memory: MemoryAccount | None = None,
    browsers: Browsers | None = None,
    pages: PagesApi | None = None,
    requests: RequestTallies | None = None,
    logins: Logins | None = None,
    gate: Gate | None = None,
    tls: Tls | None = None,
) -> AsyncIterator[Harness]:
    """A server on a free port of the loopback interface."""
    node = node or StubNode()
    api = HttpApi(
        node,
        limits=api_limits,
        command_limits=command_limits,
        readiness_checks=checks,
        readiness_warnings=warnings,
        pages=pages,
        logins=logins,
    )
    server = HttpServer(
        {**api.routes(), **(more_routes or {})},
        limits=server_limits,
        gate=gate,
        memory=memory,
        host_names=lambda: ("node", "a"),
        lean=api.lean_routes(),
        browsers=browsers,
        requests=requests,
        tls=tls,
    )
    if Ways.is_lean:
        know_heads(server)
    _, port = await server.start("127.0.0.1", 0)
    harness = Harness(node, api, server, port)
    try:
        yield harness
    finally:
        await harness.close()


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)
