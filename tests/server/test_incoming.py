"""One snapshot fetched over loopback: resumption, refusals, rivals, bounds (hazards B33, B92)."""

import asyncio
import hashlib
import itertools
import logging
import threading
import time
import tracemalloc
from dataclasses import replace

import pytest
from aiohttp import web

from raftdb.core.model import StartId
from raftdb.frontend.http_server import HttpServer
from raftdb.route import Permission, Route
from raftdb.server.incoming import FetchLimits
from raftdb.transport.handshake import CheckPeer
from raftdb.transport.snapshot_server import (
    CHECKSUM_HEADER,
    PIECE_BYTES_MAX,
    SNAPSHOT_PATH,
    WELCOME_HEADER,
    write_introduction,
)
from raftdb.wire.handshake import Refused, Welcome
from storage.errors import OutOfSpace
from storage.send import SnapshotId
from tests.server.snapshot_support import (
    QUICK,
    Disk,
    Follower,
    Member,
    MemoryReceiver,
    Relay,
    Source,
    content,
    follower,
    member,
)
from tests.transport.support import WAIT_S, identity, wait_until

N1, N2, N3 = identity("n1"), identity("n2"), identity("n3")
DATA = content(10_500)
PATIENT = replace(QUICK, piece_timeout_s=WAIT_S)


def codes(records: list[logging.LogRecord]) -> list[str]:
    """Why snapshots were not received."""
    return [vars(one)["fields"]["code"] for one in records if one.getMessage() == "snapshot not received"]


def reasons(records: list[logging.LogRecord]) -> str:
    return "; ".join(str(vars(one)["fields"].get("reason")) for one in records)


async def test_a_snapshot_arrives_whole(log_records: list[logging.LogRecord]) -> None:
    source, receiver = Source(DATA), MemoryReceiver()
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        assert await node.incoming.fetch(source.offer())
        assert receiver.disk.whole == DATA
        assert receiver.disk.snapshot == source.id
        assert receiver.steps == [
            ("begin", 0),
            *(("append", offset) for offset in range(0, len(DATA), 1000)),
            ("finish", len(DATA)),
        ]
        assert node.received == [(10, 2)]
    assert [record.getMessage() for record in log_records] == ["fetching a snapshot", "snapshot received"]


@pytest.mark.parametrize("size_bytes", [1, 999, 1000, 1001, 2000])
async def test_sizes_around_a_piece(size_bytes: int) -> None:
    source, receiver = Source(content(size_bytes)), MemoryReceiver()
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        assert await node.incoming.fetch(source.offer())
        assert receiver.disk.whole == content(size_bytes)


async def test_the_largest_piece_passes() -> None:
    """Also if the follower asks for more at once than the leader gives."""
    source, receiver = Source(content(PIECE_BYTES_MAX + 1)), MemoryReceiver()
    limits = replace(QUICK, piece_bytes=2 * PIECE_BYTES_MAX)
    async with (
        member(N1, source) as leader,
        follower(N2, receiver, {"n1": leader.address}, limits=limits) as node,
    ):
        assert await node.incoming.fetch(source.offer())
        assert receiver.disk.whole == source.data
        assert receiver.offsets() == [0, PIECE_BYTES_MAX]


async def test_a_lost_connection_is_resumed_where_it_was() -> None:
    budgets = [5000, 3000]
    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(N1, source) as leader,
        Relay(lambda: leader.port, budget=lambda: budgets.pop(0) if budgets else None) as relay,
        follower(N2, receiver, {"n1": relay.address}) as node,
    ):
        assert await node.fetch_at_last(source.offer()) <= 3
        assert receiver.disk.whole == DATA
        assert relay.connections >= 3
        assert receiver.offsets() == sorted(set(receiver.offsets())), "nothing was kept twice"
        assert len(source.reads) <= 17, "nothing was read again but what was cut"


async def test_a_line_that_breaks_again_and_again_gets_there() -> None:
    budgets = itertools.cycle([3000, 100])
    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(N1, source) as leader,
        Relay(lambda: leader.port, budget=lambda: next(budgets)) as relay,
        follower(N2, receiver, {"n1": relay.address}) as node,
    ):
        await node.fetch_at_last(source.offer())
        assert receiver.disk.whole == DATA
        assert relay.connections > 8


