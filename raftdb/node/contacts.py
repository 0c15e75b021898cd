"""When each peer was heard last, and which are suspected: what a node tells people about its peers."""

import logging
import time
from collections.abc import Callable

from raftdb.core.model import NodeId
from raftdb.core.state import RaftState
from raftdb.node.suspicion import Arrivals

logger = logging.getLogger("raftdb.node")

OWN_PAUSE_FACTOR = 3.0
"""After so many heartbeats without a `look` this process slept, and its peers were not silent."""


class Contacts:
    """The arrivals of all peers that are expected to speak to this node.

    A leader expects all other members, a follower its leader, and all other nodes expect no peer. `look` is called once
    per tick. `clock`: seconds, monotonic.
    """

    def __init__(self, *, heartbeat_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._arrivals: dict[NodeId, Arrivals] = {}
        self._suspected: set[NodeId] = set()
        self._looked_s = self._led_s = clock()

    @property
    def leaderless_s(self) -> float:
        """For how long this node has known no leader."""
        return self._clock() - self._led_s

    def heard(self, peer: NodeId) -> None:
        """Something came from `peer`."""
        arrivals = self._arrivals.get(peer)
        if arrivals is None:
            return
        now_s = self._clock()
        if peer in self._suspected:
            self._suspected.discard(peer)
            _log(logging.INFO, "peer heard again", peer, arrivals, now_s)
        arrivals.heard(now_s)

    def look(self, state: RaftState, *, is_removed: bool = False, patience_s: float = 0.0) -> None:
        """Find out which peers are expected to speak now (none, to a removed node), and log those that have become
        suspected.

        All that was known of other peers is forgotten: they are not expected to speak, so their silence says nothing. A
        silence of up to `patience_s`, which the core accepts, says nothing either.
        """
        now_s = self._clock()
        slept = now_s - self._looked_s > self._heartbeat_s * OWN_PAUSE_FACTOR
        self._looked_s = now_s
        if state.leadership is not None or state.leader_id is not None:
            self._led_s = now_s
        known, self._arrivals = self._arrivals, {}
        for peer in () if is_removed else _speakers(state):
            self._arrivals[peer] = known.get(peer) or Arrivals(heartbeat_s=self._heartbeat_s, now_s=now_s)
            self._arrivals[peer].patience_s = patience_s
            if slept:
                self._arrivals[peer].expect_anew(now_s)
        self._suspected &= self._arrivals.keys()
        for peer, arrivals in self._arrivals.items():
            if peer not in self._suspected and arrivals.is_suspected(now_s):
                self._suspected.add(peer)
                _log(logging.WARNING, "peer suspected", peer, arrivals, now_s)

    def is_suspected(self, peer: NodeId) -> bool:
        """True if `peer` should have spoken to this node, and has been silent for longer than it ever was."""
        return peer in self._suspected

    def describe(self, peer: NodeId) -> dict[str, float]:
        """`last_contact_seconds`, if `peer` was heard since it is expected, and `suspicion` (phi), if it is."""
        arrivals = self._arrivals.get(peer)
        if arrivals is None:
            return {}
        now_s = self._clock()
        silence_s = arrivals.silence_s(now_s)
        heard = {} if silence_s is None else {"last_contact_seconds": round(silence_s, 3)}
        return {**heard, "suspicion": round(arrivals.phi(now_s), 1)}


def _speakers(state: RaftState) -> tuple[NodeId, ...]:
    """The peers that a node in this state should hear, sorted."""
    if state.leadership is not None:
        return tuple(sorted(state.leadership.progress))
    return () if state.leader_id is None else (state.leader_id,)


def _log(level: int, message: str, peer: NodeId, arrivals: Arrivals, now_s: float) -> None:
    silence_s = arrivals.silence_s(now_s)
    fields = {
        "peer": peer,
        "suspicion": round(arrivals.phi(now_s), 1),
        "silent_seconds": None if silence_s is None else round(silence_s, 3),
    }
    logger.log(level, message, extra={"fields": fields})
