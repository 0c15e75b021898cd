"""The checks of a handshake, which are the same on both sides (hazards B90, B95)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import NamedTuple, TypeAlias, TypeVar

from raftdb.core.model import StartId
from raftdb.endpoint import NO_REDIS, Endpoint, RedisAddresses
from raftdb.transport.proof import PeerProof
from raftdb.wire.handshake import PROTOCOL_VERSION, Hello, Refused, Welcome

Introduction: TypeAlias = Hello | Welcome
CheckPeer: TypeAlias = Callable[[Introduction], Refused | Awaitable[Refused | None] | None]
"""The owner's part of the check: whether the speaker may be a peer, and whether its uuid is the one that was seen
first. It may be a coroutine, because a uuid that is seen for the first time is made durable before the peer is
accepted. Returns the refusal, or None."""

_Kind = TypeVar("_Kind", Hello, Welcome)


class Recollection(NamedTuple):
    """The part of an introduction that changes while a node runs, or differs from peer to peer; see `Hello`."""

    remembered: StartId | None = None
    put_back: bool = False
    birth: str | None = None
    credential: str = ""


def _nothing(_peer: str) -> Recollection:
    """The default: nothing is known."""
    return Recollection()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalIdentity:
    """How this node introduces itself: see `Hello`.

    `find_http` returns the present address, if that may change while the node runs. `recall(peer)` returns the part of
    the introduction that is meant for that peer.
    """

    cluster_id: str
    node_id: str
    node_uuid: str
    start: StartId
    http: Endpoint
    predecessor: str | None = None
    disk_term: int = 0
    disk_last_index: int = 0
    redis: RedisAddresses = NO_REDIS
    find_http: Callable[[], Endpoint] | None = None
    recall: Callable[[str], Recollection] = _nothing
    proof: PeerProof = field(default_factory=PeerProof, compare=False, repr=False)
    """How this node and its peers prove that they belong to the cluster."""

    def introduce(self, kind: type[_Kind], target: str) -> _Kind:
        """This node's `Hello` or `Welcome` to the node `target`."""
        recalled = self.recall(target)
        return kind(
            protocol_version=PROTOCOL_VERSION,
            cluster_id=self.cluster_id,
            source=self.node_id,
            target=target,
            node_uuid=self.node_uuid,
            start=self.start,
            predecessor=self.predecessor,
            put_back=recalled.put_back,
            remembered=recalled.remembered,
            disk_term=self.disk_term,
            disk_last_index=self.disk_last_index,
            birth=recalled.birth,
            credential=recalled.credential,
            http=self.http if self.find_http is None else self.find_http(),
            redis=self.redis,
        )


def find_mismatch(introduction: Introduction, identity: LocalIdentity) -> Refused | None:
    """Why the speaker cannot be a peer of this node, judged by the two introductions alone; None if they fit."""
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
    """The whole check: the two introductions, then `check_peer`. Returns None if the link may be used."""
    refusal = find_mismatch(introduction, identity)
    if refusal is None:
        verdict = check_peer(introduction)
        refusal = await verdict if isawaitable(verdict) else verdict
    return refusal
