"""One snapshot from a leader to a follower over loopback: resumption, refusals, rivals, bounds (hazards B33, B92)."""

import asyncio
import hashlib
import itertools
import logging
import threading
import time
import tracemalloc
import zlib
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from raftdb.core.model import StartId
from raftdb.frontend.http_server import HttpServer
from raftdb.transport.handshake import CheckPeer, Introduction
from raftdb.transport.snapshot_client import DeliveryFailed
from raftdb.transport.snapshot_protocol import (
    CHECKSUM_HEADER,
    OFFSET_HEADER,
    PIECE_BYTES_MAX,
    SNAPSHOT_FINISH_PATH,
    SNAPSHOT_PATH,
    TOKEN_HEADER,
    Accepted,
    Answer,
    Complete,
    Declined,
    Misplaced,
    Offer,
    Progress,
    SnapshotRefused,
    Transfer,
    TransferLimits,
    Verifying,
    decode_message,
    encode_message,
)
from raftdb.wire.peer import Hello, Refused, Welcome
from tests.log_records import recorded
from tests.transport.snapshot_support import (
    QUICK,
    Disk,
    MemoryReceiver,
    Node,
    Relay,
    Source,
    client,
    content,
    node,
)
from tests.transport.support import WAIT_S, identity, wait_until

N1, N2, N3 = identity("n1"), identity("n2"), identity("n3")
DATA = content(10_500)


class RawSender:
    """A sender written by hand: it says what a test wants, right or wrong."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session = session
        self.url = f"http://{address}"

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Answer]:
        async with self.session.request(method, self.url + path, data=body, headers=headers) as response:
            answer = decode_message(await response.read())
            assert not isinstance(answer, Offer)
            return response.status, answer

    async def status(self, method: str, path: str, body: bytes = b"", **headers: str) -> int:
        async with self.session.request(method, self.url + path, data=body, headers=headers) as response:
            await response.read()
            return response.status

    async def offer(self, source: Source, *, hello: Hello | None = None, leader_term: int = 1) -> Answer:
        offer = Offer(
            hello or N1.introduce(Hello, "n2"),
            leader_term,
            source.index,
            source.term,
            source.size_bytes,
            source.sha256,
        )
        return (await self.ask("POST", SNAPSHOT_PATH, encode_message(offer)))[1]

    async def accepted(self, source: Source, *, hello: Hello | None = None, leader_term: int = 1) -> Accepted:
        answer = await self.offer(source, hello=hello, leader_term=leader_term)
        assert isinstance(answer, Accepted), answer
        return answer

    async def piece(self, token: str, offset: int, data: bytes, *, crc32: int | None = None) -> Answer:
        headers = {
            TOKEN_HEADER: token,
            OFFSET_HEADER: str(offset),
            CHECKSUM_HEADER: str(zlib.crc32(data) if crc32 is None else crc32),
        }
        return (await self.ask("PUT", SNAPSHOT_PATH, data, **headers))[1]

    async def finish(self, token: str) -> Answer:
        return (await self.ask("POST", SNAPSHOT_FINISH_PATH, b"", **{TOKEN_HEADER: token}))[1]


async def test_a_snapshot_arrives_whole(log_records: list[logging.LogRecord]) -> None:
    async with node(N2) as follower:
        source = Source(DATA)
        await client(N1).deliver("n2", follower.address, source, leader_term=1)
        receiver = follower.receiver
        assert receiver.disk.whole == DATA
        assert receiver.disk.transfer == source.transfer()
        assert receiver.steps == [
            ("begin", 0),
            *(("write", offset) for offset in range(0, len(DATA), 1000)),
            ("finish", 0),
        ]
        assert follower.received == [(10, 2)]
    messages = [record.getMessage() for record in log_records]
    assert messages == ["snapshot transfer begins", "snapshot received", "snapshot delivered"]


@pytest.mark.parametrize("size_bytes", [1, 999, 1000, 1001, 2000])
async def test_sizes_around_a_piece(size_bytes: int) -> None:
    async with node(N2) as follower:
        await client(N1).deliver("n2", follower.address, Source(content(size_bytes)), leader_term=1)
        assert follower.receiver.disk.whole == content(size_bytes)


async def test_the_largest_piece_passes() -> None:
    data = content(PIECE_BYTES_MAX + 1)
    async with node(N2) as follower:
        limits = replace(QUICK, piece_bytes=PIECE_BYTES_MAX)
        await client(N1, limits=limits).deliver("n2", follower.address, Source(data), leader_term=1)
        assert follower.receiver.disk.whole == data
        assert follower.receiver.count("write") == 2


async def test_a_lost_connection_is_resumed_where_it_was() -> None:
    budgets = [5000, 3000]
    async with node(N2) as follower:
        async with Relay(lambda: follower.port, budget=lambda: budgets.pop(0) if budgets else None) as relay:
            await client(N1).deliver("n2", relay.address, Source(DATA), leader_term=1)
        receiver = follower.receiver
        assert receiver.disk.whole == DATA
        assert relay.connections == 3
        assert receiver.count("write") <= 13, "nothing was sent again but what was cut"


async def test_a_line_that_breaks_again_and_again_gets_there() -> None:
    """Only attempts without progress count. Every second connection breaks at once: the one of aiohttp's own repeat."""
    budgets = itertools.cycle([3000, 100])
    async with node(N2) as follower, Relay(lambda: follower.port, budget=lambda: next(budgets)) as relay:
        await client(N1, limits=replace(QUICK, attempts_max=3)).deliver(
            "n2", relay.address, Source(DATA), leader_term=1
        )
        assert follower.receiver.disk.whole == DATA
        assert relay.connections > 8


