"""What can happen to a node: the inputs of `Raft.step`. Time is an event, and so is the disk's answer."""

from dataclasses import dataclass
from typing import TypeAlias

from raftdb.core.messages import Message
from raftdb.core.model import Entry, EntryId, EntryKind, Index, NodeId


@dataclass(frozen=True, slots=True)
class Ticked:
    """One tick of the node's clock has passed; how long a tick is, only the driver knows."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message from a peer has arrived."""

    message: Message


@dataclass(frozen=True, slots=True)
class Proposed:
    """Clients want these payloads in the log, in this order, as consecutive entries of `kind`."""

    payloads: tuple[bytes, ...]
    kind: EntryKind = EntryKind.COMMAND


@dataclass(frozen=True, slots=True)
class ReadRequested:
    """Clients want to read: when is the state fresh enough? Answered by `Update.reads` (thesis 6.4)."""

    request_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Persisted:
    """Everything up to the `Persist` with this sequence is on disk, in order."""

    sequence: int


@dataclass(frozen=True, slots=True)
class EntriesLoaded:
    """The bodies that `Update.entries_wanted` asked for, read from disk for one follower."""

    target: NodeId
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class SnapshotDelivered:
    """The transfer that `Update.snapshots_wanted` asked for has ended.

    `snapshot` names the last entry that the delivered state has applied, `configuration` the data of the
    configuration in force there, appended at `configuration_index`. None: the transfer failed.
    """

    target: NodeId
    snapshot: EntryId | None
    configuration_index: Index = 0
    configuration: bytes = b""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The state is durable up to `index` or beyond: the log may begin after it (thesis 5.1)."""

    index: Index


Event: TypeAlias = (
    Ticked | Received | Proposed | ReadRequested | Persisted | EntriesLoaded | SnapshotDelivered | Compacted
)
