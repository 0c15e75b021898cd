"""Who may talk to whom: the checks of a handshake, the same on both sides (hazards B90, B95)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import TypeAlias, TypeVar

from raftdb.wire.peer import PROTOCOL_VERSION, Hello, Refused, Welcome

Introduction: TypeAlias = Hello | Welcome
CheckPeer: TypeAlias = Callable[[Introduction], Refused | Awaitable[Refused | None] | None]
"""The owner's part of the check: is the speaker a member, and does its uuid match the one seen first? It may be a
coroutine, for the first sight of a uuid is made durable before the peer is believed."""

_Kind = TypeVar("_Kind", Hello, Welcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalIdentity:
    """What this node says of itself. `incarnation` grows with each start; addresses are HOST:PORT, for clients.

    `find_http`: where this node is reached now, if that may change while it runs.
    """

    cluster_id: str
    node_id: str
    node_uuid: str
    incarnation: int
    http: str
    redis: str | None = None
    find_http: Callable[[], str] | None = None

    def introduce(self, kind: type[_Kind], target: str) -> _Kind:
        """This node's `Hello` or `Welcome` to the node `target`."""
        return kind(
            protocol_version=PROTOCOL_VERSION,
            cluster_id=self.cluster_id,
            source=self.node_id,
            target=target,
            node_uuid=self.node_uuid,
            incarnation=self.incarnation,
            http=self.http if self.find_http is None else self.find_http(),
            redis=self.redis,
        )


def find_mismatch(introduction: Introduction, identity: LocalIdentity) -> Refused | None:
    """Why the speaker cannot be a peer of this node, from what both say alone; `None` if nothing speaks against it."""
    if introduction.protocol_version != PROTOCOL_VERSION:
        return Refused(
            "protocol_version",
            f"{identity.node_id} speaks version {PROTOCOL_VERSION}, not {introduction.protocol_version}",
        )
    if introduction.cluster_id != identity.cluster_id:
        return Refused("wrong_cluster", f"{identity.node_id} belongs to another cluster")
    if introduction.target != identity.node_id:
        reason = f"this is {identity.node_id}, not {introduction.target}"
        return Refused("wrong_target", reason, answered_by=identity.node_id)
    if introduction.source == identity.node_id:
        return Refused("self", f"{identity.node_id} is this node's own name")
    return None


async def check_introduction(
    introduction: Introduction, identity: LocalIdentity, check_peer: CheckPeer
) -> Refused | None:
    """The whole check: what both say, then the owner's knowledge. `None` if the link may be used."""
    refusal = find_mismatch(introduction, identity)
    if refusal is None:
        verdict = check_peer(introduction)
        refusal = await verdict if isawaitable(verdict) else verdict
    return refusal
