"""What requests hold in memory: bounded whoever sends slowly or does not read, and given back (hazards B92, B98)."""

import json

import pytest

from raftdb.frontend.http_data import ApiLimits
from raftdb.memory import DECODED_FACTOR, HUGE_FRACTION, LARGE_BYTES, LARGE_FRACTION, MemoryAccount
from tests.frontend.support import Harness, RawClient, answered, get, post, running, wait_until

pytestmark = pytest.mark.usefixtures("both_ways")

PING = b'{"command": "ping"}'
MIB = 1024 * 1024
LIMIT_BYTES = 16 * MIB
LARGE_BYTES_MAX = int(LARGE_FRACTION * LIMIT_BYTES)


def set_of(value_bytes: int) -> bytes:
    return json.dumps({"command": "set", "args": ["k", "v" * value_bytes]}).encode()


async def begin_body(http: Harness, sent_bytes: int, *, announced_bytes: int) -> RawClient:
    """A client that announces a body and sends the beginning of it."""
    client = await http.connect()
    head = post(b"").replace(b"Content-Length: 0", b"Content-Length: %d" % announced_bytes)
    await client.send(head + b" " * sent_bytes)
    return client


async def test_bodies_that_arrive_take_no_more_than_their_part_and_small_requests_go_on() -> None:
    account = MemoryAccount(LIMIT_BYTES)
    async with running(memory=account) as http:
        writers = []
        while account.request_bytes < LARGE_BYTES_MAX - MIB:
            writers.append(await begin_body(http, MIB, announced_bytes=MIB + 100))
            await wait_until(lambda: account.request_bytes == len(writers) * MIB)
        refused = await begin_body(http, 0, announced_bytes=2 * MIB)
        response = await refused.receive()
        assert (response.status, response.code) == (503, "busy")
        assert "retry-after" in response.headers
        assert (await http.execute({"command": "ping"})).status == 200
        assert (await http.request(get("/v1/status"))).status == 200
        last = await begin_body(http, 0, announced_bytes=MIB - LARGE_BYTES)
        await last.send(b" " * (MIB - LARGE_BYTES - 1))
        assert account.request_bytes <= LARGE_BYTES_MAX
        for writer in writers:
            await writer.close()
        await last.close()
        await wait_until(lambda: account.request_bytes == 0)


async def test_a_body_for_which_there_is_no_room_any_more_is_refused_while_it_arrives() -> None:
    account = MemoryAccount(LIMIT_BYTES)
    account.watch("changes", lambda: 0)
    async with running(memory=account) as http:
        writer = await begin_body(http, 2 * LARGE_BYTES, announced_bytes=MIB)
        await wait_until(lambda: account.request_bytes >= 2 * LARGE_BYTES)
        account.watch("changes", lambda: LIMIT_BYTES - MIB)
        await writer.send(b" " * (MIB - 2 * LARGE_BYTES))
        response = await writer.receive()
        assert (response.status, response.code) == (503, "busy")
        await wait_until(lambda: account.request_bytes == 0)
        assert http.node.executed == []


async def test_a_request_holds_what_it_is_decoded_to_until_it_is_answered() -> None:
    account = MemoryAccount(LIMIT_BYTES)
    async with running(memory=account) as http:
        http.node.release.clear()
        body = set_of(100_000)
        client = await http.connect()
        await client.send(post(body))
        await wait_until(lambda: len(http.node.executed) == 1)
        assert account.request_bytes == DECODED_FACTOR * len(body)
        http.node.release.set()
        assert (await client.receive()).status == 200
        await wait_until(lambda: account.request_bytes == 0)


async def test_answers_that_are_not_read_take_no_more_than_their_part() -> None:
    account = MemoryAccount(6 * LIMIT_BYTES)
    async with running(memory=account) as http:
        # Longer than what the sockets between us hold.
        http.node.answer = answered(b"x" * 11 * MIB)
        silent = await http.connect()
        silent.writer.transport.pause_reading()  # type: ignore[attr-defined]
        silent.writer.write(post(b'{"command": "get", "args": ["k"]}'))
        await wait_until(lambda: account.request_bytes > MIB)
        busy = await http.execute({"command": "get", "args": ["k"]})
        assert (busy.status, busy.code) == (503, "busy")
        unknown = await http.execute({"command": "getset", "args": ["k", "v"]})
        assert (unknown.status, unknown.code) == (504, "outcome_unknown"), "it took effect"
        http.node.answer = answered(b"short")
        assert (await http.execute({"command": "get", "args": ["k"]})).status == 200
        assert account.request_bytes <= HUGE_FRACTION * account.bytes_max
        silent.writer.transport.abort()
        await wait_until(lambda: account.request_bytes == 0)


async def test_whatever_becomes_of_a_request_gives_everything_back() -> None:
    account = MemoryAccount(LIMIT_BYTES)
    limits = ApiLimits(body_timeout_s=0.05, request_bytes_max=MIB)
    async with running(memory=account, api_limits=limits) as http:
        http.node.answer = answered(b"\xff" * 300_000)
        for data in (
            post(set_of(200_000)),
            post(set_of(200_000), "/v1/transaction"),
            post(b"{" * 100_000),
            post(set_of(2 * MIB)),
            post(set_of(200_000), "/nothing"),
            post(set_of(200_000), headers=["Content-Encoding: gzip"]),
            post(set_of(200_000))[:-100],
            get("/v1/request_log"),
            get("/v1/request_log?limit=0"),
            get("/v1/keys/k"),
        ):
            await http.request(data)
        gone = await begin_body(http, 100_000, announced_bytes=200_000)
        await gone.close()
        http.node.failure = RuntimeError("a bug")
        assert (await http.request(post(set_of(200_000)))).status == 500
        await wait_until(lambda: account.request_bytes == 0)


async def test_probes_take_nothing() -> None:
    account = MemoryAccount(LIMIT_BYTES)
    account.watch("changes", lambda: LIMIT_BYTES)
    async with running(memory=account) as http:
        assert (await http.request(get("/livez"))).status == 200
        assert (await http.request(get("/v1/status"))).status == 200
        assert (await http.execute({"command": "ping"})).status == 200
        assert (await http.request(post(set_of(MIB)))).code == "busy"


def test_what_is_taken_is_told_by_name() -> None:
    account = MemoryAccount(LIMIT_BYTES)
    account.watch("changes", lambda: 5)
    assert account.levels() == {"requests": 0, "changes": 5}
