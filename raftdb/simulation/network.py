"""The network between the nodes: frames of bytes that are late, lost, doubled, replayed, damaged or misdirected.

It knows nodes by name and frames as bytes. As on real links, the messages of one turn to one peer are one frame,
encoded and decoded by `raftdb.wire.peer`; a frame with a bad checksum is refused; and nothing passes between nodes that
did not shake hands with their present folders. Unlike on real links, frames overtake each other, arrive twice, and
survive the restarts of both ends.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from raftdb.core.events import Received
from raftdb.core.model import NodeId
from raftdb.simulation.options import Options
from raftdb.simulation.scheduler import SECOND, Chance, Scheduler
from raftdb.wire.peer import decode_frame

REPLAYABLE_FRAMES = 64
"""Old frames that are kept to be replayed."""
REPLAY_AFTER_US = 2 * SECOND
SLOW_LOSS = 0.1
"""On a slow network, the share of frames that are lost, each time that they are sent."""
RESENT_AFTER_WAYS = 3
"""A lost frame is sent again after this many times the delay of a frame: there, back, and a while."""
LATE_FACTOR = 30
"""A late frame takes up to this many times its delay."""


class Envelope(NamedTuple):
    """A frame, with the folders and starts that the handshake of its link established."""

    source: NodeId
    target: NodeId
    source_uuid: str
    target_uuid: str
    source_start: str
    target_start: str
    """The latest start of the target that the sender has met."""
    frame: bytes

    def is_for(self, uuids: Mapping[NodeId, str]) -> bool:
        """True if both nodes still have the folders that they had when it was sent."""
        return self.source_uuid == uuids[self.source] and self.target_uuid == uuids[self.target]

    def open(self) -> list[Received]:
        """The messages in it. Raises RemoteProtocolError if its checksum does not match."""
        _, messages = decode_frame(self.frame)
        return [Received(message, self.source_start) for message in messages]


class Spectator(Protocol):
    """Sees the frames, without any part in them."""

    def sent(self, envelope: Envelope) -> None:
        """A node has sent a frame, which may be lost."""

    def arrived(self, target: NodeId, envelope: Envelope) -> None:
        """A frame, undamaged or not, is at a node."""


Pairs = frozenset[tuple[NodeId, NodeId]]
"""Directions: (source, target)."""


class Cut(NamedTuple):
    """Directions in which nothing passes. With `drains`, frames that are under way still arrive."""

    pairs: Pairs
    drains: bool


class Network:
    """Carries envelopes to `deliver(node, envelope)`."""

    def __init__(
        self,
        scheduler: Scheduler,
        chance: Chance,
        options: Options,
        nodes: tuple[NodeId, ...],
        deliver: Callable[[NodeId, Envelope], None],
    ) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self._nodes = nodes
        self._deliver = deliver
        self._old: deque[Envelope] = deque(maxlen=REPLAYABLE_FRAMES)
        self.delay_us = options.delay_us
        self.faults = options.faults
        self._cuts: dict[int, Cut] = {}
        self._cut_count = 0
        self.blocked: Pairs = frozenset()
        """The directions in which no frame is sent."""
        self._lost: Pairs = frozenset()
        """The directions in which frames that are under way do not arrive either."""
        self.frames_sent = 0
        self.spectator: Spectator | None = None
        self._slow_way_us = options.slow_way_us
        self._arrives_us: dict[tuple[NodeId, NodeId], int] = {}
        """When the latest frame in each direction arrives, on a slow network, so that the next one does not overtake
        it."""

    def cut(self, pairs: Pairs, *, drains: bool) -> int:
        """Let nothing pass in these directions until `heal` is called with the number that this returns.

        With `drains`, frames that are under way still arrive, perhaps much later.
        """
        self._cut_count += 1
        self._cuts[self._cut_count] = Cut(pairs, drains)
        self._refresh()
        return self._cut_count

    def heal(self, number: int) -> None:
        """Undo a cut; directions that other cuts block stay blocked."""
        self._cuts.pop(number, None)
        self._refresh()

    def heal_all(self) -> None:
        """Undo all cuts, and forget the old frames."""
        self._cuts.clear()
        self._refresh()
        self._old.clear()

    def _refresh(self) -> None:
        self.blocked = frozenset().union(*(cut.pairs for cut in self._cuts.values()))
        self._lost = frozenset().union(*(cut.pairs for cut in self._cuts.values() if not cut.drains))

    def become_slow(self, way_us: int) -> None:
        """From now on all that is sent takes `way_us` longer, and what is lost is sent again."""
        self._slow_way_us = way_us

    def send(self, envelope: Envelope) -> None:
        """Send a frame, which may be lost, damaged, misdirected, doubled or delayed."""
        chance, faults = self._chance, self.faults
        self.frames_sent += 1
        if self.spectator is not None:
            self.spectator.sent(envelope)
        if (envelope.source, envelope.target) in self.blocked or chance.happens(faults.loss):
            return
        if chance.happens(faults.replay):
            self._old.append(envelope)
            if chance.happens(0.5):
                self._scheduler.after(chance.below(REPLAY_AFTER_US), self._replay)
        if chance.happens(faults.damage):
            envelope = envelope._replace(frame=damaged(envelope.frame, chance))
        target = envelope.target
        if chance.happens(faults.misdelivery):
            target = chance.choose(self._nodes)
        copies = 2 if chance.happens(faults.duplication) else 1
        for _ in range(copies):
            delay_us = self._delay()
            if self._slow_way_us:
                delay_us = self._in_order(envelope.source, target, delay_us)
            self._scheduler.after(delay_us, self._arrive, target, envelope)

    def delay(self) -> int:
        """Draw the delay of a request, an answer or a handshake, in microseconds."""
        return self._chance.around(self.delay_us) + self._slow_way_us

    def _in_order(self, source: NodeId, target: NodeId, delay_us: int) -> int:
        """The delay of a frame on a slow network, where a lost frame is sent again, and later ones wait for it."""
        delay_us += self._slow_way_us
        while self._chance.happens(SLOW_LOSS):
            delay_us += RESENT_AFTER_WAYS * self._slow_way_us
        now_us, pair = self._scheduler.now_us, (source, target)
        self._arrives_us[pair] = max(now_us + delay_us, self._arrives_us.get(pair, 0) + 1)
        return self._arrives_us[pair] - now_us

    def _delay(self) -> int:
        delay_us = self._chance.around(self.delay_us)
        if self._chance.happens(self.faults.late):
            delay_us *= 1 + self._chance.below(LATE_FACTOR)
        return delay_us

    def _replay(self) -> None:
        if self._old:
            envelope = self._chance.choose(self._old)
            self._arrive(envelope.target, envelope)

    def _arrive(self, target: NodeId, envelope: Envelope) -> None:
        if (envelope.source, envelope.target) not in self._lost:
            if self.spectator is not None:
                self.spectator.arrived(target, envelope)
            self._deliver(target, envelope)


def damaged(frame: bytes, chance: Chance) -> bytes:
    """The frame with one bit flipped."""
    copy = bytearray(frame)
    copy[chance.below(len(copy))] ^= 1 << chance.below(8)
    return bytes(copy)
