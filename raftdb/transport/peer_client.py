"""The outgoing links of a node: one per peer, which is dialled for as long as the owner names that peer."""

import asyncio
import random
from collections.abc import Mapping, Sequence

from raftdb.background import StartTask
from raftdb.core.messages import Heartbeat, Message
from raftdb.endpoint import Endpoint
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import CheckPeer, LocalIdentity
from raftdb.transport.limits import LinkLimits
from raftdb.transport.link import LinkContext, LinkStatistics, PeerLink, Uniform
from raftdb.transport.medium import THE_NETWORK, Medium


class PeerLinks:
    """The outgoing links of one node. Everything is called on the event loop's thread.

    `check_peer` judges the node that answers a dial, as it judges one that dials this node. `uniform` is the source of
    jitter. `start` runs the task of each link, and handles its failures.
    """

    def __init__(
        self,
        identity: LocalIdentity,
        *,
        check_peer: CheckPeer,
        events: PeerEvents | None = None,
        limits: LinkLimits | None = None,
        uniform: Uniform = random.uniform,
        start: StartTask = asyncio.create_task,
        medium: Medium = THE_NETWORK,
    ) -> None:
        self._context = LinkContext(
            identity=identity,
            check_peer=check_peer,
            events=events or PeerEvents(),
            limits=limits or LinkLimits(),
            uniform=uniform,
            start=start,
            medium=medium,
        )
        self._links: dict[str, PeerLink] = {}
        self._stopped: set[asyncio.Task[None]] = set()
        self.heartbeats_dropped = 0
        """Heartbeats for peers whose link was down."""

    def update_peers(self, addresses: Mapping[str, tuple[Endpoint, ...]]) -> None:
        """Dial exactly the peers of `addresses` (by id, the likeliest address first), this node's own id left out.

        A link that is up stays if its address is still one of the peer's; a link that is down stays if the peer's
        likeliest address is the same. Any other is closed, and dialled anew if its peer is still named.
        """
        wanted = {
            peer: address for peer, address in addresses.items() if peer != self._context.identity.node_id
        }
        for peer, link in sorted(self._links.items()):
            known = wanted.get(peer, ())
            if known and (link.address in known if link.up else link.addresses[0] == known[0]):
                link.addresses = known
            else:
                self._stop(self._links.pop(peer))
        for peer, known in sorted(wanted.items()):
            if peer not in self._links:
                self._links[peer] = PeerLink(self._context, peer, known)

    def introduce_anew(self) -> None:
        """End all links and dial the same peers again, so that they get this node's present introduction."""
        addresses = {peer: link.addresses for peer, link in self._links.items()}
        self.update_peers({})
        self.update_peers(addresses)

    def send(self, target: str, messages: Sequence[Message]) -> None:
        """Send `messages` to `target`, in order, if its link is up; never blocks, never raises for a lost peer."""
        link = self._links.get(target)
        if link is not None:
            link.send(messages)
        if link is None or not link.up:
            self.heartbeats_dropped += sum(isinstance(message, Heartbeat) for message in messages)

    def nudge(self, peer: str, address: Endpoint | None = None) -> None:
        """Dial `peer` at once if its link is down, at `address` if that is given: for a peer that was just heard
        from."""
        link = self._links.get(peer)
        if link is not None:
            link.nudge(address)

    def redial(self, peer: str) -> None:
        """Dial `peer` anew, first at its likeliest address: it has moved, and a link to its old address may only seem
        up."""
        link = self._links.get(peer)
        if link is not None and link.address != link.addresses[0]:
            self._stop(link)
            self._links[peer] = PeerLink(self._context, peer, link.addresses)

    def address(self, peer: str) -> Endpoint | None:
        """The address at which the link to `peer` is up; None if it is down."""
        link = self._links.get(peer)
        return link.address if link is not None and link.up else None

    def connected(self) -> frozenset[str]:
        """The peers that messages can be sent to now."""
        return frozenset(peer for peer, link in self._links.items() if link.up)

    def failure(self, peer: str) -> str | None:
        """Why the last dial of `peer` failed; None if it did not, or there was none."""
        link = self._links.get(peer)
        return None if link is None else link.failure

    @property
    def queued_bytes(self) -> int:
        """The bytes of all messages that wait to be sent, as the queues estimate them."""
        return sum(link.queue.bytes for link in self._links.values())

    def statistics(self) -> dict[str, LinkStatistics]:
        """The counters of each link, by peer."""
        return {peer: link.statistics() for peer, link in sorted(self._links.items())}

    async def close(self) -> None:
        """Close all links. Queued messages are dropped; a peer notices by the end of the link that this node ends."""
        for _, link in sorted(self._links.items()):
            self._stop(link)
        self._links.clear()
        await asyncio.gather(*self._stopped, return_exceptions=True)

    def _stop(self, link: PeerLink) -> None:
        link.go_down("stopped")
        link.task.cancel()
        self._stopped.add(link.task)
        link.task.add_done_callback(self._stopped.discard)
