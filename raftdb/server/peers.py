"""Who may be a peer: a node with the identity that it had when it was first met, and that was not removed.

A folder's uuid is new whenever a folder is new. Another one under a member's id means that the member lost its memory,
or is an impostor. It could have forgotten votes and entries that it promised to keep, so it is refused (hazards B36,
B90). What its uuid is, the configuration says; where it does not (the first members, until a leader that knows them
changes the members, and learners), the first one seen is written down, durably, before the peer is believed.

A node that the configuration here does not know is believed all the same: it may have been added since, and lead, and
have the entry that says so (thesis 4.1). What it can do without having been added is nothing, for without a log it
neither votes nor stands for election.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from raftdb.core.model import NodeId
from raftdb.core.state import RaftState
from raftdb.transport.handshake import Introduction
from raftdb.wire.peer import Hello, Refused
from storage.contract import LogStore

logger = logging.getLogger("raftdb.server")

IDENTITY_CHANGED = "identity_changed"
"""Code of the refusal that a node gets which is not the one that was met under its id: it has to stop."""
REMOVED = "removed"
"""Code of the refusal that a node gets which is known for certain to be a member no more: it has to take no part."""
PEER_CHANGED = "peer_identity_changed"
"""Code of the refusal where the peer that we dialled is not the one we met."""
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
    ) -> None:
        self._store = store
        self._writer = writer
        self._core = core
        self._on_met = on_met
        self.introduced: dict[NodeId, str] = {}
        """Where each peer that was believed said that it is reached, HOST:PORT: the latest."""

    async def check(self, introduction: Introduction) -> Refused | None:
        """Why the speaker cannot be a peer, or None. Its first uuid is durable when this returns."""
        peer, uuid = introduction.source, introduction.node_uuid
        core = self._core
        if peer in core.configurations.committed_at(core.commit_index)[1].removed:
            return Refused(REMOVED, f"{peer} was removed from this cluster")
        member = core.configurations.find(peer)
        if member is None:
            self.introduced[peer] = introduction.http
            return None
        known = member.uuid or await self._first_uuid(peer, uuid)
        if known != uuid:
            return Refused(
                IDENTITY_CHANGED if isinstance(introduction, Hello) else PEER_CHANGED,
                f"the data folder of {peer} is not the one that was a member: it was wiped or replaced",
            )
        self.introduced[peer] = introduction.http
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
