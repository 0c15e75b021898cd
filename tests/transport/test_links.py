"""Two nodes over loopback: delivery, order, loss and return of a peer, bounds."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from raftdb.background import Background
from raftdb.errors import Fatal
from raftdb.frontend.http_server import HttpServer
from raftdb.limits import ENTRY_BYTES_MAX
from raftdb.route import Permission, Route
from raftdb.transport import link
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import Introduction
from raftdb.transport.limits import PEER_PATH
from raftdb.transport.peer_client import PeerLinks
from raftdb.transport.proof import PeerProof
from raftdb.transport.upgrade import Switched, accepted
from raftdb.wire.handshake import Hello, Refused, Welcome, encode_handshake
from raftdb.wire.peer import FRAME_BYTES_MAX
from raftdb.wire.stream import Kind
from tests.transport.slow_way import slow_way
from tests.transport.support import (
    FAST,
    accept_everybody,
    append,
    at,
    heartbeat,
    identity,
    receiver,
    sender,
    start_receiver,
    wait_until,
)

N1, N2 = identity("n1"), identity("n2")
NOWHERE = "127.0.0.1:1"


async def test_messages_arrive_once_and_in_order(log_records: list[logging.LogRecord]) -> None:
    async with receiver(N2) as node, sender(N1, {"n1": "127.0.0.1:1", "n2": node.address}) as (links, log):
        await wait_until(lambda: links.connected() == {"n2"} and node.peers.connected() == {"n1"})
        for turn in range(100):
            links.send("n2", [heartbeat(turn * 10 + i) for i in range(10)])
            if turn % 10 == 9:
                await asyncio.sleep(0)
        await wait_until(lambda: len(node.received) == 1000)
        assert node.received == [heartbeat(i) for i in range(1000)]
        assert len(node.frames) == 100, "what is handed over at once travels together"
        statistics = links.statistics()["n2"]
        assert (statistics.sent_messages, statistics.dropped_messages) == (1000, 0)
        assert (log.lines, node.log.lines) == ([("up", "n2")], [("up", "n1")])
    assert log.lines[1:] == [("down", "n2", "stopped")]
    assert node.log.count("down") == 1
    fields = [getattr(record, "fields", {}) for record in log_records if record.getMessage() == "peer up"]
    assert {field["peer"] for field in fields} == {"n1", "n2"}


async def test_the_longest_entry_passes() -> None:
    """The batch limit is below the frame limit is below the transport limit (hazard B23)."""
    async with receiver(N2) as node, sender(N1, {"n2": node.address}) as (links, _):
        await wait_until(lambda: bool(links.connected()))
        message = append(b"x" * ENTRY_BYTES_MAX)
        links.send("n2", [message, heartbeat(1)])
        await wait_until(lambda: len(node.received) == 2)
        assert node.received == [message, heartbeat(1)]


async def test_a_frame_above_the_limit_is_dropped_and_the_link_lives(
    log_records: list[logging.LogRecord],
) -> None:
    async with receiver(N2) as node, sender(N1, {"n2": node.address}) as (links, log):
        await wait_until(lambda: bool(links.connected()))
        links.send("n2", [append(b"x" * FRAME_BYTES_MAX)])
        links.send("n2", [heartbeat(1)])
        await wait_until(lambda: len(node.received) == 1)
        assert links.statistics()["n2"].dropped_messages == 1
        assert log.count("down") == 0
    assert any(record.levelno == logging.ERROR for record in log_records)


async def test_messages_for_a_peer_that_is_away_are_dropped_and_counted() -> None:
    async with sender(N1, {"n2": "127.0.0.1:1"}) as (links, _):
        links.send("n2", [heartbeat(1), heartbeat(2)])
        links.send("nobody", [heartbeat(3)])
        assert links.statistics()["n2"].dropped_messages == 2
        assert links.statistics()["n2"].queued_bytes == 0


async def test_a_link_comes_back_after_a_restart_of_the_peer() -> None:
    """With a new numbering, and nothing from before (hazard B93)."""
    node = await start_receiver(N2)
    async with sender(N1, {"n2": node.address}) as (links, log):
        await wait_until(lambda: bool(links.connected()))
        links.send("n2", [heartbeat(1)])
        await wait_until(lambda: len(node.received) == 1)
        await node.close()
        await wait_until(lambda: log.count("down") == 1)
        links.send("n2", [heartbeat(2)])
        again = await start_receiver(identity("n2", start=2), port=node.port)
        try:
            await wait_until(lambda: log.count("up") == 2)
            links.send("n2", [heartbeat(3)])
            await wait_until(lambda: bool(again.received))
            assert again.received == [heartbeat(3)]
        finally:
            await again.close()


async def test_a_peer_that_is_heard_of_is_dialled_at_once() -> None:
    patient = replace(FAST, backoff_min_s=3600.0, backoff_max_s=3600.0)
    node = await start_receiver(N2)
    await node.close()
    async with sender(N1, {"n2": node.address}, limits=patient) as (links, log):
        await wait_until(lambda: links.statistics()["n2"].dropped_messages == 0 and not log.lines)
        again = await start_receiver(N2, port=node.port)
        try:
            while not links.connected():
                links.nudge("n2")
                await asyncio.sleep(0.001)
        finally:
            await again.close()


async def test_peers_can_be_added_moved_and_removed() -> None:
    async with (
        receiver(N2) as first,
        receiver(N2) as second,
        receiver(identity("n3")) as third,
        sender(N1, {"n2": first.address}) as (links, log),
    ):
        await wait_until(lambda: bool(first.peers.connected()))
        links.update_peers({"n2": at(first.address), "n3": at(third.address)})
        await wait_until(lambda: links.connected() == {"n2", "n3"})
        assert log.count("down") == 0, "a link whose address did not change goes on"
        links.update_peers({"n2": at(second.address)})
        await wait_until(lambda: bool(second.peers.connected()) and links.connected() == {"n2"})
        await wait_until(lambda: not first.peers.connected() and not third.peers.connected())
        links.send("n2", [heartbeat(1)])
        await wait_until(lambda: second.received == [heartbeat(1)])


async def test_a_link_that_moves_is_down_before_it_is_up_again() -> None:
    """Its owner would else take the end of the old link for that of the new one."""
    async with (
        receiver(N2) as first,
        receiver(N2) as second,
        sender(N1, {"n2": first.address}) as (links, log),
    ):
        await wait_until(lambda: bool(links.connected()))
        links.update_peers({"n2": at(second.address)})
        assert [line[:2] for line in log.lines] == [("up", "n2"), ("down", "n2")]
        await wait_until(lambda: bool(links.connected()) and not first.peers.connected())
        assert [line[:2] for line in log.lines] == [("up", "n2"), ("down", "n2"), ("up", "n2")]


async def test_a_peer_is_looked_for_at_each_of_its_addresses() -> None:
    async with (
        receiver(identity("n3")) as third,
        receiver(N2) as second,
        sender(N1, {"n2": NOWHERE}) as (links, log),
    ):
        links.update_peers({"n2": at(NOWHERE, third.address, second.address)})
        await wait_until(lambda: links.connected() == {"n2"})
        assert (links.address("n2"),) == at(second.address)
        assert ("sighted", "n3", third.address) in log.lines, "and whoever answers instead is recognised"
        links.update_peers({"n2": at(second.address, NOWHERE)})
        assert links.connected() == {"n2"}, "a link that is up is left alone while its address may be right"
        links.update_peers({"n2": at(NOWHERE, second.address)})
        assert log.count("down") == 0
        links.redial("n2")
        assert log.count("down") == 1, "but not if its peer is known to have moved"
        await wait_until(lambda: links.connected() == {"n2"})


async def test_a_peer_that_was_found_is_dialled_again_where_it_was() -> None:
    patient = replace(FAST, backoff_min_s=0.001, backoff_max_s=3600.0)
    async with receiver(N2) as second, sender(N1, {"n2": NOWHERE}, limits=patient) as (links, log):
        links.update_peers({"n2": at(NOWHERE, second.address)})
        await wait_until(lambda: links.connected() == {"n2"})
        second.peers.cut(["n1"], "try again")
        await wait_until(lambda: log.count("up") == 2)
        assert (links.address("n2"),) == at(second.address)


async def test_a_link_knows_why_its_peer_is_not_reached() -> None:
    node = await start_receiver(N2)
    async with sender(N1, {"n2": node.address}) as (links, _):
        await wait_until(lambda: bool(links.connected()))
        assert links.failure("n2") is None
        await node.close()
        await wait_until(lambda: links.failure("n2") == "connection refused")
        assert links.failure("nobody") is None


async def test_a_bug_on_the_way_costs_a_link_and_not_the_sender(
    monkeypatch: pytest.MonkeyPatch, log_records: list[logging.LogRecord]
) -> None:
    def fail(*_: object) -> bytes:
        raise KeyError("bug")

    async with receiver(N2) as node, sender(N1, {"n2": node.address}) as (links, log):
        await wait_until(lambda: bool(links.connected()))
        with monkeypatch.context() as patch:
            patch.setattr(link, "encode_frame", fail)
            links.send("n2", [heartbeat(1)])
        await wait_until(lambda: log.count("up") == 2)
        assert log.last("down")[2] == "internal error"
        links.send("n2", [heartbeat(2)])
        await wait_until(lambda: node.received == [heartbeat(2)])
    assert "link failed" in [record.getMessage() for record in log_records]


async def test_a_trip_that_its_owner_fails_on_costs_a_link_and_not_the_node() -> None:
    failures: list[Fatal] = []
    background = Background(failures.append)
    calls = 0

    def on_trip(_peer: str, _seconds: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyError("bug")

    limits = replace(FAST, ping_s=0.01)
    async with receiver(N2) as node:
        ups: list[str] = []
        events = PeerEvents(on_trip=on_trip, on_peer_up=ups.append)
        links = PeerLinks(
            N1, check_peer=accept_everybody, events=events, limits=limits, start=background.start
        )
        links.update_peers({"n2": at(node.address)})
        await wait_until(lambda: len(ups) == 2 and calls > 5)
        await links.close()
    assert failures == []


async def test_links_in_both_directions_do_not_disturb_each_other() -> None:
    async with (
        receiver(N1) as one,
        receiver(N2) as two,
        sender(N1, {"n2": two.address}) as (ours, _),
        sender(N2, {"n1": one.address}) as (theirs, _),
    ):
        await wait_until(lambda: bool(ours.connected()) and bool(theirs.connected()))
        ours.send("n2", [heartbeat(1)])
        theirs.send("n1", [heartbeat(2, source="n2", target="n1")])
        await wait_until(lambda: len(one.received) == len(two.received) == 1)


class _FakePeer:
    """The accepting side of a link, written by hand: answers the handshake with `answers`, then does `behaviour`."""

    def __init__(self, answer: object, behaviour: str = "read") -> None:
        self.answer = answer
        self.behaviour = behaviour
        self.accepted = 0
        self.release = asyncio.Event()
        self.server = HttpServer({PEER_PATH: {"GET": Route(self.handle, Permission.PEER)}})

    async def __aenter__(self) -> str:
        _, port = await self.server.start("127.0.0.1", 0)
        return f"127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        self.release.set()
        await self.server.close(grace_s=0.1)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        with accepted(request, PeerProof()) as (stream, _):
            self.accepted += 1
            await stream.receive()
            if isinstance(self.answer, bytes):
                stream.send(Kind.HANDSHAKE, self.answer)
            elif isinstance(self.answer, str):
                stream.send(Kind.PING, self.answer.encode())
            elif self.answer is None:
                stream.close("", timeout_s=0.05)
            else:
                stream.send(Kind.HANDSHAKE, encode_handshake(self.answer))  # type: ignore[arg-type]
            if self.behaviour == "read":
                stream.hand_over(lambda _kind, _body: None)
            elif self.behaviour == "talk":
                stream.send(Kind.MESSAGES, b"frame")
            elif self.behaviour == "stall" and stream.transport is not None:
                stream.transport.pause_reading()
            stopped = asyncio.create_task(self.release.wait())
            over: set[asyncio.Future[Any]] = {stream.ended, stopped}
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        return Switched()


WELCOME = N2.introduce(Welcome, "n1")


async def test_memory_behind_a_peer_that_does_not_read_is_bounded() -> None:
    """Above the queue's limit new messages are dropped and counted (hazard B92)."""
    limits = replace(FAST, queue_bytes_max=4 * 1024 * 1024, answer_min_s=60.0, send_min_s=60.0)
    async with (
        _FakePeer(WELCOME, "stall") as address,
        sender(N1, {"n2": address}, limits=limits) as (links, _),
    ):
        await wait_until(lambda: bool(links.connected()))
        offered = 0
        for _ in range(200):
            links.send("n2", [append(b"x" * 1024 * 1024)])
            offered += 1
            assert links.statistics()["n2"].queued_bytes <= limits.queue_bytes_max
            await asyncio.sleep(0)
        statistics = links.statistics()["n2"]
        assert statistics.dropped_messages >= 150
        assert offered - statistics.dropped_messages - statistics.sent_messages <= 5