async def test_a_restarted_receiver_goes_on() -> None:
    disk = Disk()
    first = Node(N2, MemoryReceiver(disk))
    await first.start()
    source = Source(DATA)
    reached = threading.Event()
    source.before_read = lambda offset: reached.set() if offset >= 5000 else None
    slow = replace(QUICK, bytes_per_second_max=50_000, attempts_max=1000)
    delivery = asyncio.create_task(
        client(N1, limits=slow).deliver("n2", first.address, source, leader_term=1)
    )
    await wait_until(reached.is_set)
    await first.close()
    assert 0 < len(disk.data) < len(DATA)
    second = Node(N2, MemoryReceiver(disk))
    await second.start(first.port)
    try:
        await delivery
        assert disk.whole == DATA
        assert min(offset for step, offset in second.receiver.steps if step == "write") > 0
    finally:
        await second.close()


async def test_a_sender_that_was_stopped_goes_on_where_it_was() -> None:
    async with node(N2) as follower:
        source = Source(DATA)
        slow = replace(QUICK, bytes_per_second_max=20_000)
        delivery = asyncio.create_task(
            client(N1, limits=slow).deliver("n2", follower.address, source, leader_term=1)
        )
        await wait_until(lambda: len(follower.receiver.disk.data) >= 3000)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        assert not source.reading
        there = len(follower.receiver.disk.data)
        follower.receiver.steps.clear()
        newer = replace(N1, start=StartId(2, "nonce-2"))
        await client(newer).deliver("n2", follower.address, source, leader_term=1)
        assert follower.receiver.disk.whole == DATA
        writes = [offset for step, offset in follower.receiver.steps if step == "write"]
        assert min(writes) >= there - 1000


async def test_no_read_runs_after_a_cancelled_delivery() -> None:
    source = Source(DATA)
    release = threading.Event()
    source.before_read = lambda offset: None if offset == 0 else _wait_for(release)
    async with node(N2) as follower:
        delivery = asyncio.create_task(client(N1).deliver("n2", follower.address, source, leader_term=1))
        await wait_until(lambda: source.reading == 1 and len(follower.receiver.disk.data) == 1000)
        delivery.cancel()
        await asyncio.sleep(0.02)
        delivery.cancel()
        await asyncio.sleep(0.02)
        assert not delivery.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        assert not source.reading


def _wait_for(event: threading.Event) -> None:
    assert event.wait(WAIT_S)


async def test_a_new_leader_with_the_same_snapshot_goes_on() -> None:
    async with node(N2) as follower, aiohttp.ClientSession() as session:
        source, sender = Source(DATA), RawSender(session, follower.address)
        old = await sender.accepted(source, leader_term=1)
        await sender.piece(old.token, 0, DATA[:1000])
        new = await sender.accepted(source, hello=N3.introduce(Hello, "n2"), leader_term=2)
        assert new.offset == 1000
        assert new.token != old.token
        answer = await sender.piece(old.token, 1000, DATA[1000:2000])
        assert isinstance(answer, Declined)
        assert answer.code == "unknown_transfer"
        assert isinstance(await sender.piece(new.token, 1000, DATA[1000:2000]), Progress)


