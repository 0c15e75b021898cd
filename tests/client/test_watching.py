"""Watches: each change once and in order, over connections that break and nodes that die."""

import asyncio
import json
from random import Random
from typing import Any

import pytest

from raftdb import (
    AsyncClient,
    Change,
    Client,
    Compacted,
    LocalProtocolError,
    RemoteProtocolError,
    RequestRefused,
)
from raftdb.client import async_watching
from raftdb.client.given import as_text
from raftdb.client.http1 import Response
from raftdb.client.watching import Following
from raftdb.endpoint import Endpoint
from raftdb.errors import Unavailable
from raftdb.machine.batches import MultiSet
from raftdb.machine.strings import Delete, Set
from tests.frontend.support import wait_until
from tests.frontend.watch_support import WatchedNode, watched

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def following(**options: Any) -> Following[str]:
    settings = {"after": None, "previous": False, "snapshot": False, "form": as_text, "random": Random(1)}
    return Following("", addresses=[Endpoint("h", 1), Endpoint("h", 2)], **{**settings, **options})


def block(event: str | None, place: str | None = None, **data: Any) -> bytes:
    lines = [] if event is None else [f"event: {event}"]
    lines += [] if place is None else [f"id: {place}"]
    lines += [f"data: {json.dumps(data)}"] if event is not None else []
    return "\n".join([*lines, "", ""]).encode()


def put(key: str, revision: int, *, place: str | None = None) -> bytes:
    return block("change", place, kind="put", key=key, value="v", revision=revision)


def told(watch: Following[str]) -> list[tuple[str, str, int]]:
    """All that may be given out now: kind, key, revision."""
    found: list[tuple[str, str, int]] = []
    while (change := watch.take()) is not None:
        found.append((change.kind, change.key, change.revision))
    return found


def test_an_entry_is_told_once_its_end_has_come_and_by_whichever_node() -> None:
    watch = following(after=3)
    assert watch.request() == ("/v1/watch?prefix=&after=3", [])
    parser = watch.connected()
    parser.feed(HEAD + block(None, "c-3") + put("a", 4, place="c-4") + put("b", 5) + put("c", 5)[:9])
    assert told(watch) == [("put", "a", 4)]
    assert watch.position == 4
    assert watch.request() == ("/v1/watch?prefix=", ["Last-Event-ID: c-4"])
    watch.connected().feed(HEAD + put("b", 5) + put("c", 5, place="c-5") + block(None, "c-9"))
    assert watch.take() is not None
    assert watch.position == 4, "the entry is not given out as a whole"
    assert told(watch) == [("put", "c", 5)]
    assert watch.position == 9


def test_a_snapshot_that_breaks_off_is_told_anew_after_a_reset() -> None:
    watch = following(snapshot=True, previous=True)
    assert watch.request()[0] == "/v1/watch?prefix=&prev=true&snapshot=true"
    first = block("snapshot", key="a", value="1", revision=1)
    watch.connected().feed(HEAD + first + put("a", 3))
    assert told(watch) == [("snapshot", "a", 1), ("put", "a", 3)]
    assert watch.position is None
    assert watch.request()[1] == []
    end = block("snapshot_end", "c-4", revision=4)
    parser = watch.connected()
    parser.feed(HEAD + first + end + put("a", 5, place="c-5"))
    assert told(watch) == [("reset", "", 0), ("snapshot", "a", 1), ("snapshot_end", "", 4), ("put", "a", 5)]
    assert watch.request()[1] == ["Last-Event-ID: c-5"]
    # A node that does not have what comes next tells the present state instead, which may be empty.
    watch.connected().feed(HEAD + block("snapshot_end", "d-9", revision=9))
    assert told(watch) == [("reset", "", 0), ("snapshot_end", "", 9)]


def test_what_is_compacted_is_raised_after_what_came_before_it_unless_a_snapshot_is_allowed() -> None:
    watch = following(after=1)
    parser = watch.connected()
    parser.feed(HEAD + put("a", 2, place="c-2") + block("compacted", "c-2", revision=2, begin=7))
    assert watch.take() is not None
    with pytest.raises(Compacted) as caught:
        watch.take()
    assert (caught.value.code, caught.value.begin) == ("compacted", 7)
    watch = following(snapshot=True)
    watch.connected().feed(
        HEAD + block("snapshot_end", "c-1", revision=1) + block("compacted", "c-1", begin=7)
    )
    assert told(watch) == [("snapshot_end", "", 1)]
    assert watch.lost is not None
    assert watch.request() == ("/v1/watch?prefix=&snapshot=true", [])
    error = {"error": {"code": "reset", "message": "m"}, "begin": 4}
    with pytest.raises(Compacted) as caught:
        following().refused(Response(410, body=json.dumps(error).encode()))
    assert (caught.value.code, caught.value.begin) == ("reset", 4)


