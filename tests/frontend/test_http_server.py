"""The listener against clients that are wrong, slow, many or hostile, byte by byte (hazards B98, B99, B103, B105)."""

import asyncio
import logging
import socket
import struct

import pytest
from aiohttp import web

from raftdb.frontend import http_reply
from raftdb.frontend.http_body import read_body
from raftdb.frontend.http_browser import Browsers
from raftdb.frontend.http_data import ApiLimits
from raftdb.frontend.http_reply import Reply
from raftdb.frontend.http_server import (
    CONNECTIONS_SPARED,
    HttpServer,
    ServerLimits,
)
from raftdb.route import Handler, Permission, Route, Routes
from tests.frontend.support import WAIT_S, Harness, answered, get, post, running, wait_until

pytestmark = pytest.mark.usefixtures("both_ways")

PING = b'{"command": "ping"}'
GET = b'{"command": "get", "args": ["long"]}'


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1/execute/", "/v1/%65xecute", "/v1//execute", "/../etc/passwd"]
)
async def test_an_unknown_path_is_404_in_json(http: Harness, path: str) -> None:
    response = await http.request(get(path))
    assert (response.status, response.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
async def test_a_wrong_method_is_405_and_says_which_are_right(http: Harness, method: str) -> None:
    response = await http.request(get("/v1/execute", method=method), body=method != "HEAD")
    assert response.status == 405
    assert response.headers["allow"] == "POST"
    if method != "HEAD":
        assert response.code == "method_not_allowed"


async def test_head_is_get_without_the_body(http: Harness) -> None:
    client = await http.connect()
    await client.send(get("/v1/status", method="HEAD") + get("/livez"))
    head = await client.receive(body=False)
    assert head.status == 200
    assert int(head.headers["content-length"]) > 0
    assert (await client.receive()).body == b"ok\n"


async def test_pipelined_requests_are_answered_in_order(http: Harness) -> None:
    client = await http.connect()
    requests = [
        post(b'{"command": "set", "args": ["k", "%d"]}' % i) + post(b'{"command":"get","args":["k"]}')
        for i in range(50)
    ]
    await client.send(b"".join(requests))
    for i in range(50):
        assert (await client.receive()).json["result"] == "OK"
        assert (await client.receive()).json["result"] == str(i)


async def test_a_connection_serves_on_after_every_kind_of_refusal(http: Harness) -> None:
    client = await http.connect()
    for data, status in [
        (post(b"{"), 400),
        (get("/nothing"), 404),
        (get("/v1/execute"), 405),
        (post(b'{"command": "nosuch"}'), 400),
        (post(PING), 200),
    ]:
        await client.send(data)
        response = await client.receive()
        assert response.status == status
        assert "connection" not in response.headers


async def test_http_1_0_is_closed_unless_it_asks_otherwise(http: Harness) -> None:
    client = await http.connect()
    await client.send(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    kept = await client.receive()
    assert kept.headers["connection"] == "keep-alive"
    await client.send(b"GET /livez HTTP/1.0\r\n\r\n")
    closed = await client.receive()
    assert closed.headers["connection"] == "close"
    assert await client.ends() == b""


@pytest.mark.parametrize("options", ["close", "Close", "keep-alive, close", "close, keep-alive", "TE,close"])
async def test_connection_close_is_honoured(http: Harness, options: str) -> None:
    client = await http.connect()
    await client.send(post(PING, headers=[f"Connection: {options}"]))
    assert (await client.receive()).headers["connection"] == "close"
    assert await client.ends() == b""


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX\x00: a\r\n\r\n",
        b"GET /li vez HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n\r\n",
    ],
)
async def test_malformed_or_ambiguous_http_is_400_and_closed(http: Harness, data: bytes) -> None:
    """Nothing behind it on the connection is looked at: it might be a second request in disguise (hazard B99)."""
    client = await http.connect()
    await client.send(data + post(b'{"command": "set", "args": ["smuggled", "1"]}'))
    response = await client.receive()
    assert (response.status, response.code) == (400, "bad_request")
    assert response.headers["connection"] == "close"
    assert await client.ends() == b""
    assert http.node.executed == []


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"0x13\r\n" + PING + b"\r\n0\r\n\r\n",
        b"+13\r\n" + PING + b"\r\n0\r\n\r\n",
        b"1_3\r\n" + PING + b"\r\n0\r\n\r\n",
        b"13 \r\n" + PING + b"\r\n0\r\n\r\n",
    ],
)
async def test_a_broken_chunk_closes_the_connection(http: Harness, chunks: bytes) -> None:
    client = await http.connect()
    head = b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    await client.send(head + chunks + post(b'{"command": "set", "args": ["smuggled", "1"]}'))
    assert (await client.receive()).status == 400
    assert await client.ends() == b""
    assert http.node.executed == []