async def test_a_newer_leader_replaces_and_an_older_one_is_refused() -> None:
    """Pieces of two snapshots never mix (hazard B33)."""
    old, new = Source(content(5000, 1)), Source(content(5000, 2), index=20)
    async with node(N2) as follower, aiohttp.ClientSession() as session:
        sender = RawSender(session, follower.address)
        first = await sender.accepted(old, leader_term=4)
        await sender.piece(first.token, 0, old.data[:1000])
        other = await sender.offer(new, hello=N3.introduce(Hello, "n2"), leader_term=4)
        assert isinstance(other, Declined)
        assert other.code == "other_leader"
        second = await sender.accepted(new, hello=N3.introduce(Hello, "n2"), leader_term=5)
        assert second.offset == 0
        await sender.piece(first.token, 1000, old.data[1000:2000])
        with pytest.raises(DeliveryFailed) as refused:
            await client(N1).deliver("n2", follower.address, old, leader_term=4)
        assert refused.value.code == "stale_term"
        await client(N3).deliver("n2", follower.address, new, leader_term=5)
        assert follower.receiver.disk.whole == new.data
        assert follower.received == [(20, 2)]


async def test_a_leader_may_bring_a_newer_snapshot_instead() -> None:
    async with node(N2) as follower, aiohttp.ClientSession() as session:
        sender = RawSender(session, follower.address)
        first = await sender.accepted(Source(DATA))
        await sender.piece(first.token, 0, DATA[:1000])
        newer = Source(content(3000, 7), index=11)
        await client(N1).deliver("n2", follower.address, newer, leader_term=1)
        assert follower.receiver.disk.whole == newer.data


async def test_pieces_that_do_not_come_next() -> None:
    """A gap is answered with the offset wanted, a repeat is taken, a part of each is not (hazards B33, B104)."""
    async with node(N2) as follower, aiohttp.ClientSession() as session:
        sender = RawSender(session, follower.address)
        token = (await sender.accepted(Source(DATA))).token
        assert await sender.piece(token, 0, DATA[:1000]) == Progress(1000)
        assert await sender.piece(token, 2000, DATA[2000:3000]) == Misplaced(1000)
        assert await sender.piece(token, 500, DATA[500:1500]) == Misplaced(1000)
        assert await sender.piece(token, 0, DATA[:1000]) == Progress(1000)
        other = await sender.piece(token, 0, content(1000, 9))
        assert isinstance(other, Declined)
        assert await sender.finish(token) == Misplaced(1000)
        assert await sender.piece(token, 1000, DATA[1000:]) == Progress(len(DATA))
        assert await sender.finish(token) == Complete()
        assert await sender.finish(token) == Complete()
        assert follower.received == [(10, 2)] * 2


async def test_a_receiver_that_wants_another_offset_says_so() -> None:
    """Its disk lost what it had: the server believes the receiver, not itself."""
    receiver = MemoryReceiver()
    async with node(N2, receiver) as follower, aiohttp.ClientSession() as session:
        sender = RawSender(session, follower.address)
        token = (await sender.accepted(Source(DATA))).token
        await sender.piece(token, 0, DATA[:2000])
        del receiver.disk.data[500:]
        assert await sender.piece(token, 2000, DATA[2000:3000]) == Misplaced(500)
        assert await sender.piece(token, 500, DATA[500:]) == Progress(len(DATA))


async def test_a_damaged_piece_is_sent_again() -> None:
    flipped = 0

    def flip(data: bytes) -> bytes:
        nonlocal flipped
        position = data.find(DATA[4500:4510])
        if flipped < 2 and position >= 0:
            flipped += 1
            return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        return data

    async with node(N2) as follower, Relay(lambda: follower.port, alter=flip) as relay:
        await client(N1).deliver("n2", relay.address, Source(DATA), leader_term=1)
        assert follower.receiver.disk.whole == DATA
        assert flipped == 2
        assert follower.receiver.count("begin") == 3


async def test_a_line_that_damages_everything_ends_the_delivery() -> None:
    async with (
        node(N2) as follower,
        Relay(lambda: follower.port, alter=lambda data: data.replace(DATA[:10], bytes(10))) as relay,
    ):
        with pytest.raises(DeliveryFailed) as failed:
            await client(N1).deliver("n2", relay.address, Source(DATA), leader_term=1)
        assert failed.value.code == "piece_damaged"
        assert follower.receiver.count("write") == QUICK.attempts_max
        assert not follower.received