def test_nodes_are_asked_one_after_the_other_with_growing_pauses_while_none_serves() -> None:
    watch = following()
    asked = [watch.next_address() for _ in range(20)]
    assert {address.port for address, _ in asked[:2]} == {1, 2}
    pauses = [pause_ms for _, pause_ms in asked[2::2]]
    assert all(10 <= pause_ms <= 1_000 for pause_ms in pauses)
    assert max(pauses) >= 500
    assert [pause_ms for _, pause_ms in asked[1::2]] == [0.0] * 10
    watch.connected().feed(HEAD + block(None, "c-1"))
    watch.next_address()
    watch.learn([Endpoint("h", 3)])
    assert {watch.next_address()[0].port for _ in range(6)} == {1, 2, 3}


def test_answers_that_are_no_streams() -> None:
    with pytest.raises(RemoteProtocolError):
        following().connected().feed(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nhello")
    with pytest.raises(RemoteProtocolError):
        following().connected().feed(HEAD + b"event: change\ndata: [1\n\n")
    with pytest.raises(RemoteProtocolError):
        following().connected().feed(HEAD + b"id: what\n\n")
    busy = {"error": {"code": "busy", "message": "m"}}
    watch = following()
    watch.refused(Response(503, body=json.dumps(busy).encode()))
    assert isinstance(watch.lost, Unavailable)
    with pytest.raises(RequestRefused):
        watch.refused(
            Response(400, body=json.dumps({"error": {"code": "bad_request", "message": "m"}}).encode())
        )
    with pytest.raises(RequestRefused):
        following(after=-1)
    with pytest.raises(RequestRefused):
        following(after=1, snapshot=True)


async def test_a_watch_goes_on_at_another_node_when_one_dies_and_when_one_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(async_watching, "SILENCE_MS", 300)
    node = WatchedNode()
    got: list[tuple[str, int]] = []
    async with watched(node) as first, watched(node) as second:
        addresses = [f"127.0.0.1:{http.port}" for http in (first, second)]
        async with AsyncClient(addresses, decode=True) as db, db.watch("k") as watch:
            for number in range(1, 31):
                node.log.apply(MultiSet(((b"k", b"%d" % number), (b"x", b""), (b"k2", b""))))
                for _ in range(2):
                    change = await anext(watch)
                    got.append((change.key, change.revision))
                if number % 5 == 0:
                    for http in (first, second):
                        for stream in list(http.api.streams._open):
                            stream.end()
            assert watch.position == 30
    assert got == [(key, revision) for revision in range(1, 31) for key in ("k", "k2")]


async def test_a_watch_begins_when_it_is_entered_and_may_be_cancelled_and_gone_on_with() -> None:
    node = WatchedNode()
    async with watched(node) as http, AsyncClient(f"127.0.0.1:{http.port}") as db:
        async with db.watch(previous=True) as watch:
            assert watch.position == 0
            node.log.apply(Set(b"a", b"1"))
            assert (await anext(watch)).value == b"1"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(watch)
            node.log.apply(Set(b"a", b"2", 1_000), Delete(b"a"))
            expected = Change(
                kind="put", key=b"a", value=b"2", revision=2, previous=b"1", expires_at_ms=2_000
            )
            assert await anext(watch) == expected
            assert await anext(watch) == Change(
                kind="delete", key=b"a", value=None, revision=3, previous=b"2"
            )
        assert [change async for change in watch] == []
        await wait_until(lambda: http.api.watching.hub.count == 0)


async def test_what_is_compacted_meanwhile_is_raised_or_told_as_a_snapshot() -> None:
    node = WatchedNode()
    async with watched(node) as http, AsyncClient(f"127.0.0.1:{http.port}", decode=True) as db:
        node.log.apply(Set(b"a", b"1"))
        async with db.watch() as plain, db.watch(snapshot=True) as whole:
            assert [(await anext(whole)).kind for _ in range(2)] == ["snapshot", "snapshot_end"]
            await wait_until(lambda: len(http.api.watching.hub.watches.live()) == 2)
            node.log.history.restart(1, node.log.state)
            node.log.apply(Set(b"a", b"2"))
            node.log.history.restart(2, node.log.state)
            with pytest.raises(Compacted):
                await anext(plain)
            kinds = [await anext(whole) for _ in range(3)]
            assert [(change.kind, change.value) for change in kinds] == [
                ("reset", None),
                ("snapshot", "2"),
                ("snapshot_end", None),
            ]


async def test_the_blocking_half_does_the_same_and_belongs_to_one_thread() -> None:
    node = WatchedNode()
    node.log.apply(*(Set(b"a", b"%d" % number) for number in range(5)))
    async with watched(node) as http:

        def read() -> list[int]:
            with Client(f"127.0.0.1:{http.port}") as db, db.watch("a", after=2) as watch:
                found = [next(watch).revision for _ in range(3)]
                watch._is_stepping = True
                with pytest.raises(LocalProtocolError):
                    next(watch)
                watch.close()
                assert list(watch) == []
                return found

        assert await asyncio.to_thread(read) == [3, 4, 5]


def test_a_watch_that_reaches_no_node_fails_as_a_call_does() -> None:
    with Client("127.0.0.1:1", timeout_ms=200) as db, pytest.raises(Unavailable), db.watch("a"):
        pass