async def test_an_upgrade_with_a_body_smuggles_nothing(http: Harness) -> None:
    client = await http.connect()
    headers = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: eA==",
    ]
    inner = post(b'{"command": "set", "args": ["smuggled", "1"]}')
    await client.send(post(inner, "/nothing", headers=headers))
    assert (await client.receive()).status == 404
    assert (await http.execute({"command": "ping"})).status == 200
    assert len(http.node.executed) == 1


async def test_a_body_in_pieces_and_in_chunks_is_read(http: Harness) -> None:
    client = await http.connect()
    data = post(PING)
    for i in range(0, len(data), 7):
        await client.send(data[i : i + 7])
        await asyncio.sleep(0)
    assert (await client.receive()).json["result"] == "PONG"
    await client.send(b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.send(b"%x;extension=1\r\n%b\r\n0\r\n\r\n" % (len(PING), PING))
    assert (await client.receive()).json["result"] == "PONG"


async def test_a_client_that_expects_a_go_ahead_gets_it(http: Harness) -> None:
    client = await http.connect()
    data = post(PING, headers=["Expect: 100-continue"])
    await client.send(data[: -len(PING)])
    assert (await client.receive()).status == 100
    await client.send(PING)
    assert (await client.receive()).status == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing", 404), ("/livez", 405), ("/v1/members/n2", 405), ("/v1/snapshot", 200)]
)
async def test_what_waits_for_a_go_ahead_and_gets_an_answer_ends_the_connection(
    http: Harness, path: str, status: int
) -> None:
    """The client may take the answer for the end of its request: what comes next is not the body (hazard B99)."""
    client = await http.connect()
    head = post(PING, path, headers=["Expect: 100-continue"])[: -len(PING)]
    await client.send(head)
    response = await client.receive()
    assert (response.status, response.headers["connection"]) == (status, "close")
    await client.send(post(b'{"command": "set", "args": ["eaten", "1"]}'))
    assert await client.ends() == b""
    assert http.node.executed == []


@pytest.mark.parametrize("expect", [[], ["Expect: 100-continue"]])
async def test_an_oversized_body_is_refused_by_its_announcement(expect: list[str]) -> None:
    async with running(api_limits=ApiLimits(request_bytes_max=1000)) as http:
        client = await http.connect()
        head = ["POST /v1/execute HTTP/1.1", "Host: a", "Content-Length: 100000000000", *expect, "", ""]
        await client.send("\r\n".join(head).encode())
        response = await client.receive()
        assert (response.status, response.code) == (413, "too_large")
        assert response.headers["connection"] == "close"


async def test_an_oversized_body_is_refused_whatever_it_announces() -> None:
    async with running(api_limits=ApiLimits(request_bytes_max=1000)) as http:
        whole = await http.request(post(b" " * 1001))
        chunked = await http.connect()
        await chunked.send(b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await chunked.send(b"3e8\r\n" + b" " * 1000 + b"\r\n1\r\n \r\n")
        assert [whole.code, (await chunked.receive()).code] == ["too_large"] * 2
        assert (await http.request(post(PING + b" " * (1000 - len(PING))))).status == 200


@pytest.mark.parametrize("coding", ["deflate", "gzip", "GZIP", "br", "identity, gzip"])
@pytest.mark.parametrize("path", ["/v1/execute", "/v1/members"])
async def test_a_compressed_body_is_not_unpacked(http: Harness, path: str, coding: str) -> None:
    client = await http.connect()
    await client.send(post(PING, path, headers=[f"Content-Encoding: {coding}"]))
    response = await client.receive()
    assert (response.status, response.code) == (415, "unsupported_encoding")
    await client.send(post(PING, headers=["Content-Encoding: identity"]))
    assert (await client.receive()).status == 200


async def test_a_dripping_body_is_given_up_and_others_are_served() -> None:
    """aiohttp's own timeouts do not cover the body (hazard B98)."""
    async with running(api_limits=ApiLimits(body_timeout_s=0.05)) as http:
        dripping = await http.connect()
        await dripping.send(post(PING)[:-1])
        assert (await http.execute({"command": "ping"})).status == 200
        response = await dripping.receive()
        assert (response.status, response.code) == (400, "bad_request")
        assert response.headers["connection"] == "close"


async def test_a_client_that_leaves_amid_its_body_leaves_nothing_behind(http: Harness) -> None:
    client = await http.connect()
    await client.send(post(PING)[:-1])
    await wait_until(lambda: http.server.connections == 1)
    await client.close()
    await wait_until(lambda: http.server.connections == 0)
    assert http.node.executed == []


async def read(request: web.BaseRequest) -> Reply:
    return Reply(await read_body(request, bytes_max=100, timeout_s=WAIT_S))


async def upgrade(request: web.BaseRequest) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    return socket


UPGRADE = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {'A' * 22}==",
]


