"""The listener of who owns the nodes' processes: only a page of a member, with the token, can do anything."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from raftdb.endpoint import Endpoint
from raftdb.errors import RequestRefused
from raftdb.frontend.http_processes import serve_processes
from tests.frontend.support import RawClient, Response, get, post

TOKEN = "a-token-of-these-tests"
BEARER = f"Authorization: Bearer {TOKEN}"
MEMBER = "http://127.0.0.1:8001"
KILL = "/v1/processes/n1/kill"


class Owner:
    """It notes what it is asked for."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    async def states(self) -> Mapping[str, str]:
        return {"n1": "running", "n2": "stopped"}

    async def act(self, action: str, node_id: str) -> str:
        if (action, node_id) == ("pause", "n2"):
            raise RequestRefused("bad_request", "n2 does not run")
        self.done.append((action, node_id))
        return f"{action} {node_id}"


class Asker(RawClient):
    """It asks for the address of this machine, as browsers do."""

    async def request(self, data: bytes) -> Response:
        await self.send(data.replace(b"Host: node", b"Host: 127.0.0.1"))
        return await self.receive()


@asynccontextmanager
async def served(owner: Owner) -> AsyncIterator[Asker]:
    members = [Endpoint("127.0.0.1", 8001)]
    async with serve_processes(owner, lambda: members, token=TOKEN) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        try:
            yield Asker(reader, writer)
        finally:
            writer.close()


def kill(*headers: str, path: str = KILL) -> bytes:
    return post(b"", path, headers=headers)


async def test_a_page_of_a_member_with_the_token_acts_and_reads_the_answer() -> None:
    owner = Owner()
    async with served(owner) as http:
        answer = await http.request(kill(f"Origin: {MEMBER}", BEARER))
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, MEMBER)
        assert answer.json == {"done": "kill n1", "processes": {"n1": "running", "n2": "stopped"}}
        seen = await http.request(get("/v1/processes", headers=[f"Origin: {MEMBER}"]))
        assert seen.json["processes"] == {"n1": "running", "n2": "stopped"}
        assert seen.headers["access-control-allow-origin"] == MEMBER
        asks = "Access-Control-Request-Method: POST"
        question = get(KILL, method="OPTIONS", headers=[f"Origin: {MEMBER}", asks])
        assert "POST" in (await http.request(question)).headers["access-control-allow-methods"]
    assert owner.done == [("kill", "n1")]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Authorization: Bearer wrong",),
        (f"Origin: {MEMBER}",),
        (f"Origin: {MEMBER}", "Authorization: Bearer wrong"),
        ("Origin: http://evil.example", BEARER),
        ("Origin: null", BEARER),
        ("Origin: http://127.0.0.1:9999", BEARER),
    ],
)
async def test_nobody_else_does_anything(headers: tuple[str, ...]) -> None:
    owner = Owner()
    async with served(owner) as http:
        answer = await http.request(kill(*headers))
    assert (answer.status, answer.code) == (403, "forbidden")
    assert owner.done == []


async def test_a_name_that_resolves_to_loopback_reads_nothing_and_does_nothing() -> None:
    """DNS rebinding: the page's own name is in `Host` and `Origin`."""
    owner = Owner()
    async with served(owner) as http:
        rebound = kill("Origin: http://evil.example", BEARER).replace(b"Host: node", b"Host: evil.example")
        assert (await http.request(rebound)).status == 403
        seen = get("/v1/processes").replace(b"Host: node", b"Host: evil.example")
        assert (await http.request(seen)).status == 403
    assert owner.done == []


async def test_other_pages_may_not_read_what_processes_do() -> None:
    async with served(Owner()) as http:
        seen = await http.request(get("/v1/processes", headers=["Origin: http://evil.example"]))
        asks = "Access-Control-Request-Method: POST"
        question = get(KILL, method="OPTIONS", headers=["Origin: http://evil.example", asks])
        refused = await http.request(question)
    assert "access-control-allow-origin" not in seen.headers
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/processes/n9/kill", 404, "no such node"),
        ("/v1/processes/n2/pause", 400, "n2 does not run"),
        ("/v1/processes/..%2f..%2fx/kill", 404, "no such node"),
        ("/v1/processes/n1/delete", 404, ""),
    ],
)
async def test_what_cannot_be_done_is_said(path: str, status: int, words: str) -> None:
    async with served(Owner()) as http:
        answer = await http.request(kill(BEARER, path=path))
    assert answer.status == status
    assert words in answer.json["error"]["message"]
