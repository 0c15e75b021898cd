"""The accepting side of a link against a dialler written by hand: wrong names, wrong frames, wrong order."""

import asyncio
import logging
import zlib
from dataclasses import replace

import aiohttp
import pytest

from raftdb.transport.handshake import Introduction
from raftdb.transport.limits import PEER_PATH
from raftdb.wire.handshake import Hello, Refused, Welcome, encode_handshake
from raftdb.wire.peer import encode_frame
from raftdb.wire.stream import Kind
from tests.transport.support import (
    FAST,
    accept_everybody,
    heartbeat,
    identity,
    raw_peer,
    receiver,
    status_of_dial,
    upgrade,
    wait_until,
)

N2 = identity("n2")
HELLO = identity("n1").introduce(Hello, "n2")


async def test_a_right_hello_is_welcomed_with_the_same_facts() -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        assert await peer.greet(HELLO) == N2.introduce(Welcome, "n1")
        await peer.send(encode_frame(1, [heartbeat(1)]))
        await peer.send(encode_frame(2, [heartbeat(2), heartbeat(3)]))
        await wait_until(lambda: len(node.received) == 3)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (replace(HELLO, protocol_version=2), "protocol_version"),
        (replace(HELLO, cluster_id="c2"), "wrong_cluster"),
        (replace(HELLO, target="n3"), "wrong_target"),
        (replace(HELLO, source="n2"), "self"),
        (replace(HELLO, source="n9"), "not_member"),
        (replace(HELLO, node_uuid="another"), "wrong_node"),
    ],
)
@pytest.mark.parametrize("as_coroutine", [False, True])
async def test_each_kind_of_stranger_is_refused(hello: Hello, code: str, as_coroutine: bool) -> None:
    """Before anything it sends is looked at (hazards B90, B95)."""

    def check(introduction: Introduction) -> Refused | None:
        if introduction.source != "n1":
            return Refused("not_member", "unknown")
        return None if introduction.node_uuid == "uuid-n1" else Refused("wrong_node", "another data folder")

    async def check_later(introduction: Introduction) -> Refused | None:
        await asyncio.sleep(0)
        return check(introduction)

    checker = check_later if as_coroutine else check
    async with receiver(N2, check_peer=checker) as node, raw_peer(node.address) as peer:
        await peer.say(hello)
        await peer.send(encode_frame(1, [heartbeat(1)]))
        answer = await peer.greet(hello)
        assert isinstance(answer, Refused)
        assert answer.code == code
        assert await peer.ends() == answer.reason
        assert (node.received, node.peers.connected()) == ([], frozenset())
        assert node.log.lines == [("refused", hello.source, code, answer.reason)]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"", "cannot even hold a checksum"),
        (b"garbage", "does not match its checksum"),
        (encode_handshake(HELLO)[:-1], "does not match its checksum"),
        (
            encode_handshake(HELLO)[:20] + b"\x00" + encode_handshake(HELLO)[21:],
            "does not match its checksum",
        ),
        (encode_handshake(N2.introduce(Welcome, "n2")), "begins with a hello"),
        (encode_handshake(Refused("a", "b")), "begins with a hello"),
        (encode_frame(1, [heartbeat(1)]), "after the end of the CBOR value"),
        (b"\x00" * 100_000, "begins with a handshake"),
    ],
)
async def test_a_link_that_does_not_begin_with_a_hello_is_closed(first: bytes, reason: str) -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.say(first)
        assert reason in (await peer.ends() or "")
        assert node.log.lines == []


@pytest.mark.parametrize("kind", [Kind.MESSAGES, Kind.PING, Kind.PONG, 0, 77])
async def test_a_link_that_begins_with_another_frame_is_closed(kind: int) -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.send(b"", kind)
        assert "begins with a handshake" in (await peer.ends() or "")


async def test_a_handshake_has_little_time() -> None:
    async with (
        receiver(N2, limits=replace(FAST, hello_timeout_s=0.05)) as node,
        raw_peer(node.address) as peer,
    ):
        assert await peer.ends() == "no handshake in time"


