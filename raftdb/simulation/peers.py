"""The peers that one simulated node knows and has links to: what `raftdb.server.peers` and the links do for a real
one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from raftdb.core.events import PeerMet, RemovalTold, TripMeasured
from raftdb.core.messages import Message
from raftdb.core.model import NodeId
from raftdb.endpoint import NO_REDIS, Endpoint
from raftdb.errors import InvariantBroken, required
from raftdb.node import starts
from raftdb.node.replica import Replica
from raftdb.node.standing import is_cast_out, standing_of
from raftdb.node.starts import Draw, KnownStarts, OwnStarts
from raftdb.simulation.network import Envelope, Network
from raftdb.wire.handshake import PROTOCOL_VERSION, Hello, Refused, Welcome
from raftdb.wire.peer import encode_frame

FOREIGN = "foreign"
REMOVED = "removed"
STALE = "stale_start"
CLUSTER_ID = "simulated"

MESSAGES_PER_TURN_MAX = 1_000
"""Far more messages than the inputs of a turn need: a node that sends more is in a loop."""


class Peers:
    """The peers of one node. Pins and starts are in its folder, links belong to its process."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self.pins: dict[NodeId, str] = {}
        """The folder in which each member was first met, if the configuration did not name one."""
        self.known: dict[NodeId, KnownStarts] = {}
        """The starts in which each node was met."""
        self.own: OwnStarts | None = None
        self._links: dict[NodeId, str] = {}
        self._removed_by: set[NodeId] = set()
        """Who has said that this node was removed. In the folder once it is believed."""
        self._believes_removal = False
        self._replica: Replica
        self.shown: list[PeerMet | RemovalTold | TripMeasured] = []
        """Events of handshakes since the last turn of the node."""
        self._uuid: str | None = None
        """None until a process has started on the present folder."""
        self._disk_term = self._disk_last_index = 0

    def copy(self) -> "Peers":
        """The part of it that a copy of the folder has."""
        copied = Peers(self._node)
        copied.pins, copied.known, copied.own = dict(self.pins), dict(self.known), self.own
        copied._removed_by, copied._believes_removal = set(self._removed_by), self._believes_removal
        return copied

    def started(self, replica: Replica, uuid: str, draw: Draw) -> None:
        """Begin with a new process, which reads its folder and numbers its start."""
        self._replica, self._uuid = replica, uuid
        self._links = {}
        core = replica.raft.state
        self._disk_term, self._disk_last_index = core.term, core.log.last_index
        stored = None if self.own is None else starts.encode_own(self.own)
        own = self.own = starts.next_start(stored, draw)
        self.shown = [PeerMet(self._node, uuid, own.start, own.doubted)]
        for node in sorted({*self.pins, *self.known}):
            known = self.known.get(node)
            if known is None:
                self.shown.append(PeerMet(node, self.pins[node]))
            else:
                self.shown.append(PeerMet(node, self.pins.get(node), known.last, known.doubted))
        if self._believes_removal:
            self._judge_removal()
        else:
            self._removed_by = set()

    def introduction(self, kind: type[Hello | Welcome], peer: NodeId) -> Hello | Welcome:
        """This node's introduction to a peer."""
        own = required(self.own, "start")
        known = self.known.get(peer)
        return kind(
            protocol_version=PROTOCOL_VERSION,
            cluster_id=CLUSTER_ID,
            source=self._node,
            target=peer,
            node_uuid=required(self._uuid, "uuid"),
            start=own.start,
            predecessor=own.predecessor,
            put_back=starts.is_in_doubt(self._replica.raft.state, self._node, own.doubted),
            remembered=None if known is None else known.before,
            disk_term=self._disk_term,
            disk_last_index=self._disk_last_index,
            birth=None,
            credential="",
            http=Endpoint(self._node, 1),
            redis=NO_REDIS,
        )

    def why_not(self, introduction: Hello | Welcome) -> Refused | None:
        """Why this peer is refused, or None; the folder and the start of an accepted peer are remembered."""
        core, peer, uuid = self._replica.raft.state, introduction.source, introduction.node_uuid
        standing = standing_of(core, peer)
        if standing.is_removed:
            return Refused(REMOVED, f"{peer} was removed")
        known = uuid
        if standing.is_member:
            known = standing.uuid or self.pins.setdefault(peer, standing.met or uuid)
        if known != uuid:
            return Refused(FOREIGN, f"{peer} has lost its folder")
        if standing.met not in (None, uuid):
            self.known.pop(peer, None)
        if starts.has_superseded(self.known.get(peer), introduction.start):
            return Refused(STALE, f"{peer} has been started again since")
        met, is_found = starts.meet(core, self.known.get(peer), introduction)
        self.known[peer] = met
        self.shown.append(PeerMet(peer, uuid, met.last, met.doubted, is_found))
        self._hear_of_itself(introduction)
        return None

    def told_removed(self, peer: NodeId) -> None:
        """Take a peer's word that this node was removed, which counts unless there are links with a majority."""
        self._removed_by.add(peer)
        self._judge_removal()

    def _judge_removal(self) -> None:
        core, links = self._replica.raft.state, self._replica.links
        strangers = set(core.configurations.voters) - {*links, self._node}
        self._believes_removal = bool(self._removed_by) and is_cast_out(core, strangers)
        self.shown.append(RemovalTold(self._believes_removal))

    def _hear_of_itself(self, introduction: Hello | Welcome) -> None:
        own, core, told = required(self.own, "start"), self._replica.raft.state, introduction.remembered
        if told is None or not starts.is_forgotten(own, told):
            return
        is_known = bool(own.doubted) or not starts.is_in_doubt(core, self._node, (own.start.nonce,))
        doubted = own.doubted if is_known else (own.start.nonce,)
        self.own = replace(own, forgotten=told.number, doubted=doubted)
        if is_known:
            return
        self.shown.append(PeerMet(self._node, self._uuid, own.start, self.own.doubted, put_back=True))
        for peer in sorted(self._links):
            self.disconnect(peer)

    def was(self, nonce: str) -> bool:
        """True if this folder knows a start of its own with this nonce. Frames outlive a process here, but those to a
        start that is forgotten are dropped, because they refer to entries that the node does not have."""
        own = required(self.own, "start")
        return any(start.nonce == nonce for start in (own.start, *own.earlier))

    def tidy(self) -> None:
        """Write down for which nodes there is no doubt any more."""
        core = self._replica.raft.state
        own = self.own
        if own is not None and own.doubted and not starts.is_in_doubt(core, self._node, own.doubted):
            self.own = replace(own, doubted=())
        for peer, known in self.known.items():
            if known.doubted and not starts.is_in_doubt(core, peer, known.doubted):
                self.known[peer] = replace(known, doubted=())

    def connect(self, peer: NodeId, uuid: str) -> None:
        """Note a link to a peer, after the handshake."""
        self._links[peer] = uuid
        self._replica.links.add(peer)
        if self._removed_by:
            self._removed_by.discard(peer)
            self._judge_removal()

    def disconnect(self, peer: NodeId) -> None:
        """Note that the link to a peer has ended."""
        if self._links.pop(peer, None) is not None:
            self._replica.links.discard(peer)

    def keep_only(self, peers: Iterable[NodeId]) -> None:
        """End the links to all other nodes, which are not peers any more."""
        for peer in sorted(set(self._links).difference(peers)):
            self.disconnect(peer)

    def is_connected(self, peer: NodeId) -> bool:
        """True while this node takes its link to the peer for up."""
        return peer in self._links

    def send(self, network: Network, uuid: str, target: NodeId, messages: Sequence[Message]) -> None:
        """Send one frame to a peer, if there is a link to it. Raises `InvariantBroken` for too many messages."""
        if target not in self._links:
            return
        if len(messages) > MESSAGES_PER_TURN_MAX:
            raise InvariantBroken(f"{self._node} says {len(messages)} messages to {target} in one turn")
        frame, start = encode_frame(0, messages), required(self.own, "start").start.nonce
        met = self.known[target].last.nonce
        network.send(Envelope(self._node, target, uuid, self._links[target], start, met, frame))
