"""The lean path answers as aiohttp's way does, byte by byte, whatever is sent in whatever pieces, and with the same
guards (hazards B98, B99)."""

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from aiohttp.http import RawRequestMessage

from raftdb.errors import CommandFailed, LeaderHint, OutcomeUnknown, RequestRefused, Unavailable
from raftdb.frontend import http_reply
from raftdb.frontend.http_api import HttpApi
from raftdb.frontend.http_lean import (
    HEAD_BYTES_REMEMBERED_MAX,
    HEADS_MAX,
    LeanCall,
    LeanConnection,
    LeanHandler,
    missing_bytes,
)
from raftdb.frontend.http_memory import COUNTED_BYTES_MIN
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_server import HttpServer, ServerLimits
from raftdb.frontend.http_turns import CALLS_PER_PASS, PASSES_PER_TURN
from raftdb.memory import MemoryAccount
from tests.addresses import at
from tests.frontend.support import (
    WAIT_S,
    StubNode,
    answered,
    get,
    know_heads,
    post,
    running,
    wait_until,
)

PING = b'{"command": "ping"}'
GET = b'{"command": "get", "args": ["k"]}'
SET = b'{"command": "set", "args": ["k", "value"]}'
FAILURES: dict[bytes, Callable[[], Exception]] = {
    b"bug": lambda: RuntimeError("a bug"),
    b"busy": lambda: Unavailable("busy", "too much"),
    b"elsewhere": lambda: Unavailable(
        "not_leader", "n2 leads", leader=LeaderHint("n2", at("127.0.0.1:8002"))
    ),
    b"nowhere": lambda: Unavailable("no_leader", "nobody leads"),
    b"perhaps": lambda: OutcomeUnknown("it may have happened"),
    b"refused": lambda: RequestRefused("bad_request", "no"),
    b"type": lambda: CommandFailed("no"),
}
"""What the node answers to a read of these keys."""
BODIES = [
    PING,
    GET,
    SET,
    SET,
    b"",
    b"{",
    b"\xff",
    b'{"command": "nosuch"}',
    b'{"command": "get"}',
    b'{"command": "get", "args": ["k"], "consistency": "stale"}',
    b'{"command": "set", "args": ["k", "\\ud800"]}',
    b'{"command": "set", "args": ["k", "%b"], "session": {"id": "%b", "seq": 1}}' % (b"w" * 9, b"0a" * 16),
    b'{"command": "set", "args": ["k", "%b"]}' % (b"x" * 980),
    b'{"command": "set", "args": ["k", "%b"]}' % (b"y" * 3000),
    b'{"command": "set", "args": ["k", "%b"]}' % (b"z" * 100_000),
    *(b'{"command": "get", "args": ["%b"]}' % key for key in FAILURES),
]
SMUGGLED = post(b'{"command": "set", "args": ["smuggled", "1"]}')


class Failing(StubNode):
    """Fails on some keys."""

    async def execute(self, operation: Any, **more: Any) -> Any:
        failure = self.failure_of(operation)
        if failure is not None:
            raise failure
        return await super().execute(getattr(operation, "operation", operation), **more)

    def submit(self, operation: Any, *args: Any, **more: Any) -> None:
        failure = self.failure_of(operation)
        if isinstance(failure, RuntimeError):
            raise failure
        super().submit(operation, *args, **more)

    def failure_of(self, operation: Any) -> Exception | None:
        failure = FAILURES.get(getattr(operation, "key", b""))
        return None if failure is None else failure()


class Counting:
    """A lean handler that counts its calls."""

    def __init__(self, handler: LeanHandler) -> None:
        self.handler = handler
        self.calls = 0
        self.declines = False
        self.body_bytes_max = handler.body_bytes_max

    def __call__(self, body: bytes, on_settled: Callable[[], None], *, user: bytes | None) -> LeanCall | None:
        self.calls += 1
        return None if self.declines else self.handler(body, on_settled, user=user)


