"""The accepting side of a link against a dialler written by hand: wrong names, wrong frames, wrong order."""

import asyncio
import logging
import zlib
from dataclasses import replace

import aiohttp
import pytest

from raftdb.transport.handshake import Introduction
from raftdb.transport.limits import PEER_PATH
from raftdb.wire.peer import Hello, Refused, Welcome, encode_frame, encode_handshake
from tests.transport.support import (
    FAST,
    accept_everybody,
    heartbeat,
    identity,
    raw_peer,
    receiver,
    wait_until,
)

N2 = identity("n2")
HELLO = identity("n1").introduce(Hello, "n2")
PROTOCOL_ERROR = 1002
POLICY_VIOLATION = 1008


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
        await peer.send(encode_handshake(hello) + b"")
        await peer.send(encode_frame(1, [heartbeat(1)]))
        answer = await peer.greet(hello)
        assert isinstance(answer, Refused)
        assert answer.code == code
        assert await peer.ends() == POLICY_VIOLATION
        assert (node.received, node.peers.connected()) == ([], frozenset())
        assert node.log.lines == [("refused", hello.source, code, answer.reason)]


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"garbage",
        encode_handshake(HELLO)[:-1],
        encode_handshake(HELLO)[:20] + b"\x00" + encode_handshake(HELLO)[21:],
        encode_handshake(N2.introduce(Welcome, "n2")),
        encode_handshake(Refused("a", "b")),
        encode_frame(1, [heartbeat(1)]),
        b"\x00" * 100_000,
    ],
)
async def test_a_link_that_does_not_begin_with_a_hello_is_closed(first: bytes) -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.send(first)
        assert await peer.ends() == PROTOCOL_ERROR
        assert node.log.lines == []


async def test_a_handshake_has_little_time() -> None:
    async with (
        receiver(N2, limits=replace(FAST, hello_timeout_s=0.05)) as node,
        raw_peer(node.address) as peer,
    ):
        assert await peer.ends() == PROTOCOL_ERROR


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
        await peer.send(encode_handshake(HELLO))
        await asked.wait()
        incoming = next(iter(node.peers._open))
        peer.abort()
        await wait_until(lambda: incoming.transport is None or incoming.transport.is_closing())
        gone.set()
        await wait_until(lambda: not node.peers._open)
        assert [record.getMessage() for record in log_records if record.exc_info is not None] == []
        assert max(record.levelno for record in log_records) <= logging.WARNING
        assert node.peers.connected() == frozenset()


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
        await wait_until(lambda: sum(incoming.is_judged for incoming in node.peers._open) == 2)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with raw_peer(node.address):
                pass
        assert refusal.value.status == 503
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
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            head = f"GET {PEER_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            rest = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            word = (
                b"" if first_word is None else bytes([0x82, 0x80 + len(first_word)]) + bytes(4) + first_word
            )
            writer.write((head + rest).encode() + word)
            # Each is there before the next: the last to come would end who has not said its hello yet.
            await reader.readuntil(b"\r\n\r\n")
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
        assert await peer.ends() == PROTOCOL_ERROR
        assert node.received == [heartbeat(1)]
        await wait_until(lambda: node.log.count("down") == 1)
        assert node.peers.connected() == frozenset()


async def test_text_is_no_frame() -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.greet(HELLO)
        await peer.socket.send_str("hello")
        assert await peer.ends() == PROTOCOL_ERROR


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
            await bad.send(encode_handshake(identity("n3").introduce(Hello, "n2")))
            assert await bad.ends() == 1011
        await good.send(FIRST)
        await wait_until(lambda: len(node.received) == 1)


async def test_closing_tells_the_peers_and_takes_no_more() -> None:
    async with receiver(N2) as node, raw_peer(node.address) as peer:
        await peer.greet(HELLO)
        closing = asyncio.create_task(node.peers.close())
        assert await peer.ends() == 1001
        await closing
        assert node.log.lines == [("up", "n1"), ("down", "n1", "this node is stopping")]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with raw_peer(node.address):
                pass


async def test_browsers_and_plain_requests_get_no_link() -> None:
    async with receiver(N2) as node:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with raw_peer(node.address, headers={"Origin": f"http://{node.address}"}):
                pass
        assert refusal.value.status == 403
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{node.address}{PEER_PATH}") as plain,
        ):
            assert plain.status == 400
            assert (await plain.json())["error"]["code"] == "bad_request"


async def test_a_key_of_other_bytes_is_a_bad_request_and_no_error_of_ours() -> None:
    async with receiver(N2) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        head = f"GET {PEER_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        rest = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \xff\xfe\r\n\r\n"
        writer.write(head.encode() + rest)
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        writer.close()
