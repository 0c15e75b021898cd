"""Following changes over HTTP: streams and pages of the changes of keys."""

import asyncio
import json
import logging
from typing import Any, NamedTuple

import pytest

from raftdb.errors import LeaderHint, ReplyError, Unavailable
from raftdb.frontend import http_watch
from raftdb.machine.batches import MultiSet
from raftdb.machine.operations import Mode, SessionOperation, TransactionOperation
from raftdb.machine.session_records import shown_session
from raftdb.machine.sessions import RegisterSession
from raftdb.machine.strings import Delete, Set
from tests.addresses import at
from tests.frontend.support import Harness, RawClient, get, wait_until
from tests.frontend.watch_support import WatchedNode, watched

SESSION = b"s" * 16


class Event(NamedTuple):
    type: str | None
    id: str | None
    data: Any


class Reader:
    """What a client reads of its stream."""

    def __init__(self, client: RawClient) -> None:
        self.client = client

    async def next(self, *, with_places: bool = False) -> Event:
        """The next event; or block, one that only has a place included."""
        async with asyncio.timeout(10):
            event = parsed(await self.client.reader.readuntil(b"\n\n"))
        return event if event.type is not None or with_places else await self.next()

    async def rest(self) -> list[Event]:
        """All events that come until the stream ends."""
        events = [parsed(block) for block in (await self.client.ends()).split(b"\n\n") if block]
        return [event for event in events if event.type is not None]


def parsed(block: bytes) -> Event:
    fields = dict(line.split(": ", 1) for line in block.decode().strip().split("\n") if ": " in line)
    data = fields.get("data")
    return Event(fields.get("event"), fields.get("id"), None if data is None else json.loads(data))


async def follow(http: Harness, query: str = "", *, place: str | None = None) -> Reader:
    client = await http.connect()
    await client.send(get(f"/v1/watch{query}", headers=[] if place is None else [f"Last-Event-ID: {place}"]))
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in head
    assert b"text/event-stream" in head
    return Reader(client)


def is_live(http: Harness, count: int = 1) -> Any:
    return lambda: len(http.api.watching.hub.watches.live()) == count


async def test_changes_come_once_and_in_order_with_an_id_at_the_end_of_each_entry() -> None:
    node = WatchedNode()
    async with watched(node) as http:
        reader = await follow(http, "?prefix=a")
        await wait_until(is_live(http))
        node.log.apply(
            Set(b"b", b"1"), MultiSet(((b"a1", b"1"), (b"b", b"2"), (b"a2", b"\xff"))), Delete(b"a1")
        )
        clock = {"clock_ms": 1_000}
        assert [await reader.next() for _ in range(3)] == [
            Event(
                "change", None, {"revision": 2, "place": 0, "key": "a1", "kind": "put", "value": "1", **clock}
            ),
            Event(
                "change",
                "c1-2",
                {
                    "revision": 2,
                    "place": 2,
                    "key": "a2",
                    "kind": "put",
                    "value": {"base64": "/w=="},
                    **clock,
                },
            ),
            Event("change", "c1-3", {"revision": 3, "place": 0, "key": "a1", "kind": "delete", **clock}),
        ]


async def test_the_values_before_and_the_session_are_shown() -> None:
    node = WatchedNode()
    async with watched(node) as http:
        reader = await follow(http, "?prev=true&after=0")
        node.log.apply(RegisterSession(SESSION), SessionOperation(SESSION, 1, 1, Set(b"a", b"1", 500)))
        node.log.apply(Set(b"a", b"2"))
        first, second = (await reader.next()).data, (await reader.next()).data
        assert (first["prev"], first["expires_at"], first["session"]) == (None, 1_500, shown_session(SESSION))
        assert second["prev"] == {"value": "1", "revision": 2, "expires_at": 1_500}
        assert "session" not in second


async def test_who_comes_back_goes_on_where_it_was_and_an_id_counts_for_more_than_the_query() -> None:
    node = WatchedNode()
    node.log.apply(*(Set(b"a", b"%d" % number) for number in range(5)))
    async with watched(node) as http:
        by_query, by_place = await follow(http, "?after=3"), await follow(http, "?after=1", place="c1-4")
        assert [(await by_query.next()).id for _ in range(2)] == ["c1-4", "c1-5"]
        assert (await by_place.next()).id == "c1-5"
        await wait_until(is_live(http, 2))
        node.log.apply(Set(b"a", b"new"))
        assert (await by_query.next()).id == (await by_place.next()).id == "c1-6"


