"""The world as the driver uses it: disk, network, snapshots. The server plugs in the real ones."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from raftdb.core.events import SnapshotMade
from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import EntryId, NodeId
from raftdb.endpoint import Endpoint
from raftdb.node.turn import State
from storage import FrozenChanges, LogBatch


class Disk(Protocol):
    """The threads that write, as the driver uses them. Their failures go to `Driver.storage_failed`."""

    @property
    def last_sync_ms(self) -> float:
        """How long the last write of the log took, fsync included."""
        ...

    def submit(self, sequence: int, batch: LogBatch) -> None:
        """Write to the log soon, in order; the driver is told by `Driver.persisted`."""

    def flush(self, frozen: FrozenChanges) -> Awaitable[None]:
        """Make a checkpoint durable in the state."""
        ...

    def trim(self, base: EntryId) -> Awaitable[None]:
        """Begin the log after `base`, in steps that let writes pass."""
        ...

    def install(self, end: EntryId) -> Awaitable[State]:
        """Make the received snapshot the state and begin the log anew after `end`."""
        ...


class PeerLinks(Protocol):
    """The network, as the driver uses it."""

    def send(self, target: NodeId, messages: Sequence[Message]) -> None:
        """Send, or drop what cannot be sent: Raft repairs it. Never blocks."""

    def update_peers(self, addresses: Mapping[NodeId, Endpoint]) -> None:
        """Keep links to these nodes, each where it is reached, and to no others."""

    def endpoint_of(self, peer: NodeId) -> Endpoint | None:
        """Where `peer` is reached; None if only the configuration says."""


class Snapshots(Protocol):
    """The part that makes and fetches snapshots, as the driver uses it."""

    def make(self, target: NodeId) -> Awaitable[SnapshotMade]:
        """Have a snapshot for `target` to fetch; a failure is an outcome, too."""
        ...

    def fetch(self, offer: InstallSnapshot) -> Awaitable[bool]:
        """Fetch the snapshot that was offered; False if that failed, or another one is being fetched; the leader
        repeats its offer."""
        ...
