"""Outgoing links: one per peer, dialled for as long as the peer is known, sending what the node hands over."""

import asyncio
import random
from collections.abc import Mapping, Sequence

from raftdb.background import StartTask
from raftdb.core.messages import Message
from raftdb.endpoint import Endpoint
from raftdb.transport.events import PeerEvents
from raftdb.transport.handshake import CheckPeer, LocalIdentity
from raftdb.transport.limits import LinkLimits
from raftdb.transport.link import LinkContext, LinkStatistics, PeerLink, Uniform
from raftdb.wire.peer import EntryColumns


class PeerLinks:
    """The outgoing links of one node. Everything is called on the event loop's thread.

    `check_peer` judges who answers a dial, as it judges who dials us. `uniform` is the source of jitter. `start` runs
    what a link does, and sees to what becomes of it.
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
    ) -> None:
        self._context = LinkContext(
            identity=identity,
            check_peer=check_peer,
            events=events or PeerEvents(),
            limits=limits or LinkLimits(),
            uniform=uniform,
            start=start,
            columns=EntryColumns(),
        )
        self._links: dict[str, PeerLink] = {}
        self._stopped: set[asyncio.Task[None]] = set()

    def update_peers(self, addresses: Mapping[str, tuple[Endpoint, ...]]) -> None:
        """Dial exactly the peers of `addresses` (by id, the likeliest address first), this node's own id left out.

        A link that is up at one of its peer's addresses goes on undisturbed, and so does one that is looking for its
        peer if the likeliest address did not change; one whose peer is gone is closed.
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
        """End all links and dial the same peers again, so that they hear what this node says of itself now."""
        addresses = {peer: link.addresses for peer, link in self._links.items()}
        self.update_peers({})
        self.update_peers(addresses)

    def send(self, target: str, messages: Sequence[Message]) -> None:
        """Send `messages` to `target`, in order, if it can be reached; never blocks, never raises for a lost peer."""
        link = self._links.get(target)
        if link is not None:
            link.send(messages)

    def nudge(self, peer: str, address: Endpoint | None = None) -> None:
        """Dial `peer` at once, at `address` if that is given: it was just heard of, so it is likely there."""
        link = self._links.get(peer)
        if link is not None:
            link.nudge(address)

    def redial(self, peer: str) -> None:
        """Dial `peer` anew, first where it is likeliest: it has moved, and a link to where it was may only seem up."""
        link = self._links.get(peer)
        if link is not None and link.address != link.addresses[0]:
            self._stop(link)
            self._links[peer] = PeerLink(self._context, peer, link.addresses)

    def address(self, peer: str) -> Endpoint | None:
        """Where `peer` is reached now; None if it is not."""
        link = self._links.get(peer)
        return link.address if link is not None and link.up else None

    def connected(self) -> frozenset[str]:
        """The peers that messages can be sent to now."""
        return frozenset(peer for peer, link in self._links.items() if link.up)

    def failure(self, peer: str) -> str | None:
        """Why `peer` could not be reached when it was last dialled; None if it could, or was not dialled yet."""
        link = self._links.get(peer)
        return None if link is None else link.failure

    @property
    def queued_bytes(self) -> int:
        """Messages that wait to be sent, on all links."""
        return sum(link.queue.bytes for link in self._links.values())

    def statistics(self) -> dict[str, LinkStatistics]:
        """The counters of each link, by peer."""
        return {peer: link.statistics() for peer, link in sorted(self._links.items())}

    async def close(self) -> None:
        """Close all links. What is queued is dropped: a peer learns of our end by the end of the link."""
        for _, link in sorted(self._links.items()):
            self._stop(link)
        self._links.clear()
        await asyncio.gather(*self._stopped, return_exceptions=True)

    def _stop(self, link: PeerLink) -> None:
        link.go_down("stopped")
        link.task.cancel()
        self._stopped.add(link.task)
        link.task.add_done_callback(self._stopped.discard)