async def test_a_revision_that_is_not_applied_is_waited_for() -> None:
    node = WatchedNode()
    async with watched(node) as http:
        reader = await follow(http, "?after=2")
        await wait_until(is_live(http))
        node.log.apply(Set(b"a", b"1"), Set(b"a", b"2"))
        node.log.apply(Set(b"a", b"3"))
        assert (await reader.next()).id == "c1-3"


async def test_a_stream_says_first_where_it_begins() -> None:
    node = WatchedNode()
    node.log.apply(Set(b"a", b"1"), Set(b"a", b"2"))
    async with watched(node) as http:
        assert await (await follow(http)).next(with_places=True) == Event(None, "c1-2", None)
        assert await (await follow(http, "?after=1")).next(with_places=True) == Event(None, "c1-1", None)


async def test_what_is_compacted_is_refused_and_so_is_a_place_in_another_cluster() -> None:
    node = WatchedNode(bytes_max=2_000)
    node.log.apply(*(Set(b"a", b"%d" % number) for number in range(100)))
    begin = node.history.begin
    async with watched(node) as http:
        refused = await http.request(get(f"/v1/watch?after={begin - 1}"))
        assert (refused.status, refused.code, refused.json["begin"]) == (410, "compacted", begin)
        refused = await http.request(get("/v1/watch", headers=["Last-Event-ID: other-100"]))
        assert (refused.status, refused.code, refused.json["begin"]) == (410, "reset", begin)
        assert (await (await follow(http, f"?after={begin}")).next()).id == f"c1-{begin + 1}"
        again = await follow(http, "?snapshot=true", place="other-100")
        assert [(await again.next()).type for _ in range(2)] == ["snapshot", "snapshot_end"]


async def test_a_history_that_begins_anew_ends_all_streams() -> None:
    node = WatchedNode()
    async with watched(node) as http:
        reader = await follow(http)
        await wait_until(is_live(http))
        node.log.history.restart(7, node.log.state)
        assert await reader.rest() == [Event("compacted", "c1-0", {"revision": 0, "begin": 7})]


async def test_the_present_state_comes_first_in_pages_with_what_happens_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_watch, "KEYS_TOGETHER", 2)
    node = WatchedNode()
    keys = (b"a", b"b", b"c", b"d", b"e")
    node.log.apply(MultiSet(tuple((key, b"1") for key in keys)))
    node.between = [
        [Set(b"a", b"2"), Set(b"e", b"2"), Set(b"other", b"1")],
        [Delete(b"b"), Set(b"d", b"3")],
    ]
    async with watched(node) as http:
        reader = await follow(http, "?snapshot=true")
        events: list[Event] = []
        while not events or events[-1].type != "snapshot_end":
            events.append(await reader.next())
        await wait_until(is_live(http))
        node.log.apply(Set(b"c", b"4"))
        after = await reader.next()
    assert [(event.type, event.data.get("key"), event.data.get("value")) for event in events] == [
        ("snapshot", "a", "1"),
        ("snapshot", "b", "1"),
        ("change", "a", "2"),
        ("snapshot", "c", "1"),
        ("snapshot", "d", "1"),
        ("change", "b", None),
        ("change", "d", "3"),
        ("snapshot", "e", "2"),
        ("snapshot", "other", "1"),
        ("snapshot_end", None, None),
    ]
    assert all(event.id is None for event in events[:-1]), "nobody can come back to a part of it"
    assert events[-1].id == "c1-6"
    assert (after.type, after.id) == ("change", "c1-7")


async def test_a_node_that_cannot_read_its_state_ends_the_stream() -> None:
    node = WatchedNode()
    node.failure = Unavailable("busy", "a snapshot is being installed")
    async with watched(node) as http:
        reader = await follow(http, "?snapshot=true")
        assert await reader.rest() == [Event("stalled", None, {"revision": None})]


async def test_a_right_that_ends_meanwhile_ends_the_stream(log_records: list[logging.LogRecord]) -> None:
    node = WatchedNode()
    node.failure = ReplyError("the user ana may not read it", code="forbidden")
    async with watched(node) as http:
        reader = await follow(http, "?snapshot=true")
        assert await reader.rest() == []
    assert log_records == []