async def test_a_receiver_that_cannot_store_a_piece_says_why() -> None:
    """A disk that is full, a process without descriptors: known trouble, and no fault of either program."""

    def refuse(step: str) -> None:
        if step == "write":
            raise SnapshotRefused("refused", "cannot write incoming/frame: too many open files")

    async with node(N2) as follower:
        follower.receiver.before = refuse
        with recorded() as records, pytest.raises(DeliveryFailed, match="too many open files") as failed:
            await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert failed.value.code == "refused"
        told = [(one.levelname, one.exc_info) for one in records if one.getMessage() == "snapshot refused"]
        assert told == [("WARNING", None)]
        follower.receiver.before = lambda _step: None
        await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert follower.receiver.disk.whole == DATA


async def test_a_whole_that_is_not_the_one_offered_is_thrown_away() -> None:
    """Source and digest disagree: every piece is fine, the whole is not."""
    source = Source(DATA)
    source.sha256 = bytes(32)
    async with node(N2) as follower:
        with pytest.raises(DeliveryFailed) as failed:
            await client(N1).deliver("n2", follower.address, source, leader_term=1)
        assert failed.value.code == "damaged"
        assert follower.receiver.disk == Disk()
        assert not follower.received
        await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert follower.receiver.disk.whole == DATA


@pytest.mark.parametrize("step", ["begin", "write", "finish"])
async def test_a_receiver_that_fails_ends_the_delivery(
    step: str, log_records: list[logging.LogRecord]
) -> None:
    receiver = MemoryReceiver()

    def fail(present: str) -> None:
        if present in (step, "discard"):
            raise OSError(28, "No space left on device")

    receiver.before = fail
    async with node(N2, receiver) as follower:
        with pytest.raises(DeliveryFailed) as failed:
            await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert failed.value.code == "receiver_failed"
        assert not follower.received
        assert receiver.count("discard") == (step == "finish")
        assert any(record.levelno == logging.ERROR for record in log_records)
        receiver.before = lambda _step: None
        await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert receiver.disk.whole == DATA


async def test_a_receiver_may_refuse_an_offer() -> None:
    receiver = MemoryReceiver()

    def refuse(_step: str) -> None:
        raise SnapshotRefused("no_space", "there is no room for it")

    receiver.before = refuse
    async with node(N2, receiver) as follower:
        with pytest.raises(DeliveryFailed, match="no room") as failed:
            await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert failed.value.code == "no_space"


async def test_what_is_whole_already_is_said_at_once() -> None:
    disk = Disk(Source(DATA).transfer(), bytearray(DATA), complete=True)
    async with node(N2, MemoryReceiver(disk)) as follower:
        for times in (1, 2):
            await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
            assert follower.received == [(10, 2)] * times
        assert follower.receiver.steps == [("begin", 0), ("finish", 0), ("begin", 0)]


async def test_a_long_verification_is_waited_for_and_shared() -> None:
    receiver, release = MemoryReceiver(), threading.Event()
    receiver.before = lambda step: _wait_for(release) if step == "finish" else None
    limits = replace(QUICK, finish_wait_s=0.01, attempts_max=2)
    async with node(N2, receiver, limits=limits) as follower, aiohttp.ClientSession() as session:
        first = asyncio.create_task(client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1))
        await wait_until(lambda: receiver.count("finish") == 1)
        sender, hello = RawSender(session, follower.address), N3.introduce(Hello, "n2")
        with pytest.raises(DeliveryFailed) as failed:
            await client(N3, limits=limits).deliver("n2", follower.address, Source(b"other"), leader_term=2)
        assert failed.value.code == "busy"
        joined = await sender.accepted(Source(DATA), hello=hello, leader_term=2)
        assert joined.offset == len(DATA)
        assert await sender.finish(joined.token) == Verifying()
        release.set()
        while await sender.finish(joined.token) == Verifying():
            pass
        assert await sender.finish(joined.token) == Complete()
        assert receiver.count("finish") == 1
        with pytest.raises(DeliveryFailed) as failed:
            await first
        assert failed.value.code == "stale_term"