class Server:
    """A listener without a socket, with the lean path or without."""

    def __init__(self, *, is_lean: bool, limits: ServerLimits | None = None) -> None:
        self.node = Failing()
        api = HttpApi(self.node)
        self.lean = Counting(api.lean_routes()["POST", "/v1/execute"])
        self.memory = MemoryAccount()
        self.http = HttpServer(
            api.routes(),
            host_names=lambda: ("node", "a"),
            memory=self.memory,
            limits=limits,
            lean={("POST", "/v1/execute"): self.lean} if is_lean else None,
        )

    async def __aenter__(self) -> "Server":
        await self.http.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close(grace_s=0.0)

    def connect(self) -> "Wire":
        assert self.http._server is not None
        return Wire(cast(LeanConnection, self.http._server()))

    @property
    def rest(self) -> tuple[object, ...]:
        """What is left when all connections have ended."""
        assert self.http._server is not None
        return self.http.connections, len(self.http._server.waiting), self.memory.request_bytes


class Wire(asyncio.Transport):
    """A connection in memory, which delivers the pieces as they are given, one in a turn of the loop."""

    def __init__(self, connection: LeanConnection) -> None:
        super().__init__()
        self.connection = connection
        self.written = b""
        self.pieces: list[bytes] = []
        self.is_paused = False
        self.is_closed = False
        connection.connection_made(self)

    async def send(self, pieces: Sequence[bytes]) -> None:
        self.pieces += pieces
        while self.pieces and not self.is_closed:
            await asyncio.sleep(0)
            if not self.is_paused:
                self.connection.data_received(self.pieces.pop(0))

    async def quiet(self) -> None:
        """Wait until nothing is under way, or the connection has ended."""
        quiet_turns = 0
        async with asyncio.timeout(WAIT_S):
            # A body that has just arrived wakes its reader in one of the next turns.
            while quiet_turns < 5:
                await asyncio.sleep(0)
                quiet_turns = quiet_turns + 1 if self.is_quiet else 0

    @property
    def is_quiet(self) -> bool:
        connection = self.connection
        is_waiting = connection._waiter is not None and not connection._waiter.done()
        awaits_body = connection._request_in_progress and connection in connection.crowd.waiting
        return self.is_closed or (not (self.pieces or connection.is_lean) and (is_waiting or awaits_body))

    @property
    def outcome(self) -> tuple[bytes, bool]:
        """All that was written, without its dates, and whether the connection has ended."""
        return re.sub(rb"\r\nDate: [^\r]*", b"", self.written), self.is_closed

    def end(self) -> None:
        if not self.is_closed:
            self.close()

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)


def requests(body: bytes) -> list[bytes]:
    """Requests with this body, of which most are fine."""
    length = b"Content-Length: %d\r\n" % len(body)
    plain = post(body)
    heads = [
        b"POST /v1/execute HTTP/1.1\r\nhost: NODE:80\r\nContent-Type: application/json\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nUser-Agent:  a  b \r\nConnection: keep-alive\r\n"
        + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nConnection: close\r\n" + length,
        b"POST /v1/execute HTTP/1.0\r\nHost: node\r\nConnection: keep-alive\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: evil.example\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nOrigin: http://evil.example\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nOrigin: http://node\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nContent-Encoding: identity\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nContent-Encoding: gzip\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\n X: folded\r\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nX:\r\n" + length + length,
        b"POST /v1/execute?x HTTP/1.1\r\nHost: node\r\n" + length,
        b"POST http://node/v1/execute HTTP/1.1\r\nHost: node\r\n" + length,
        b"\r\nPOST /v1/execute HTTP/1.1\r\nHost: node\r\n" + length,
        b"POST /v1/transaction HTTP/1.1\r\nHost: node\r\n" + length,
        b"GET /v1/execute HTTP/1.1\r\nHost: node\r\n" + length,
        b"POST /v1/execute HTTP/1.1\nHost: node\n" + length,
        b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nX: a\nY: b\r\n" + length,
    ]
    chunked = b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return [
        *[plain] * 100,
        *(head + b"\r\n" + body for head in heads),
        chunked + chunk + b"0\r\n\r\n",
        get("/livez"),
        get("/v1/keys/k"),
        plain[:-1],
    ]


