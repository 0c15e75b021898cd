"""GET /v1/events: snapshots, changes, and coming back; and that it costs nothing without a watcher."""

import json
from typing import Any

import pytest

from raftdb.frontend import http_events
from raftdb.frontend.http_browser import Browsers
from raftdb.frontend.http_stream import EVENT_STREAM, UNSENT_BYTES_MAX
from tests.addresses import at
from tests.frontend.support import Harness, RawClient, get, running, wait_until


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_events, "PERIOD_S", 0.01)


async def watch(http: Harness, query: str = "", *headers: str) -> RawClient:
    client = await http.connect()
    await client.send(get(f"/v1/events{query}", headers=headers))
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert EVENT_STREAM in head
    return client


async def event(client: RawClient) -> tuple[str, str | None, Any]:
    """The next event: its topic, id and data."""
    lines = dict(
        line.split(": ", 1) for line in (await client.reader.readuntil(b"\n\n")).decode().splitlines() if line
    )
    return lines["event"], lines.get("id"), json.loads(lines["data"])


async def next_of(client: RawClient, topic: str, key: str) -> tuple[str | None, Any]:
    """The next event of the topic with this key in its data."""
    while True:
        got, place, data = await event(client)
        if got == topic and key in data:
            return place, data


async def happened(client: RawClient, what: str) -> str | None:
    """Read on until this has happened; returns the id."""
    while True:
        place, data = await next_of(client, "raft", "changes")
        if what in [one["what"] for one in data["changes"]["events"]]:
            return place


async def test_a_snapshot_of_each_topic_comes_first_and_then_only_what_has_changed() -> None:
    async with running() as http:
        http.node.chronicle.note(1, "before", {}, "info")
        client = await watch(http)
        topics = [await event(client) for _ in range(4)]
        assert [topic for topic, _, _ in topics] == ["status", "log", "raft", "metrics"]
        assert topics[0][2]["snapshot"]["role"] == "leader"
        assert [one["what"] for one in topics[2][2]["snapshot"]["events"]] == ["before"]
        http.node.shape = {**http.node.shape, "last_index": 13}
        assert (await next_of(client, "log", "changes"))[1] == {"changes": {"last_index": 13}}
        http.node.chronicle.note(2, "became leader", {"term": 3}, "info")
        _, data = await next_of(client, "raft", "changes")
        while not data["changes"]["events"]:
            _, data = await next_of(client, "raft", "changes")
        expected = {
            "number": 2,
            "time_ms": 2000,
            "what": "became leader",
            "level": "info",
            "details": {"term": 3},
        }
        assert data["changes"]["events"] == [expected]


async def test_only_the_topics_that_are_asked_for_come() -> None:
    async with running() as http:
        client = await watch(http, "?topics=log")
        assert (await event(client))[0] == "log"
        for last in (13, 14):
            http.node.shape = {**http.node.shape, "last_index": last}
            assert (await event(client)) == ("log", None, {"changes": {"last_index": last}})
        refused = await http.request(get("/v1/events?topics=log,weather"))
        assert (refused.status, refused.code) == (400, "bad_request")


async def test_a_client_that_comes_back_gets_what_it_has_missed() -> None:
    async with running() as http:
        client = await watch(http, "?topics=raft")
        http.node.chronicle.note(1, "seen", {}, "info")
        place = await happened(client, "seen")
        assert place is not None
        await client.close()
        http.node.chronicle.note(2, "missed", {}, "info")
        for query, headers in ((f"&after={place}", []), ("", [f"Last-Event-ID: {place}"])):
            again = await watch(http, f"?topics=raft{query}", *headers)
            _, data = await next_of(again, "raft", "snapshot")
            assert (data["resumed"], [one["what"] for one in data["snapshot"]["events"]]) == (
                True,
                ["missed"],
            )
        for foreign in ("00000000-1", "x", f"{place}9", f"{place}%C2%B2"):
            again = await watch(http, f"?topics=raft&after={foreign}")
            _, data = await next_of(again, "raft", "snapshot")
            assert (data["resumed"], len(data["snapshot"]["events"])) == (False, 2)


async def test_a_client_that_reads_too_slowly_loses_changes_and_gets_a_snapshot_again() -> None:
    async with running() as http:
        client = await watch(http, "?topics=log")
        assert "snapshot" in (await event(client))[2]
        long = "x" * UNSENT_BYTES_MAX
        (watcher,) = http.api.events.watchers
        number = 0

        def is_lost() -> bool:
            nonlocal number
            number += 1
            http.node.shape = {"last_index": number, "long": long + str(number)}
            return "log" in watcher.missing

        await wait_until(is_lost)
        client.reader._limit = 1 << 30  # type: ignore[attr-defined]  # asyncio's own, of `readuntil`
        _, data = await next_of(client, "log", "snapshot")
        assert data["snapshot"]["last_index"] > 1


async def test_without_a_watcher_nothing_is_looked_at_or_counted() -> None:
    async with running() as http:
        looks = 0
        shape = http.node.log_shape

        def counted() -> Any:
            nonlocal looks
            looks += 1
            return shape()

        http.node.log_shape = counted  # type: ignore[method-assign]
        client = await watch(http, "?topics=log")
        await event(client)
        await wait_until(lambda: http.node.chronicle.is_watched)
        await client.close()
        await wait_until(lambda: not http.node.chronicle.is_watched)
        assert http.api.events.watchers == []
        before = looks
        assert (await http.request(get("/v1/status"))).status == 200
        assert looks == before


async def test_there_is_a_limit_on_watchers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_events, "WATCHERS_MAX", 1)
    async with running() as http:
        await event(await watch(http))
        refused = await http.request(get("/v1/events"))
        assert (refused.status, refused.code) == (503, "busy")


async def test_a_page_of_another_member_may_read_the_stream() -> None:
    async with running(browsers=Browsers(lambda: [at("db.example:8002")])) as http:
        client = await http.connect()
        await client.send(get("/v1/events", headers=["Origin: http://db.example:8002"]))
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"Access-Control-Allow-Origin: http://db.example:8002\r\n" in head
        assert (await http.request(get("/v1/events", method="HEAD"), body=False)).status == 200


async def test_the_end_of_the_node_ends_the_stream() -> None:
    async with running() as http:
        client = await watch(http)
        await event(client)
        await http.api.streams.close()
        await client.ends()
        await wait_until(lambda: http.api.events.watchers == [])
