"""The heads of requests: how large they may be, and who they may say that they talk to."""

import asyncio

import pytest

from raftdb.errors import LeaderHint, required
from raftdb.frontend.http_head import (
    HEAD_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    REQUEST_LINE_BYTES_MAX,
)
from raftdb.frontend.http_host import ACCEPTED_MAX, HostCheck
from tests.addresses import at
from tests.frontend.support import Harness, RawClient, get, post, running, wait_until

PING = b'{"command": "ping"}'
SET = b'{"command": "set", "args": ["smuggled", "1"]}'
FIELD = b"X: " + b"x" * 4000 + b"\r\n"

TOO_LARGE = {
    f"more than {HEADERS_MAX} fields": b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 200 + b"\r\n",
    f"a field of more than {HEADER_BYTES_MAX} bytes": (
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (HEADER_BYTES_MAX + 1) + b"\r\n\r\n"
    ),
    f"a target of more than {REQUEST_LINE_BYTES_MAX} bytes": (
        b"GET /" + b"x" * (REQUEST_LINE_BYTES_MAX + 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    ),
}


@pytest.mark.parametrize("what", TOO_LARGE)
async def test_a_head_that_is_too_large_is_431_with_the_limit(http: Harness, what: str) -> None:
    client = await http.connect()
    await client.send(TOO_LARGE[what] + post(SET))
    response = await client.receive()
    assert (response.status, response.code) == (431, "head_too_large")
    assert response.json["error"]["message"].endswith(what)
    assert response.headers["connection"] == "close"
    assert await client.ends() == b""
    assert http.node.executed == []


async def drip(client: RawClient, data: bytes) -> None:
    """Send in pieces that the server reads one by one."""
    for start in range(0, len(data), 1024):
        await client.send(data[start : start + 1024])
        await asyncio.sleep(0)


async def test_the_lines_of_a_head_are_bounded_together(http: Harness) -> None:
    """Each connection could hold half a megabyte of them otherwise, before it has asked for anything."""
    client = await http.connect()
    await drip(client, b"GET /livez HTTP/1.1\r\nHost: a\r\n" + FIELD * (HEAD_BYTES_MAX // len(FIELD) + 1))
    response = await client.receive()
    assert (response.status, response.code) == (431, "head_too_large")
    assert f"{HEAD_BYTES_MAX} bytes" in response.json["error"]["message"]
    assert await client.ends() == b""


async def test_the_heads_of_all_connections_are_bounded_together(
    http: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd that never ends its heads takes memory from nobody, and keeps nobody from being served."""
    heads = required(http.server._server, "listener").heads
    monkeypatch.setattr(heads, "_bytes_max", 3 * HEAD_BYTES_MAX)
    part = b"GET /livez HTTP/1.1\r\nHost: a\r\n" + FIELD * 7
    crowd = [await http.connect() for _ in range(8)]
    for client in crowd:
        await drip(client, part)
    first, *_, last = crowd
    assert await first.ends() == b"", "who began first makes room"
    assert 0 < heads.bytes <= 3 * HEAD_BYTES_MAX
    assert (await http.request(post(PING))).status == 200
    await last.send(b"\r\n")
    assert (await last.receive()).status == 200
    for client in crowd:
        await client.close()
    await wait_until(lambda: heads.bytes == 0)


async def test_a_head_behind_a_request_is_bounded_as_well(http: Harness) -> None:
    http.node.release.clear()
    client = await http.connect()
    await client.send(post(PING))
    await wait_until(lambda: len(http.node.executed) == 1)
    await client.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n")
    client.writer.write(FIELD * 40)
    assert await client.ends() == b""
    http.node.release.set()


async def test_what_a_body_has_does_not_count_as_head(http: Harness) -> None:
    client = await http.connect()
    for _ in range(3):
        await drip(client, post(PING + b" " * (2 * HEAD_BYTES_MAX)))
        assert (await client.receive()).status == 200
    await client.send(b"POST /v1/execute HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await drip(client, b"%x\r\n" % (3 * HEAD_BYTES_MAX) + b" " * (3 * HEAD_BYTES_MAX) + b"\r\n")
    await client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(PING), PING))
    assert (await client.receive()).status == 200
    await drip(client, b"GET /livez HTTP/1.1\r\nHost: a\r\n" + FIELD * 7 + b"\r\n")
    assert (await client.receive()).status == 200


def to(host: str, path: str = "/v1/status") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1")


@pytest.mark.parametrize(
    "host",
    [
        "node",
        "NODE:8001",
        "node.",
        "a:1",
        "localhost",
        "LocalHost:8001",
        "127.0.0.1:8001",
        "192.0.2.7",
        "[::1]:8001",
        "[fe80::1%eth0]:8001",
        "[fe80::1%25eth0]",
        "[2001:DB8::7]",
    ],
)
async def test_a_node_answers_to_its_names_and_to_addresses(http: Harness, host: str) -> None:
    for _ in range(2):
        assert (await http.request(to(host))).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8001",
        "node.evil.example",
        "localhost.evil.example",
        "node:evil.example",
        "evil.example@node",
        "[node%evil.example]",
        "[::1%]",
        "[node]",
        "127.0.0.1.evil.example",
        "2130706433",
        "0x7f.1",
        "",
        "node, evil.example",
        "\xff",
    ],
)
async def test_a_name_that_is_not_the_node_s_is_refused(http: Harness, host: str) -> None:
    """DNS rebinding: a page had its own name resolve to this node, and would read what it answers (hazard B103)."""
    for request in (
        to(host),
        to(host, "/"),
        to(host, "/v1/keys?consistency=stale"),
        to(host, "/nothing"),
        post(PING, headers=[f"Origin: http://{host}"])
        .replace(b"Host: node", f"Host: {host}".encode("latin-1"))
        .replace("Origin: http://\xff".encode(), b"Origin: http://\xff"),
    ):
        response = await http.request(request)
        assert (response.status, response.code) == (403, "forbidden")
        assert "allowed_hosts" in response.json["error"]["hint"]
    assert http.node.executed == []


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/readyz?verbose"])
async def test_probes_are_answered_under_any_name(http: Harness, path: str) -> None:
    assert (await http.request(to("whatever.example", path))).status == 200


async def test_a_request_that_names_no_host_is_from_no_browser(http: Harness) -> None:
    assert (await http.request(b"GET /v1/status HTTP/1.0\r\n\r\n")).status == 200


async def test_a_target_with_a_host_counts_instead_of_the_header(http: Harness) -> None:
    """RFC 9112, 3.2.2."""
    for host, status in (("node:1", 200), ("evil.example", 403)):
        response = await http.request(to("node", f"http://{host}/v1/status"))
        assert response.status == status


async def test_names_are_asked_for_when_they_are_needed() -> None:
    """A node is given another address while it runs, and peers dial it there."""
    names = ["n1.example"]
    check = HostCheck(lambda: names)

    def is_known(host: str) -> bool:
        return check.knows(host)

    assert [is_known("n1.example:1"), is_known("n9.example")] == [True, False]
    names.append("n9.example")
    assert is_known("n9.example")
    for port in range(2 * ACCEPTED_MAX):
        assert is_known(f"n9.example:{port}")
    assert check.remembered <= ACCEPTED_MAX


async def test_head_is_answered_without_the_work_of_a_backup() -> None:
    async with running() as http:
        client = await http.connect()
        await client.send(get("/v1/backup", method="HEAD") + get("/livez"))
        head = await client.receive(body=False)
        assert (head.status, head.headers["content-type"]) == (200, "application/octet-stream")
        assert "content-length" not in head.headers
        assert (await client.receive()).body == b"ok\n"
        assert http.node.backups == 0
        http.node.leads, http.node.leader = False, LeaderHint("n2", at("127.0.0.1:8002"))
        await client.send(get("/v1/backup", method="HEAD"))
        assert (await client.receive(body=False)).status == 307