async def test_a_peer_that_falls_silent_fails_the_delivery_and_gets_smaller_pieces() -> None:
    """A timeout that is shorter than a piece must not mean the same again for ever (hazard B33)."""
    limits = replace(QUICK, piece_timeout_s=0.05, offer_timeout_s=0.05)
    async with (
        node(N2) as follower,
        Relay(lambda: follower.port, budget=lambda: 2500, stalls=True) as relay,
    ):
        sender = client(N1, limits=limits)
        for _ in range(2):
            with pytest.raises(DeliveryFailed) as failed:
                await sender.deliver("n2", relay.address, Source(DATA), leader_term=1)
            assert failed.value.code == "timeout"
        follower.receiver.steps.clear()
        there = len(follower.receiver.disk.data)
        await sender.deliver("n2", follower.address, Source(DATA), leader_term=1)
        writes = [offset for step, offset in follower.receiver.steps if step == "write"]
        assert writes[:2] == [there, there + 250]
        assert follower.receiver.disk.whole == DATA


async def test_a_peer_that_is_away_fails_the_delivery() -> None:
    with pytest.raises(DeliveryFailed, match="no progress in 8 attempts") as failed:
        await client(N1).deliver("n2", "127.0.0.1:1", Source(DATA), leader_term=1)
    assert failed.value.code == "lost"


async def test_a_piece_that_drips_in_is_given_up() -> None:
    """Hazard B98."""
    limits = replace(QUICK, piece_timeout_s=0.05)
    async with node(N2, limits=limits) as follower, aiohttp.ClientSession() as session:
        token = (await RawSender(session, follower.address).accepted(Source(DATA))).token
        reader, writer = await asyncio.open_connection("127.0.0.1", follower.port)
        head = f"PUT {SNAPSHOT_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n{TOKEN_HEADER}: {token}\r\n"
        writer.write(f"{head}{OFFSET_HEADER}: 0\r\n{CHECKSUM_HEADER}: 0\r\n\r\nx".encode())
        async with asyncio.timeout(WAIT_S):
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        assert follower.receiver.count("write") == 0
        await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)


async def test_a_half_open_connection_is_cut_by_the_next_offer() -> None:
    async with node(N2) as follower, aiohttp.ClientSession() as session:
        token = (await RawSender(session, follower.address).accepted(Source(DATA))).token
        reader, writer = await asyncio.open_connection("127.0.0.1", follower.port)
        head = f"PUT {SNAPSHOT_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n{TOKEN_HEADER}: {token}\r\n"
        writer.write(f"{head}{OFFSET_HEADER}: 0\r\n{CHECKSUM_HEADER}: 0\r\n\r\nx".encode())
        await asyncio.sleep(0.02)
        busy = await RawSender(session, follower.address).piece(token, 0, DATA[:1000])
        assert isinstance(busy, Declined)
        assert busy.code == "busy"
        await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        async with asyncio.timeout(WAIT_S):
            with suppress(ConnectionError):
                assert not await reader.read()
        writer.close()
        assert follower.receiver.disk.whole == DATA


HELLO = N1.introduce(Hello, "n2")
REFUSED_HELLOS = {
    "protocol_version": replace(HELLO, protocol_version=2),
    "wrong_cluster": replace(HELLO, cluster_id="c2"),
    "wrong_target": replace(HELLO, target="n3"),
    "self": replace(HELLO, source="n2"),
    "not_member": replace(HELLO, source="n9"),
    "identity_changed": replace(HELLO, node_uuid="another"),
}


def check(introduction: Introduction) -> Refused | None:
    if introduction.source not in ("n1", "n2", "n3"):
        return Refused("not_member", "not a member")
    if introduction.node_uuid != f"uuid-{introduction.source}":
        return Refused("identity_changed", "the folder is another one")
    return None


@pytest.mark.parametrize("code", REFUSED_HELLOS)
async def test_who_does_not_belong_here_is_refused_before_anything_changes(code: str) -> None:
    """Hazards B90, B95."""
    async with node(N2, check_peer=check) as follower, aiohttp.ClientSession() as session:
        answer = await RawSender(session, follower.address).offer(Source(DATA), hello=REFUSED_HELLOS[code])
        assert isinstance(answer, Declined)
        assert answer.code == code
        assert not follower.receiver.steps


async def test_an_offer_of_who_cannot_lead_here_keeps_nobody_else_from_making_one() -> None:
    """A stranger that names a high term would be taken for the newest leader (hazard B101)."""
    async with node(N2) as follower, aiohttp.ClientSession() as session:
        follower.turned_away.add("n3")
        sender = RawSender(session, follower.address)
        answer = await sender.offer(Source(DATA), hello=N3.introduce(Hello, "n2"), leader_term=2**62)
        assert isinstance(answer, Declined)
        assert answer.code == "no_leader_here"
        assert not follower.receiver.steps
        assert (await sender.accepted(Source(DATA))).offset == 0


