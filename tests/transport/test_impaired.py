"""Links over a network that is made worse: what arrives, what the trips say, and cuts."""

import asyncio
from dataclasses import replace

import pytest

from raftdb.core.messages import Heartbeat
from raftdb.impairment import ImpairedNetwork, NetworkChange, parse_conditions
from raftdb.transport.impaired import ImpairedMedium, ImpairedStream
from raftdb.transport.link import PeerLink
from raftdb.transport.medium import THE_NETWORK
from raftdb.transport.reasons import CutOff
from raftdb.transport.stream import ROOM_BYTES
from raftdb.wire.sealing import UNSEALED
from raftdb.wire.stream import Kind
from tests.transport.support import FAST, heartbeat, identity, receiver, sender, wait_until

N1, N2 = identity("n1"), identity("n2")
IMPATIENT = replace(FAST, ping_s=0.01, answer_min_s=0.05, answer_max_s=0.05)


def bad(node: str, words: str = "none") -> ImpairedNetwork:
    return ImpairedNetwork(node, 1, parse_conditions(words))


def now(words: str) -> NetworkChange:
    return NetworkChange(default=parse_conditions(words))


async def test_the_network_as_it_is_takes_no_part_in_sending() -> None:
    async with receiver(N2) as node, sender(N1, {"n2": node.address}) as (links, _):
        link = links._links["n2"]
        assert link.send == link._send
        assert isinstance(link, PeerLink)
        assert type(THE_NETWORK.accept(UNSEALED)) is not ImpairedStream


async def test_messages_are_lost_doubled_and_reordered_and_the_link_stays_up() -> None:
    """The link numbers what it sends, so what is lost before leaves no gap in it."""
    network = bad("n1")
    async with (
        receiver(N2) as node,
        sender(N1, {"n2": node.address}, medium=ImpairedMedium(network)) as (links, log),
    ):
        await wait_until(lambda: bool(links.connected()))
        network.change(now("delay 20ms 10ms loss 10% duplicate 10% corrupt 10% reorder 20%"))
        sent = [heartbeat(number) for number in range(500)]
        for message in sent:
            links.send("n2", [message])
        counts = network.lane("n2").counts
        arriving = 500 - counts.lost - counts.corrupted + counts.duplicated
        await wait_until(lambda: len(node.received) == arriving)
        rounds = [message.round for message in node.received if isinstance(message, Heartbeat)]
        assert set(node.received) < set(sent)
        assert len(rounds) > len(set(rounds)), "some came twice"
        assert rounds != sorted(rounds)
        assert counts.reordered > 50
        assert counts.lost > 20
        assert counts.corrupted > 20
        assert log.lines == [("up", "n2")]


async def test_the_trips_that_a_node_measures_are_those_of_such_a_network() -> None:
    """Both ends delay what they send: the pings there, and the answers back. Elections wait as long as that needs."""
    limits = replace(FAST, ping_s=0.001)
    there, back = bad("n1", "delay 20ms"), bad("n2", "delay 30ms")
    async with (
        receiver(N2, medium=ImpairedMedium(back)) as node,
        sender(N1, {"n2": node.address}, limits=limits, medium=ImpairedMedium(there)) as (links, log),
    ):
        await wait_until(lambda: len(log.trips_s) >= 12)
        assert log.trips_s[-1] >= 0.05
        assert links.connected() == {"n2"}


async def test_a_dial_is_late_too() -> None:
    network = bad("n1", "delay 40ms")
    async with receiver(N2) as node:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        async with sender(N1, {"n2": node.address}, medium=ImpairedMedium(network)) as (_, log):
            await wait_until(lambda: bool(log.lines))
            assert clock() - began_s >= 0.2, "two trips for the connection, and one way for the hello"
            assert log.trips_s[0] >= 0.04


async def test_a_link_that_is_cut_is_silent_goes_down_and_is_dialled_again_when_it_is_healed() -> None:
    network = bad("n1")
    async with (
        receiver(N2) as node,
        sender(N1, {"n2": node.address}, limits=IMPATIENT, medium=ImpairedMedium(network)) as (links, log),
    ):
        await wait_until(lambda: bool(node.peers.connected()))
        network.change(NetworkChange(cut=frozenset({"n2"})))
        links.send("n2", [heartbeat(1)])
        assert network.lane("n2").counts.cut == 1
        await wait_until(lambda: log.count("down") == 1 and links.failure("n2") is not None)
        assert "no answer within" in log.last("down")[2], "nobody has told it"
        assert links.failure("n2") == "cut by fault injection"
        assert log.count("up") == 1
        network.change(NetworkChange(cut=frozenset()))
        links.nudge("n2")
        await wait_until(lambda: log.count("up") == 2)
        links.send("n2", [heartbeat(2)])
        await wait_until(lambda: bool(node.received))
        assert node.received == [heartbeat(2)]


