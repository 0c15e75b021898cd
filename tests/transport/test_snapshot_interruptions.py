"""Whatever interrupts a transfer, it ends with exactly one whole, verified snapshot: that of the newest leader.

Each example is a list of mishaps drawn by hypothesis: connections cut or silenced after any number of bytes, flipped
bits, either side started again, the receiver with the end of its file lost, another leader with the same or another
snapshot while the old one goes on. After the last mishap a delivery must succeed.
"""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.core.model import StartId
from raftdb.transport.handshake import Introduction, LocalIdentity
from raftdb.transport.snapshot_client import DeliveryFailed
from raftdb.wire.handshake import Refused
from tests.transport.snapshot_support import QUICK, Disk, MemoryReceiver, Node, Relay, Source, client, content
from tests.transport.support import identity, wait_until

N2 = identity("n2")
LIMITS = replace(QUICK, piece_bytes=700, piece_timeout_s=0.1, offer_timeout_s=0.1, finish_timeout_s=0.1)
SIZES = st.integers(1, 9000)
POINTS = st.integers(0, 12_000)
MISHAPS = st.one_of(
    st.tuples(st.sampled_from(["cut", "stall", "flip"]), POINTS),
    st.tuples(st.sampled_from(["restart receiver", "restart receiver, tail lost", "restart sender"]), POINTS),
    st.tuples(st.just("new leader, same snapshot"), POINTS),
    st.tuples(st.just("new leader, other snapshot"), SIZES),
)


@dataclass
class Fault:
    """What happens to the next connection: cut, silenced or altered at `point` bytes."""

    kind: str = ""
    point: int = 0


class World:
    """One receiver that is started again and again on one disk, and the leaders that bring it snapshots."""

    def __init__(self, size: int) -> None:
        self.disk = Disk()
        self.term = 1
        self.starts = 1
        self.source = Source(content(size, 1))
        self.fault = Fault()
        self.wrong: list[str] = []
        self.port = 0
        self.nodes: list[Node] = []
        self.old: list[asyncio.Task[None]] = []
        self.newest: dict[str, StartId] = {}

    async def start(self) -> None:
        self.node = Node(
            N2, MemoryReceiver(self.disk), check_peer=self._judge, limits=LIMITS, on_received=self._check
        )
        self.nodes.append(self.node)
        await self.node.start(self.port)
        self.port = self.node.port

    def _judge(self, introduction: Introduction) -> Refused | None:
        """As the owner of a real receiver does it: who was started again since comes too late (hazard B95)."""
        newest = self.newest.setdefault(introduction.source, introduction.start)
        if introduction.start.number < newest.number:
            return Refused("stale_start", "it has been started again since")
        self.newest[introduction.source] = introduction.start
        return None

    def _check(self, index: int, _term: int) -> None:
        """What the node is told is received must be there whole at that moment."""
        disk = self.disk
        if disk.transfer is None or not disk.complete or disk.transfer.index != index:
            self.wrong.append(f"told of {index}, but the disk has {disk.transfer}")
        elif hashlib.sha256(disk.data).digest() != disk.transfer.sha256:
            self.wrong.append(f"told of {index}, but its bytes are others")

    def leader(self) -> LocalIdentity:
        return identity(f"leader{self.term}", start=self.starts)

    async def deliver(self, address: str) -> None:
        with suppress(DeliveryFailed):
            await client(self.leader(), limits=LIMITS).deliver(
                "n2", address, self.source, leader_term=self.term
            )

    def budget(self) -> int | None:
        fault, self.fault = self.fault, Fault()
        return fault.point if fault.kind in ("cut", "stall") else None

    async def reach(self, point: int, delivery: "asyncio.Task[None]") -> None:
        """Let the delivery go on until so many bytes are there, or it is over."""
        while len(self.disk.data) < point and not delivery.done():
            await asyncio.sleep(0)

    async def suffer(self, kind: str, point: int) -> None:
        """One delivery with one mishap."""
        flips = [point if kind == "flip" else -1]
        if kind in ("cut", "stall"):
            self.fault = Fault(kind, point)
        relay = Relay(
            lambda: self.port,
            budget=self.budget,
            alter=lambda data: _flip(data, flips),
            stalls=kind == "stall",
        )
        async with relay:
            delivery = asyncio.create_task(self.deliver(relay.address))
            if kind.startswith("restart receiver"):
                await self.reach(point, delivery)
                await self.node.close()
                if kind.endswith("tail lost") and not self.disk.complete:
                    del self.disk.data[point // 2 :]
                await self.start()
            elif kind == "restart sender":
                await self.reach(point, delivery)
                delivery.cancel()
                self.starts += 1
            elif kind.startswith("new leader"):
                await self.reach(point, delivery)
                self.term += 1
                if kind.endswith("other snapshot"):
                    self.source = Source(content(max(point, 1), self.term), index=10 + self.term)
                # The old leader does not know yet that it is one, and goes on beside the next delivery.
                self.old.append(asyncio.create_task(self.deliver_as_before()))
            await asyncio.wait({delivery})

    async def deliver_as_before(self) -> None:
        older = identity(f"leader{self.term - 1}", start=self.starts)
        source = Source(content(3000, 1000 + self.term), index=5)
        with suppress(DeliveryFailed):
            await client(older, limits=LIMITS).deliver(
                "n2", f"127.0.0.1:{self.port}", source, leader_term=self.term - 1
            )


def _flip(data: bytes, flips: list[int]) -> bytes:
    """Flip one bit of the byte that is `flips[0]` bytes away, once."""
    position = flips[0]
    flips[0] -= len(data)
    if not 0 <= position < len(data):
        return data
    return data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]


async def live(size: int, mishaps: list[tuple[str, int]]) -> None:
    world = World(size)
    await world.start()
    try:
        for kind, point in mishaps:
            await world.suffer(kind, point)
        await client(world.leader()).deliver(
            "n2", f"127.0.0.1:{world.port}", world.source, leader_term=world.term
        )
        await asyncio.gather(*world.old)
        assert world.disk.transfer == world.source.transfer()
        assert world.disk.whole == world.source.data
        assert world.node.received[-1] == (world.source.index, world.source.term)
        assert not world.wrong
    finally:
        await world.node.close()
        # Connections that were accepted while a listener closed end once their diallers have.
        await wait_until(lambda: not any(node.http.connections for node in world.nodes))


@settings(max_examples=60, deadline=None)
@given(SIZES, st.lists(MISHAPS, max_size=6))
def test_one_whole_snapshot_whatever_happens(size: int, mishaps: list[tuple[str, int]]) -> None:
    asyncio.run(live(size, mishaps))