async def test_a_restarted_follower_goes_on() -> None:
    disk, source = Disk(), Source(DATA)
    async with member(N1, source) as leader:
        first = Follower(N2, MemoryReceiver(disk), {"n1": leader.address})
        reached, go_on = threading.Event(), threading.Event()

        def stop(offset: int) -> None:
            if offset >= 5000:
                reached.set()
                _wait_for(go_on)

        source.before_read = stop
        fetching = asyncio.create_task(first.incoming.fetch(source.offer()))
        await wait_until(lambda: reached.is_set() and len(disk.data) == 5000)
        await first.incoming.close()
        assert not await fetching
        go_on.set()
        receiver = MemoryReceiver(disk)
        async with follower(N2, receiver, {"n1": leader.address}) as second:
            assert await second.incoming.fetch(source.offer())
        assert disk.whole == DATA
        assert min(receiver.offsets()) == 5000
        assert first.received == []


async def test_a_restarted_leader_that_has_the_file_goes_on() -> None:
    source, receiver = Source(DATA), MemoryReceiver()
    first = Member(N1, source)
    await first.start()
    source.before_read = lambda offset: _fail() if offset >= 3000 else None
    async with follower(N2, receiver, {"n1": first.address}) as node:
        assert not await node.incoming.fetch(source.offer())
        await first.close()
        assert not await node.incoming.fetch(source.offer())
        source.before_read = lambda _offset: None
        second = Member(replace(N1, start=StartId(2, "nonce-2")), source)
        await second.start(first.port)
        try:
            assert await node.incoming.fetch(source.offer())
        finally:
            await second.close()
    assert receiver.disk.whole == DATA
    assert receiver.offsets() == sorted(set(receiver.offsets()))


def _fail() -> None:
    raise OSError(5, "Input/output error")


def _wait_for(event: threading.Event) -> None:
    assert event.wait(WAIT_S)


async def test_a_new_leader_with_the_same_snapshot_goes_on() -> None:
    source, receiver = Source(DATA), MemoryReceiver()
    source.before_read = lambda offset: _fail() if offset >= 3000 else None
    again = Source(DATA)
    async with (
        member(N1, source) as old,
        member(N3, again) as new,
        follower(N2, receiver, {"n1": old.address, "n3": new.address}) as node,
    ):
        assert not await node.incoming.fetch(source.offer())
        assert await node.incoming.fetch(again.offer(leader="n3", leader_term=2))
        assert min(again.reads) == 3000
        assert receiver.disk.whole == DATA


async def test_the_offer_of_a_newer_leader_takes_the_place_of_what_is_under_way() -> None:
    """Pieces of two snapshots never mix (hazard B33)."""
    old, new = Source(content(5000, 1)), Source(content(5000, 2), index=20)
    go_on, receiver = threading.Event(), MemoryReceiver()
    old.before_read = lambda offset: _wait_for(go_on) if offset >= 1000 else None
    async with (
        member(N1, old) as first,
        member(N3, new) as second,
        follower(N2, receiver, {"n1": first.address, "n3": second.address}, limits=PATIENT) as node,
    ):
        fetching = asyncio.create_task(node.incoming.fetch(old.offer(leader_term=4)))
        await wait_until(lambda: len(receiver.disk.data) == 1000)
        assert not await node.incoming.fetch(new.offer(leader="n3", leader_term=4)), "not newer"
        assert not await node.incoming.fetch(new.offer(leader="n3", leader_term=3)), "older"
        assert await node.incoming.fetch(new.offer(leader="n3", leader_term=5))
        assert not await fetching
        go_on.set()
        assert receiver.disk.whole == new.data
        assert node.received == [(20, 2)]


