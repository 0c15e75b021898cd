"""Queues over HTTP, on a real machine without a cluster: paths, bodies and answers."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from raftdb.machine.operations import SessionOperation
from raftdb.machine.queues.taking import Dequeue, Receive
from tests.frontend.support import Harness, answered, get, post, running, wait_until
from tests.frontend.test_http_data import ID, NAME, DatabaseNode
from tests.frontend.test_http_locks import code, request, told


@pytest.fixture
async def http() -> AsyncIterator[Harness]:
    async with running(node=DatabaseNode()) as harness:
        yield harness


async def put(http: Harness, *values: str, queue: str = "mail") -> None:
    for value in values:
        await told(http, "POST", f"/queue/{queue}/enqueue", f'{{"value": "{value}"}}')


async def test_messages_are_put_one_by_one_or_together(http: Harness) -> None:
    first = await told(http, "POST", "/v1/queues/mail/messages", '{"value": "a", "dedup": "m-1"}')
    again = await told(http, "POST", "/v1/queues/mail/messages", '{"value": "b", "dedup": "m-1"}')
    assert first["new"] is True
    assert again == {"id": first["id"], "new": False}
    several = '{"messages": [{"value": "c", "priority": 9}, {"value": {"base64": "/w=="}, "delay_ms": 500}]}'
    together: Any = await told(http, "POST", "/v1/queues/mail/messages", several)
    ids = [message["id"] for message in together["messages"]]
    assert [message["new"] for message in together["messages"]] == [True, True]
    assert len({str(each).partition("-")[0] for each in ids}) == 1, "one entry"
    assert await told(http, "POST", "/v1/queues/mail/dequeue", "{}") == {"value": "c"}
    assert await told(http, "POST", "/v1/queues/mail/dequeue") == {"value": "a"}
    assert await told(http, "POST", "/queue/mail/dequeue") == {"value": None}
    assert await told(http, "POST", "/queue/mail/dequeue?wait_ms=0") == {"value": None}
    info = await told(http, "GET", "/v1/queues/mail")
    assert (info["visible"], info["delayed"], info["in"]) == (0, 1, 3)
    assert await told(http, "GET", "/v1/queues?prefix=m&limit=9") == {"queues": ["mail"]}


async def test_a_delivery_is_done_extended_or_given_back(http: Harness) -> None:
    await put(http, "a", "b", "c")
    body = '{"count": 2, "visibility_ms": 60000, "worker": "w1"}'
    received: Any = await told(http, "POST", "/v1/queues/mail/receive", body)
    first, second = received["messages"]
    assert (first["value"], first["deliveries"], second["value"]) == ("a", 1, "b")
    third = await told(http, "POST", "/queue/mail/dequeue?ack=manual")
    assert third["value"] == "c"
    receipts = f'{{"receipts": ["{first["receipt"]}", "{second["receipt"]}"], "visibility_ms": 5000}}'
    assert await told(http, "POST", "/v1/queues/mail/extend", receipts) == {"extended": 2}
    done = f'{{"receipts": ["{first["receipt"]}"]}}'
    assert await told(http, "POST", "/v1/queues/mail/ack", done) == {"acked": 1, "over": []}
    assert await told(http, "POST", "/v1/queues/mail/ack", done) == {"acked": 0, "over": [first["receipt"]]}
    short = f'{{"receipt": "{third["receipt"]}"}}'
    assert await told(http, "POST", "/queue/mail/ack", short) == {"acked": 1, "over": []}
    dead = f'{{"receipt": "{second["receipt"]}", "error": "bad", "dead": true}}'
    assert await told(http, "POST", "/v1/queues/mail/nack", dead) == {"nacked": 1}
    seen: Any = await told(http, "GET", "/v1/queues/mail/messages?state=dead&count=5")
    assert [(each["value"], each["state"], each["error"]) for each in seen["messages"]] == [
        ("b", "dead", "bad")
    ]
    one = await told(http, "GET", f"/v1/queues/mail/messages/{seen['messages'][0]['id']}")
    assert one["value"] == "b"
    assert await told(http, "POST", "/v1/queues/mail/redrive", '{"count": 1}') == {"redriven": 1}
    assert await told(http, "POST", "/queue/mail/dequeue?ack=auto") == {"value": "b"}
    assert code(await http.request(get("/v1/queues/mail/messages/1-0"))) == (404, "not_found")


async def test_settings_are_changed_and_a_queue_is_removed(http: Harness) -> None:
    path = "/v1/queues/" + quote(b"a/b \xff", safe="")
    settings = '{"visibility_ms": 1500, "max_failures": 3, "paused": true}'
    assert await told(http, "PATCH", path, settings) == {"result": "OK"}
    info = await told(http, "GET", path)
    assert (info["visibility_ms"], info["max_failures"]) == (1_500, 3)
    await told(http, "POST", path + "/messages", '{"value": "a"}')
    assert await told(http, "POST", path + "/receive") == {"messages": []}, "it is paused"
    assert await told(http, "DELETE", path) == {"removed": 1}
    assert code(await http.request(get(path))) == (404, "not_found")


async def test_who_waits_is_held(http: Harness) -> None:
    for target, body, operation in (
        ("/v1/queues/mail/receive", '{"count": 3, "wait_ms": 1500}', Receive(b"mail", 3)),
        ("/v1/queues/mail/dequeue", '{"wait_ms": 1500}', Dequeue(b"mail")),
        ("/queue/mail/dequeue?wait_ms=1500", "", Dequeue(b"mail")),
    ):
        count = len(http.node.waits) + 1
        client = await http.connect()
        await client.send(request("POST", target, body))
        await wait_until(lambda count=count: len(http.node.waits) == count)  # type: ignore[misc]
        asked, wait_ms, on_answer = http.node.waits[count]
        assert (asked, wait_ms) == (operation, 1_500)
        on_answer(answered([] if isinstance(operation, Receive) else None))
        fields = (await client.receive()).json
        assert fields.get("messages", fields.get("value")) in ([], None)


async def test_in_a_session_it_happens_once(http: Harness) -> None:
    await http.request(post(f'{{"id": "{ID}"}}'.encode(), "/v1/sessions"))
    await put(http, "a", "b")
    body = f'{{"session": {{"id": "{ID}", "seq": 1}}}}'
    assert await told(http, "POST", "/v1/queues/mail/dequeue", body) == {"value": "a"}
    assert await told(http, "POST", "/v1/queues/mail/dequeue", body) == {"value": "a"}
    assert http.node.executed[-1][0] == SessionOperation(NAME, 1, 1, Dequeue(b"mail"))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/queues/mail/messages", "{}"),
        ("/v1/queues/mail/messages", '{"value": "a", "priority": 10}'),
        ("/v1/queues/mail/messages", '{"messages": [{"value": "a", "session": null}]}'),
        ("/v1/queues/mail/receive", '{"count": 0}'),
        ("/v1/queues/mail/receive", '{"wait_ms": 50001}'),
        ("/v1/queues/mail/nack", '{"receipt": "1-0-1", "free": true, "dead": true}'),
        ("/queue/mail/dequeue?ack=perhaps", ""),
        ("/v1/queues/mail/redrive", '{"ids": []}'),
        ("/v1/queues/mail/redrive", '{"ids": ["1-0"], "count": 1}'),
    ],
)
async def test_what_cannot_be_meant_is_refused(http: Harness, path: str, body: str) -> None:
    assert code(await http.request(request("POST", path, body))) == (400, "bad_request")


@pytest.mark.parametrize("body", ['{"visibility_ms": "5"}', '{"dedup_window_ms": true}', '{"paused": "no"}'])
async def test_settings_of_a_wrong_kind_are_refused(http: Harness, body: str) -> None:
    reply = await http.request(request("PATCH", "/v1/queues/mail", body))
    assert code(reply) == (400, "bad_request")
    assert "no such setting" not in str(reply.json)


@pytest.mark.parametrize("words", ['"group": "messages"', '"dedup": "messages", "priority": 9'])
async def test_a_single_message_may_have_the_word_for_several_in_it(http: Harness, words: str) -> None:
    body = f'{{{words}, "value": "a"}}'
    assert (await told(http, "POST", "/v1/queues/mail/messages", body))["new"] is True
    assert await told(http, "POST", "/v1/queues/mail/dequeue") == {"value": "a"}
