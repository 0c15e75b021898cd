"""Which nodes may be peers: those with the folder that they had when first met, and that were not removed.

A folder's uuid is new whenever a folder is new. Another uuid under a member's id means that the member lost its memory,
or is an impostor. It could have forgotten votes and entries that it promised to keep, so it is refused (hazards B36,
B90). Where the configuration does not say which folder a member is (see `raftdb.node.standing`), the first one seen is
written down, durably, before the peer is believed.

The uuid of a folder is no secret: every handshake names it. So each folder also has a credential for each peer, which
only the two know. The first credential that a member shows is written down, too, and a node that shows another is not
heard: otherwise any stranger could have a member refused, or moved to another address, by claiming a start of it that
never was (hazard B101).

The start in which a member was met is written down as well. A folder that was put back to an older copy is no stranger,
and is not refused; but that it was put back is on disk before any of its messages is handled (`raftdb.node.starts`,
hazard B108).
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol, TypeVar

from raftdb.core.events import PeerMet
from raftdb.core.model import NodeId
from raftdb.core.raft import FOLDERS_MAX
from raftdb.endpoint import Endpoint, RedisAddresses
from raftdb.node import starts
from raftdb.node.starts import KnownStarts, OwnStarts
from raftdb.node.view import NodeView
from raftdb.server.facts import (
    BIRTH_FACT,
    CREDENTIAL_PREFIX,
    PEER_PREFIX,
    STARTS_FACT,
    STARTS_PREFIX,
    birth_of,
)
from raftdb.transport import Introduction, Recollection
from raftdb.wire.handshake import Hello, Refused
from storage import LogStore

logger = logging.getLogger("raftdb.server")

IDENTITY_CHANGED = "identity_changed"
"""Code of the refusal for a node that is not the one that was met under its id: it has to stop."""
REMOVED = "removed"
"""Code of the refusal for a node that is certainly no member any more: it must not take part."""
PEER_CHANGED = "peer_identity_changed"
"""Code of this node's own refusal where the peer that it dialled is not the one that it met; it says nothing of this
node."""
PEER_REMOVED = "peer_removed"
"""Code of the refusal where the peer that we dialled is the one that was removed."""
OTHER_LIFE = "other_life"
"""Code of the refusal for a node whose folder is of another life of the cluster."""
PEER_OTHER_LIFE = "peer_other_life"
"""Code of the refusal where the peer that we dialled is of another life of the cluster; to that peer, this node is of
another life, too."""
STALE_START = "stale_start"
"""Code of the refusal for a node that was started again since, or is one of two that run on copies of one folder."""
PEER_STALE_START = "peer_stale_start"
"""Code of the refusal where the peer that we dialled is the one that was started again since."""
UNPROVEN = "unproven"
"""Code of the refusal for a node that claims to be a member, and does not show that member's credential."""

Result = TypeVar("Result")


class WritingThread(Protocol):
    """The log's writer: it alone may write facts."""

    def call(self, work: Callable[[], Result]) -> "Future[Result]":
        """Run `work` there."""
        ...


