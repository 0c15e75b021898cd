"""Users over HTTP: who is let in to which route, by which header, and what each is told."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, cast

import pytest

from raftdb.access.logins import Logins
from raftdb.access.tokens import digest_secret
from raftdb.access.users import Users
from raftdb.errors import ReplyError
from raftdb.frontend.http_api import HttpApi
from raftdb.frontend.http_login import Gate, credentials_of
from raftdb.frontend.http_pages import PagesApi
from raftdb.machine.machine import Machine
from raftdb.machine.operations import UserOperation, asked_of
from raftdb.machine.reply import Result
from raftdb.machine.service import Query
from raftdb.machine.services import READS
from raftdb.machine.users.records import load_token
from raftdb.machine.users.rights import Need
from raftdb.machine.users.service import PutToken, RemoveToken, RemoveUser
from raftdb.node.effects import OnAnswer
from raftdb.node.turn import Answer
from raftdb.route import Permission
from tests.access.test_access import PASSWORD, Here
from tests.frontend.support import Harness, StubNode, get, post, running, wait_until

PING = b'{"command": "ping"}'


def bearer(secret: str) -> list[str]:
    return [f"Authorization: Bearer {secret}"]


def basic(user: str, password: bytes) -> list[str]:
    text = base64.b64encode(user.encode() + b":" + password).decode()
    return [f"Authorization: Basic {text}"]


class UsersNode(StubNode):
    """A node with users: `root`, an administrator with the token `root-token`; and `ana`, who may read keys that begin
    with `a`, with a password and the token `ana-token`."""

    def __init__(self) -> None:
        super().__init__()
        self.here = Here()
        self.here.change(PutToken(b"root", b"t", digest_secret(b"root-token"), 0))
        self.here.change(PutToken(b"ana", b"t", digest_secret(b"ana-token"), 0))
        self.users: Users = self.here.users()

    def check(self, user: bytes | None, *needs: Need) -> None:
        self.users.check_needs(user, *needs)

    async def execute(self, operation: Any, *, consistency: Any, user: bytes | None = None) -> Answer:
        self.executed.append((operation, consistency))
        return self.answer_to(operation, user)

    def submit(
        self, operation: Any, on_answer: OnAnswer, *, stale: bool = False, user: bytes | None = None
    ) -> None:
        answer = self.answer_to(operation, user)
        asyncio.get_running_loop().call_soon(on_answer, answer)

    def answer_to(self, operation: Any, user: bytes | None) -> Answer:
        admitted = self.users.admitted(operation, user)
        if isinstance(asked_of(admitted), Query) or type(asked_of(admitted)) in READS:
            reply: Any = Machine().read(cast(UserOperation, admitted), self.here.layer)
        else:
            reply = self.here.applied(cast(UserOperation, admitted)).reply
        if isinstance(reply, ReplyError):
            raise reply
        assert isinstance(reply, Result)
        return Answer(reply.value, self.here.index, 1, reply.revision)


@pytest.fixture
def pages() -> PagesApi:
    return PagesApi(list, mode="read")


@pytest.fixture
async def guarded(pages: PagesApi) -> AsyncIterator[Harness]:
    node = UsersNode()
    logins = Logins(node.users)
    async with running(node=node, logins=logins, gate=Gate(node.users, logins), pages=pages) as harness:
        yield harness


def node_of(harness: Harness) -> UsersNode:
    assert isinstance(harness.node, UsersNode)
    return harness.node


def every_route(api: HttpApi) -> Sequence[tuple[str, str, Permission]]:
    return [
        (method, path.replace("{", "").replace("}", ""), route.permission)
        for path, methods in sorted(api.routes().items())
        for method, route in sorted(methods.items())
    ]


async def test_every_route_but_those_of_health_and_pages_asks_for_a_user(guarded: Harness) -> None:
    open_paths = {Permission.OPEN: set[str](), Permission.PAGE: set[str]()}
    for method, path, permission in every_route(guarded.api):
        response = await guarded.request(get(path, method=method), body=method != "HEAD")
        if permission in open_paths:
            open_paths[permission].add(path)
            assert response.status not in (401, 403), (method, path)
        else:
            assert response.status == 401, (method, path)
            assert response.headers["www-authenticate"].startswith("Basic"), (method, path)
    assert open_paths[Permission.OPEN] == {"/livez", "/readyz"}
    assert not [path for path in open_paths[Permission.PAGE] if path.startswith("/v1")]


async def test_what_takes_or_changes_everything_is_for_administrators(guarded: Harness) -> None:
    of_administrators = set()
    for method, path, permission in every_route(guarded.api):
        if permission not in (Permission.ADMIN, Permission.READ_ALL):
            continue
        of_administrators.add(path)
        request = get(path, method=method, headers=bearer("ana-token"))
        response = await guarded.request(request, body=method != "HEAD")
        assert response.status == 403, (method, path)
    assert {
        "/v1/backup",
        "/v1/members",
        "/v1/request_log",
        "/v1/users/user",
        "/v1/roles",
    } <= of_administrators
    response = await guarded.request(get("/v1/request_log", headers=bearer("root-token")))
    assert response.status == 200


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        (bearer("ana-token"), "ana"),
        (["Authorization: bEARER   ana-token"], "ana"),
        (bearer("root-token"), "root"),
        (basic("ana", PASSWORD), "ana"),
        (basic("ana", b"wrong"), None),
        (basic("root", b""), None),
        (basic("", PASSWORD), None),
        (basic("nobody", PASSWORD), None),
        (bearer("other"), None),
        (bearer("x" * 5_000), None),
        (["Authorization: Basic %%%"], None),
        (["Authorization: Basic YW5h"], None),
        (["Authorization: Digest ana"], None),
        (["Authorization:"], None),
        ([], None),
    ],
)
async def test_who_asks_is_found_by_the_header(
    guarded: Harness, headers: list[str], user: str | None
) -> None:
    response = await guarded.request(get("/v1/whoami", headers=headers))
    if user is None:
        assert (response.status, response.code) == (401, "unauthenticated")
    else:
        assert response.json == {"user": user}


@pytest.mark.usefixtures("both_ways")
async def test_commands_are_judged_one_by_one_on_both_ways(guarded: Harness) -> None:
    async def code(command: str, *arguments: str, headers: list[str]) -> object:
        body = json.dumps({"command": command, "args": arguments}).encode()
        codes = []
        for _ in range(2):
            response = await guarded.request(post(body, headers=headers))
            codes.append(200 if response.status == 200 else response.code)
        assert codes[0] == codes[1], "a head that is remembered is judged as it was the first time"
        return codes[0]

    for headers in (bearer("ana-token"), basic("ana", PASSWORD)):
        assert await code("get", "a", headers=headers) == 200
        assert await code("set", "a", "v", headers=headers) == "forbidden"
        assert await code("get", "b", headers=headers) == "forbidden"
    assert await code("set", "b", "v", headers=bearer("root-token")) == 200
    assert await code("get", "a", headers=[]) == "unauthenticated"
    assert await code("get", "a", headers=bearer("wrong")) == "unauthenticated"


async def test_a_remembered_head_is_worth_nothing_once_its_token_is_taken_back(guarded: Harness) -> None:
    client = await guarded.connect()
    request = post(PING, headers=bearer("ana-token"))
    for _ in range(3):
        await client.send(request)
        assert (await client.receive()).status == 200
    node_of(guarded).here.change(RemoveToken(b"ana", b"t"))
    await client.send(request)
    assert (await client.receive()).status == 401


async def test_pages_are_not_asked_by_their_browser(guarded: Harness) -> None:
    """A browser would open a window of its own for the password."""
    response = await guarded.request(get("/v1/status", headers=["Sec-Fetch-Mode: cors"]))
    assert response.status == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_watcher_needs_the_prefix_and_is_left_when_its_user_is_gone(guarded: Harness) -> None:
    node, headers = node_of(guarded), bearer("ana-token")
    for path in ("/v1/watch?wait=0", "/v1/watch?prefix=b&wait=0", "/v1/history?revision=0"):
        response = await guarded.request(get(path, headers=headers))
        assert (response.status, response.code) == (403, "forbidden"), path
    assert (await guarded.request(get("/v1/watch?prefix=ab&wait=0", headers=headers))).status == 200
    client = await guarded.connect()
    await client.send(get("/v1/watch?prefix=a", headers=headers))
    streams = guarded.api.streams
    await wait_until(lambda: streams.count == 1)
    (stream,) = streams._open
    for check in stream.checks:
        check()
    node.here.change(RemoveUser(b"ana"))
    await all_are_left(guarded)


async def test_who_waits_for_changes_gets_none_once_the_right_is_gone(guarded: Harness) -> None:
    client = await guarded.connect()
    await client.send(get("/v1/watch?prefix=a&wait=1", headers=bearer("ana-token")))
    await wait_until(lambda: guarded.api.watching.hub.count == 1)
    node_of(guarded).here.change(RemoveUser(b"ana"))
    response = await client.receive()
    assert (response.status, response.code) == (401, "unauthenticated")


def streams_are(guarded: Harness, count: int) -> bool:
    """Whether so many are open."""
    return guarded.api.streams.count == count


async def test_one_user_does_not_take_all_streams(guarded: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftdb.frontend.http_events.WATCHERS_OF_USER_MAX", 2)
    for count in (1, 2):
        client = await guarded.connect()
        await client.send(get("/v1/events", headers=bearer("ana-token")))
        await wait_until(partial(streams_are, guarded, count))
    response = await guarded.request(get("/v1/events", headers=bearer("ana-token")))
    assert (response.status, response.code) == (503, "busy")
    other = await guarded.connect()
    await other.send(get("/v1/events", headers=bearer("root-token")))
    await wait_until(lambda: guarded.api.streams.count == 3)
    node_of(guarded).here.change(RemoveUser(b"ana"))
    node_of(guarded).here.change(RemoveToken(b"root", b"t"))
    await all_are_left(guarded)


async def all_are_left(guarded: Harness) -> None:
    """Wait until the next look at the streams has ended all of them."""
    streams = guarded.api.streams
    streams._heartbeat_s = 0.0
    beat = asyncio.ensure_future(streams.beat())
    await wait_until(lambda: streams.count == 0)
    beat.cancel()


@pytest.mark.parametrize("path", ["/v1/events", "/v1/watch?prefix=a"])
async def test_a_stream_ends_when_the_token_that_began_it_is_taken_back(guarded: Harness, path: str) -> None:
    client = await guarded.connect()
    await client.send(get(path, headers=bearer("ana-token")))
    await wait_until(lambda: guarded.api.streams.count == 1)
    node_of(guarded).here.change(RemoveToken(b"ana", b"t"))
    await all_are_left(guarded)


async def test_the_log_tells_who_has_changed_what_and_never_a_secret(
    guarded: Harness, log_records: list[logging.LogRecord]
) -> None:
    body = json.dumps({"roles": [], "password": "battery staple"}).encode()
    change = post(body, "/v1/users/budi", headers=bearer("root-token")).replace(b"POST", b"PUT", 1)
    assert (await guarded.request(change)).status == 200
    assert (await guarded.request(get("/v1/backup", headers=bearer("ana-token")))).status == 403
    assert (await guarded.request(get("/v1/whoami", headers=basic("ana", b"wrong-one")))).status == 401
    told = [
        (record.message, getattr(record, "fields", {}))
        for record in log_records
        if record.name == "raftdb.audit"
    ]
    assert told == [
        ("asked for", {"by": "root", "what": "PUT /v1/users/budi", "from": "127.0.0.1"}),
        ("refused", {"by": "ana", "what": "GET /v1/backup", "from": "127.0.0.1"}),
        ("login refused", {"what": "password", "from": "127.0.0.1", "user": "ana"}),
    ]
    assert not [
        word for word in ("battery", "token", "wrong-one") if word in repr([vars(one) for one in log_records])
    ]


async def test_users_roles_and_tokens_are_kept_over_http(guarded: Harness) -> None:
    async def ask(method: str, path: str, body: object = None, *, headers: list[str] | None = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        request = post(data, path, headers=headers or bearer("root-token"))
        return await guarded.request(request.replace(b"POST", method.encode(), 1))

    assert (await ask("PUT", "/v1/roles/app", {"grants": ["write keys app/"]})).status == 200
    made = {"roles": ["app"], "password": "battery staple", "exists": False}
    assert (await ask("PUT", "/v1/users/budi", made)).status == 200
    assert (await ask("PUT", "/v1/users/budi", made)).code == "conflict"
    assert (await ask("GET", "/v1/whoami", headers=basic("budi", b"battery staple"))).json["user"] == "budi"
    assert (await ask("PUT", "/v1/users/budi", {"roles": [], "password": "short"})).code == "bad_request"
    answer = (await ask("POST", "/v1/users/budi/tokens/job", {"ttl_ms": 60_000})).json
    assert answer["ends_ms"] == 60_000
    secret = answer["secret"]
    assert load_token(node_of(guarded).here.layer, digest_secret(secret.encode())) is not None
    assert (await ask("GET", "/v1/whoami", headers=bearer(secret))).json == {"user": "budi"}
    tokens = (await ask("GET", "/v1/users/budi/tokens")).json["tokens"]
    assert tokens == [{"token": "job", "made_ms": 0, "ends_ms": 60_000}]
    rows = (await ask("GET", "/v1/users")).json["users"]
    assert rows[1] == {"user": "budi", "roles": ["app"], "tokens": ["job"], "has_password": True}
    assert (await ask("GET", "/v1/roles")).json["roles"][0] == {"role": "app", "grants": ["write keys app/"]}
    assert (await ask("DELETE", "/v1/roles/app")).code == "conflict"
    assert (await ask("DELETE", "/v1/users/budi/tokens/job")).status == 200
    assert (await ask("DELETE", "/v1/users/budi/tokens/job")).code == "not_found"
    assert (await ask("GET", "/v1/whoami", headers=bearer(secret))).status == 401
    assert (await ask("DELETE", "/v1/users/budi")).status == 200
    assert (await ask("DELETE", "/v1/users/budi")).code == "not_found"
    assert (await ask("DELETE", "/v1/roles/app")).status == 200
    assert (await ask("DELETE", "/v1/users/root")).code == "conflict"
    assert (await ask("PUT", "/v1/users/root", {"roles": ["admin"], "more": 1})).code == "bad_request"


async def test_where_there_are_no_users_a_header_says_nothing() -> None:
    users = Here(has_users=False).users()
    logins = Logins(users)
    async with running(logins=logins, gate=Gate(users, logins)) as harness:
        for headers in ([], bearer("x"), ["Authorization: nonsense"]):
            assert (await harness.request(post(PING, headers=headers))).status == 200
            answer = await harness.request(get("/v1/whoami", headers=headers))
            assert answer.json == {"user": None}


def test_a_password_may_have_a_colon() -> None:
    text = base64.b64encode(b"ana:a:b").decode()
    credentials = credentials_of(f"Basic {text}")
    assert credentials is not None
    assert credentials[1:] == (b"ana", b"a:b")
    assert credentials_of(None) is None