@pytest.mark.parametrize("refused", [None, Refused("not_member", "unknown")], ids=["believed", "refused"])
async def test_a_handshake_that_is_cut_off_is_no_error_of_ours(
    refused: Refused | None, log_records: list[logging.LogRecord]
) -> None:
    """The caller may be gone at any moment, also between its hello and our answer."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def check(_introduction: Introduction) -> Refused | None:
        asked.set()
        await gone.wait()
        return refused

    async with receiver(N2, check_peer=check) as node, raw_peer(node.address) as peer:
        await peer.say(HELLO)
        await asked.wait()
        incoming = next(iter(node.peers._open))
        peer.abort()
        await wait_until(incoming.stream.ended.done)
        gone.set()
        await wait_until(lambda: not node.peers._open)
        assert [record.getMessage() for record in log_records if record.exc_info is not None] == []
        assert max(record.levelno for record in log_records) <= logging.WARNING
        assert node.peers.connected() == frozenset()
        assert node.peers._reception._pending == {}


async def test_handshakes_at_once_are_bounded() -> None:
    limits, judging = replace(FAST, handshakes_pending_max=2), asyncio.Event()

    async def judge(_introduction: Introduction) -> Refused | None:
        await judging.wait()
        return None

    async with (
        receiver(N2, limits=limits, check_peer=judge) as node,
        raw_peer(node.address) as first,
        raw_peer(node.address) as second,
    ):
        greetings = [asyncio.create_task(first.greet(HELLO)), asyncio.create_task(second.greet(HELLO))]
        await wait_until(lambda: sum(node.peers._reception._pending.values()) == 2)
        assert await status_of_dial(node.address) == 503
        judging.set()
        await asyncio.gather(*greetings)
        async with raw_peer(node.address):
            pass


@pytest.mark.parametrize("first_word", [None, b"garbage"])
async def test_who_says_nothing_keeps_nobody_from_shaking_hands(first_word: bytes | None) -> None:
    """Nor does who never takes leave: a stranger could keep a member out with a few connections (hazard B98)."""
    limits = replace(FAST, handshakes_pending_max=2, hello_timeout_s=3600.0, close_timeout_s=3600.0)
    async with receiver(N2, limits=limits) as node:
        writers = []
        for _ in range(5):
            # Each is there before the next: the last to come would end who has not said its hello yet.
            _, _, writer = await upgrade(node.address)
            if first_word is not None:
                writer.write(len(first_word).to_bytes(4, "big") + bytes([Kind.HANDSHAKE]) + first_word)
            writers.append(writer)
        await wait_until(lambda: len(node.peers._open) == 2)
        async with raw_peer(node.address) as member:
            assert isinstance(await member.greet(HELLO), Welcome)
            assert node.peers.connected() == {"n1"}
        for writer in writers:
            writer.close()


def _corrupted(frame: bytes, position: int) -> bytes:
    damaged = bytearray(frame)
    damaged[position] ^= 0x10
    return bytes(damaged)


def _sealed(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big") + body


FIRST = encode_frame(1, [heartbeat(1)])


@pytest.mark.parametrize(
    "bad",
    [
        FIRST,
        encode_frame(3, [heartbeat(2)]),
        encode_frame(0, [heartbeat(2)]),
        _corrupted(encode_frame(2, [heartbeat(2)]), 0),
        _corrupted(encode_frame(2, [heartbeat(2)]), 20),
        encode_frame(2, [heartbeat(2)])[:-1],
        b"",
        _sealed(b"\x00" * 7 + b"\x02" + b"\x81" * 1000),
        _sealed(b"\x00" * 7 + b"\x02" + b"\x9b" + b"\xff" * 8),
        encode_frame(2, [heartbeat(2, source="n3")]),
        encode_frame(2, [heartbeat(2, target="n3")]),
        encode_frame(2, [heartbeat(2, source="n2", target="n1")]),
        encode_frame(2, [heartbeat(2), heartbeat(3, source="n3")]),
    ],
    ids=[
        *("repeat", "gap", "from zero", "bad checksum", "bad body", "short", "empty", "deep", "long array"),
        *("other source", "other target", "swapped names", "second message of another"),
    ],
)
async def test_a_frame_that_is_repeated_missing_damaged_or_misnamed_closes_the_link(bad: bytes) -> None:
    """And nothing of it, or after it, is delivered (hazards B94, B95, B96, B104)."""
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.greet(HELLO)
        await peer.send(FIRST)
        await peer.send(bad)
        await peer.send(encode_frame(2, [heartbeat(9)]))
        await peer.send(encode_frame(3, [heartbeat(9)]))
        assert await peer.ends()
        assert node.received == [heartbeat(1)]
        await wait_until(lambda: node.log.count("down") == 1)
        assert node.peers.connected() == frozenset()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (encode_handshake(HELLO), Kind.HANDSHAKE),
        (b"", Kind.PONG),
        (b"x", Kind.PING),
        (b"", 0),
        (b"hello", ord("l")),
    ],
)
async def test_what_a_dialler_does_not_say_closes_the_link(body: bytes, kind: int) -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.greet(HELLO)
        await peer.send(body, kind)
        assert await peer.ends()
        assert node.peers.connected() == frozenset()


async def test_pings_are_answered_and_a_farewell_ends_the_link() -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.greet(HELLO)
        await peer.send(b"", Kind.PING)
        assert await peer.receive() == (Kind.PONG, b"")
        await peer.send(b"it is late", Kind.CLOSE)
        assert await peer.ends() is None
        await wait_until(lambda: not node.http.connections)


async def test_answers_that_nobody_reads_are_not_kept() -> None:
    """Hazard B92: who asks and does not read would fill the memory with answers of five bytes."""
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.greet(HELLO)
        incoming = node.peers._links["n1"]
        incoming.stream.has_room = False
        await peer.send(b"", Kind.PING)
        await peer.send(FIRST)
        await wait_until(lambda: len(node.received) == 1)
        incoming.stream.resume_writing()
        await peer.send(b"", Kind.PING)
        assert await peer.receive() == (Kind.PONG, b"")
        peer.abort()


async def test_a_newer_link_of_a_peer_replaces_the_older() -> None:
    async with receiver(N2) as node, raw_peer(node.address) as older, raw_peer(node.address) as newer:
        await older.greet(HELLO)
        await older.send(encode_frame(1, [heartbeat(1)]))
        await wait_until(lambda: len(node.received) == 1)
        await newer.greet(HELLO)
        await older.send(encode_frame(2, [heartbeat(2)]))
        await older.ends()
        await newer.send(encode_frame(1, [heartbeat(3)]))
        await wait_until(lambda: len(node.received) == 2)
        assert node.received == [heartbeat(1), heartbeat(3)]
        assert [line[0] for line in node.log.lines] == ["up", "down", "up"]
        assert node.peers.connected() == {"n1"}


async def test_a_silent_older_link_is_cut_when_a_newer_one_comes() -> None:
    async with receiver(N2) as node, raw_peer(node.address) as older, raw_peer(node.address) as newer:
        await older.greet(HELLO)
        await newer.greet(HELLO)
        await older.ends()
        assert node.peers.connected() == {"n1"}


async def test_a_peer_that_is_cut_off_is_judged_anew_and_others_go_on() -> None:
    removed_ids: set[str] = set()

    def check(introduction: Introduction) -> Refused | None:
        return Refused("removed", "it was removed") if introduction.source in removed_ids else None

    hello = identity("n3").introduce(Hello, "n2")
    async with receiver(N2, check_peer=check) as node, raw_peer(node.address) as kept:
        await kept.greet(HELLO)
        async with raw_peer(node.address) as removed:
            await removed.greet(hello)
            await wait_until(lambda: node.peers.connected() == {"n1", "n3"})
            removed_ids.update({"n3", "n7"})
            node.peers.cut(removed_ids, "it was removed")
            assert node.peers.connected() == {"n1"}
            await removed.ends()
        async with raw_peer(node.address) as again:
            assert await again.greet(hello) == Refused("removed", "it was removed")
        await kept.send(encode_frame(1, [heartbeat(1)]))
        await wait_until(lambda: node.received == [heartbeat(1)])
        assert [line for line in node.log.lines if line[0] == "down"] == [("down", "n3", "it was removed")]


async def test_a_refusal_that_is_repeated_is_a_warning_once(log_records: list[logging.LogRecord]) -> None:
    welcome = False

    def check(introduction: Introduction) -> Refused | None:
        return None if welcome else Refused("removed", "it was removed")

    async with receiver(N2, check_peer=check) as node:
        for name in ("n1", "n1", "n3", "n1"):
            async with raw_peer(node.address) as peer:
                await peer.greet(identity(name).introduce(Hello, "n2"))
        welcome = True
        async with raw_peer(node.address) as peer:
            await peer.greet(HELLO)
        welcome = False
        async with raw_peer(node.address) as peer:
            await peer.greet(HELLO)
        assert node.log.count("refused") == 5
    warned = [
        record.__dict__["fields"]["peer"]
        for record in log_records
        if record.getMessage() == "peer refused" and record.levelno == logging.WARNING
    ]
    assert warned == ["n1", "n3", "n1"]


async def test_a_link_whose_dialler_vanishes_is_down() -> None:
    async with receiver(N2) as node:
        async with raw_peer(node.address) as peer:
            await peer.greet(HELLO)
        await wait_until(lambda: node.log.count("down") == 1)


async def test_a_dialler_that_does_not_ping_is_gone() -> None:
    """Without a word, maybe (hazard B93)."""
    limits = replace(FAST, ping_s=0.02, answer_min_s=0.05)
    async with receiver(N2, limits=limits) as node, raw_peer(node.address) as peer:
        await peer.greet(HELLO)
        await wait_until(lambda: node.log.count("down") == 1)


async def test_an_error_of_the_owner_closes_the_link_and_no_other() -> None:
    def check(introduction: Introduction) -> Refused | None:
        if introduction.source == "n3":
            raise KeyError("bug")
        return accept_everybody(introduction)

    async with receiver(N2, check_peer=check) as node, raw_peer(node.address) as good:
        await good.greet(HELLO)
        async with raw_peer(node.address) as bad:
            await bad.say(identity("n3").introduce(Hello, "n2"))
            assert await bad.ends() == "internal error"
        await good.send(FIRST)
        await wait_until(lambda: len(node.received) == 1)


async def test_closing_tells_the_peers_and_takes_no_more() -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.greet(HELLO)
        closing = asyncio.create_task(node.peers.close())
        assert await peer.ends() == "the node is stopping"
        peer.writer.close()
        await closing
        assert node.log.lines == [("up", "n1"), ("down", "n1", "this node is stopping")]
        assert await status_of_dial(node.address) == 503


async def test_browsers_and_plain_requests_get_no_link() -> None:
    async with receiver(N2) as node:
        assert await status_of_dial(node.address, headers={"Origin": f"http://{node.address}"}) == 403
        for other in ({"Upgrade": "websocket"}, {"Connection": "keep-alive"}):
            assert await status_of_dial(node.address, headers=other) == 400
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{node.address}{PEER_PATH}") as plain,
        ):
            assert plain.status == 400
            assert (await plain.json())["error"]["code"] == "bad_request"