async def test_what_is_under_way_comes_to_its_end_before_another_snapshot_of_the_same_leader() -> None:
    first, newer = Source(DATA), Source(content(3000, 7), index=11)
    go_on, receiver = threading.Event(), MemoryReceiver()
    first.before_read = lambda offset: _wait_for(go_on) if offset >= 1000 else None
    async with (
        member(N1, first, newer) as leader,
        follower(N2, receiver, {"n1": leader.address}, limits=PATIENT) as node,
    ):
        fetching = asyncio.create_task(node.incoming.fetch(first.offer()))
        await wait_until(lambda: len(receiver.disk.data) == 1000)
        for offer in (first.offer(), newer.offer()):
            assert not await node.incoming.fetch(offer)
        go_on.set()
        assert await fetching
        assert receiver.disk.whole == DATA
        assert await node.incoming.fetch(newer.offer())
        assert receiver.disk.whole == newer.data
        assert node.received == [(10, 2), (11, 2)]


async def test_a_damaged_piece_is_fetched_again(log_records: list[logging.LogRecord]) -> None:
    """Hazard B94."""
    flipped = 0

    def flip(data: bytes) -> bytes:
        nonlocal flipped
        position = data.find(DATA[4500:4510])
        if flipped < 2 and position >= 0:
            flipped += 1
            return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        return data

    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(N1, source) as leader,
        Relay(lambda: leader.port, alter=flip) as relay,
        follower(N2, receiver, {"n1": relay.address}) as node,
    ):
        assert await node.fetch_at_last(source.offer()) == 3
        assert receiver.disk.whole == DATA
        assert flipped == 2
        assert receiver.offsets() == list(range(0, len(DATA), 1000)), "only what was sound was kept"
    assert codes(log_records) == ["damaged", "damaged"]


async def test_a_line_that_damages_everything_brings_nothing(log_records: list[logging.LogRecord]) -> None:
    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(N1, source) as leader,
        Relay(lambda: leader.port, alter=lambda data: data.replace(DATA[:10], bytes(10))) as relay,
        follower(N2, receiver, {"n1": relay.address}) as node,
    ):
        for _ in range(3):
            assert not await node.incoming.fetch(source.offer())
        assert (receiver.count("append"), node.received) == (0, [])
    assert codes(log_records) == ["damaged"] * 3


async def test_attempts_that_bring_nothing_come_less_and_less_often() -> None:
    """A node that has no space for a snapshot is offered it again and again."""
    limits = replace(QUICK, pause_min_s=0.05, pause_max_s=0.15)
    source, receiver = Source(DATA), MemoryReceiver()
    clock = asyncio.get_running_loop().time

    def refuse(_step: str) -> None:
        raise OutOfSpace("no space for a snapshot")

    async with (
        member(N1, source) as leader,
        follower(N2, receiver, {"n1": leader.address}, limits=limits) as node,
    ):

        async def seconds_to_next_attempt() -> float:
            began, attempts = clock(), receiver.count("begin")
            while receiver.count("begin") == attempts:
                await node.incoming.fetch(source.offer())
                await asyncio.sleep(0.001)
            return clock() - began

        receiver.before = refuse
        assert not await node.incoming.fetch(source.offer())
        waits = [await seconds_to_next_attempt() for _ in range(5)]
        least = [0.04, 0.09, 0.14, 0.14, 0.14]
        assert all(wait >= at_least for wait, at_least in zip(waits, least, strict=True)), waits
        receiver.before = lambda _step: None
        while not await node.incoming.fetch(source.offer()):
            await asyncio.sleep(0.001)
        assert receiver.disk.whole == DATA


async def test_a_receiver_that_cannot_store_a_piece_says_why(log_records: list[logging.LogRecord]) -> None:
    """A disk that is full, a process without descriptors: known trouble, and no fault of either program."""

    def refuse(step: str) -> None:
        if step == "append":
            raise OutOfSpace("cannot write incoming/frame: the disk is full")

    source, receiver = Source(DATA), MemoryReceiver()
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        receiver.before = refuse
        assert not await node.incoming.fetch(source.offer())
        assert "the disk is full" in reasons(log_records)
        told = [(one.levelname, one.exc_info) for one in log_records if "not received" in one.getMessage()]
        assert told == [("WARNING", None)]
        receiver.before = lambda _step: None
        assert await node.incoming.fetch(source.offer())
        assert receiver.disk.whole == DATA


