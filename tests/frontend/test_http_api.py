"""The client API as a client sees it: routes, bodies in and out, errors and redirects (interface, section 3)."""

import logging

import pytest

from raftdb.endpoint import Endpoint, RedisAddresses
from raftdb.errors import (
    Fatal,
    LeaderHint,
    RaftdbError,
    ReplyError,
    RequestRefused,
    Unavailable,
)
from raftdb.frontend.http_api import LOG_LIMIT_MAX
from raftdb.machine.strings import Get, Set
from tests.addresses import at
from tests.frontend.support import Harness, answered, get, post, running, wait_until
from tests.interface import documented_codes

LEADER = LeaderHint("n2", at("127.0.0.1:8002"), RedisAddresses(at("127.0.0.1:6382")))


async def test_a_command_is_executed_and_answered(http: Harness) -> None:
    response = await http.execute({"command": "set", "args": ["kunci", "satu"]})
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert "date" in response.headers
    assert response.json == {"result": "OK", "index": 12, "term": 3}
    assert http.node.executed == [(Set(b"kunci", b"satu"), "linearizable")]


async def test_a_missing_key_is_told_from_an_empty_one_by_its_revision(http: Harness) -> None:
    http.node.values[b"empty"] = b""
    missing = await http.execute({"command": "get", "args": ["missing"]})
    empty = await http.execute({"command": "get", "args": ["empty"]})
    assert missing.json == {"result": "", "index": 12, "term": 3, "revision": 0}
    assert empty.json == {"result": "", "index": 12, "term": 3, "revision": 12}


async def test_stale_reads_are_asked_for_by_name(http: Harness) -> None:
    await http.execute({"command": "GET", "args": ["a"], "consistency": "stale"})
    assert http.node.executed == [(Get(b"a"), "stale")]


async def test_bytes_that_are_not_utf8_travel_as_base64_both_ways(http: Harness) -> None:
    written = await http.execute({"command": "set", "args": [{"base64": "/wA="}, {"base64": "8J+mgA=="}]})
    read = await http.execute({"command": "get", "args": [{"base64": "/wA="}]})
    http.node.values[b"b"] = b"\xff\x00"
    binary = await http.execute({"command": "get", "args": ["b"]})
    assert written.json["result"] == "OK"
    assert read.json["result"] == "🦀"
    assert binary.json["result"] == {"base64": "/wA="}


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("PONG", "PONG"),
        (b"text", "text"),
        (b'\x00\xe2\x82\xac"\\', '\x00€"\\'),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (None, None),
        ([b"a", None, 3, b"\xfe"], ["a", None, 3, {"base64": "/g=="}]),
        ([], []),
    ],
)
async def test_every_kind_of_reply_has_its_json(http: Harness, value: object, result: object) -> None:
    http.node.answer = answered(value)
    response = await http.execute({"command": "dbsize"})
    assert response.json == {"result": result, "index": 12, "term": 3}


