"""Transactions, sessions and keys over HTTP, on a real machine without a cluster (interface, section 3)."""

import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import pytest

from raftdb.commands.transactions import is_read
from raftdb.errors import LeaderHint, OutcomeUnknown, ReplyError, Unavailable
from raftdb.frontend import http_data, http_execute
from raftdb.frontend.node_api import Consistency
from raftdb.machine.counters import IncrementBy
from raftdb.machine.editing import Append
from raftdb.machine.machine import Machine
from raftdb.machine.operations import ClientOperation, Mode, SessionOperation, TransactionOperation
from raftdb.machine.reply import Repetition, Result
from raftdb.machine.scanning import ReadPage, ReadRecord
from raftdb.machine.service import Query
from raftdb.machine.sessions import CloseSession, KeepSession, RegisterSession
from raftdb.machine.strings import Get, Set
from raftdb.node.turn import Answer
from tests.addresses import at
from tests.frontend.support import Harness, Response, StubNode, get, know_heads, post, running
from tests.machine.database import Database

ID = "00112233445566778899aabbccddeeff"
NAME = bytes.fromhex(ID)
LEADER = LeaderHint("n2", at("127.0.0.1:8002"))


class DatabaseNode(StubNode):
    """Executes everything, at once and alone. `database.now_ms` is its time."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self.database.term = 3

    async def execute(
        self, operation: ClientOperation | Query, *, consistency: Consistency, user: bytes | None = None
    ) -> Answer:
        self.executed.append((operation, consistency))
        await self.release.wait()
        if self.failure is not None:
            raise self.failure
        database = self.database
        if isinstance(operation, Query) or is_read(operation):
            reply: Any = Machine().read(operation, database.layer)  # type: ignore[arg-type]
        else:
            reply = database.applied(operation).reply
        index, term = database.index, database.term
        if isinstance(reply, Repetition):
            index, term, reply = reply
        if isinstance(reply, ReplyError):
            raise reply
        assert isinstance(reply, Result)
        return Answer(reply.value, index, term, reply.revision)


@pytest.fixture
async def http() -> AsyncIterator[Harness]:
    async with running(node=DatabaseNode()) as harness:
        yield harness


def database(http: Harness) -> Database:
    assert isinstance(http.node, DatabaseNode)
    return http.node.database


def asked(http: Harness) -> ClientOperation | Query:
    """What the node was asked to do last."""
    return http.node.executed[-1][0]


async def send(http: Harness, path: str, body: object, method: str = "POST") -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await http.request(post(data, path).replace(b"POST", method.encode(), 1))


async def transact(http: Harness, *commands: tuple[str, ...], **more: object) -> Response:
    """A transaction of commands: names and arguments."""
    parts = [{"command": name, "args": arguments} for name, *arguments in commands]
    return await send(http, "/v1/transaction", {"commands": parts, **more})


async def once(http: Harness, seq: object, *command: str, **more: object) -> Response:
    """A command in the session."""
    session = {"id": ID, "seq": seq, **more}
    return await http.execute({"command": command[0], "args": command[1:], "session": session})


# Transactions


async def test_a_transaction_answers_its_results(http: Harness) -> None:
    response = await transact(http, ("set", "a", "1"), ("incr", "n"), ("mget", "a", "x"), ("get", "a"))
    assert response.status == 200
    assert response.json == {"results": ["OK", 1, ["1", None], "1"], "index": 1, "term": 3}
    assert isinstance(asked(http), TransactionOperation)


async def test_nothing_is_a_transaction_too(http: Harness) -> None:
    assert (await transact(http)).json == {"results": [], "index": 1, "term": 3}


async def test_an_error_stands_in_its_place(http: Harness) -> None:
    response = await transact(http, ("set", "s", "x"), ("incr", "s"), ("cas", "s", "9", "y"), ("incr", "n"))
    assert response.status == 200
    ok, failed, conflict, number = response.json["results"]
    assert (ok, number) == ("OK", 1)
    assert failed == {
        "error": {"code": "command_failed", "message": "value is not an integer or out of range"}
    }
    assert conflict["error"]["code"] == "conflict"
    assert conflict["conflict"] == ["s"]


async def test_what_is_watched_decides(http: Harness) -> None:
    await http.execute({"command": "set", "args": ["kunci", "satu"]})
    held = await transact(http, ("set", "a", "1"), watch={"kunci": 1, "x": 0})
    assert held.json["results"] == ["OK"]
    refused = await transact(http, ("set", "a", "2"), watch={"x": 0, "kunci": 7})
    assert refused.status == 409
    assert refused.json["results"] is None
    assert refused.json["conflict"] == ["kunci"]
    assert refused.code == "conflict"
    assert "kunci" in refused.json["error"]["message"]
    assert refused.json["error"]["hint"]
    assert (await http.execute({"command": "get", "args": ["a"]})).json["result"] == "1"


async def test_what_is_written_under_a_fence_needs_the_lock(http: Harness) -> None:
    lock = await http.execute({"command": "lock", "args": ["report", "OWNER", "ana"]})
    token = lock.json["result"][0]
    write = {"command": "set", "args": ["k", "v"], "fences": {"report": token}}
    done = (await http.execute(write)).json
    assert (done["result"], done["revision"]) == ("OK", done["index"])
    read = await http.execute({"command": "incr", "args": ["k"], "fences": [["report", {"token": token}]]})
    assert (read.status, read.code) == (422, "command_failed")
    shared = {"command": "incr", "args": ["n"], "fences": {"report": {"token": token, "shared": True}}}
    assert (await http.execute(shared)).json["result"] == 1
    held = await transact(http, ("incr", "n"), fences={"report": token})
    assert held.json["results"] == [2]
    await http.execute({"command": "unlock", "args": ["report", token]})
    for refused in (await http.execute(write), await transact(http, ("incr", "n"), fences={"report": token})):
        assert (refused.status, refused.code) == (409, "fenced")
    assert (await http.execute({"command": "get", "args": ["n"]})).json["result"] == "2"


@pytest.mark.parametrize(
    ("fences", "code"),
    [
        ({"report": -1}, "bad_request"),
        ({"report": "7"}, "bad_request"),
        ({"report": {"token": 7, "mode": "shared"}}, "bad_request"),
        ({"": 7}, "bad_key"),
        ({"n" * 201: 7}, "bad_key"),
        ({f"n{number}": 7 for number in range(65)}, "too_large"),
    ],
)
async def test_bad_fences_are_refused(http: Harness, fences: object, code: str) -> None:
    refused = await http.execute({"command": "set", "args": ["k", "v"], "fences": fences})
    assert refused.code == code


async def test_what_waits_has_no_fences(http: Harness) -> None:
    body = {"command": "lock", "args": ["report", "OWNER", "a"], "wait_ms": 10, "fences": {"other": 7}}
    assert (await http.execute(body)).code == "bad_request"


async def test_under_a_fence_and_in_a_session_a_command_happens_once(http: Harness) -> None:
    await send(http, "/v1/sessions", {"id": ID})
    lock = await http.execute({"command": "lock", "args": ["report", "OWNER", "ana"]})
    body = {
        "command": "incr",
        "args": ["n"],
        "fences": {"report": lock.json["result"][0]},
        "session": {"id": ID, "seq": 1},
    }
    assert [(await http.execute(body)).json["result"] for _ in range(2)] == [1, 1]


async def test_keys_that_are_not_utf8_are_watched_in_pairs(http: Harness) -> None:
    response = await transact(http, watch=[[{"base64": "/w=="}, 5], ["k", 0]])
    assert asked(http) == TransactionOperation((), ((b"\xff", 5), (b"k", 0)))
    assert response.json["conflict"] == [{"base64": "/w=="}]


async def test_the_atomic_mode_says_which_command_failed(http: Harness) -> None:
    for name in ("incr", "decr", "INCR"):
        response = await transact(http, ("set", "s", "x"), (name, "s"), mode="atomic")
        assert response.status == 422
        assert response.json == {
            "error": {
                "code": "command_failed",
                "message": f"command 2 ({name}): value is not an integer or out of range",
            },
            "failed": 1,
        }
    assert (await http.execute({"command": "exists", "args": ["s"]})).json["result"] == 0


async def test_modes(http: Harness) -> None:
    for mode in ("redis", "atomic"):
        await transact(http, mode=mode)
        assert asked(http) == TransactionOperation((), (), Mode[mode.upper()])


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", "bad_request", "not valid JSON"),
        ({}, "bad_request", "`commands`"),
        ({"commands": {}}, "bad_request", "$.commands"),
        ({"commands": ["get"]}, "bad_request", "$.commands[0]"),
        ({"commands": [{"command": "get", "args": [1.5]}]}, "bad_request", "$.commands[0].args[0]"),
        ({"commands": [{"command": "get", "arg": []}]}, "bad_request", "`arg`"),
        ({"commands": [], "mode": "ATOMIC"}, "bad_request", "$.mode"),
        ({"commands": [], "watch": {"k": -1}}, "bad_request", "$.watch"),
        ({"commands": [], "watch": {"k": 2**63}}, "bad_request", "$.watch"),
        ({"commands": [], "watch": {"k": "1"}}, "bad_request", "$.watch"),
        ({"commands": [], "watch": [["k"]]}, "bad_request", "$.watch[0]"),
        ({"commands": [], "watch": {"": 1}}, "bad_key", "watched key"),
        ({"commands": [], "consistency": "stale"}, "bad_request", "`consistency`"),
        ({"commands": [{"command": "ping"}, {"command": "sett"}]}, "unknown_command", "command 2:"),
        ({"commands": [{"command": "get"}]}, "wrong_arity", "command 1:"),
        ({"commands": [{"command": "get", "args": [""]}]}, "bad_key", "command 1:"),
        ({"commands": [{"command": "ping"}] * 65_537}, "too_large", "65537 keys"),
        (
            {"commands": [{"command": "set", "args": ["k", "v" * 1_000_000]}] * 5},
            "too_large",
            "the transaction has 5000005 bytes",
        ),
    ],
)
async def test_what_is_no_transaction_is_refused(
    http: Harness, body: object, code: str, message: str
) -> None:
    response = await send(http, "/v1/transaction", body)
    assert response.code == code
    assert message in response.json["error"]["message"]
    assert http.node.executed == []


async def test_another_leader_is_a_redirect(http: Harness) -> None:
    http.node.failure = Unavailable("not_leader", "n2 leads", leader=LEADER)
    session = json.dumps({"id": ID}).encode()
    for request, path in (
        (post(b'{"commands": []}', "/v1/transaction"), "/v1/transaction"),
        (post(session, "/v1/sessions"), "/v1/sessions"),
        (get(f"/v1/sessions/{ID}", method="DELETE"), f"/v1/sessions/{ID}"),
        (get("/v1/keys/a%2Fb?consistency=linearizable"), "/v1/keys/a%2Fb?consistency=linearizable"),
        (get("/v1/keys?prefix=a%FF"), "/v1/keys?prefix=a%FF"),
    ):
        response = await http.request(request)
        assert response.status == 307
        assert response.headers["location"] == f"http://127.0.0.1:8002{path}"


async def test_an_unknown_outcome_is_said_to_be_one(http: Harness) -> None:
    http.node.failure = OutcomeUnknown("who knows")
    assert ((await transact(http)).status, (await once(http, 1, "incr", "n")).code) == (
        504,
        "outcome_unknown",
    )


# Sessions


async def test_in_a_session_a_command_is_done_once(http: Harness) -> None:
    """Hazard B53: whoever asks again gets the answer of then."""
    registered = await send(http, "/v1/sessions", {"id": ID})
    assert registered.status == 200
    assert registered.json == {"session": {"id": ID}, "index": 1, "term": 3}
    first = await once(http, 1, "incr", "n")
    assert first.json == {"result": 1, "index": 2, "term": 3, "revision": 2}
    database(http).term = 9
    assert (await once(http, 1, "incr", "n")).json == first.json
    assert (await once(http, 2, "incr", "n", acknowledged=1)).json["result"] == 2
    assert asked(http) == SessionOperation(NAME, 2, 1, IncrementBy(b"n", 1))


async def test_the_parts_of_a_session_become_the_operation(http: Harness) -> None:
    await send(http, "/v1/sessions", {"id": ID.upper()})
    assert asked(http) == RegisterSession(NAME)
    await once(http, 7, "append", "k", "v")
    assert asked(http) == SessionOperation(NAME, 7, 7, Append(b"k", b"v"))
    await once(http, 2**63 - 1, "append", "k", "v", acknowledged=5)
    assert asked(http) == SessionOperation(NAME, 2**63 - 1, 5, Append(b"k", b"v"))
    await transact(http, ("get", "k"), session={"id": ID, "seq": 8})
    assert asked(http) == SessionOperation(NAME, 8, 8, TransactionOperation((Get(b"k"),)))


def keep(path: str, body: object) -> bytes:
    text = json.dumps(body).encode()
    return get(path, method="PUT", headers=[f"Content-Length: {len(text)}"]) + text


async def test_a_session_has_a_time_to_live_and_is_kept(http: Harness) -> None:
    await send(http, "/v1/sessions", {"id": ID, "ttl_ms": 10_000})
    assert asked(http) == RegisterSession(NAME, ttl_ms=10_000)
    kept = await http.request(get(f"/v1/sessions/{ID}", method="PUT"))
    assert kept.json == {"session": {"id": ID}, "index": 2, "term": 3}
    assert asked(http) == KeepSession(NAME)
    assert (await http.request(keep(f"/v1/sessions/{ID}", {"ttl_ms": 5_000}))).status == 200
    assert asked(http) == KeepSession(NAME, 5_000)
    for body in ({"ttl_ms": 999}, {"ttl_ms": 86_400_001}, {"id": ID}):
        assert (await http.request(keep(f"/v1/sessions/{ID}", body))).code == "bad_request"
    other = await http.request(get(f"/v1/sessions/{'0' * 32}", method="PUT"))
    assert (other.status, other.code) == (409, "session_expired")


async def test_a_read_needs_no_session(http: Harness) -> None:
    """Nor one that exists: it goes beside the log."""
    response = await once(http, 1, "get", "k")
    assert response.json == {"result": "", "index": 0, "term": 3, "revision": 0}
    assert asked(http) == Get(b"k")


async def test_sessions_that_are_not_there_are_refused(http: Harness) -> None:
    response = await once(http, 1, "incr", "n")
    assert (response.status, response.code) == (409, "session_expired")
    assert "conflict" not in response.json
    expired = await transact(http, ("incr", "n"), session={"id": ID, "seq": 1})
    assert (expired.status, expired.code) == (409, "session_expired")
    assert "results" not in expired.json


async def test_a_session_is_closed(http: Harness) -> None:
    await send(http, "/v1/sessions", {"id": ID})
    for index in (2, 3):
        closed = await http.request(get(f"/v1/sessions/{ID.upper()}", method="DELETE"))
        assert (closed.status, closed.json) == (200, {"index": index, "term": 3})
        assert asked(http) == CloseSession(NAME)
    assert (await once(http, 1, "incr", "n")).code == "session_expired"


@pytest.mark.parametrize(
    "session",
    [
        {"id": ID},
        {"seq": 1},
        {"id": ID, "seq": 0},
        {"id": ID, "seq": -1},
        {"id": ID, "seq": "1"},
        {"id": ID, "seq": 1.5},
        {"id": ID, "seq": 2**63},
        {"id": ID, "seq": 1, "acknowledged": 0},
        {"id": ID, "seq": 1, "acknowledged": 2},
        {"id": ID, "seq": 1, "ack": 1},
        {"id": ID[:-1], "seq": 1},
        {"id": ID + "0", "seq": 1},
        {"id": "g" * 32, "seq": 1},
        {"id": " " * 32, "seq": 1},
        {"id": "٣" * 32, "seq": 1},
        ID,
    ],
    ids=repr,
)
async def test_what_is_no_session_is_refused(http: Harness, session: object) -> None:
    for path, body in (
        ("/v1/execute", {"command": "incr", "args": ["n"]}),
        ("/v1/transaction", {"commands": []}),
    ):
        response = await send(http, path, {**body, "session": session})
        assert (response.status, response.code) == (400, "bad_request")
    assert http.node.executed == []


@pytest.mark.parametrize("body", [b"", {}, {"id": ID[:-1]}, {"id": 5}, {"id": ID, "ttl": 5}])
async def test_what_is_no_name_of_a_session_is_refused(http: Harness, body: object) -> None:
    assert (await send(http, "/v1/sessions", body)).code == "bad_request"
    assert (await http.request(get("/v1/sessions/xyz", method="DELETE"))).code == "bad_request"
    assert http.node.executed == []


# Keys


def put(http: Harness, **values: str) -> None:
    for key, value in values.items():
        database(http).run(Set(key.encode(), value.encode()))


async def test_a_key_is_told_whole(http: Harness) -> None:
    database(http).now_ms = 10_000
    database(http).run(Set(b"kunci", b"satu", 5_000))
    put(http, plain="x")
    response = await http.request(get("/v1/keys/kunci"))
    assert response.status == 200
    assert response.json == {
        "key": "kunci",
        "value": "satu",
        "revision": 1,
        "expires_at": 15_000,
        "ttl_ms": 5_000,
        "index": 2,
        "term": 3,
    }
    plain = (await http.request(get("/v1/keys/plain?consistency=stale"))).json
    assert plain == {"key": "plain", "value": "x", "revision": 2, "index": 2, "term": 3}
    assert http.node.executed == [(ReadRecord(b"kunci"), "linearizable"), (ReadRecord(b"plain"), "stale")]


async def test_a_missing_key_is_not_found(http: Harness) -> None:
    response = await http.request(get("/v1/keys/lain"))
    assert (response.status, response.code) == (404, "not_found")
    assert response.json["error"]["message"] == "there is no key 'lain'"


@pytest.mark.parametrize(
    "key",
    [
        b"a/b",
        b"a b",
        b"a+b",
        b"a%b",
        b"?",
        b"#",
        b"..",
        b".",
        b"\xff\x00",
        "é€".encode(),
        b"{key}",
        b"k" * 480,
    ],
)
async def test_any_key_can_be_named_in_a_path(http: Harness, key: bytes) -> None:
    database(http).run(Set(key, b"v"))
    response = await http.request(get(f"/v1/keys/{quote(key, safe='')}"))
    assert response.status == 200, response
    assert asked(http) == ReadRecord(key)


async def test_an_unusual_spelling_of_a_key_is_the_same_key(http: Harness) -> None:
    put(http, abc="v")
    assert (await http.request(get("/v1/keys/%61b%63"))).json["key"] == "abc"
    assert (await http.request(get("/v1/keys/a+b"))).json["error"]["message"] == "there is no key 'a+b'"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/keys/", 404, "not_found"),
        ("/v1/keys/a/b", 404, "not_found"),
        ("/v1/keys/" + "k" * 481, 400, "bad_key"),
        ("/v1/keys/a?consistency=fresh", 400, "bad_request"),
        ("/v1/keys/a?prefix=b", 400, "bad_request"),
        ("/v1/keys?limit=0", 400, "bad_request"),
        ("/v1/keys?limit=1001", 400, "bad_request"),
        ("/v1/keys?limit=x", 400, "bad_request"),
        ("/v1/keys?limit=%D9%A1", 400, "bad_request"),
        ("/v1/keys?values=maybe", 400, "bad_request"),
        ("/v1/keys?prefix=a&prefix=b", 400, "bad_request"),
        ("/v1/keys?first=a", 400, "bad_request"),
        ("/v1/keys?prefix=" + "k" * 481, 400, "bad_key"),
        ("/v1/keys?after=" + "k" * 481, 400, "bad_key"),
    ],
)
async def test_what_names_no_keys_is_refused(http: Harness, path: str, status: int, code: str) -> None:
    response = await http.request(get(path))
    assert (response.status, response.code) == (status, code)
    assert http.node.executed == []


async def test_keys_take_no_other_method(http: Harness) -> None:
    for path in ("/v1/keys", "/v1/keys/a"):
        response = await http.request(post(b"", path))
        assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


async def test_keys_come_in_order_and_in_pages(http: Harness) -> None:
    put(http, a="1", b="2", c="3", d="4")
    first = (await http.request(get("/v1/keys?limit=2"))).json
    assert first == {
        "keys": [{"key": "a", "value": "1", "revision": 1}, {"key": "b", "value": "2", "revision": 2}],
        "next": "b",
        "index": 4,
        "term": 3,
    }
    last = (await http.request(get("/v1/keys?limit=2&after=b"))).json
    assert [record["key"] for record in last["keys"]] == ["c", "d"]
    assert "next" not in last
    without = (await http.request(get("/v1/keys?values=false&consistency=stale"))).json
    assert without["keys"][0] == {"key": "a", "revision": 1}
    assert http.node.executed[-1] == (ReadPage(b"", b"", 100, False), "stale")


async def test_names_in_a_query_are_bytes(http: Harness) -> None:
    for key in (b"\xff\x00", b"a b", b"a+b", b"a&b"):
        database(http).run(Set(key, b"v"))
    assert (await http.request(get("/v1/keys?prefix=%FF"))).json["keys"][0]["key"] == {"base64": "/wA="}
    found = (await http.request(get("/v1/keys?prefix=a+b"))).json["keys"]
    assert [record["key"] for record in found] == ["a b"]
    assert asked(http) == ReadPage(b"a b", b"", 100)
    await http.request(get("/v1/keys?prefix=a%2Bb&after=a%26b"))
    assert asked(http) == ReadPage(b"a+b", b"a&b", 100)
    await http.request(get("/v1/keys?prefix=&after=&limit=1000&values"))
    assert asked(http) == ReadPage(b"", b"", 1000)


async def test_an_expired_key_is_missing(http: Harness) -> None:
    database(http).run(Set(b"k", b"v", 500))
    database(http).now_ms = 501
    put(http, other="v")
    assert (await http.request(get("/v1/keys/k"))).status == 404
    assert [record["key"] for record in (await http.request(get("/v1/keys"))).json["keys"]] == ["other"]


# Commands


async def test_a_failed_compare_and_set_names_the_key(http: Harness) -> None:
    put(http, kunci="satu")
    response = await http.execute({"command": "cas", "args": ["kunci", "5", "dua"]})
    assert response.status == 409
    assert response.json == {
        "error": {
            "code": "conflict",
            "message": "the revision of 'kunci' is 1, not 5",
            "hint": "read the key again, and decide anew",
        },
        "conflict": ["kunci"],
    }
    assert (await http.execute({"command": "cas", "args": ["kunci", "1", "dua"]})).json["result"] == "OK"


async def test_a_set_that_a_condition_forbids_answers_nil(http: Harness) -> None:
    put(http, k="1")
    response = await http.execute({"command": "set", "args": ["k", "2", "NX", "EX", "5"]})
    assert response.json == {"result": None, "index": 2, "term": 3, "revision": 1}


async def test_lists_of_keys_and_values(http: Harness) -> None:
    put(http, a="1", b="2")
    database(http).run(Set(b"\xff", b"\xfe"))
    scanned = await http.execute({"command": "scan", "args": ["", "a"]})
    assert scanned.json["result"] == ["b", "2", {"base64": "/w=="}, {"base64": "/g=="}]
    assert (await http.execute({"command": "keys", "args": [""]})).json["result"][:2] == ["a", "b"]
    assert (await http.execute({"command": "dbsize"})).json["result"] == 3


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bool]]:
    """For each function that reads a body or writes a reply: whether it ran beside the loop, call by call."""
    loop_thread = threading.get_ident()
    noted: dict[str, list[bool]] = {}

    def noting(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **more: Any) -> Any:
            noted.setdefault(name, []).append(threading.get_ident() != loop_thread)
            return plain(*args, **more)

        return note

    for module in (http_data, http_execute):
        for name in ("execute_of", "transaction_of", "encode_answer", "encode_json"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, noting(name, getattr(module, name)))
    return noted


async def test_what_is_long_is_read_and_written_beside_the_loop(
    http: Harness, threads: dict[str, list[bool]]
) -> None:
    """Half a second of JSON on the loop would depose a leader; a short request is not worth a thread."""
    know_heads(http.server)
    long, short = "v" * 100_000, "v"
    for value in (short, long):
        set_it = {"command": "set", "args": [value[:9], value]}
        for path, body in (("/v1/execute", set_it), ("/v1/transaction", {"commands": [set_it]})):
            assert (await http.request(post(json.dumps(body).encode(), path))).status == 200
        for command in ("get", "getset"):
            args = [value[:9], value] if command == "getset" else [value[:9]]
            assert (await http.execute({"command": command, "args": args})).json["result"] == value
    for path in ("/v1/keys/v", "/v1/keys/vvvvvvvvv", "/v1/keys?limit=1", "/v1/keys"):
        assert (await http.request(get(path))).status == 200
    assert threads["transaction_of"] == [False, True]
    assert threads["execute_of"] == [False, False, False, True, False, True]
    assert threads["encode_answer"] == [False, False, False, False, True, True]
    assert threads["encode_json"] == [False] * 2 + [False, True, False, True]


@pytest.mark.parametrize("number", [0, 5, -5, 2**63 - 1, -(2**63)])
async def test_a_whole_number_stands_for_its_decimal(http: Harness, number: int) -> None:
    await http.execute({"command": "set", "args": ["k", number]})
    assert (await http.execute({"command": "get", "args": ["k"]})).json["result"] == str(number)
    response = await transact(http, ("set", "t", "1"), ("incrby", "t", 4))  # type: ignore[arg-type]
    assert response.json["results"] == ["OK", 5]


@pytest.mark.parametrize("argument", [1.5, 1.0, True, None, 2**63, [1]])
async def test_what_stands_for_no_bytes_is_refused_with_the_rule(http: Harness, argument: object) -> None:
    response = await http.execute({"command": "set", "args": ["k", argument]})
    assert (response.status, response.code) == (400, "bad_request")
    assert "a whole number of 64 bits" in response.json["error"]["hint"]
    assert (await http.execute({"command": "exists", "args": ["k"]})).json["result"] == 0


async def test_a_transaction_branches(http: Harness) -> None:
    await http.execute({"command": "set", "args": ["k", "1"]})

    async def branch(*conditions: dict[str, object]) -> Response:
        body = {
            "compare": list(conditions),
            "commands": [{"command": "set", "args": ["k", "2"]}],
            "else": [{"command": "get", "args": ["k"]}, {"command": "exists", "args": ["k"]}],
        }
        return await http.request(post(json.dumps(body).encode(), "/v1/transaction"))

    missed = (await branch({"key": "k", "value": "2"}, {"key": "k", "exists": True})).json
    assert (missed["succeeded"], missed["results"]) == (False, ["1", 1])
    met = (await branch({"key": "k", "revision": 5, "relation": "<"}, {"key": "x", "exists": False})).json
    assert (met["succeeded"], met["results"]) == (True, ["OK"])
    unclear: list[dict[str, object]] = [
        {"key": "k"},
        {"key": "k", "exists": True, "revision": 1},
        {"key": "k", "exists": True, "relation": "<"},
        {"key": "", "exists": True},
        {"key": "k", "revision": -1},
    ]
    for condition in unclear:
        assert (await branch(condition)).status == 400
    assert (await branch()).status == 400, "an else needs something to compare"