@pytest.mark.parametrize(
    ("handler", "data"),
    [(read, post(PING)[:-1]), (upgrade, get("/", headers=UPGRADE))],
    ids=["body", "upgrade"],
)
async def test_a_connection_that_is_closed_before_it_is_used_is_no_bug(
    log_records: list[logging.LogRecord], handler: Handler, data: bytes
) -> None:
    """Its client has gone, or it made room for others: the log has no traceback for each of a crowd."""

    async def close_first(request: web.BaseRequest) -> Reply | web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, web.RequestHandler)
        connection.force_close()
        answer: Reply | web.StreamResponse = await handler(request)
        return answer

    routes: Routes = {
        "/": {"GET": Route(close_first, Permission.READ)},
        "/v1/execute": {"POST": Route(close_first, Permission.READ)},
    }
    server = HttpServer(routes, host_names=lambda: ("node",))
    _, port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(WAIT_S):
        assert await reader.read() == b""
    writer.close()
    await server.close(grace_s=0.01)
    assert not [record for record in log_records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("has_known_head", [False, True])
async def test_who_sends_no_more_still_gets_the_answer(http: Harness, has_known_head: bool) -> None:
    client = await http.connect()
    if has_known_head:
        await client.send(post(PING))
        assert (await client.receive()).status == 200
    executed = len(http.node.executed)
    http.node.release.clear()
    await client.send(post(PING))
    client.writer.write_eof()
    await wait_until(lambda: len(http.node.executed) > executed)
    # What was sent has arrived, the end with it: a later connection is served.
    http.node.release.set()
    assert (await client.receive()).status == 200
    assert await client.ends() == b""
    await wait_until(lambda: http.server.connections == 0)


@pytest.mark.parametrize("data", [b"", post(PING)[:20], post(PING)[:-1]], ids=["nothing", "head", "body"])
async def test_who_sends_no_more_before_the_request_is_whole_gets_none(http: Harness, data: bytes) -> None:
    client = await http.connect()
    await client.send(data)
    client.writer.write_eof()
    assert await client.ends() == b""
    await wait_until(lambda: http.server.connections == 0)
    assert http.node.executed == []


async def test_idle_connections_make_room_for_new_ones() -> None:
    """Fifty silent sockets on a listener of five: health checks are answered (hazard B98)."""
    async with running(server_limits=ServerLimits(connections_max=5)) as http:
        silent = [await http.connect() for _ in range(50)]
        assert (await http.request(get("/livez"))).status == 200
        assert await silent[0].ends() == b""
        assert http.server.connections <= 6


async def test_busy_connections_are_not_closed_for_new_ones() -> None:
    async with running(server_limits=ServerLimits(connections_max=2)) as http:
        http.node.release.clear()
        busy = [await http.connect() for _ in range(2)]
        for client in busy:
            await client.send(post(PING))
        await wait_until(lambda: len(http.node.executed) == 2)
        refused = await http.connect()
        assert await refused.ends() == b""
        http.node.release.set()
        assert [(await client.receive()).status for client in busy] == [200, 200]
        # They are idle now, and make room.
        assert (await http.request(get("/livez"))).status == 200


async def test_who_waits_with_its_body_makes_room_for_new_ones() -> None:
    """A crowd that has begun requests, and does not go on, locks out nobody either (hazard B98)."""
    async with running(server_limits=ServerLimits(connections_max=5)) as http:
        dripping = []
        for _ in range(50):
            dripping.append(await http.connect())
            await dripping[-1].send(post(PING)[:-1])
            assert (await http.request(get("/livez"))).status == 200
        assert (await http.execute({"command": "ping"})).status == 200
        assert await dripping[0].ends() == b""
        assert http.server.connections <= 6
        # Who was not thrown out may go on.
        await dripping[-1].send(post(PING)[-1:])
        assert (await dripping[-1].receive()).status == 200


async def test_health_checks_have_room_beside_as_many_requests_as_there_may_be() -> None:
    async def link(_request: web.BaseRequest) -> Reply:
        return Reply(b"a link")

    async with running(
        server_limits=ServerLimits(connections_max=CONNECTIONS_SPARED),
        more_routes={"/v1/peer": {"GET": Route(link, Permission.PEER)}},
    ) as http:
        http.node.release.clear()
        busy = [await http.connect() for _ in range(CONNECTIONS_SPARED - 1)]
        for client in busy:
            await client.send(post(PING))
        await wait_until(lambda: len(http.node.executed) == CONNECTIONS_SPARED - 1)
        for _ in range(3):
            response = await http.execute({"command": "ping"})
            assert (response.status, response.code) == (503, "busy")
            assert (await http.request(get("/livez"))).status == 200
            assert (await http.request(get("/v1/peer"))).body == b"a link"
        http.node.release.set()
        assert [(await client.receive()).status for client in busy] == [200] * len(busy)
        assert (await http.execute({"command": "ping"})).status == 200


async def test_a_connection_counts_until_its_request_is_done_also_without_its_client() -> None:
    """It bounds the requests at work, and a crowd that sends and hangs up would have any number of them otherwise."""
    async with running(server_limits=ServerLimits(connections_max=CONNECTIONS_SPARED)) as http:
        http.node.release.clear()
        gone = [await http.connect() for _ in range(CONNECTIONS_SPARED - 1)]
        for client in gone:
            await client.send(post(PING))
        await wait_until(lambda: len(http.node.executed) == len(gone))
        connections = http.server._server.connections  # type: ignore[union-attr]
        for client in gone:
            # A reset: who only ends its direction of the connection may still read.
            sent_by = client.writer.get_extra_info("socket")
            sent_by.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.transport.abort()
        await wait_until(lambda: all(connection.transport is None for connection in connections))
        response = await http.execute({"command": "ping"})
        assert (response.status, response.code) == (503, "busy")
        assert response.headers["retry-after"] == "1"
        http.node.release.set()
        await wait_until(lambda: http.server.connections <= 1)
        assert (await http.execute({"command": "ping"})).status == 200


async def test_a_silent_connection_is_closed_after_the_keepalive_time() -> None:
    async with running(server_limits=ServerLimits(keepalive_timeout_s=0.05)) as http:
        silent = await http.connect()
        dripping = await http.connect()
        await dripping.send(b"GET /livez HTT")
        assert await silent.ends() == b""
        assert await dripping.ends() == b""


async def test_a_client_that_does_not_read_its_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_reply, "SEND_TIMEOUT_S", 0.05)
    async with running() as http:
        http.node.answer = answered(b"x" * 1024 * 1024)
        client = await http.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(post(GET) * 100)
        await wait_until(lambda: len(http.node.executed) > 0)
        await wait_until(lambda: http.server.connections == 0)
        assert len(http.node.executed) < 100


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("null", 403), ("http://node.evil.example", 403), ("http://node", 200)],
)
async def test_a_page_of_another_site_cannot_write(origin: str, status: int) -> None:
    """A form of any page can post text/plain to a loopback port, and a token does not make it ours (hazard B103)."""
    headers = [f"Origin: {origin}", "Content-Type: text/plain", "Authorization: Bearer its-own-token"]
    async with running(browsers=Browsers(token="its-own-token")) as http:
        response = await http.request(post(PING, headers=headers))
        assert response.status == status
        assert len(http.node.executed) == (status == 200)


