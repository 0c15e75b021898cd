"""Locks over HTTP, on a real machine without a cluster: paths, bodies and answers; and the health of a node."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from raftdb.machine.locks.holding import Lock
from raftdb.machine.locks.records import LockMode
from raftdb.machine.operations import SessionOperation
from tests.frontend.support import Harness, Response, answered, get, post, running, wait_until
from tests.frontend.test_http_data import ID, NAME, DatabaseNode

ENDS = {"index", "term"}


@pytest.fixture
async def http() -> AsyncIterator[Harness]:
    async with running(node=DatabaseNode()) as harness:
        yield harness


def request(method: str, path: str, body: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: node", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body.encode()


async def told(http: Harness, method: str, path: str, body: str = "") -> dict[str, object]:
    """The fields of an answer beside its place in the log."""
    response = await http.request(request(method, path, body))
    assert response.status == 200, response
    fields = dict(response.json)
    assert fields.keys() >= ENDS
    return {name: value for name, value in fields.items() if name not in ENDS}


def code(response: Response) -> tuple[int, str]:
    return response.status, response.json["error"]["code"]


async def test_a_lock_is_taken_renewed_looked_at_and_given_back(http: Harness) -> None:
    taken = await told(http, "POST", "/v1/locks/report", '{"owner": "ana", "ttl_ms": 60000}')
    token = taken["token"]
    assert taken == {
        "acquired": True,
        "token": token,
        "mode": "exclusive",
        "expires_at": 60_000,
        "owner": "ana",
    }
    refused = await told(http, "POST", "/v1/locks/report", '{"owner": "budi"}')
    assert refused == {"acquired": False, "token": None, "owner": "budi"}
    renewal = f'{{"token": {token}, "ttl_ms": 5000}}'
    assert await told(http, "PUT", "/v1/locks/report", renewal) == {"renewed": True}
    assert await told(http, "PUT", "/v1/locks/report", '{"token": 7}') == {"renewed": False}
    info = await told(http, "GET", "/v1/locks/report")
    assert info["holders"] == [
        {"owner": "ana", "mode": "exclusive", "token": token, "since": 0, "left_ms": 5_000}
    ]
    assert (info["name"], info["held"], info["waiting"], info["line"]) == ("report", 1, 0, [])
    assert await told(http, "GET", "/v1/locks?prefix=re&limit=5") == {
        "locks": [{"name": "report", "mode": "exclusive", "held": 1, "waiting": 0}]
    }
    assert await told(http, "DELETE", f"/v1/locks/report?token={token}") == {"released": True}
    assert await told(http, "DELETE", f"/v1/locks/report?token={token}") == {"released": False}
    assert code(await http.request(get("/v1/locks/report"))) == (404, "not_found")


async def test_shared_and_limited_locks_and_names_of_any_bytes(http: Harness) -> None:
    path = "/v1/locks/" + quote(b"a/b \xff", safe="")
    for owner in ("ana", "budi"):
        taken = await told(http, "POST", path, f'{{"mode": "shared", "owner": "{owner}"}}')
        assert (taken["acquired"], taken["mode"]) == (True, "shared")
    assert (await told(http, "GET", path))["held"] == 2
    limited = await told(http, "POST", "/v1/locks/gpu", '{"limit": 2, "owner": "ana"}')
    assert limited["mode"] == "limited"
    assert code(await http.request(post(b'{"limit": 3, "owner": "budi"}', "/v1/locks/gpu"))) == (
        409,
        "conflict",
    )


async def test_in_a_session_the_session_owns_it(http: Harness) -> None:
    await http.request(post(f'{{"id": "{ID}"}}'.encode(), "/v1/sessions"))
    await told(http, "POST", "/v1/locks/report", f'{{"session": {{"id": "{ID}", "seq": 1}}}}')
    operation, _ = http.node.executed[-1]
    assert operation == SessionOperation(NAME, 1, 1, Lock(b"report"))
    assert code(await http.request(post(b"{}", "/v1/locks/other"))) == (422, "command_failed")


async def test_the_short_form_draws_an_owner_and_answers_it(http: Harness) -> None:
    first = await told(http, "POST", "/locks/report", '{"lock_type": "shared", "timeout": 0}')
    second = await told(http, "POST", "/locks/report", '{"lock_type": "shared"}')
    assert first["acquired"] is second["acquired"] is True
    assert first["owner"] != second["owner"]
    named = await told(http, "POST", "/locks/other", '{"lock_type": "exclusive", "owner": "ana"}')
    assert (named["owner"], named["expires_at"]) == ("ana", 30_000)
    assert await told(http, "DELETE", "/locks/other?owner=ana") == {"released": True}
    assert await told(http, "DELETE", f"/locks/report?token={first['token']}") == {"released": True}
    assert code(await http.request(request("DELETE", "/locks/report"))) == (400, "bad_request")


async def test_a_lock_may_be_waited_for(http: Harness) -> None:
    client = await http.connect()
    await client.send(post(b'{"lock_type": "exclusive", "timeout": 1500, "owner": "ana"}', "/locks/report"))
    await wait_until(lambda: bool(http.node.waits))
    operation, wait_ms, on_answer = http.node.waits[1]
    assert (operation, wait_ms) == (Lock(b"report", LockMode.EXCLUSIVE, 0, 30_000, b"ana"), 1_500)
    on_answer(answered([65_536, b"exclusive", 10_000, 10_000]))
    assert (await client.receive()).json["token"] == 65_536


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/locks/a", '{"mode": "both", "owner": "ana"}'),
        ("/v1/locks/a", '{"mode": "shared", "limit": 2, "owner": "ana"}'),
        ("/v1/locks/a", '{"owner": "ana", "wait_ms": 50001}'),
        ("/v1/locks/a", '{"owner": "ana", "ttl": 5}'),
        ("/locks/a", '{"lock_type": "limited"}'),
        ("/locks/a", '{"timeout": -1}'),
    ],
)
async def test_what_cannot_be_meant_is_refused(http: Harness, path: str, body: str) -> None:
    assert code(await http.request(post(body.encode(), path))) == (400, "bad_request")


async def test_every_node_tells_its_health(http: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    status: dict[str, object] = {"term": 7, "leader": {"id": "n2", "http": "h:1", "redis": None}}
    monkeypatch.setattr(http.node, "status", lambda: status)
    http.node.leads = False
    response = await http.request(request("GET", "/health"))
    assert (response.status, response.json) == (200, {"is_leader": False, "term": 7, "leader": "n2"})
    status["leader"] = None
    assert (await http.request(request("GET", "/health"))).json["leader"] is None
