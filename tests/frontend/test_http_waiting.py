"""Requests over HTTP that the node holds: answered when it has something, given up when their client goes."""

import json
from collections.abc import Iterator

import pytest

from raftdb.errors import LeaderHint, Unavailable
from raftdb.frontend.http_server import ServerLimits
from raftdb.machine.operations import SessionOperation
from tests.addresses import at
from tests.frontend.support import Harness, RawClient, answered, get, post, running, wait_until
from tests.machine.toys import Take, toys

pytestmark = pytest.mark.usefixtures("both_ways")

ID = "00" * 16


@pytest.fixture(autouse=True)
def with_toys() -> Iterator[None]:
    with toys():
        yield


async def asks(http: Harness, **more: object) -> RawClient:
    """A client that waits for something; returns when the node holds its request."""
    held = len(http.node.waits)
    client = await http.connect()
    await client.send(post(json.dumps({"command": "take", "args": ["b"], **more}).encode()))
    await wait_until(lambda: len(http.node.waits) == held + 1)
    return client


async def test_a_request_is_held_until_the_node_answers() -> None:
    async with running() as http:
        client = await asks(http, args=["b", "COUNT", 2, "WAIT", "1.5"])
        operation, wait_ms, on_answer = http.node.waits[1]
        assert (operation, wait_ms) == (Take(b"b", 2), 1_500)
        on_answer(answered([2]))
        response = await client.receive()
        assert (response.status, response.json["result"]) == (200, [2])
        assert http.node.executed == []
        assert http.node.left == []


async def test_the_wait_may_stand_beside_the_command_which_may_be_in_a_session() -> None:
    async with running() as http:
        await asks(http, wait_ms=50_000, session={"id": ID, "seq": 3})
        operation, wait_ms, _ = http.node.waits[1]
        assert operation == SessionOperation(bytes(16), 3, 3, Take(b"b"))
        assert wait_ms == 50_000


async def test_who_does_not_wait_is_not_held() -> None:
    async with running() as http:
        http.node.answer = answered([])
        for body in ({"args": ["b", "WAIT", 0]}, {"args": ["b"], "wait_ms": 0}, {"args": ["b"]}):
            assert (await http.execute({"command": "take", **body})).json["result"] == []
        assert http.node.waits == {}


@pytest.mark.parametrize(
    "body",
    [
        {"command": "take", "args": ["b"], "wait_ms": 50_001},
        {"command": "take", "args": ["b", "WAIT", 1], "wait_ms": 1_000},
        {"command": "take", "args": ["b", "WAIT", "long"]},
        {"command": "get", "args": ["k"], "wait_ms": 1},
    ],
)
async def test_a_wait_that_cannot_be_is_refused(body: dict[str, object]) -> None:
    async with running() as http:
        response = await http.execute(body)
        assert (response.status, response.json["error"]["code"]) == (400, "bad_request")


async def test_who_is_handed_back_is_redirected() -> None:
    async with running() as http:
        client = await asks(http, wait_ms=1_000)
        leader = LeaderHint("n2", at("127.0.0.1:8002"))
        http.node.waits[1][2](Unavailable("not_leader", "n2 leads", leader=leader))
        response = await client.receive()
        assert response.status == 307
        assert response.headers["location"] == "http://127.0.0.1:8002/v1/execute"


async def test_who_goes_away_gives_up_its_turn_at_once() -> None:
    async with running() as http:
        gone, stays = await asks(http, wait_ms=50_000), await asks(http, wait_ms=50_000)
        await gone.close()
        await wait_until(lambda: http.node.left == [1])
        await wait_until(lambda: http.server.connections == 1)
        http.node.waits[2][2](answered([1]))
        assert (await stays.receive()).status == 200
        await stays.send(get("/livez"))
        assert (await stays.receive()).status == 200, "the connection goes on"


async def test_held_requests_are_neither_busy_nor_make_room() -> None:
    async with running(server_limits=ServerLimits(connections_max=20, busy_max=2)) as http:
        held = [await asks(http, wait_ms=50_000) for _ in range(18)]
        silent = [await http.connect() for _ in range(10)]
        http.node.answer = answered("PONG")
        assert (await http.execute({"command": "ping"})).status == 200
        for number, client in enumerate(held, start=1):
            http.node.waits[number][2](answered([1]))
            assert (await client.receive()).status == 200
        assert await silent[0].ends() == b""
        assert http.node.left == []