def in_pieces(stream: bytes, chance: random.Random) -> list[bytes]:
    """The bytes, cut anywhere, or nowhere."""
    cuts = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.choice([0, 0, 0, 0, 1, 2, 5])))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    return [piece for piece in pieces if piece]


async def converse(server: Server, turns: Sequence[Sequence[bytes]]) -> tuple[bytes, bool]:
    """The outcome of turns of pieces on one connection, each sent when those before are answered."""
    wire = server.connect()
    for pieces in turns:
        await wire.send(pieces)
        await wire.quiet()
    wire.end()
    for head, known in server.http._lean.heads.items():
        assert head.startswith(b"POST /v1/execute HTTP/1.1\r\n")
        assert known.body_bytes == int(re.findall(rb"(?i)\r\nContent-Length: (\d+)\r\n", head)[-1])
    return wire.outcome


async def test_any_requests_in_any_pieces_are_answered_alike() -> None:
    """Random conversations with a server that has the lean path, and with one that has not."""
    async with Server(is_lean=True) as lean, Server(is_lean=False) as plain:
        for seed in range(600):
            chance = random.Random(seed)
            turns = []
            for _ in range(chance.choice([3, 10])):
                count = chance.choice([1, 1, 1, 1, 1, 1, 2, 3])
                stream = [chance.choice(requests(chance.choice(BODIES))) for _ in range(count)]
                turns.append(in_pieces(b"".join(stream), chance))
            assert await converse(lean, turns) == await converse(plain, turns), seed
            assert lean.node.executed == plain.node.executed, seed
            assert lean.node.values == plain.node.values, seed
        assert lean.lean.calls > 200
        assert plain.lean.calls == 0
        for server in (plain, lean):
            await wait_until(lambda server=server: server.rest == (0, 0, 0))  # type: ignore[misc]


async def test_a_request_cut_at_any_byte_is_answered_alike() -> None:
    async with Server(is_lean=True) as lean, Server(is_lean=False) as plain:
        whole = post(SET)
        for cut in range(1, len(whole)):
            cut_behind = [whole + whole[:cut], whole[cut:] + whole]
            turns = [[whole], [whole[:cut], whole[cut:]], [whole], cut_behind, [whole]]
            assert await converse(lean, turns) == await converse(plain, turns), cut
        assert lean.lean.calls >= len(whole)


async def conversation(turns: Sequence[Sequence[bytes]]) -> int:
    """How many of the requests took the lean path."""
    async with Server(is_lean=True) as server:
        await converse(server, turns)
        return server.lean.calls


async def test_a_head_is_known_from_its_second_time_on_and_each_by_itself() -> None:
    assert await conversation([[post(PING)]] * 3) == 2
    assert await conversation([[post(PING)], [post(GET)], [post(GET)], [post(PING)]]) == 2
    assert await conversation([[post(GET)], [post(GET.replace(b"k", b"l"))]]) == 1


@pytest.mark.parametrize(
    "between", [[get("/livez")], [post(PING)[:-4], post(PING)[-4:]], [post(b"{", "/v1/sessions")]]
)
async def test_a_connection_comes_back_after_other_requests(between: list[bytes]) -> None:
    """It may do so only at the beginning of a request: aiohttp has all bytes before, and none after."""
    assert await conversation([[post(PING)], between, [post(PING)], between, [post(PING)]]) == 2


@pytest.mark.parametrize(
    "between",
    [[get("/livez") * 2], [post(PING)[:9], post(PING)[9:]], [get("/livez") + b"GET", get("/livez")[3:]]],
)
async def test_a_connection_stays_with_aiohttp_if_it_is_not_certain_where_a_request_begins(
    between: list[bytes],
) -> None:
    assert await conversation([[post(PING)], between, [post(PING)], [post(PING)]]) == 0