async def test_who_named_a_high_term_while_nobody_led_is_forgotten_when_somebody_leads() -> None:
    async with node(N2) as follower, aiohttp.ClientSession() as session:
        sender = RawSender(session, follower.address)
        await sender.accepted(Source(DATA), hello=N3.introduce(Hello, "n2"), leader_term=2**62)
        declined = await sender.offer(Source(DATA), leader_term=7)
        assert isinstance(declined, Declined)
        assert declined.code == "stale_term"
        follower.turned_away.add("n3")
        await sender.accepted(Source(DATA), leader_term=7)


async def test_offers_that_drip_in_keep_nobody_from_making_one() -> None:
    """Hazard B98: a few connections would keep a follower from ever being filled."""
    limits = replace(QUICK, offers_pending_max=2, offer_timeout_s=3600.0)
    async with node(N2, limits=limits) as follower:
        writers = []
        for _ in range(8):
            _, writer = await asyncio.open_connection("127.0.0.1", follower.port)
            writer.write(
                f"POST {SNAPSHOT_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode()
            )
            writers.append(writer)
        await wait_until(lambda: follower.http.connections == 8)
        await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert follower.receiver.disk.whole == DATA
        for writer in writers:
            writer.close()


@pytest.mark.parametrize(
    ("answering", "check_peer", "code"),
    [
        (N3, lambda _: None, "wrong_target"),
        (replace(N2, cluster_id="c2"), lambda _: None, "wrong_cluster"),
        (N2, lambda welcome: Refused("peer_identity_changed", welcome.source), "peer_identity_changed"),
    ],
)
async def test_the_sender_checks_who_answers(answering: object, check_peer: CheckPeer, code: str) -> None:
    async with node(answering) as follower:  # type: ignore[arg-type]
        with pytest.raises(DeliveryFailed) as failed:
            await client(N1, check_peer=check_peer).deliver(
                "n2", follower.address, Source(DATA), leader_term=1
            )
        assert failed.value.code == code
        assert follower.receiver.count("write") == 0


async def test_requests_that_no_peer_makes() -> None:
    async with node(N2) as follower, aiohttp.ClientSession() as session:
        sender = RawSender(session, follower.address)
        offer = encode_message(Offer(HELLO, 1, 10, 2, len(DATA), Source(DATA).sha256))
        for method, path in (("POST", SNAPSHOT_PATH), ("PUT", SNAPSHOT_PATH), ("POST", SNAPSHOT_FINISH_PATH)):
            assert await sender.status(method, path, offer, Origin=sender.url) == 403
        assert await sender.status("POST", SNAPSHOT_PATH, b"") == 400
        assert await sender.status("POST", SNAPSHOT_PATH, b"\xff" * 100) == 400
        assert await sender.status("POST", SNAPSHOT_PATH, encode_message(Progress(1))) == 400
        assert await sender.status("POST", SNAPSHOT_PATH, b"x" * 100_000) == 413
        assert await sender.status("PUT", SNAPSHOT_PATH, b"x", **{TOKEN_HEADER: "ä"}) == 404
        assert await sender.status("POST", SNAPSHOT_FINISH_PATH) == 404
        assert not follower.receiver.steps
        token = (await sender.accepted(Source(DATA))).token
        good = {TOKEN_HEADER: token, OFFSET_HEADER: "0", CHECKSUM_HEADER: "0"}
        bad: list[tuple[bytes, dict[str, str]]] = [
            (b"", good),
            (b"x" * (len(DATA) + 1), good),
            (b"x", good | {OFFSET_HEADER: str(len(DATA))}),
            (b"x", good | {OFFSET_HEADER: "-1"}),
            (b"x", good | {OFFSET_HEADER: "²"}),
            (b"x", good | {CHECKSUM_HEADER: "9" * 5000}),
        ]
        for body, headers in bad:
            assert await sender.status("PUT", SNAPSHOT_PATH, body, **headers) == 400
        assert follower.receiver.count("write") == 0


async def test_senders_wait_while_the_node_installs() -> None:
    """Whoever moves the files into place has them for itself; then the offer is judged anew."""
    receiver = MemoryReceiver()
    async with node(N2, receiver) as follower, aiohttp.ClientSession() as session:
        sender = RawSender(session, follower.address)
        token = (await sender.accepted(Source(DATA))).token
        patient = replace(QUICK, attempts_max=10_000)
        async with follower.server.paused():
            receiver.steps.clear()
            delivery = asyncio.create_task(
                client(N1, limits=patient).deliver("n2", follower.address, Source(DATA), leader_term=1)
            )
            answer = await sender.piece(token, 0, DATA[:1000])
            assert isinstance(answer, Declined)
            assert answer.code == "unknown_transfer"
            await asyncio.sleep(0.03)
            assert not receiver.steps
        await delivery
        assert receiver.disk.whole == DATA