async def test_what_waits_behind_a_peer_that_is_slow_follows_in_order() -> None:
    async with receiver(N2) as node, sender(N1, {"n2": node.address}) as (links, _):
        await wait_until(lambda: bool(links.connected() and node.peers.connected()))
        transport = node.peers._links["n1"].stream.transport
        assert transport is not None
        transport.pause_reading()
        messages = [append(b"x" * 200_000, index=index) for index in range(1, 60)]
        for message in messages:
            links.send("n2", [message])
        assert links.statistics()["n2"].queued_bytes > 0
        transport.resume_reading()
        await wait_until(lambda: len(node.received) == len(messages))
        assert node.received == messages
        assert links.queued_bytes == 0
        assert links.statistics()["n2"].dropped_messages == 0


async def test_a_frame_that_is_not_taken_in_time_ends_the_link() -> None:
    limits = replace(FAST, answer_min_s=60.0, send_min_s=0.05)
    async with (
        _FakePeer(WELCOME, "stall") as address,
        sender(N1, {"n2": address}, limits=limits) as (links, log),
    ):
        await wait_until(lambda: bool(links.connected()))
        while not log.count("down"):
            links.send("n2", [append(b"x" * 1024 * 1024)])
            await asyncio.sleep(0.001)
        assert "was not taken" in log.last("down")[2]
        statistics = links.statistics()["n2"]
        assert statistics.dropped_messages > 0
        assert statistics.queued_bytes == 0, "what waited is stale once the link is back"