@pytest.mark.parametrize(
    "header",
    [
        "Connection: close",
        "Content-Encoding: identity",
        "Cookie: a=b",
        "Expect: 100-continue",
        "Origin: http://node",
        "Proxy-Authorization: Basic eA==",
        "Upgrade: h2c",
        "X: " + "x" * HEAD_BYTES_REMEMBERED_MAX,
    ],
)
async def test_what_has_to_be_judged_each_time_is_not_remembered(header: str) -> None:
    async with Server(is_lean=True) as server:
        for _ in range(3):
            await converse(server, [[post(PING, headers=[header])]])
        assert server.http._lean.heads == {}
        await converse(server, [[post(PING, headers=["X-Request: 1"])]])
        assert len(server.http._lean.heads) == 1


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_http_1_0_is_not_remembered(connection: str) -> None:
    async with Server(is_lean=True) as server:
        request = post(PING, headers=[f"Connection: {connection}"]).replace(b"HTTP/1.1", b"HTTP/1.0")
        await converse(server, [[request]])
        assert len(server.node.executed) == 1
        assert server.http._lean.heads == {}


async def test_what_came_before_is_not_taken_for_a_head() -> None:
    """A head is that of the request that was let in, and of no other."""
    async with Server(is_lean=True) as server:
        await converse(server, [[get("/livez")], [post(PING)[:-1], post(PING)[-1:]]])
        assert server.http._lean.heads == {}
        wire = server.connect()
        await wire.send([post(PING)])
        await wire.quiet()
        # Two in one turn: the first is not looked at before the second is there.
        wire.connection.data_received(post(GET, headers=["X: 1"]))
        wire.connection.data_received(post(SET, headers=["X: 1"]))
        await wire.quiet()
        wire.end()
        assert list(server.http._lean.heads) == [post(PING)[: -len(PING)]]


async def test_a_request_within_the_head_of_another_is_not_served() -> None:
    """The connection has lost count of where requests begin, and does not begin to count anew (hazard B99)."""
    ping = PING + b" "
    fragment, rest = b"GET ", b"/livez HTTP/1.1\r\nX:"
    assert len(fragment) - 3 + len(rest) == len(ping)
    async with Server(is_lean=True) as server:
        know_heads(server.http)
        server.node.release.clear()
        wire = server.connect()
        # aiohttp has two requests, of which one is not begun, and the beginning of a third.
        for piece in (post(SET, headers=["X: 1"]), post(ping, headers=["X: 1"]), fragment, rest):
            wire.connection.data_received(piece)
        server.node.release.set()
        await wire.quiet()
        wire.connection.data_received(post(ping))
        await wire.quiet()
        assert wire.written.endswith(b"ok\n")
        assert len(server.node.executed) == 2
        wire.end()


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (post(PING), 0),
        (post(PING)[:-7], 7),
        (post(PING) + b"POST", -4),
        (get("/livez"), 0),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", -1),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", -1),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", -1),
    ],
)
async def test_how_much_of_a_body_is_missing(data: bytes, missing: int) -> None:
    async with Server(is_lean=True) as server:
        wire = server.connect()
        wire.connection.data_received(data)
        message = wire.connection._messages[-1][0]
        assert isinstance(message, RawRequestMessage)
        end = data.find(b"\r\n\r\n") + 4
        assert missing_bytes(message, data, end) == missing
        # A parser that took less for line ends than it should would see more lines, or fewer.
        assert missing_bytes(message, data.replace(b"\r\nHost", b"\nHost"), end - 1) < 0
        assert missing_bytes(message, data.replace(b"\r\nHost", b"\r\nX: a\r\nHost"), end + 6) < 0
        wire.end()


async def test_only_bodies_are_taken_that_need_no_memory_from_the_account() -> None:
    longest = PING + b" " * (COUNTED_BYTES_MIN - len(PING))
    assert await conversation([[post(longest)]] * 3) == 2
    assert await conversation([[post(longest + b" ")]] * 3) == 0


async def test_so_many_heads_are_remembered_and_the_oldest_makes_room() -> None:
    async with Server(is_lean=True) as server:
        heads = server.http._lean.heads
        for number in range(HEADS_MAX + 3):
            await converse(server, [[post(PING, headers=[f"X: {number}"])]])
        assert len(heads) == HEADS_MAX
        numbers = [int(head.partition(b"X: ")[2]) for head in heads]
        assert numbers == list(range(3, HEADS_MAX + 3))


