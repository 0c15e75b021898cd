"""What a node has measured of its network: trips to its peers, and gaps between the heartbeats of its leaders.

The measurements are volatile, and kept over terms and roles, because the network stays the same when the leader
changes.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from raftdb.core.model import NodeId, Term

GAP_HALF_LIFE_MS = 180_000
"""After so long the largest gap counts for half, so that a bad minute is forgotten."""
TRIPS_COUNTED = 3
"""The shortest of so many latest trips counts: a lost packet makes one of them long, a network that has become slow all
of them."""
PEERS_REMEMBERED_MAX = 256
"""Nodes whose trips are remembered: more than a cluster has members."""


@dataclass(slots=True)
class Measured:
    """Trips to peers, and the largest gap between heartbeats; `largest_gap_ticks` fades with every tick."""

    largest_gap_ticks: float = 0.0
    now_ticks: int = 0
    """This node's own clock, which only it reads: ticks since it started."""
    _trips_ms: dict[NodeId, deque[int]] = field(default_factory=dict)
    _ticks: int = 0
    """Since the latest heartbeat was heard."""
    _heartbeat: tuple[NodeId, Term, int] | None = None
    """The latest heartbeat: leader, term, and the number of its round."""

    def tick(self, tick_ms: int) -> None:
        """A tick has passed."""
        self.now_ticks += 1
        self._ticks += 1
        self.largest_gap_ticks *= 0.5 ** (tick_ms / GAP_HALF_LIFE_MS)

    def heard(self, leader: NodeId, term: Term, round_: int, *, gap_ticks_max: int) -> None:
        """A heartbeat has come. The gap before it counts if that began with the heartbeat right before this one, and
        for no more than `gap_ticks_max`; one that comes late or twice says nothing."""
        last = self._heartbeat
        if last is not None and last[:2] == (leader, term):
            if round_ <= last[2]:
                return
            if round_ == last[2] + 1:
                gap_ticks = min(self._ticks, gap_ticks_max)
                self.largest_gap_ticks = max(self.largest_gap_ticks, float(gap_ticks))
        self._heartbeat, self._ticks = (leader, term, round_), 0

    def trip(self, peer: NodeId, milliseconds: int) -> None:
        """A small message took so long to `peer` and back."""
        if peer not in self._trips_ms:
            if len(self._trips_ms) == PEERS_REMEMBERED_MAX:
                return
            self._trips_ms[peer] = deque(maxlen=TRIPS_COUNTED)
        self._trips_ms[peer].append(milliseconds)

    def trip_ms(self, peer: NodeId) -> int | None:
        """How long a small message takes to `peer` and back; None if that was never measured."""
        return min(self._trips_ms[peer]) if peer in self._trips_ms else None

    def trip_to(self, peers: Collection[NodeId], *, count: int) -> int:
        """How many milliseconds it takes until `count` of `peers` have answered; until the last one that was ever
        measured, if those are fewer; 0 if none was."""
        trips = sorted(trip for peer in peers if (trip := self.trip_ms(peer)) is not None)[:count]
        return trips[-1] if trips else 0