class PeerRegistry:
    """Remembers which uuid belongs to which member, and in which start it was last met, on disk."""

    def __init__(
        self,
        store: LogStore,
        writer: WritingThread,
        view: NodeView,
        own: OwnStarts,
        *,
        on_met: Callable[[PeerMet], None],
        on_stated: Callable[[NodeId, Endpoint, RedisAddresses], object],
        on_put_back: Callable[[], None],
    ) -> None:
        """`on_met(event)`: a node has shown which folder it is and in which start, now or before this start.

        `on_stated(id, http, redis)`: an accepted peer has said where it is reached. `on_put_back()`: this node has
        found out that its own folder was put back, and has to introduce itself anew.
        """
        self._store = store
        self._writer = writer
        self._view = view
        self._on_met = on_met
        self._on_stated = on_stated
        self._on_put_back = on_put_back
        self._own = own
        self._known: dict[NodeId, KnownStarts] = {}
        self._on_disk: dict[NodeId, KnownStarts] = {}
        """The first uuid of each member; that of another node is kept only once it is a member."""
        self._credentials: dict[NodeId, str] = {}
        """The starts that the peers have shown; those of members are on disk."""
        self._birth = birth_of(store)
        self._has_recalled = False
        # One handshake at a time: its conclusions from a record must be on disk before the next one reads the record.
        self._meeting = asyncio.Lock()

    def _recall(self) -> None:
        """Before the first peer is accepted: report again which folders the members were met as."""
        self._has_recalled = True
        for member in self._view.configuration.members:
            credential = self._store.get_meta(CREDENTIAL_PREFIX + member.id)
            if credential is not None:
                self._credentials[member.id] = credential.decode()
            pinned = self._store.get_meta(PEER_PREFIX + member.id)
            uuid = None if pinned is None else pinned.decode()
            stored = self._store.get_meta(STARTS_PREFIX + member.id)
            if stored:
                known = self._known[member.id] = self._on_disk[member.id] = starts.decode_known(stored)
                self._on_met(PeerMet(member.id, uuid or member.uuid, known.last, known.doubted))
            elif uuid is not None:
                self._on_met(PeerMet(member.id, uuid))

    @property
    def birth(self) -> str | None:
        """Which life of the cluster this node belongs to; None while that is not certain: an uncommitted name may be of
        a leader that never committed it."""
        return self._birth or self._view.committed_configuration.birth

    def recall(self, peer: NodeId) -> Recollection:
        """The facts that this node tells `peer` beside its own identity."""
        known = self._known.get(peer)
        remembered = None if known is None else known.before
        put_back = self._view.is_in_doubt(self._view.id, self._own.doubted)
        return Recollection(remembered, put_back, self.birth, starts.credential_for(self._own, peer))

    async def check(self, introduction: Introduction) -> Refused | None:
        """Why the speaker cannot be a peer, or None. All that has to be remembered of it is durable when this
        returns."""
        if not self._has_recalled:
            self._recall()
        peer, uuid = introduction.source, introduction.node_uuid
        standing = self._view.standing_of(peer)
        if standing.is_removed:
            code = REMOVED if isinstance(introduction, Hello) else PEER_REMOVED
            return Refused(code, f"{peer} was removed from this cluster")
        if None not in (self.birth, introduction.birth) and introduction.birth != self.birth:
            return Refused(
                OTHER_LIFE if isinstance(introduction, Hello) else PEER_OTHER_LIFE,
                f"the data folder of {peer} is of another life of this cluster: {introduction.birth}, not {self.birth}",
            )
        known = uuid
        if standing.is_member:
            known = standing.uuid or await self._first_uuid(peer, standing.met or uuid)
        if known != uuid:
            return Refused(
                IDENTITY_CHANGED if isinstance(introduction, Hello) else PEER_CHANGED,
                f"the data folder of {peer} is not the one that was a member: it was wiped or replaced",
            )
        async with self._meeting:
            if standing.met not in (None, uuid):
                # It is another folder, of a node that was no member: its starts have nothing to do with those of the
                # first folder.
                self._known.pop(peer, None)
                self._credentials.pop(peer, None)
            if not self._is_proven(introduction, is_member=standing.is_member):
                return Refused(
                    UNPROVEN, f"this is not the {peer} that was met before, or its folder lost its secret"
                )
            if starts.has_superseded(self._known.get(peer), introduction.start):
                code = STALE_START if isinstance(introduction, Hello) else PEER_STALE_START
                return Refused(code, f"{peer} has been started again since, or runs twice")
            await self._meet(introduction, is_member=standing.is_member)
            await self._hear_of_itself(introduction)
        self._on_stated(peer, introduction.http, introduction.redis)
        return None

    def _is_proven(self, introduction: Introduction, *, is_member: bool) -> bool:
        """True unless a member has shown another credential before. The first credential is written down with the
        start."""
        peer, shown = introduction.source, introduction.credential
        if is_member and peer in self._credentials:
            return hmac.compare_digest(shown.encode(), self._credentials[peer].encode())
        self._credentials[peer] = shown
        return True

    async def _meet(self, introduction: Introduction, *, is_member: bool) -> None:
        """Write down in which start the peer is, and whether its folder was put back; then tell."""
        peer, before = introduction.source, self._known.get(introduction.source)
        known, is_found = self._view.meet(before, introduction)
        if is_member:
            await self._keep(peer, known)
        self._known[peer] = known
        if len(self._known) > FOLDERS_MAX:
            kept = {*self._view.configuration.ids, peer}
            self._known = {node: starts_ for node, starts_ in self._known.items() if node in kept}
            self._credentials = {node: shown for node, shown in self._credentials.items() if node in kept}
        if is_found:
            # Strangers may claim this as often as they like, so it is no warning.
            logger.log(
                logging.ERROR if is_member else logging.DEBUG,
                "the data folder of a peer was put back to an older copy: it counts again once it is refilled",
                extra={"fields": {"peer": peer, "start": known.last.number, "known": _number(known)}},
            )
        self._on_met(PeerMet(peer, introduction.node_uuid, known.last, known.doubted, is_found))

    async def _hear_of_itself(self, introduction: Introduction) -> None:
        """The peer knew an earlier start of this node: if this folder does not, it was put back."""
        own, view, told = self._own, self._view, introduction.remembered
        if told is None or not starts.is_forgotten(own, told):
            return
        is_known = bool(own.doubted) or not view.is_in_doubt(view.id, (own.start.nonce,))
        self._own = own = replace(
            own, forgotten=told.number, doubted=own.doubted if is_known else (own.start.nonce,)
        )
        await self._write(STARTS_FACT, starts.encode_own(own))
        if is_known:
            return
        logger.error(
            "the data folder of this node was put back to an older copy: it does not count until it is "
            "refilled",
            extra={"fields": {"says": introduction.source}},
        )
        self._on_met(PeerMet(view.id, view.folder_of(view.id), own.start, own.doubted, put_back=True))
        self._on_put_back()

    async def tidy(self) -> None:
        """Write down which nodes are no longer in doubt, this node included, and which have become members since they
        were met."""
        view = self._view
        async with self._meeting:
            if self._birth is None and self.birth is not None:
                birth = self.birth
                await self._write(BIRTH_FACT, birth.encode())
                self._birth = birth
            if self._own.doubted and not view.is_in_doubt(view.id, self._own.doubted):
                self._own = replace(self._own, doubted=())
                await self._write(STARTS_FACT, starts.encode_own(self._own))
            for peer in sorted(self._known.keys() & set(view.configuration.ids)):
                known = self._known[peer]
                if known.doubted and not view.is_in_doubt(peer, known.doubted):
                    known = self._known[peer] = replace(known, doubted=())
                await self._keep(peer, known)

    async def _keep(self, peer: NodeId, known: KnownStarts) -> None:
        """Make the record durable, unless it is on disk already."""
        if self._on_disk.get(peer) != known:
            if peer not in self._on_disk:
                await self._write(CREDENTIAL_PREFIX + peer, self._credentials[peer].encode())
            await self._write(STARTS_PREFIX + peer, starts.encode_known(known))
            self._on_disk[peer] = known

    async def _write(self, name: str, value: bytes) -> None:
        await asyncio.wrap_future(self._writer.call(lambda: self._store.put_meta(name, value)))

    async def _first_uuid(self, peer: NodeId, uuid: str) -> str:
        """The uuid that the peer was first met with: if it was never met, this one, which is then written down."""
        name = PEER_PREFIX + peer
        known = self._store.get_meta(name)
        if known is None:
            known = await asyncio.wrap_future(self._writer.call(lambda: self._pin(name, uuid.encode())))
        return known.decode()

    def _pin(self, name: str, uuid: bytes) -> bytes:
        """On the writing thread: note the uuid unless another handshake was first; returns the one that counts."""
        known = self._store.get_meta(name)
        if known is not None:
            return known
        self._store.put_meta(name, uuid)
        peer = name.removeprefix(PEER_PREFIX)
        logger.info("peer met for the first time", extra={"fields": {"peer": peer}})
        return uuid


def _number(known: KnownStarts) -> int | None:
    return None if known.before is None else known.before.number