@pytest.mark.parametrize(
    ("body", "in_message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"command": "ping"} x', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"[]", "got `array`"),
        (b'{"args": []}', "`command`"),
        (b'{"command": 1}', "$.command"),
        (b'{"command": "get", "args": "a"}', "$.args"),
        (b'{"command": "get", "args": [1.5]}', "$.args[0]"),
        (b'{"command": "get", "args": ["a", null]}', "$.args[1]"),
        (b'{"command": "get", "args": [["a"]]}', "$.args[0]"),
        (b'{"command": "get", "args": [{"base64": 1}]}', "$.args[0].base64"),
        (b'{"command": "get", "args": [{"hex": "00"}]}', "`hex`"),
        (b'{"command": "get", "args": [{"base64": "a"}]}', "base64"),
        (b'{"command": "get", "args": [{"base64": "YQ==\\n"}]}', "base64"),
        ('{"command": "get", "args": [{"base64": "é"}]}'.encode(), "base64"),
        (b'{"command": "get", "args": ["a"], "sesion": {}}', "`sesion`"),
        (b'{"command": "get", "args": ["a"], "consistency": "fresh"}', "$.consistency"),
        (b'{"command": "get", "args": ["\xff"]}', "not UTF-8"),
        (b'{"\xff": 1}', ""),
        (b'{"command": "get", "args": ["\\ud800"]}', "surrogate"),
        (b'{"command": "get", "args": ["\\udc00\\ud800"]}', "surrogate"),
        (b'{"command": "get", "args": ["\\ud83d\\ude00", "\\ud83d\\ud83d\\ude00"]}', "surrogate"),
        (b'{"command": "get", "args": ["\\ud83d\\ude00", ]}', "not valid JSON"),
        (b'{"command": "get", "args": ["\xed\xa0\x80"]}', "not UTF-8"),
        (b"[" * 200_000, "array"),
        (b'{"command": "get", "args": ' + b"[" * 200_000, "$.args[0]"),
        (b'{"command": "get", "args": [' + b'{"base64":' * 200_000, "$.args[0]"),
        (b'{"x": ' + b"[" * 200_000, "`x`"),
    ],
)
async def test_a_malformed_body_is_refused_with_the_place(
    http: Harness, body: bytes, in_message: str
) -> None:
    """Deep nesting included (hazard B96): a refusal, and the next request is served."""
    response = await http.execute(body)
    assert (response.status, response.code) == (400, "bad_request")
    assert in_message in response.json["error"]["message"]
    assert (await http.execute({"command": "ping"})).status == 200
    assert len(http.node.executed) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"command": "nosuch"}, "unknown_command"),
        ({"command": "\x00" * 1000}, "unknown_command"),
        ({"command": "get"}, "wrong_arity"),
        ({"command": "get", "args": [""]}, "bad_key"),
        ({"command": "get", "args": ["k" * 481]}, "bad_key"),
        ({"command": "set", "args": ["k", "v" * (1024 * 1024 + 1)]}, "too_large"),
    ],
)
async def test_what_the_table_of_commands_refuses_keeps_its_code(
    http: Harness, body: object, code: str
) -> None:
    response = await http.execute(body)
    assert (response.status, response.code) == (documented_codes()[code].status, code)
    assert http.node.executed == []


@pytest.mark.parametrize("code", sorted(documented_codes()))
async def test_every_code_has_its_status(http: Harness, code: str) -> None:
    http.node.failure = (
        Unavailable(code, "why", hint="next", leader=LEADER)
        if code == "not_leader"
        else RaftdbError(code, "why", hint="next")
    )
    response = await http.execute({"command": "ping"})
    assert response.status == documented_codes()[code].status
    error = response.json["error"]
    assert (error["code"], error["message"], error["hint"]) == (code, "why", "next")
    assert ("retry-after" in response.headers) is (response.status == 503)


async def test_a_failed_command_is_422(http: Harness) -> None:
    http.node.failure = ReplyError("value is not an integer or out of range")
    response = await http.execute({"command": "ping"})
    assert response.status == 422
    assert response.json == {
        "error": {"code": "command_failed", "message": "value is not an integer or out of range"}
    }


@pytest.mark.parametrize("path", ["/v1/execute", "/v1/execute?a=%20b&c", "http://node/v1/execute?a"])
async def test_another_leader_is_a_redirect_to_the_same_path_and_query(http: Harness, path: str) -> None:
    http.node.failure = Unavailable("not_leader", "n2 leads", leader=LEADER)
    response = await http.request(post(b'{"command": "ping"}', path))
    assert response.status == 307
    assert response.headers["location"] == "http://127.0.0.1:8002" + path.removeprefix("http://node")
    assert response.json["error"]["leader"] == {
        "id": "n2",
        "http": "127.0.0.1:8002",
        "redis": "127.0.0.1:6382",
        "redis_cluster": None,
    }


async def test_an_unknown_leader_is_no_redirect(http: Harness) -> None:
    http.node.failure = Unavailable("not_leader", "somebody else leads")
    response = await http.execute({"command": "ping"})
    assert (response.status, response.code) == (503, "no_leader")
    assert "location" not in response.headers