async def test_a_whole_that_is_not_the_one_offered_is_thrown_away() -> None:
    """File and digest disagree: every piece is fine, the whole is not."""
    source, receiver = Source(DATA), MemoryReceiver()
    source.digest = bytes(32)
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        assert not await node.incoming.fetch(source.offer())
        assert receiver.disk == Disk()
        assert not node.received
        sound = Source(DATA)
        leader.files[sound.digest] = sound
        assert await node.incoming.fetch(sound.offer())
        assert receiver.disk.whole == DATA


@pytest.mark.parametrize("step", ["begin", "append", "finish"])
async def test_a_receiver_that_fails_ends_the_attempt_and_not_the_node(
    step: str, log_records: list[logging.LogRecord]
) -> None:
    source, receiver = Source(DATA), MemoryReceiver()

    def fail(present: str) -> None:
        if present == step:
            raise OSError(28, "No space left on device")

    receiver.before = fail
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        assert not await node.incoming.fetch(source.offer())
        assert not node.received
        assert codes(log_records) == ["receiver_failed"]
        assert any(record.levelno == logging.ERROR for record in log_records)
        assert step != "finish" or receiver.disk == Disk(), "or it would be resumed for ever"
        receiver.before = lambda _step: None
        assert await node.incoming.fetch(source.offer())
        assert receiver.disk.whole == DATA


async def test_what_is_whole_already_is_there_at_once() -> None:
    source = Source(DATA)
    receiver = MemoryReceiver(Disk(source.id, bytearray(DATA), complete=True))
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        for times in (1, 2):
            assert await node.incoming.fetch(source.offer())
            assert node.received == [(10, 2)] * times
        assert source.reads == []


async def test_a_long_verification_is_not_begun_twice() -> None:
    source, receiver, release = Source(DATA), MemoryReceiver(), threading.Event()
    receiver.before = lambda step: _wait_for(release) if step == "finish" else None
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        fetching = asyncio.create_task(node.incoming.fetch(source.offer()))
        await wait_until(lambda: receiver.count("finish") == 1)
        assert not await node.incoming.fetch(source.offer())
        release.set()
        assert await fetching
        assert receiver.count("finish") == 1


async def test_a_leader_that_falls_silent_is_asked_for_smaller_pieces(
    log_records: list[logging.LogRecord],
) -> None:
    """A timeout that is shorter than a piece must not mean the same again for ever (hazard B33)."""
    source, receiver = Source(DATA), MemoryReceiver()
    limits = replace(QUICK, piece_timeout_s=0.05)
    addresses: dict[str, str] = {}
    async with (
        member(N1, source) as leader,
        Relay(lambda: leader.port, budget=lambda: 2500, stalls=True) as relay,
        follower(N2, receiver, addresses, limits=limits) as node,
    ):
        addresses["n1"] = relay.address
        for _ in range(2):
            assert not await node.incoming.fetch(source.offer())
        assert codes(log_records) == ["timeout", "timeout"]
        addresses["n1"] = leader.address
        receiver.steps.clear()
        there = receiver.received
        await node.fetch_at_last(source.offer())
        assert receiver.offsets()[:2] == [there, there + 250]
        assert receiver.disk.whole == DATA


@pytest.mark.parametrize("addresses", [{}, {"n1": "127.0.0.1:1"}])
async def test_a_leader_that_is_not_to_be_found(addresses: dict[str, str]) -> None:
    receiver = MemoryReceiver()
    async with follower(N2, receiver, addresses) as node:
        assert not await node.incoming.fetch(Source(DATA).offer())
        assert not node.received


@pytest.mark.parametrize(
    ("answering", "check_peer", "code"),
    [
        (N3, lambda _: None, "wrong_target"),
        (replace(N2, cluster_id="c2"), lambda _: None, "wrong_cluster"),
        (N1, lambda welcome: Refused("peer_identity_changed", welcome.source), "peer_identity_changed"),
    ],
)
async def test_the_follower_checks_who_answers(
    answering: object, check_peer: CheckPeer, code: str, log_records: list[logging.LogRecord]
) -> None:
    """Hazards B90, B95."""
    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(answering, source) as leader,  # type: ignore[arg-type]
        follower(N2, receiver, {"n1": leader.address}, check_peer=check_peer) as node,
    ):
        assert not await node.incoming.fetch(source.offer())
        assert codes(log_records) == [code]
        assert receiver.count("append") == 0


