"""Whatever interrupts a download, it ends with exactly one whole, verified snapshot: that of the newest leader.

Each example is a list of mishaps drawn by hypothesis: connections cut or silenced after any number of bytes, flipped
bits, either side started again, the follower with the end of its file lost, another leader with the same or another
snapshot while the offer of the old one goes on. After the last mishap a download must succeed.
"""

import asyncio
import hashlib
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from raftdb.server.incoming import Incoming
from tests.server.snapshot_support import (
    QUICK,
    Disk,
    Member,
    MemoryReceiver,
    Relay,
    Source,
    content,
    endpoints_in,
)
from tests.transport.support import accept_everybody, identity

N2 = identity("n2")
LIMITS = replace(QUICK, piece_bytes=700, piece_timeout_s=0.1)
SIZES = st.integers(1, 9000)
POINTS = st.integers(0, 12_000)
MISHAPS = st.one_of(
    st.tuples(st.sampled_from(["cut", "stall", "flip"]), POINTS),
    st.tuples(st.sampled_from(["restart follower", "restart follower, tail lost", "restart leader"]), POINTS),
    st.tuples(st.just("new leader, same snapshot"), POINTS),
    st.tuples(st.just("new leader, other snapshot"), SIZES),
)


@dataclass
class Fault:
    """What happens to the next connection: cut or silenced at `point` bytes."""

    kind: str = ""
    point: int = 0


class World:
    """One follower that is started again and again on one disk, and the leaders that offer it snapshots."""

    def __init__(self, size: int) -> None:
        self.disk = Disk()
        self.term = 1
        self.source = Source(content(size, 1))
        self.older = Source(content(3000, 1000), index=5)
        self.fault = Fault()
        self.wrong: list[str] = []
        self.received: list[tuple[int, int]] = []
        self.addresses: dict[str, str] = {}
        self.members: list[Member] = []
        self.tasks: list[asyncio.Task[bool]] = []

    def start(self) -> None:
        self.incoming = Incoming(
            self,
            MemoryReceiver(self.disk),
            N2,
            check_peer=accept_everybody,
            endpoint_of=endpoints_in(self.addresses),
            limits=LIMITS,
        )

    async def lead(self) -> None:
        """The leader of the present term is there, with its snapshot."""
        leader = Member(identity(f"leader{self.term}"), self.source, self.older)
        await leader.start()
        self.members.append(leader)
        self.addresses[f"leader{self.term}"] = leader.address

    def give_up_received(self) -> bool:
        return True

    def snapshot_received(self, index: int, _term: int) -> None:
        """What the node is told is received must be there whole at that moment."""
        disk = self.disk
        self.received.append((index, _term))
        if disk.snapshot is None or not disk.complete or disk.snapshot.index != index:
            self.wrong.append(f"told of {index}, but the disk has {disk.snapshot}")
        elif hashlib.sha256(disk.data).digest() != disk.snapshot.digest:
            self.wrong.append(f"told of {index}, but its bytes are others")

    def offer(self) -> "asyncio.Task[bool]":
        """The present leader tells of its snapshot."""
        offer = self.source.offer(leader=f"leader{self.term}", leader_term=self.term)
        task = asyncio.create_task(self.incoming.fetch(offer))
        self.tasks.append(task)
        return task

    def budget(self) -> int | None:
        fault, self.fault = self.fault, Fault()
        return fault.point if fault.kind in ("cut", "stall") else None

    async def reach(self, point: int, fetching: "asyncio.Task[bool]") -> None:
        """Let the download go on until so many bytes are there, or it is over."""
        while len(self.disk.data) < point and not fetching.done():
            await asyncio.sleep(0)

    async def suffer(self, kind: str, point: int) -> None:
        """One attempt with one mishap."""
        flips = [point if kind == "flip" else -1]
        if kind in ("cut", "stall"):
            self.fault = Fault(kind, point)
        port = self.members[-1].port
        async with Relay(
            lambda: port, budget=self.budget, alter=lambda data: _flip(data, flips), stalls=kind == "stall"
        ) as relay:
            leader = f"leader{self.term}"
            self.addresses[leader] = relay.address
            fetching = self.offer()
            if kind.startswith("restart follower"):
                await self.reach(point, fetching)
                await self.incoming.close()
                if kind.endswith("tail lost") and not self.disk.complete:
                    del self.disk.data[point // 2 :]
                self.start()
            elif kind == "restart leader":
                await self.reach(point, fetching)
                await self.members.pop().close()
                await self.lead()
            elif kind.startswith("new leader"):
                await self.reach(point, fetching)
                self.term += 1
                if kind.endswith("other snapshot"):
                    self.source = Source(content(max(point, 1), self.term), index=10 + self.term)
                await self.lead()
                newer = self.offer()
                # The old leader does not know yet that it is one, and says so again.
                late = self.older.offer(leader=leader, leader_term=self.term - 1)
                self.tasks.append(asyncio.create_task(self.incoming.fetch(late)))
                await asyncio.wait({newer})
            await asyncio.wait({fetching})
            if self.term == int(leader.removeprefix("leader")):
                self.addresses[leader] = self.members[-1].address

    async def close(self) -> None:
        await self.incoming.close()
        await asyncio.gather(*self.tasks)
        for leader in self.members:
            await leader.close()


def _flip(data: bytes, flips: list[int]) -> bytes:
    """Flip one bit of the byte that is `flips[0]` bytes away, once."""
    position = flips[0]
    flips[0] -= len(data)
    if not 0 <= position < len(data):
        return data
    return data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]


async def live(size: int, mishaps: list[tuple[str, int]]) -> None:
    world = World(size)
    world.start()
    await world.lead()
    try:
        for kind, point in mishaps:
            await world.suffer(kind, point)
        # What was kept may be damaged, which only the whole shows: then it is fetched once more.
        attempts = 0
        while not await world.offer():
            attempts += 1
            assert attempts < 3
        assert world.disk.snapshot == world.source.id
        assert world.disk.whole == world.source.data
        assert world.received[-1] == (world.source.index, world.source.term)
        assert not world.wrong
    finally:
        await world.close()


@settings(max_examples=60, deadline=None)
@given(SIZES, st.lists(MISHAPS, max_size=6))
def test_one_whole_snapshot_whatever_happens(size: int, mishaps: list[tuple[str, int]]) -> None:
    asyncio.run(live(size, mishaps))
