"""Whom one simulated node knows, and is connected to: what `raftdb.server.peers` and the links do for a real one."""

from collections.abc import Iterable, Sequence

from raftdb.core.events import PeerMet, RemovalTold
from raftdb.core.messages import Message
from raftdb.core.model import NodeId
from raftdb.node.replica import Replica
from raftdb.node.standing import standing_of
from raftdb.simulation.network import Envelope, Network
from raftdb.wire.handshake import Refused
from raftdb.wire.peer import encode_frame

FOREIGN = "foreign"
REMOVED = "removed"


class Peers:
    """See the module. The pins are part of the folder, the links of the process."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self.pins: dict[NodeId, str] = {}
        """The folder of each member ever met that the configuration did not name."""
        self._links: dict[NodeId, str] = {}
        self._replica: Replica
        self.shown: list[PeerMet | RemovalTold] = []
        """What handshakes have shown since the last turn of the node."""

    def started(self, replica: Replica, uuid: str) -> None:
        """A new process, which knows what its folder knows."""
        self._replica = replica
        self._links = {}
        known = sorted({**self.pins, self._node: uuid}.items())
        self.shown = [PeerMet(node, folder) for node, folder in known]

    def why_not(self, peer: NodeId, uuid: str) -> Refused | None:
        """Why this peer is turned away, None if it is not; its first folder is remembered."""
        standing = standing_of(self._replica.raft.state, peer)
        if standing.is_removed:
            return Refused(REMOVED, f"{peer} was removed")
        known = uuid
        if standing.is_member:
            known = standing.uuid or self.pins.setdefault(peer, standing.met or uuid)
        if known != uuid:
            return Refused(FOREIGN, f"{peer} has lost its folder")
        self.shown.append(PeerMet(peer, uuid))
        return None

    def connect(self, peer: NodeId, uuid: str) -> None:
        """The handshake with a peer has been done: messages can reach it."""
        self._links[peer] = uuid
        self._replica.links.add(peer)

    def disconnect(self, peer: NodeId) -> None:
        """The link to a peer is gone."""
        if self._links.pop(peer, None) is not None:
            self._replica.links.discard(peer)

    def keep_only(self, peers: Iterable[NodeId]) -> None:
        """End the links to all others: they are no peers any more."""
        for peer in sorted(set(self._links).difference(peers)):
            self.disconnect(peer)

    def is_connected(self, peer: NodeId) -> bool:
        """True while there is a link to the peer, as far as this node knows."""
        return peer in self._links

    def link_of(self, peer: NodeId) -> str | None:
        """The folder of the peer at the other end of the link, None if there is no link."""
        return self._links.get(peer)

    def send(self, network: Network, uuid: str, messages: Sequence[Message]) -> None:
        """A frame for each peer that there is a link to; the others get nothing."""
        by_target: dict[NodeId, list[Message]] = {}
        for message in messages:
            by_target.setdefault(message.target, []).append(message)
        for target, batch in by_target.items():
            if target in self._links:
                frame = encode_frame(0, batch)
                network.send(Envelope(self._node, target, uuid, self._links[target], frame))