async def test_a_cut_may_be_of_one_direction_alone() -> None:
    """The other end dials, pings and sends as before: what answers it belongs to its own direction."""
    network = bad("n2")
    network.change(NetworkChange(cut=frozenset({"n1"})))
    async with (
        receiver(N2, medium=ImpairedMedium(network)) as node,
        sender(N1, {"n2": node.address}, limits=replace(FAST, ping_s=0.001)) as (links, log),
    ):
        await wait_until(lambda: len(log.trips_s) > 5)
        links.send("n2", [heartbeat(1)])
        await wait_until(lambda: node.received == [heartbeat(1)])
        assert log.count("down") == 0


async def test_what_is_under_way_when_a_link_goes_down_does_not_arrive_over_the_next_one() -> None:
    network = bad("n1")
    async with (
        receiver(N2) as node,
        sender(N1, {"n2": node.address}, medium=ImpairedMedium(network)) as (links, log),
    ):
        await wait_until(lambda: bool(links.connected()))
        network.change(now("delay 5s"))
        links.send("n2", [heartbeat(1)])
        assert network.lane("n2").held_messages == 1
        network.change(now("none"))
        node.peers.cut(["n1"], "a test")
        await wait_until(lambda: log.count("up") == 2)
        assert network.lane("n2").held_messages == 0
        links.send("n2", [heartbeat(2)])
        await wait_until(lambda: bool(node.received))
        assert node.received == [heartbeat(2)]


async def test_requests_and_answers_take_turns_at_a_rate_and_are_refused_over_a_cut() -> None:
    """80 KiB at 16 Mbit/s take 41 ms."""
    network, clock = bad("n1", "rate 16mbit"), asyncio.get_running_loop().time
    medium = ImpairedMedium(network)
    began_s = clock()
    await medium.pass_bytes("n2", 80 * 1024)
    assert clock() - began_s >= 0.04
    network.change(NetworkChange(cut=frozenset({"n2"})))
    with pytest.raises(CutOff):
        await medium.pass_bytes("n2", 1)
    network.change(NetworkChange(cut=frozenset(), default=parse_conditions("loss 100%")))
    with pytest.raises(TimeoutError):
        await medium.pass_bytes("n2", 1)


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and takes it or not as a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_reading(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.is_over

    def resume_reading(self) -> None:
        raise AssertionError

    def write_eof(self) -> None:
        self.is_over = True

    def abort(self) -> None:
        self.is_over = True


def stream_of(network: ImpairedNetwork, *, has_dialled: bool = True) -> tuple[ImpairedStream, Wire]:
    stream, wire = ImpairedStream(network, UNSEALED, has_dialled=has_dialled), Wire()
    stream.connection_made(wire)
    stream.meet("n2")
    return stream, wire


async def test_frames_of_requests_are_late_in_order_and_what_is_sent_before_a_close_arrives() -> None:
    stream, wire = stream_of(bad("n1", "delay 20ms 20ms"))
    for number in range(20):
        stream.send(Kind.REQUESTS, b"%02d" % number)
    assert wire.written == b""
    stream.close("done", timeout_s=5.0)
    await wait_until(lambda: wire.is_over)
    bodies = b"".join(b"%02d" % number for number in range(20))
    assert wire.written.replace(b"\0\0\0\2" + bytes([Kind.REQUESTS]), b"").startswith(bodies)
    assert wire.written.endswith(b"done")
    stream.connection_lost(None)


async def test_there_is_no_room_while_too_much_is_late() -> None:
    network = bad("n1", "delay 20ms")
    stream, wire = stream_of(network)
    room: list[bool] = []
    stream.on_room = lambda: room.append(stream.has_room)
    stream.send(Kind.REQUESTS, bytes(ROOM_BYTES + 1))
    had_room = [stream.has_room]
    await wait_until(lambda: bool(room))
    stream.pause_writing()
    stream.send(Kind.REQUESTS, b"x")
    await wait_until(lambda: wire.written.endswith(b"x"))
    had_room.append(stream.has_room)
    stream.resume_writing()
    assert room == [True, True]
    assert had_room == [False, False], "neither while it is late, nor while the connection below has none"
    stream.connection_lost(None)


async def test_a_stream_of_requests_ends_in_a_cut_because_nothing_of_it_may_be_missing() -> None:
    network = bad("n1")
    for has_dialled, kind in ((True, Kind.REQUESTS), (False, Kind.ANSWERS)):
        network.change(NetworkChange(cut=frozenset()))
        stream, wire = stream_of(network, has_dialled=has_dialled)
        stream.send(kind, b"one")
        network.change(NetworkChange(cut=frozenset({"n2"})))
        stream.send(kind, b"two")
        assert wire.is_over
        assert wire.written.endswith(b"one")
        stream.connection_lost(None)
        assert stream.ended.result() == "the link is cut"