async def test_a_peer_that_does_not_answer_pings_is_gone() -> None:
    """A half-open connection looks like this: everything is sent, nothing comes back (hazard B93)."""
    limits = replace(FAST, ping_s=0.01, answer_min_s=0.05)
    async with _FakePeer(WELCOME) as address, sender(N1, {"n2": address}, limits=limits) as (_, log):
        await wait_until(lambda: log.count("up") >= 2)
        assert "connection lost" in log.last("down")[2]


async def test_a_long_way_is_measured_and_waited_for() -> None:
    """Answers take twice as long as the least that is waited for, in the handshake as well as to pings."""
    limits = replace(FAST, ping_s=0.01, answer_min_s=0.03, send_min_s=0.03, dial_min_s=0.03)
    async with (
        receiver(N2, limits=limits) as node,
        slow_way(node.address, delay_s=0.03) as way,
        sender(N1, {"n2": way.address}, limits=limits) as (links, log),
    ):
        # The first trip is that of a handshake, to the near end of the way: it takes part of the time.
        await wait_until(lambda: bool(log.trips_s) and log.trips_s[-1] >= 0.06)
        links.send("n2", [heartbeat(1)])
        await wait_until(lambda: len(node.received) == 1)
        assert log.count("up") == 1
        assert log.count("down") == node.log.count("down") == 0