async def test_progress_says_how_far_a_quiet_prefix_has_got() -> None:
    node = WatchedNode()
    async with watched(node) as http:
        http.api.streams._heartbeat_s = 0.01
        beating = asyncio.ensure_future(http.api.streams.beat())
        reader = await follow(http, "?prefix=quiet")
        await wait_until(is_live(http))
        node.log.apply(Set(b"a", b"1"), Set(b"a", b"2"))
        async with asyncio.timeout(10):
            while (event := await reader.next(with_places=True)).id != "c1-2":
                assert event == Event(None, "c1-0", None)
        assert event == Event(None, "c1-2", None)
        beating.cancel()


async def test_without_a_leader_streams_and_waits_end_after_two_election_timeouts() -> None:
    node = WatchedNode()
    node.leads, node.leader = False, LeaderHint("n2", at("127.0.0.1:8002"))
    node.election_timeout_s = 0.05
    async with watched(node) as http:
        reader = await follow(http)
        client = await http.connect()
        await client.send(get("/v1/watch?wait=60"))
        await wait_until(is_live(http, 2))
        node.leader = None
        assert await reader.rest() == [Event("stalled", "c1-0", {"revision": 0})]
        refused = await client.receive()
        assert (refused.status, refused.code) == (503, "no_leader")


async def test_who_does_not_read_is_ended_with_the_revision_it_got_to() -> None:
    node = WatchedNode()
    async with watched(node) as http:
        reader = await follow(http)
        await wait_until(is_live(http))
        written = 0
        while http.api.watching.hub.watches.has_live:
            written += 1
            node.log.apply(Set(b"k", b"x" * 30_000))
            await asyncio.sleep(0.001)
        *changes, last = await reader.rest()
        assert [event.data["revision"] for event in changes] == list(range(1, len(changes) + 1))
        assert len(changes) < written
        assert last == Event("slow", f"c1-{len(changes)}", {"revision": len(changes)})


async def test_a_page_waits_for_the_first_change() -> None:
    node = WatchedNode()
    async with watched(node) as http:
        client = await http.connect()
        await client.send(get("/v1/watch?prefix=a&wait=60"))
        await wait_until(is_live(http))
        pair = (Set(b"a", b"1"), Set(b"b", b"1"), Set(b"a", b"2"))
        node.log.apply(Set(b"b", b"1"), TransactionOperation(pair, (), Mode.ATOMIC))
        page = (await client.receive()).json
        assert [(change["revision"], change["place"]) for change in page["changes"]] == [(2, 0), (2, 2)]
        assert (page["revision"], page["id"]) == (2, "c1-2")
        empty = (await http.request(get("/v1/watch?after=2&wait=0"))).json
        assert empty == {"changes": [], "revision": 2, "id": "c1-2"}
        assert http.api.watching.hub.count == 0


async def test_a_page_is_bounded_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_watch, "CHANGES_IN_PAGE", 300)
    node = WatchedNode()
    node.log.apply(*(Set(b"a", b"%d" % number) for number in range(1_000)))
    async with watched(node) as http:
        revisions: list[int] = []
        after = 0
        while page := (await http.request(get(f"/v1/watch?after={after}&wait=0"))).json["changes"]:
            assert len(page) <= 600
            revisions += [change["revision"] for change in page]
            after = revisions[-1]
        assert revisions == list(range(1, 1_001))


async def test_a_client_that_goes_is_followed_by_nothing() -> None:
    node = WatchedNode()
    async with watched(node) as http:
        reader = await follow(http)
        waiting = await http.connect()
        await waiting.send(get("/v1/watch?wait=60"))
        await wait_until(is_live(http, 2))
        await reader.client.close()
        await waiting.close()
        await wait_until(lambda: http.api.watching.hub.count == 0)
        assert node.history.on_change is None, "then a change costs nothing more"


async def test_the_head_alone_and_requests_that_are_none() -> None:
    async with watched(WatchedNode()) as http:
        assert (await http.request(get("/v1/watch", method="HEAD"), body=False)).status == 200
        for query in (
            "after=x",
            "after=-1",
            "wait=61",
            "wait=x",
            "snapshot=true&wait=1",
            "prev=2",
            "after=1&after=2",
        ):
            refused = await http.request(get(f"/v1/watch?{query}"))
            assert (refused.status, refused.code) == (400, "bad_request"), query
        refused = await http.request(get("/v1/watch?prefix=" + "x" * 513))
        assert refused.code == "bad_key"
        refused = await http.request(get("/v1/watch", headers=["Last-Event-ID: what"]))
        assert refused.code == "bad_request"