async def test_what_is_about_to_be_installed_is_not_replaced() -> None:
    """Between the word that a snapshot is installed and the pause for it, a newer one may be offered."""
    receiver = MemoryReceiver()
    patient = replace(QUICK, attempts_max=10_000)
    async with node(N2, receiver) as follower:
        await client(N1).deliver("n2", follower.address, Source(DATA), leader_term=1)
        receiver.steps.clear()
        follower.may_begin = False
        with pytest.raises(DeliveryFailed) as failed:
            await client(N1).deliver("n2", follower.address, Source(b"newer", index=20), leader_term=1)
        assert failed.value.code == "busy"
        assert not receiver.steps
        delivery = client(N1, limits=patient).deliver(
            "n2", follower.address, Source(b"newer", index=20), leader_term=1
        )
        waiting = asyncio.create_task(delivery)
        follower.may_begin = True
        await waiting
        assert receiver.disk.whole == b"newer"


async def test_a_pause_waits_for_the_call_that_is_running() -> None:
    receiver, release = MemoryReceiver(), threading.Event()
    receiver.before = lambda step: _wait_for(release) if step == "finish" else None
    async with node(N2, receiver) as follower:
        delivery = asyncio.create_task(
            client(N1, limits=replace(QUICK, attempts_max=10_000)).deliver(
                "n2", follower.address, Source(DATA), leader_term=1
            )
        )
        await wait_until(lambda: receiver.count("finish") == 1)
        asyncio.get_running_loop().call_later(0.05, release.set)
        async with follower.server.paused():
            assert release.is_set()
            assert receiver.disk.whole == DATA
            assert not follower.received
        await delivery
        assert follower.received == [(10, 2)]


async def test_one_delivery_to_a_peer_at_a_time() -> None:
    receiver, release = MemoryReceiver(), threading.Event()
    receiver.before = lambda step: _wait_for(release) if step == "write" else None
    async with node(N2, receiver) as follower:
        sender = client(N1)
        first = asyncio.create_task(sender.deliver("n2", follower.address, Source(DATA), leader_term=1))
        await wait_until(lambda: receiver.count("write") == 1)
        with pytest.raises(DeliveryFailed) as failed:
            await sender.deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert failed.value.code == "delivering"
        release.set()
        await first
        assert receiver.disk.whole == DATA


@pytest.mark.parametrize("fault", ["error", "short"])
async def test_a_source_that_cannot_be_read_ends_the_delivery(fault: str) -> None:
    source = Source(DATA)
    if fault == "short":
        source.data = DATA[:5000]
    else:
        source.before_read = _fail_at_5000
    async with node(N2) as follower:
        with pytest.raises(DeliveryFailed) as failed:
            await client(N1).deliver("n2", follower.address, source, leader_term=1)
        assert failed.value.code == "source"
        assert len(follower.receiver.disk.data) <= 5000


def _fail_at_5000(offset: int) -> None:
    if offset >= 5000:
        raise OSError(5, "Input/output error")


async def test_the_rate_is_kept() -> None:
    limits = replace(QUICK, bytes_per_second_max=50_000)
    async with node(N2) as follower:
        started = time.monotonic()
        await client(N1, limits=limits).deliver("n2", follower.address, Source(DATA), leader_term=1)
        assert time.monotonic() - started >= (len(DATA) - 1000) / 50_000


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_a_listener_that_is_not_ours(status: int) -> None:
    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text="no")

    server = HttpServer({SNAPSHOT_PATH: {"POST": answer}})
    _, port = await server.start("127.0.0.1", 0)
    try:
        with pytest.raises(DeliveryFailed, match=str(status)) as failed:
            await client(N1).deliver("n2", f"127.0.0.1:{port}", Source(DATA), leader_term=1)
        assert failed.value.code == ("lost" if status == 503 else "refused")
    finally:
        await server.close(grace_s=0.01)


def _answers() -> list[Answer]:
    welcome = N2.introduce(Welcome, "n1")
    return [Accepted(welcome, "t", 10**9), Progress(5), Complete(), Verifying(), Misplaced(3)]