async def test_nothing_is_fetched_while_the_node_installs() -> None:
    """Whoever moves the files into place has them for itself; then an offer is taken again."""
    source, receiver = Source(DATA), MemoryReceiver()
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        async with node.incoming.paused():
            assert not await node.incoming.fetch(source.offer())
            assert not receiver.steps
        assert await node.incoming.fetch(source.offer())


async def test_what_is_about_to_be_installed_is_not_replaced() -> None:
    """Between the word that a snapshot is installed and the pause for it, a newer one may be offered."""
    source, newer, receiver = Source(DATA), Source(b"newer", index=20), MemoryReceiver()
    async with member(N1, source, newer) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        assert await node.incoming.fetch(source.offer())
        receiver.steps.clear()
        node.may_begin = False
        assert not await node.incoming.fetch(newer.offer())
        assert not receiver.steps
        node.may_begin = True
        assert await node.incoming.fetch(newer.offer())
        assert receiver.disk.whole == b"newer"


async def test_a_pause_waits_for_the_call_that_is_running() -> None:
    source, receiver, release = Source(DATA), MemoryReceiver(), threading.Event()
    receiver.before = lambda step: _wait_for(release) if step == "finish" else None
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        fetching = asyncio.create_task(node.incoming.fetch(source.offer()))
        await wait_until(lambda: receiver.count("finish") == 1)
        asyncio.get_running_loop().call_later(0.05, release.set)
        async with node.incoming.paused():
            assert release.is_set()
            assert receiver.disk.whole == DATA
            assert not node.received
        assert not await fetching
        assert await node.incoming.fetch(source.offer()), "it is whole, and said so again"
        assert node.received == [(10, 2)]


@pytest.mark.parametrize("fault", ["error", "short"])
async def test_a_file_that_cannot_be_read_ends_the_attempt(
    fault: str, log_records: list[logging.LogRecord]
) -> None:
    source, receiver = Source(DATA), MemoryReceiver()
    if fault == "short":
        source.data = DATA[:5000]
    else:
        source.before_read = lambda offset: _fail() if offset >= 5000 else None
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        assert not await node.incoming.fetch(source.offer())
        assert receiver.received <= 5000
        assert codes(log_records) == ["gone"]


async def test_the_rate_is_kept() -> None:
    limits = replace(QUICK, bytes_per_second_max=50_000)
    source, receiver = Source(DATA), MemoryReceiver()
    async with (
        member(N1, source) as leader,
        follower(N2, receiver, {"n1": leader.address}, limits=limits) as node,
    ):
        started = time.monotonic()
        assert await node.incoming.fetch(source.offer())
        assert time.monotonic() - started >= (len(DATA) - 1000) / 50_000