async def test_a_leaders_address_cannot_add_headers(http: Harness) -> None:
    http.node.failure = Unavailable(
        "not_leader", "m", leader=LeaderHint("n2", Endpoint("x\r\nSet-Cookie: a=b", 1))
    )
    response = await http.execute({"command": "ping"})
    assert response.status == 307
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "failure", [ValueError("secret /path"), Fatal("secret"), TimeoutError(), KeyError("k")]
)
async def test_a_bug_is_logged_and_not_shown(
    http: Harness, failure: Exception, log_records: list[logging.LogRecord]
) -> None:
    http.node.failure = failure
    response = await http.execute({"command": "ping"})
    assert (response.status, response.code) == (500, "internal")
    if not isinstance(failure, RaftdbError):
        assert b"secret" not in response.body
        assert b"Traceback" not in response.body
        assert [record.getMessage() for record in log_records] == ["request failed"]


async def test_a_command_runs_to_its_end_when_its_client_goes_away(http: Harness) -> None:
    http.node.release.clear()
    client = await http.connect()
    await client.send(post(b'{"command": "set", "args": ["a", "1"]}'))
    await wait_until(lambda: len(http.node.executed) == 1)
    await client.close()
    await wait_until(lambda: http.server.connections <= 1)
    http.node.release.set()
    await wait_until(lambda: http.node.values == {b"a": b"1"})
    await wait_until(lambda: http.server.connections == 0)


async def test_the_log_is_read_in_pages(http: Harness) -> None:
    response = await http.request(get("/v1/request_log?%66rom=7&l%69mit=%35"))
    assert response.status == 200
    assert (response.json["first_index"], response.json["limit"]) == (7, 5)
    assert response.json["entries"][0]["args"] == ["a", {"base64": "/w=="}]


@pytest.mark.parametrize(
    "query",
    [
        *(
            "from=0",
            "from=-1",
            "from=x",
            "limit=",
            "from=1&from=2",
            "from=1&fro%6D=2",
            "form=1",
            "%ff=1",
            "from%3D1",
            f"limit={LOG_LIMIT_MAX + 1}",
        ),
        *("from=9223372036854775808", "from=" + "9" * 5000, "from=%D9%A1"),
    ],
)
async def test_a_bad_page_is_refused(http: Harness, query: str) -> None:
    response = await http.request(get(f"/v1/request_log?{query}"))
    assert (response.status, response.code) == (400, "bad_request")


async def test_a_compacted_page_is_gone(http: Harness) -> None:
    http.node.failure = RequestRefused("compacted", "the log begins at 100")
    response = await http.request(get("/v1/request_log?from=1"))
    assert (response.status, response.code) == (410, "compacted")


@pytest.mark.parametrize("path", ["/v1/request_log?from=3", "/v1/members"])
async def test_only_the_leader_shows_log_and_members(http: Harness, path: str) -> None:
    http.node.leads = False
    unknown = await http.request(get(path))
    assert (unknown.status, unknown.code) == (503, "no_leader")
    http.node.leader = LEADER
    redirect = await http.request(get(path))
    assert redirect.status == 307
    assert redirect.headers["location"] == "http://127.0.0.1:8002" + path


async def test_any_node_answers_status(http: Harness) -> None:
    http.node.leads = False
    assert (await http.request(get("/v1/status"))).json["id"] == "n1"


async def test_the_leader_lists_the_members(http: Harness) -> None:
    assert (await http.request(get("/v1/members"))).json["members"][0]["id"] == "n1"


async def test_alive_needs_no_leader_and_ready_does() -> None:
    async with running(checks={"storage": lambda: None}) as http:
        http.node.leads = False
        assert (await http.request(get("/livez"))).body == b"ok\n"
        unready = await http.request(get("/readyz"))
        assert unready.status == 503
        assert b"[-]leader failed: no leader is known\n" in unready.body
        http.node.leader = LEADER
        assert (await http.request(get("/readyz"))).body == b"ok\n"
        verbose = await http.request(get("/readyz?verbose"))
        assert verbose.body == b"[+]leader ok\n[+]storage ok\nok\n"


async def test_the_root_lists_the_routes(http: Harness) -> None:
    assert "POST /v1/execute" in (await http.request(get("/"))).json["routes"]