async def test_what_arrives_during_a_request_waits_unread() -> None:
    """One read of the socket is held at most, and it is answered in its turn."""
    async with Server(is_lean=True) as server:
        server.node.release.clear()
        know_heads(server.http)
        wire = server.connect()
        pieces = [post(SET), post(GET), get("/livez"), post(GET)]
        sending = asyncio.create_task(wire.send(pieces))
        await wait_until(lambda: wire.is_paused)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(server.node.executed) == 1
        assert wire.pieces == pieces[2:]
        server.node.release.set()
        await sending
        await wire.quiet()
        results = re.findall(rb'"result":"\w+"|\r\n\r\nok', wire.written)
        value = b'"result":"value"'
        assert results == [b'"result":"OK"', value, b"\r\n\r\nok", value]
        # What comes before aiohttp has answered is aiohttp's.
        assert server.lean.calls == 2
        wire.end()


async def test_what_the_handler_declines_is_aiohttp_s_and_so_is_what_arrived_meanwhile() -> None:
    async with Server(is_lean=True) as server:
        know_heads(server.http)
        server.lean.declines = True
        wire = server.connect()
        await wire.send([post(SET)])
        await wire.quiet()
        turnstile = server.http._lean.turnstile
        for _ in range(PASSES_PER_TURN * CALLS_PER_PASS):
            turnstile.call(lambda: None)
        # It stands in the line, and does not know yet that it will be declined.
        wire.connection.data_received(post(GET))
        wire.connection.data_received(get("/livez") + post(PING))
        assert wire.is_paused
        await wire.quiet()
        await wire.send([post(PING)])
        await wire.quiet()
        results = re.findall(rb'"result":"\w+"|\r\n\r\nok', wire.written)
        pong = b'"result":"PONG"'
        assert results == [b'"result":"OK"', b'"result":"value"', b"\r\n\r\nok", pong, pong]
        assert server.lean.calls == 2
        wire.end()


async def test_a_silent_connection_is_closed_after_a_known_head_and_a_busy_one_is_not() -> None:
    async with Server(is_lean=True, limits=ServerLimits(keepalive_timeout_s=0.3)) as server:
        know_heads(server.http)
        busy, silent = server.connect(), server.connect()
        await silent.send([post(PING)])
        await silent.quiet()
        server.node.release.clear()
        await busy.send([post(PING)])
        # The timer of the busy one is older, and so runs out before that of the silent one.
        await wait_until(lambda: silent.is_closed)
        assert not busy.is_closed
        server.node.release.set()
        await busy.quiet()
        assert busy.written.startswith(b"HTTP/1.1 200 ")
        await wait_until(lambda: busy.is_closed)
        assert server.lean.calls == 2


async def test_a_client_that_does_not_read_a_long_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_reply, "SEND_TIMEOUT_S", 0.05)
    account = MemoryAccount()
    async with running(memory=account) as http:
        know_heads(http.server)
        http.node.answer = answered(b"x" * 11 * 1024 * 1024)
        client = await http.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(post(GET))
        await wait_until(lambda: account.request_bytes > 0)
        await client.send(post(GET))
        await wait_until(lambda: http.server.connections == 0)
        assert len(http.node.executed) == 1
        assert account.request_bytes == 0


async def test_a_reply_that_cannot_be_sent_does_not_fail_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server(is_lean=True) as server:
        know_heads(server.http)
        wire = server.connect()
        await wire.send([post(PING)])
        await wire.quiet()
        assert server.lean.calls == 1

        def write(*_: object, **more: object) -> bool:
            raise RuntimeError("a bug")

        monkeypatch.setattr(Reply, "write", write)
        wire.connection.data_received(post(PING))
        await wait_until(lambda: wire.is_closed)
        await wait_until(lambda: server.rest == (0, 0, 0))
        assert server.lean.calls == 2