HEADERS = {
    "Content-Range": f"bytes 0-999/{len(DATA)}",
    WELCOME_HEADER: write_introduction(N1.introduce(Welcome, "n2")),
    CHECKSUM_HEADER: "1",
}
OTHER_WELCOME = {WELCOME_HEADER: write_introduction(N3.introduce(Welcome, "n2"))}
NONSENSE: dict[str, tuple[web.Response, str]] = {
    "no such path": (web.Response(status=404, text="no"), "refused"),
    "an error": (web.Response(status=500, text="no"), "refused"),
    "the whole": (web.Response(status=200, body=DATA, headers=HEADERS), "refused"),
    "elsewhere": (web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"}), "refused"),
    "a refusal that is none": (
        web.Response(status=403, body=b"noise", content_type="application/cbor"),
        "refused",
    ),
    "no range": (web.Response(status=206, body=bytes(1000), headers=OTHER_WELCOME), "wrong_source"),
    "another range": (
        web.Response(
            status=206,
            body=bytes(1000),
            headers=HEADERS | {"Content-Range": f"bytes 1000-1999/{len(DATA)}"},
        ),
        "refused",
    ),
    "another file": (
        web.Response(status=206, body=bytes(1000), headers=HEADERS | {"Content-Range": "bytes 0-999/1000"}),
        "refused",
    ),
    "more than was asked for": (
        web.Response(status=206, body=DATA, headers=HEADERS | {"Content-Range": f"bytes 0-1000/{len(DATA)}"}),
        "refused",
    ),
    "less than it says": (web.Response(status=206, body=bytes(10), headers=HEADERS), "lost"),
    "nobody": (
        web.Response(status=206, body=bytes(1000), headers=HEADERS | {WELCOME_HEADER: "AAAA"}),
        "refused",
    ),
    "another sum": (web.Response(status=206, body=bytes(1000), headers=HEADERS), "damaged"),
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_answers_that_make_no_sense_end_the_attempt(
    what: str, log_records: list[logging.LogRecord]
) -> None:
    answer, code = NONSENSE[what]

    async def respond(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    receiver = MemoryReceiver()
    server = HttpServer({SNAPSHOT_PATH: {"GET": Route(respond, Permission.PEER)}})
    _, port = await server.start("127.0.0.1", 0)
    try:
        async with follower(N2, receiver, {"n1": f"127.0.0.1:{port}"}) as node:
            assert not await node.incoming.fetch(Source(DATA).offer())
        assert codes(log_records) == [code]
        assert receiver.count("append") == 0
    finally:
        await server.close(grace_s=0.01)


async def test_the_event_loop_goes_on_while_files_are_slow() -> None:
    """Each read, write and verification waits until the loop has turned: if one held it up, none would end."""
    source, receiver = Source(content(1000)), MemoryReceiver()
    turned = threading.Condition()
    turns = 0

    def take_some_turns(_what: object) -> None:
        with turned:
            until = turns + 10
            assert turned.wait_for(lambda: turns >= until, timeout=WAIT_S), "the event loop stands still"

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            with turned:
                turns += 1
                turned.notify_all()

    source.before_read = receiver.before = take_some_turns
    async with member(N1, source) as leader, follower(N2, receiver, {"n1": leader.address}) as node:
        turning = asyncio.create_task(turn())
        assert await node.incoming.fetch(source.offer())
        turning.cancel()
    assert receiver.disk.whole == source.data
    assert turns >= 30


class RepeatedPages(Source):
    """200 MB that are one page over and over, so that only the transfer takes memory."""

    PAGE = content(4096)

    def __init__(self, size_bytes: int) -> None:
        super().__init__(b"")
        self.size_bytes = size_bytes
        digest = hashlib.sha256()
        for _ in range(size_bytes // 4096):
            digest.update(self.PAGE)
        self.digest = digest.digest()

    def read(self, offset: int, bytes_max: int) -> bytes:
        assert offset % 4096 == 0
        return (self.PAGE * (bytes_max // 4096 + 1))[: min(bytes_max, self.size_bytes - offset)]


class CountingReceiver:
    """Keeps nothing but a digest."""

    def __init__(self) -> None:
        self.received = 0
        self.digest = hashlib.sha256()
        self.wanted = b""

    def begin(self, snapshot: SnapshotId) -> int:
        self.wanted = snapshot.digest
        return self.received

    def append(self, piece: bytes) -> int:
        self.digest.update(piece)
        self.received += len(piece)
        return self.received

    def finish(self) -> None:
        assert self.digest.digest() == self.wanted

    def discard(self) -> None:
        raise AssertionError("not thrown away")


async def test_memory_does_not_grow_with_the_snapshot() -> None:
    """Hazard B92. Both ends are in this process: pieces read, in travel, and taken in."""
    limits = FetchLimits(bytes_per_second_max=0)
    receiver = CountingReceiver()
    source = RepeatedPages(200 * 1024 * 1024)
    async with (
        member(N1, source) as leader,
        follower(N2, receiver, {"n1": leader.address}, limits=limits) as node,
    ):
        tracemalloc.start()
        try:
            assert await node.incoming.fetch(source.offer())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert receiver.received == source.size_bytes
    assert peak < 10 * limits.piece_bytes
