"""What can happen to a node: the inputs of `Raft.step`. Time is an event, and so is the disk's answer."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from raftdb.core.block import Block
from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import NO_START, EntryId, Index, Member, NodeId, StartId
from raftdb.endpoint import NO_REDIS, Endpoint, RedisAddresses


@dataclass(frozen=True, slots=True)
class Ticked:
    """One tick of the node's clock has passed; how long a tick is, only the driver knows."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message from a peer has arrived.

    `start`: the nonce of the start of the sender that sent it. If another start of that node was met since, the message
    is ignored.
    """

    message: Message
    start: str = ""


@dataclass(frozen=True, slots=True)
class Proposed:
    """Clients want these commands in the log, in this order, as consecutive entries."""

    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ReadRequested:
    """Clients want to read. `Update.reads` says from which index on the state is fresh enough (thesis 6.4).

    A node that does not lead asks the leader for that index if they may be served `anywhere`, and drops them if not.
    """

    request_ids: tuple[int, ...]
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class Persisted:
    """Everything up to the `Persist` with this sequence is on disk, in order."""

    sequence: int


@dataclass(frozen=True, slots=True)
class EntriesLoaded:
    """The bodies that `Update.entries_wanted` asked for, read from disk for one follower."""

    target: NodeId
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class SnapshotMade:
    """The snapshot that `Update.snapshots_wanted` asked for is there, for `target` to fetch.

    `snapshot` names the last entry applied in it, `configuration` the data of the configuration in force there,
    appended at `configuration_index`; the file has `size_bytes` and the SHA-256 `digest`. None: it could not be made.
    """

    target: NodeId
    snapshot: EntryId | None
    configuration_index: Index = 0
    configuration: bytes = b""
    size_bytes: int = 0
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class SnapshotFetched:
    """The snapshot of `offer`, which was `Update.snapshot_offered`, is here, whole and verified."""

    offer: InstallSnapshot


@dataclass(frozen=True, slots=True)
class Compacted:
    """A checkpoint holds the state up to `index` or beyond: the log may begin after it (thesis 5.1)."""

    index: Index


@dataclass(frozen=True, slots=True)
class AddMember:
    """Take `member` in as a learner. The leader makes it a voter once it has caught up, unless it is to stay one.

    Of `member` only id and addresses count.
    """

    member: Member
    stay_learner: bool = False


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Take a member out for good, the leader included: its id is never used again."""

    id: NodeId


@dataclass(frozen=True, slots=True)
class PromoteMember:
    """Make a learner a voter now."""

    id: NodeId


class NewAddress(NamedTuple):
    """A member is reached at other addresses from now on."""

    id: NodeId
    http: Endpoint
    redis: RedisAddresses = NO_REDIS


@dataclass(frozen=True, slots=True)
class UpdateAddresses:
    """Members have moved. All addresses change at once, for members may have swapped theirs."""

    moved: tuple[NewAddress, ...]


Change: TypeAlias = AddMember | RemoveMember | PromoteMember | UpdateAddresses
"""One step from a configuration to the next. Each changes at most one voter: so any two majorities, one of either
configuration, share a node (thesis 4.1)."""


@dataclass(frozen=True, slots=True)
class ConfigurationChangeAsked:
    """Somebody wants to change the members. `Update.accepted` or `Update.refusal` answers at once.

    With `force` the change is made even if the voters left alive are no majority, or if the node to promote has not
    caught up.
    """

    change: Change
    force: bool = False


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """Somebody wants `target` to lead (None: the voter that is furthest). Answered by `Update.transfers`, in time."""

    request_id: int
    target: NodeId | None = None


@dataclass(frozen=True, slots=True)
class TripMeasured:
    """The link to a peer was measured: a small message takes `milliseconds` there and back."""

    node: NodeId
    milliseconds: int


@dataclass(frozen=True, slots=True)
class PeerMet:
    """A handshake has shown that `node` (a peer, or this node itself) is the data folder `uuid`, in its `start`.

    What is not known is left out. `doubted`: the nonces of the node's starts since it was found out that its folder was
    put back to an older copy of itself; empty if it was not. `put_back`: this very meeting has shown it. All that the
    event says is on disk already.
    """

    node: NodeId
    uuid: str | None
    start: StartId = NO_START
    doubted: tuple[str, ...] = ()
    put_back: bool = False


@dataclass(frozen=True, slots=True)
class RemovalTold:
    """A peer has refused this node as one that was removed, and no majority says otherwise by being linked with it: it
    does not stand for election any more. With `holds` False a majority is linked with it, and the peer's word does not
    count."""

    holds: bool = True


Event: TypeAlias = (
    Ticked
    | Received
    | Proposed
    | ReadRequested
    | Persisted
    | EntriesLoaded
    | SnapshotMade
    | SnapshotFetched
    | Compacted
    | ConfigurationChangeAsked
    | TransferAsked
    | TripMeasured
    | PeerMet
    | RemovalTold
)