async def test_a_reply_of_a_route_may_be_any_response_of_aiohttp() -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        links = web.WebSocketResponse()
        await links.prepare(request)
        await links.close()
        return links

    async def plain(_request: web.BaseRequest) -> Reply:
        return Reply(b"made", status=201)

    async with running(
        more_routes={
            "/socket": {"GET": Route(echo, Permission.READ)},
            "/plain": {"PUT": Route(plain, Permission.WRITE)},
        }
    ) as http:
        headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        assert (await http.request(get("/socket", headers=[*headers, key]))).status == 101
        assert (await http.request(get("/plain", method="PUT"))).status == 201


async def test_closing_finishes_what_is_in_flight_and_takes_nothing_new(http: Harness) -> None:
    """The order of a clean stop (hazard B105)."""
    http.node.release.clear()
    busy, idle = await http.connect(), await http.connect()
    await busy.send(post(PING))
    await wait_until(lambda: len(http.node.executed) == 1)
    closing = asyncio.create_task(http.server.close(grace_s=10.0))
    assert await idle.ends() == b""
    with pytest.raises(OSError):
        await http.connect()
    http.node.release.set()
    assert (await busy.receive()).status == 200
    await closing
    assert await busy.ends() == b""


async def test_closing_cuts_off_what_outlasts_the_grace(http: Harness) -> None:
    http.node.release.clear()
    client = await http.connect()
    await client.send(post(PING))
    await wait_until(lambda: len(http.node.executed) == 1)
    await http.server.close(grace_s=0.05)
    assert await client.ends() == b""


async def test_an_address_in_use_is_an_error_of_the_start(http: Harness) -> None:
    second = HttpServer({})
    with pytest.raises(OSError, match="in use"):
        await second.start("127.0.0.1", http.port)
    await second.close(grace_s=0.0)
