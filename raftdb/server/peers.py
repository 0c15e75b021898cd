"""Who may be a peer: a node with the folder that it had when it was first met, and that was not removed.

A folder's uuid is new whenever a folder is new. Another one under a member's id means that the member lost its memory,
or is an impostor. It could have forgotten votes and entries that it promised to keep, so it is refused (hazards B36,
B90). Where the configuration does not say which folder a member is (see `raftdb.node.standing`), the first one seen is
written down, durably, before the peer is believed.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from raftdb.core.model import NodeId
from raftdb.core.state import RaftState
from raftdb.node.standing import standing_of
from raftdb.transport.handshake import Introduction
from raftdb.wire.peer import Hello, Refused
from storage.contract import LogStore

logger = logging.getLogger("raftdb.server")

IDENTITY_CHANGED = "identity_changed"
"""Code of the refusal that a node gets which is not the one that was met under its id: it has to stop."""
REMOVED = "removed"
"""Code of the refusal that a node gets which is known for certain to be a member no more: it has to take no part."""
PEER_CHANGED = "peer_identity_changed"
"""Code of the refusal where the peer that we dialled is not the one we met: ours, which says nothing of this node."""
PEER_REMOVED = "peer_removed"
"""Code of the refusal where the peer that we dialled is the one that was removed."""
FACT_PREFIX = "peer:"

Result = TypeVar("Result")


class WritingThread(Protocol):
    """The log's writer: it alone may write facts."""

    def call(self, work: Callable[[], Result]) -> "Future[Result]":
        """Run `work` there."""
        ...


class PeerRegistry:
    """Remembers which uuid belongs to which member, on disk."""

    def __init__(
        self,
        store: LogStore,
        writer: WritingThread,
        core: RaftState,
        *,
        on_met: Callable[[NodeId, str], None],
        on_stated: Callable[[NodeId, str], object],
    ) -> None:
        """`on_met(id, uuid)`: a node has shown which folder it is, now or before this start.

        `on_stated(id, http)`: a peer that is believed has said where it is reached.
        """
        self._store = store
        self._writer = writer
        self._core = core
        self._on_met = on_met
        self._on_stated = on_stated
        self._has_recalled = False

    def _recall(self) -> None:
        """Before the first peer is believed: say again which folders the members were met as."""
        self._has_recalled = True
        for member in self._core.configurations.latest.members:
            known = self._store.get_meta(FACT_PREFIX + member.id)
            if known is not None:
                self._on_met(member.id, known.decode())

    async def check(self, introduction: Introduction) -> Refused | None:
        """Why the speaker cannot be a peer, or None. Its first uuid is durable when this returns."""
        if not self._has_recalled:
            self._recall()
        peer, uuid = introduction.source, introduction.node_uuid
        standing = standing_of(self._core, peer)
        if standing.is_removed:
            code = REMOVED if isinstance(introduction, Hello) else PEER_REMOVED
            return Refused(code, f"{peer} was removed from this cluster")
        known = uuid
        if standing.is_member:
            known = standing.uuid or await self._first_uuid(peer, standing.met or uuid)
        if known != uuid:
            return Refused(
                IDENTITY_CHANGED if isinstance(introduction, Hello) else PEER_CHANGED,
                f"the data folder of {peer} is not the one that was a member: it was wiped or replaced",
            )
        self._on_stated(peer, introduction.http)
        self._on_met(peer, uuid)
        return None

    async def _first_uuid(self, peer: NodeId, uuid: str) -> str:
        """The uuid that the peer was first met with: this one, written down, if it was never met."""
        name = FACT_PREFIX + peer
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
        peer = name.removeprefix(FACT_PREFIX)
        logger.info("peer met for the first time", extra={"fields": {"peer": peer}})
        return uuid
