"""All that one node has to do with its peers: links, snapshots, who may be one, and where each is found.

Whom to dial follows from the configuration, with one addition: who dials this node without being in its configuration
is dialled back. A node that joins knows nobody, or only members of long ago, until it has caught up with the log that
somebody unknown to it sends; and a leader that is being removed needs the answers of those who have its removal in
their logs already. Where to dial is the address book's business (`raftdb.server.addresses`): who has moved says so in
its handshakes, and is dialled there at once.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from raftdb.background import Background
from raftdb.core.events import SnapshotMade
from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import NodeId
from raftdb.endpoint import Endpoint
from raftdb.errors import Fatal, LeaderHint, RequestRefused
from raftdb.forwarding import execute_for
from raftdb.impairment import ImpairedNetwork, NetworkChange
from raftdb.node.driver import Driver
from raftdb.node.starts import OwnStarts
from raftdb.route import Routes
from raftdb.server.addresses import STRANGERS_MAX, AddressBook
from raftdb.server.disk import NodeDisk
from raftdb.server.folder import EXIT_FOLDER
from raftdb.server.incoming import Incoming
from raftdb.server.outgoing import Outgoing
from raftdb.server.peers import (
    IDENTITY_CHANGED,
    OTHER_LIFE,
    PEER_OTHER_LIFE,
    REMOVED,
    STALE_START,
    PeerRegistry,
)
from raftdb.server.removal import Removal
from raftdb.transport import (
    THE_NETWORK,
    ForwardEvents,
    ForwardLink,
    ForwardServer,
    ImpairedMedium,
    LinkStatistics,
    LocalIdentity,
    PeerEvents,
    PeerLinks,
    PeerServer,
    SnapshotServer,
)
from storage import LogStore, SnapshotReceiver, StorageError

logger = logging.getLogger("raftdb.server")

LINGER_SECONDS = 5.0
"""A stranger who has hung up is dialled for so long: it may have found that this node is not who it was, and say so."""
LAST_WORDS_SECONDS = 1.0
"""How long a node that stops waits for its disk to take what it has learnt of its peers."""
REMOVED_CHECK_SECONDS = 1.0
"""How often is looked for links of nodes that were removed."""


class Network:
    """The links of one node, as its driver uses them. Made before the driver starts, opened after it."""

    def __init__(
        self,
        local: LocalIdentity,
        driver: Driver,
        disk: NodeDisk,
        log: LogStore,
        own: OwnStarts,
        background: Background,
        *,
        addresses: AddressBook,
        receiver: SnapshotReceiver,
        impaired: ImpairedNetwork | None,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        """`impaired`: what fault injection makes of this node's links; None: nothing."""
        self.addresses = addresses
        self._impaired = impaired
        self._medium = medium = THE_NETWORK if impaired is None else ImpairedMedium(impaired)
        self._driver = driver
        self._view = driver.view
        self._on_fatal = on_fatal
        self._background = background
        self._removed_check: asyncio.TimerHandle | None = None
        self._hung_up: dict[NodeId, asyncio.TimerHandle] = {}
        self._refused_by: dict[NodeId, str] = {}
        """Who wants nothing of this node, or this node of them, and the code of the refusal."""
        self._removal = Removal(driver, disk, log, background)
        self._tidying: asyncio.Task[None] | None = None
        self._is_leaving = self._has_left = False
        self._closed = False
        replica = driver.replica
        self._registry = self._make_registry(log, disk, own)
        check = self._registry.check
        self._local = local = replace(local, recall=self._registry.recall)
        self._links = self._make_links()
        self._peer_server = self._make_peer_server()
        self._incoming = Incoming(
            *(replica, receiver, local), check_peer=check, endpoint_of=self.endpoint_of, medium=medium
        )
        disk.receiving = self._incoming.paused
        self._outgoing = Outgoing(replica, self._view, disk, local.cluster_id, background)
        self._snapshot_server = SnapshotServer(
            local,
            check_peer=check,
            find=self._outgoing.find,
            is_member=self._is_member,
            medium=medium,
        )
        self._forward_server = ForwardServer(
            local,
            check_peer=check,
            is_member=self._is_member,
            on_opened=lambda stream: execute_for(stream, driver.submit, driver.held),
            medium=medium,
        )

    def _make_registry(self, log: LogStore, disk: NodeDisk, own: OwnStarts) -> PeerRegistry:
        return PeerRegistry(
            *(log, disk.writer, self._view, own),
            on_met=self._driver.peer_met,
            on_stated=self.addresses.stated,
            on_put_back=self._was_put_back,
        )

    def _make_links(self) -> PeerLinks:
        return PeerLinks(
            self._local,
            check_peer=self._registry.check,
            events=self._events_of_links(),
            start=self._background.start,
            medium=self._medium,
        )

    def _make_peer_server(self) -> PeerServer:
        return PeerServer(
            self._local,
            check_peer=self._registry.check,
            on_messages=self._driver.receive,
            events=PeerEvents(on_peer_up=self._dialled, on_peer_down=self._no_longer_dialled),
            is_member=self._is_member,
            start=self._background.start,
            medium=self._medium,
        )

    def _is_member(self, peer: NodeId) -> bool:
        return peer in self.addresses.members

    def _events_of_links(self) -> PeerEvents:
        """Who hears what of the links that this node dials."""
        return PeerEvents(
            on_peer_up=self._peer_up,
            on_peer_down=self._peer_down,
            on_refused=self._refused,
            on_sighted=self._sighted,
            on_trip=self._driver.trip_measured,
        )

    @property
    def routes(self) -> Routes:
        """What the listener has to serve to peers."""
        return {**self._peer_server.routes, **self._snapshot_server.routes, **self._forward_server.routes}

    def open(self) -> None:
        """Dial the peers that are known; from now on the driver says when they change."""
        self.update_peers(self._view.peers())
        self._removal.recall()
        self._check_removed()

    def send(self, target: NodeId, messages: Sequence[Message]) -> None:
        """See `raftdb.node.turn.PeerLinks`."""
        self._links.send(target, messages)

    def update_peers(self, addresses: Mapping[NodeId, Endpoint]) -> None:
        """See `raftdb.node.turn.PeerLinks`."""
        self.addresses.members = dict(addresses)
        self._dial()

    def endpoint_of(self, peer: NodeId) -> Endpoint | None:
        """See `raftdb.node.turn.PeerLinks`: at its link's address, or where it would be dialled first."""
        return self._links.address(peer) or self.addresses.of(peer)

    async def make(self, target: NodeId) -> SnapshotMade:
        """See `raftdb.node.turn.Snapshots`."""
        return await self._outgoing.make(target)

    async def fetch(self, offer: InstallSnapshot) -> bool:
        """See `raftdb.node.turn.Snapshots`."""
        return await self._incoming.fetch(offer)

    def dial_leader(self, leader: LeaderHint, events: ForwardEvents) -> ForwardLink:
        """Open a connection over which requests are passed on to `leader`."""
        return ForwardLink(
            self._local,
            peer=leader.id,
            endpoint=leader.endpoint,
            check_peer=self._registry.check,
            events=events,
            start=self._background.start,
            medium=self._medium,
        )

    @property
    def injects_faults(self) -> bool:
        """Whether the links of this node may be made worse than they are."""
        return self._impaired is not None

    @property
    def impairment(self) -> ImpairedNetwork:
        """What is made of the links of this node. Raises RequestRefused if it injects no faults."""
        if self._impaired is None:
            hint = "start its nodes with RAFTDB_FAULT_INJECTION=true, as raftdb up does"
            raise RequestRefused(
                "forbidden", f"{self._local.node_id} was started without fault_injection", hint=hint
            )
        return self._impaired

    def change(self, change: NetworkChange) -> None:
        """Make something else of the links, and dial those at once that are cut no longer. Raises as `impairment`."""
        for peer in sorted(self.impairment.change(change)):
            self._links.nudge(peer)
        logger.warning("the network was set", extra={"fields": self.impairment.said()})

    def failure(self, peer: NodeId) -> str | None:
        """Why `peer` was not reached when it was last dialled; None if it was, or nobody tried."""
        return self._links.failure(peer)

    @property
    def queued_bytes(self) -> int:
        """Messages that wait to be sent to peers."""
        return self._links.queued_bytes

    def statistics(self) -> dict[NodeId, LinkStatistics]:
        """The counters of the links that this node dials."""
        return self._links.statistics()

    @property
    def received_bytes(self) -> Mapping[NodeId, int]:
        """The bytes of messages that each peer has sent."""
        return self._peer_server.received_bytes

    @property
    def heartbeats_dropped(self) -> int:
        """Heartbeats for peers whose link was down."""
        return self._links.heartbeats_dropped

    @property
    def snapshots_sent(self) -> int:
        """Snapshots that members have fetched here."""
        return self._snapshot_server.sent_count

    async def close(self) -> None:
        """End all links."""
        self._closed = True
        if self._removed_check is not None:
            self._removed_check.cancel()
        # What is certain by now is certain for the next start, too.
        with suppress(StorageError, OSError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._registry.tidy()
        for timer in self._hung_up.values():
            timer.cancel()
        await self._links.close()
        await self._peer_server.close()
        await self._forward_server.close()
        await self._incoming.close()

    def _dial(self) -> None:
        if not self._closed and not self._has_left:
            strangers = self._peer_server.connected() | self._hung_up.keys()
            self._links.update_peers(self.addresses.wanted(strangers))

    def _dialled(self, peer: NodeId) -> None:
        """A peer has connected to this node: it is there, and has said where."""
        self._dial()
        self._links.nudge(peer, self.addresses.of(peer))
        if self.addresses.take_news(peer):
            self._links.redial(peer)

    def _sighted(self, peer: NodeId, address: Endpoint) -> None:
        """A dial has found this peer where another one was expected."""
        if self.addresses.sighted(peer, address):
            self._dial()
            self._links.nudge(peer, address)

    def _no_longer_dialled(self, peer: NodeId, reason: str) -> None:
        if peer in self.addresses.members:
            return
        if peer in self._hung_up:
            self._hung_up.pop(peer).cancel()
        if len(self._hung_up) >= STRANGERS_MAX:
            oldest = next(iter(self._hung_up))
            self._hung_up.pop(oldest).cancel()
        self._hung_up[peer] = self._background.after(LINGER_SECONDS, self._forget_stranger, peer)

    def _forget_stranger(self, peer: NodeId) -> None:
        del self._hung_up[peer]
        self._dial()

    def _check_removed(self) -> None:
        """Cut who was removed for certain, and is owed nothing more: dialling again it hears that it was.

        If it is this node that was removed, it dials nobody any more, once it has had the time to say its last.
        """
        self._removal.doubt()
        if self._view.is_removed and self._is_leaving and not self._has_left:
            self._has_left = True
            self._links.update_peers({})
        self._is_leaving = self._view.is_removed
        removed = self._view.committed_configuration.removed
        self._peer_server.cut(set(removed).difference(self.addresses.members), "it was removed")
        self._removed_check = self._background.after(REMOVED_CHECK_SECONDS, self._check_removed)
        if self._tidying is None or self._tidying.done():
            self._tidying = self._background.start(self._registry.tidy(), name="peers written down")

    def _was_put_back(self) -> None:
        # Not at once: this is called by one of the links that are to end.
        self._background.after(0, self._introduce_anew)

    def _introduce_anew(self) -> None:
        """Let all who were told of this node be told again: now it knows more of itself."""
        if not self._closed:
            self._links.introduce_anew()

    def _peer_down(self, peer: NodeId, reason: str) -> None:
        self._driver.peer_down(peer)

    def _refused(self, peer: NodeId, code: str, reason: str) -> None:
        """A dial has ended in a refusal, by either side. What one peer says ends nothing: only so many that this node
        can have no majority without them, and strangers do not count. But a node that has taken part in nothing yet
        stops for the first member that knows another folder under its name: it loses nothing, and two that were
        emptied would outvote one that was not."""
        if self._view.configuration.ids and self._view.find(peer) is None:
            return
        if code == REMOVED:
            self._removal.said(peer)
        if code not in _HINTS or self._refused_by.get(peer) == code:
            return
        self._refused_by[peer] = code
        logger.error(
            "a peer and this node want nothing of each other",
            extra={"fields": {"peer": peer, "code": code, "reason": reason}},
        )
        is_out = self._view.is_cast_out(self._refused_by.keys())
        if is_out or (self._view.is_new and code == IDENTITY_CHANGED):
            refusing = sorted(self._refused_by)
            self._on_fatal(
                Fatal(
                    f"{', '.join(refusing)} {'refuses' if len(refusing) == 1 else 'refuse'} this node: {reason}",
                    exit_code=EXIT_FOLDER,
                    hint=_HINTS[code],
                )
            )

    def _peer_up(self, peer: NodeId) -> None:
        self._refused_by.pop(peer, None)
        self._driver.peer_up(peer)
        self._removal.linked(peer)


_OTHER_LIFE_HINT = (
    "keep the folder, it may be all that is left of the other life ('raftdb recover'); to take part in this one, start "
    "with an empty folder under a new id"
)
_HINTS = {
    IDENTITY_CHANGED: "bring back the old folder, or remove the node and add it under a new id",
    OTHER_LIFE: _OTHER_LIFE_HINT,
    PEER_OTHER_LIFE: _OTHER_LIFE_HINT,
    STALE_START: "another process runs as this node, on a copy of its folder: stop one, and start the other again",
}
"""What to do for a node that is refused by a majority, by the code of the refusal."""