@pytest.mark.parametrize(
    "answer", [*_answers(), b"noise", b"x" * 100_000], ids=lambda answer: type(answer).__name__
)
async def test_answers_that_make_no_sense_end_the_delivery(answer: Answer | bytes) -> None:
    """In bounded time and without an endless loop; here every request gets the same answer."""
    body = answer if isinstance(answer, bytes) else encode_message(answer)

    async def respond(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/cbor")

    server = HttpServer(
        {SNAPSHOT_PATH: {"POST": respond, "PUT": respond}, SNAPSHOT_FINISH_PATH: {"POST": respond}}
    )
    _, port = await server.start("127.0.0.1", 0)
    try:
        with pytest.raises(DeliveryFailed) as failed:
            await client(N1).deliver("n2", f"127.0.0.1:{port}", Source(DATA), leader_term=1)
        assert failed.value.code == "lost"
    finally:
        await server.close(grace_s=0.01)


async def test_progress_that_is_not_ours_is_not_believed() -> None:
    """A peer that says it is complete, but goes on from where nobody sent it, does not have the snapshot."""

    async def accept(_request: web.BaseRequest) -> web.StreamResponse:
        return _cbor(Accepted(N2.introduce(Welcome, "n1"), "token", 0))

    async def progress(_request: web.BaseRequest) -> web.StreamResponse:
        return _cbor(Progress(5))

    async def complete(_request: web.BaseRequest) -> web.StreamResponse:
        return _cbor(Complete())

    routes = {SNAPSHOT_PATH: {"POST": accept, "PUT": progress}, SNAPSHOT_FINISH_PATH: {"POST": complete}}
    server = HttpServer(routes)
    _, port = await server.start("127.0.0.1", 0)
    try:
        with pytest.raises(DeliveryFailed, match="another offset"):
            await client(N1).deliver("n2", f"127.0.0.1:{port}", Source(DATA), leader_term=1)
    finally:
        await server.close(grace_s=0.01)


def _cbor(answer: Answer) -> web.Response:
    return web.Response(body=encode_message(answer), content_type="application/cbor")


async def test_the_event_loop_goes_on_while_files_are_slow() -> None:
    """Reads, writes and verification that take 400 ms each do not hold up a heartbeat."""
    source, receiver = Source(content(1000)), MemoryReceiver()
    source.before_read = lambda _offset: time.sleep(0.4)
    receiver.before = lambda _step: time.sleep(0.4)
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            started = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - started)

    async with node(N2, receiver) as follower:
        beating = asyncio.create_task(beat())
        await client(N1).deliver("n2", follower.address, source, leader_term=1)
        beating.cancel()
    assert receiver.disk.whole == source.data
    assert longest < 0.3


class RepeatedPages:
    """200 MB that are one page over and over, so that only the transfer takes memory."""

    PAGE = content(4096)
    index, term = 10, 2

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        digest = hashlib.sha256()
        for _ in range(size_bytes // 4096):
            digest.update(self.PAGE)
        self.sha256 = digest.digest()

    def read(self, offset: int, bytes_max: int) -> bytes:
        assert offset % 4096 == 0
        return (self.PAGE * (bytes_max // 4096 + 1))[: min(bytes_max, self.size_bytes - offset)]


class CountingReceiver:
    """Keeps nothing but a digest."""

    def __init__(self) -> None:
        self.offset = 0
        self.digest = hashlib.sha256()
        self.wanted = b""

    def begin(self, transfer: Transfer) -> int:
        self.wanted = transfer.sha256
        return self.offset

    def write(self, offset: int, piece: bytes, crc32: int) -> int:
        assert offset == self.offset
        assert zlib.crc32(piece) == crc32
        self.digest.update(piece)
        self.offset += len(piece)
        return self.offset

    def finish(self) -> None:
        assert self.digest.digest() == self.wanted

    def discard(self) -> None:
        raise AssertionError("not thrown away")


async def test_memory_does_not_grow_with_the_snapshot() -> None:
    """Hazard B92. Both ends are in this process: pieces read ahead, in travel, and taken in."""
    limits = TransferLimits(bytes_per_second_max=0)
    receiver = CountingReceiver()
    source = RepeatedPages(200 * 1024 * 1024)
    async with node(N2, receiver, limits=limits) as follower:  # type: ignore[arg-type]
        tracemalloc.start()
        try:
            await client(N1, limits=limits).deliver("n2", follower.address, source, leader_term=1)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert receiver.offset == source.size_bytes
    assert peak < 10 * limits.piece_bytes
