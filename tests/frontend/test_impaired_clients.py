"""Clients under fault injection: late, cut off, and who is let through."""

import asyncio

from raftdb.frontend.impaired_clients import ImpairedConnection, as_it_is
from raftdb.impairment import Lane, parse_conditions
from tests.transport.support import wait_until


class Inner(asyncio.Protocol):
    """What a listener would get."""

    def __init__(self) -> None:
        self.heard: list[bytes | None] = []

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def eof_received(self) -> bool:
        self.heard.append(None)
        return True


class Wire(asyncio.Transport):
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def abort(self) -> None:
        self.said.append("abort")

    def is_closing(self) -> bool:
        return "abort" in self.said

    def pause_reading(self) -> None:
        self.said.append("pause")

    def resume_reading(self) -> None:
        self.said.append("resume")


def connection(words: str = "none") -> tuple[ImpairedConnection, Inner, Wire, "Lane[bytes]"]:
    lane: Lane[bytes] = Lane("n1>clients", seed=1)
    lane.set(parse_conditions(words), is_cut=False)
    inner, wire = Inner(), Wire()
    made = ImpairedConnection(inner, lane)
    made.connection_made(wire)
    return made, inner, wire, lane


def test_without_fault_injection_connections_are_left_alone() -> None:
    assert as_it_is(Inner) is Inner


async def test_what_a_client_sends_is_late_by_two_ways_in_order_and_so_is_its_end() -> None:
    made, inner, _, lane = connection("delay 20ms 20ms")
    for number in range(10):
        made.data_received(b"%d" % number)
    assert made.eof_received()
    assert inner.heard == []
    await wait_until(lambda: len(inner.heard) == 11)
    assert inner.heard == [*(b"%d" % number for number in range(10)), None]
    assert (lane.counts.passed, lane.counts.delayed) == (10, 10)


async def test_reading_pauses_while_too_much_is_late() -> None:
    made, inner, wire, _ = connection("delay 10ms")
    made.data_received(bytes(300 * 1024))
    assert wire.said == ["pause"]
    await wait_until(lambda: bool(inner.heard))
    assert wire.said == ["pause", "resume"]


async def test_a_cut_lets_through_members_and_who_sets_the_network_and_nobody_else() -> None:
    made, inner, wire, lane = connection()
    lane.set(lane.conditions, is_cut=True)
    through = [b"PUT /v1/network HTTP/1.1", b"GET /v1/peer HTTP/1.1", b"GET /v1/peer/snapshot HTTP/1.1"]
    for request in (*through, b"GET /v1/status HTTP/1.1", b"GET /v1/networks HTTP/1.1"):
        made.data_received(request)
    assert inner.heard == through
    assert lane.counts.cut == 2
    lane.set(lane.conditions, is_cut=False)
    made.data_received(b"GET /v1/status HTTP/1.1")
    assert wire.said == ["abort"], "it has missed something"
    assert inner.heard == through


async def test_what_is_late_when_the_connection_ends_does_not_arrive() -> None:
    made, inner, _, _ = connection("delay 1ms")
    made.data_received(b"late")
    made.connection_lost(None)
    await asyncio.sleep(0.01)
    assert inner.heard == []
