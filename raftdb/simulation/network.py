"""The network between the nodes: frames of bytes that are late, lost, doubled, replayed, damaged or misdirected.

It knows nodes by name and frames as bytes. What of the real links is kept: messages of one turn to one peer travel as
one frame, encoded and decoded by `raftdb.wire.peer`; a frame with a bad checksum is never decoded; and nothing passes
between nodes that did not shake hands with the folders they have now. What is worse than the real links: frames
overtake each other, arrive twice, and survive the restarts of both ends.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from raftdb.core.events import Received
from raftdb.core.model import NodeId
from raftdb.simulation.options import Options
from raftdb.simulation.scheduler import SECOND, Chance, Scheduler
from raftdb.wire.peer import decode_frame

REPLAYABLE_FRAMES = 64
"""Old frames kept to arrive once more."""
REPLAY_AFTER_US = 2 * SECOND
SLOW_LOSS = 0.1
"""Of the frames on a slow network, how many are lost at first, and again each time that they are sent again."""
RESENT_AFTER_WAYS = 3
"""After so many times the way it is found out: there, back, and a while."""
LATE_FACTOR = 30
"""How much longer than the mean a late frame takes, at most times that again."""


class Envelope(NamedTuple):
    """A frame on its way, with what the handshake of its link established."""

    source: NodeId
    target: NodeId
    source_uuid: str
    target_uuid: str
    source_start: str
    target_start: str
    """The start of the target that the sender had met last."""
    frame: bytes

    def is_for(self, uuids: Mapping[NodeId, str]) -> bool:
        """True if both folders are those it was sent for."""
        return self.source_uuid == uuids[self.source] and self.target_uuid == uuids[self.target]

    def open(self) -> list[Received]:
        """The messages in it. Raises RemoteProtocolError if its checksum does not hold."""
        _, messages = decode_frame(self.frame)
        return [Received(message, self.source_start) for message in messages]


Pairs = frozenset[tuple[NodeId, NodeId]]
"""Directions: (source, target)."""


class Cut(NamedTuple):
    """Directions in which nothing passes; `drains` if what was under way still arrives."""

    pairs: Pairs
    drains: bool


class Network:
    """Carries envelopes to `deliver(node, envelope)`. `blocked` directions pass nothing."""

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
        """Pairs between which nothing is taken on its way."""
        self._lost: Pairs = frozenset()
        """Pairs between which nothing arrives either."""
        self.frames_sent = 0
        self._slow_way_us = options.slow_way_us
        self._arrives_us: dict[tuple[NodeId, NodeId], int] = {}
        """On a slow network: when the latest frame between two nodes arrives; the next one does not overtake it."""

    def cut(self, pairs: Pairs, *, drains: bool) -> int:
        """Let nothing pass between these pairs until `heal` of the number returned.

        `drains`: what is already under way still arrives, maybe much later.
        """
        self._cut_count += 1
        self._cuts[self._cut_count] = Cut(pairs, drains)
        self._refresh()
        return self._cut_count

    def heal(self, number: int) -> None:
        """Undo a cut; what other cuts block stays blocked."""
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

    def send(self, envelope: Envelope) -> None:
        """Take a frame on its way, with whatever befalls it."""
        chance, faults = self._chance, self.faults
        self.frames_sent += 1
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
        """How long something small takes now, in microseconds: also for clients, and for handshakes."""
        return self._chance.around(self.delay_us) + self._slow_way_us

    def _in_order(self, source: NodeId, target: NodeId, delay_us: int) -> int:
        """How long a frame takes on a slow network: what is lost is sent again, and what is behind it waits."""
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
            self._deliver(target, envelope)


def damaged(frame: bytes, chance: Chance) -> bytes:
    """The bytes with one bit flipped."""
    copy = bytearray(frame)
    copy[chance.below(len(copy))] ^= 1 << chance.below(8)
    return bytes(copy)
