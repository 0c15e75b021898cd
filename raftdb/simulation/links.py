"""The links between hosts: they come up by a handshake, and end with a process, or when nothing passes for long.

The handshake is that of the wire, with the rules that keep wiped and removed nodes out (`peers`; hazards B36, B41).
"""

from collections.abc import Mapping

from raftdb.core.events import TripMeasured
from raftdb.core.model import NodeId
from raftdb.node.standing import standing_of
from raftdb.simulation.host import Host, World
from raftdb.simulation.peers import CLUSTER_ID, REMOVED
from raftdb.simulation.scheduler import MILLISECOND, SECOND
from raftdb.wire.handshake import (
    Handshake,
    Hello,
    Refused,
    Welcome,
    decode_handshake,
    encode_handshake,
)

LOOK_US = 150 * MILLISECOND
"""How often a node checks its links."""
SILENCE_US = 1 * SECOND
"""A link is given up if nothing passes through it for this long."""


class Links:
    """The links of all hosts. Nothing passes between pairs in `half_open`, whose links stay up."""

    def __init__(self, world: World, hosts: Mapping[NodeId, Host]) -> None:
        self._world = world
        self._hosts = hosts
        self._blocked_since: dict[tuple[NodeId, NodeId], int] = {}
        self.half_open: set[tuple[NodeId, NodeId]] = set()

    def begin(self) -> None:
        """Begin to check the links of every host."""
        for node in self._hosts:
            self.begin_for(node)

    def begin_for(self, node: NodeId) -> None:
        """Begin to check the links of this host."""
        self._world.scheduler.after(self._world.chance.below(MILLISECOND), self._look, node)

    def _look(self, node: NodeId) -> None:
        """Dial the peers without a link, and give up links through which nothing has passed for long."""
        host, network, now_us = self._hosts[node], self._world.network, self._world.scheduler.now_us
        wanted = self._wanted(host) if host.is_up else frozenset()
        for peer in self._hosts:
            pair = (node, peer)
            is_blocked = pair in network.blocked or (peer, node) in network.blocked
            since_us = self._blocked_since.setdefault(pair, now_us)
            if not is_blocked or pair in self.half_open:
                del self._blocked_since[pair]
            elif now_us - since_us > SILENCE_US and host.is_up:
                host.peers.disconnect(peer)
            if host.is_up and not host.is_paused and peer in wanted:
                if host.peers.is_connected(peer) and not self._hosts[peer].is_up and not is_blocked:
                    host.peers.disconnect(peer)
                if not host.peers.is_connected(peer) and not is_blocked:
                    self._world.scheduler.after(network.delay(), self._hello, node, host.epoch, peer, now_us)
        self._world.scheduler.after(LOOK_US, self._look, node)

    def _wanted(self, host: Host) -> frozenset[NodeId]:
        """The nodes to dial: the peers, and nodes that have dialled this one without being peers. A removed node's link
        is cut, so that it dials again and is told why."""
        wanted = set(host.replica.raft.peers())
        for caller in self._hosts.values():
            if caller.id not in wanted and caller.is_up and caller.peers.is_connected(host.id):
                if standing_of(host.replica.raft.state, caller.id).is_removed:
                    caller.peers.disconnect(host.id)
                else:
                    wanted.add(caller.id)
        return frozenset(wanted)

    def _hello(self, node: NodeId, epoch: int, peer: NodeId, began_us: int) -> None:
        """The dialled peer gets the hello of `node`, and answers."""
        callee = self._hosts[peer]
        if (node, peer) in self._world.network.blocked or not callee.is_up or callee.is_paused:
            return
        if epoch != self._hosts[node].epoch:
            return
        hello = decode_handshake(encode_handshake(self._hosts[node].peers.introduction(Hello, peer)))
        answer = encode_handshake(self._answer(callee, hello))
        delay_us = self._world.network.delay()
        self._world.scheduler.after(delay_us, self._answered, node, epoch, peer, answer, began_us)

    def _answer(self, callee: Host, hello: Handshake) -> Handshake:
        if not isinstance(hello, Hello) or hello.target != callee.id or hello.cluster_id != CLUSTER_ID:
            return Refused("bad_request", "not meant for this node")
        refusal = callee.peers.why_not(hello)
        if refusal is not None:
            return refusal
        return callee.peers.introduction(Welcome, hello.source)

    def _answered(self, node: NodeId, epoch: int, peer: NodeId, data: bytes, began_us: int) -> None:
        """The dialling node gets the answer, and has a link unless one side refused."""
        host = self._hosts[node]
        if epoch != host.epoch or not host.is_up or (peer, node) in self._world.network.blocked:
            return
        answer = decode_handshake(data)
        if isinstance(answer, Refused) and answer.code == REMOVED:
            host.peers.told_removed(peer)
        if not isinstance(answer, Welcome) or answer.source != peer:
            return
        if host.peers.why_not(answer) is not None:
            return
        host.peers.connect(peer, answer.node_uuid)
        if self._world.options.slow_way_us:
            # On a fast network a trip takes less than a tick, which is what a node assumes.
            trip_ms = (self._world.scheduler.now_us - began_us) // MILLISECOND
            host.peers.shown.append(TripMeasured(peer, trip_ms))