async def test_a_peer_that_stops_to_answer_after_a_while_is_gone() -> None:
    limits = replace(FAST, ping_s=0.01, answer_min_s=0.05)
    async with (
        receiver(N2, limits=limits) as node,
        slow_way(node.address, delay_s=0.0) as way,
        sender(N1, {"n2": way.address}, limits=limits) as (_, log),
    ):
        await wait_until(lambda: len(log.trips_s) >= 3)
        way.stall()
        await wait_until(lambda: log.count("down") >= 1 and node.log.count("down") >= 1)
        assert "no answer" in log.last("down")[2]
        assert "nothing was heard" in node.log.last("down")[2]


async def test_an_accepting_peer_never_sends_data() -> None:
    async with _FakePeer(WELCOME, "talk") as address, sender(N1, {"n2": address}) as (_, log):
        await wait_until(lambda: log.count("down") >= 1)
        assert "sent data" in log.last("down")[2]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (identity("n2", cluster="c2").introduce(Welcome, "n1"), "wrong_cluster"),
        (identity("n3").introduce(Welcome, "n1"), "wrong_source"),
        (identity("n2").introduce(Welcome, "n9"), "wrong_target"),
        (replace(WELCOME, protocol_version=2), "protocol_version"),
        (replace(WELCOME, node_uuid="another"), "wrong_node"),
        (Refused("not_member", "n1 was removed"), "not_member"),
    ],
)
async def test_who_answers_a_dial_is_checked_too(answer: object, code: str) -> None:
    """An address may lead to another node, or to another cluster, by now (hazard B90)."""

    async def check_pin(introduction: Introduction) -> Refused | None:
        await asyncio.sleep(0)
        return None if introduction.node_uuid == "uuid-n2" else Refused("wrong_node", "another data folder")

    async with _FakePeer(answer) as address, sender(N1, {"n2": address}, check_peer=check_pin) as (_, log):
        await wait_until(lambda: log.count("refused") >= 2)
        assert {line[:3] for line in log.lines if line[0] != "sighted"} == {("refused", "n2", code)}


@pytest.mark.parametrize("answer", [b"garbage", b"", "text", None, N1.introduce(Hello, "n2")])
async def test_nonsense_in_answer_to_a_dial_is_survived(answer: object) -> None:
    fake = _FakePeer(answer)
    async with fake as address, sender(N1, {"n2": address}) as (links, log):
        await wait_until(lambda: fake.accepted >= 2)
        assert log.lines == []
        assert not links.connected()


async def test_a_bug_in_the_check_does_not_end_the_dialling() -> None:
    calls = 0

    def check(_introduction: Introduction) -> Refused | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("bug")
        return None

    async with receiver(N2) as node, sender(N1, {"n2": node.address}, check_peer=check) as (links, _):
        await wait_until(lambda: bool(links.connected()))
