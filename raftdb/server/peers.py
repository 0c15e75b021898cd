"""Who may be a peer: a member of the configuration, with the identity it had when it was first met.

A folder's uuid is new whenever a folder is new. The first uuid seen under a member's id is written down, durably,
before the peer is believed; another one later means that the member lost its memory, or is an impostor. It could
have forgotten votes and entries that it promised to keep, so it is refused (hazards B36, B90).
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from raftdb.core.membership import Configuration
from raftdb.transport.handshake import Introduction
from raftdb.wire.peer import Hello, Refused
from storage.contract import LogStore

logger = logging.getLogger("raftdb.server")

IDENTITY_CHANGED = "identity_changed"
"""Code of the refusal that a node gets which is not the one that was met under its id: it has to stop."""
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
        self, store: LogStore, writer: WritingThread, configuration: Callable[[], Configuration]
    ) -> None:
        self._store = store
        self._writer = writer
        self._configuration = configuration

    async def check(self, introduction: Introduction) -> Refused | None:
        """Why the speaker cannot be a peer, or None. Its first uuid is durable when this returns."""
        peer = introduction.source
        if self._configuration().find(peer) is None:
            return Refused("not_member", f"{peer} is not a member of this cluster")
        name = FACT_PREFIX + peer
        uuid = introduction.node_uuid.encode()
        known = self._store.get_meta(name)
        if known is None:
            known = await asyncio.wrap_future(self._writer.call(lambda: self._pin(name, uuid)))
        if known != uuid:
            return Refused(
                IDENTITY_CHANGED if isinstance(introduction, Hello) else PEER_CHANGED,
                f"the data folder of {peer} is not the one that was a member: it was wiped or replaced",
            )
        return None

    def _pin(self, name: str, uuid: bytes) -> bytes:
        """On the writing thread: note the uuid unless another handshake was first; returns the one that counts."""
        known = self._store.get_meta(name)
        if known is not None:
            return known
        self._store.put_meta(name, uuid)
        peer = name.removeprefix(FACT_PREFIX)
        logger.info("peer met for the first time", extra={"fields": {"peer": peer}})
        return uuid
