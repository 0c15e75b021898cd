"""The inputs and effects of a turn of the replica, and the world that these come from and go to: the parts of the disk
that the replica reads, and the disk, the network and the snapshots that carry out its effects.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from raftdb.core.events import PeerMet, Received, RemovalTold, SnapshotFetched, SnapshotMade, TripMeasured
from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import EntryId, Index, NodeId
from raftdb.core.update import Trace
from raftdb.endpoint import Endpoint
from raftdb.errors import RaftdbError
from raftdb.machine.layer import KeyValueView
from raftdb.machine.operations import SessionOperation, UserOperation
from raftdb.machine.service import Command
from raftdb.node.membership import ChangeRequest, TransferRequest
from raftdb.node.pending import ReadRequest, WriteRequest
from storage import FrozenChanges, LogBatch


class LogReader(Protocol):
    """The log store as the replica uses it, for bodies that are no longer in memory."""

    def read(self, first: int, last: int, *, bytes_max: int) -> list[bytes]:
        """The blocks with the entries `first..last`, whole, as many as fit into `bytes_max`, at least one."""
        ...


class State(KeyValueView, Protocol):
    """The state as the replica uses it: changed entry by entry."""

    @property
    def applied(self) -> tuple[int, int]:
        """(index, term) of the last entry applied."""
        ...

    @property
    def checkpoint(self) -> tuple[int, int]:
        """(index, term) of the last entry in the durable state."""
        ...

    @property
    def change_bytes(self) -> int:
        """Bytes written since the last checkpoint was begun."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that changes take until they are durable."""
        ...

    def write(self, changes: Mapping[bytes, bytes | None], *, index: int, term: int) -> None:
        """Make an entry's changes visible, together with its index."""

    def freeze(self) -> FrozenChanges | None:
        """Set the changes since the last checkpoint aside, to be made durable; None if there are none."""

    def thaw(self, frozen: FrozenChanges) -> None:
        """Take note that these changes are durable now."""


class Answer(NamedTuple):
    """A request's result, the position in the log it belongs to, and for one key its revision (0: no such key)."""

    value: Any
    index: Index  # type: ignore[assignment]  # hides tuple.index
    term: int
    revision: int | None = None


class WaitRequest(NamedTuple):
    """A request that may be held for `wait_ms` until it is served (`raftdb.node.waiting`). `payload` is its entry."""

    request_id: int
    operation: Command | SessionOperation | UserOperation
    payload: bytes
    wait_ms: int


class PersistJob(NamedTuple):
    """One numbered write of the log. With `install`, the received snapshot that ends there becomes the state first, and
    the log begins anew after it; `Inputs.installed_state` says when that is done."""

    sequence: int
    batch: LogBatch
    install: EntryId | None


@dataclass(slots=True)
class Inputs:
    """What arrived since the last turn; handled in this order of fields."""

    now_ms: float = 0.0
    """The node's own monotonic clock at this turn: it may begin anywhere, and says nothing to other nodes."""
    persisted_sequence: int = 0
    flushed: FrozenChanges | None = None
    """The checkpoint that is durable now. It is one of the state before `installed_state`, if both are here."""
    installed_state: State | None = None
    """The state that a snapshot brought, in place and open."""
    handshakes: list[PeerMet | RemovalTold | TripMeasured] = field(default_factory=list)
    """Events of the links, in their order; they are handled before the messages of the peers that have introduced
    themselves."""
    snapshots: list[SnapshotMade | SnapshotFetched] = field(default_factory=list)
    messages: list[Received] = field(default_factory=list)
    ticks: int = 0
    changes: list[ChangeRequest] = field(default_factory=list)
    transfers: list[TransferRequest] = field(default_factory=list)
    writes: list[WriteRequest] = field(default_factory=list)
    reads: list[ReadRequest] = field(default_factory=list)
    waits: list[WaitRequest] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    """Requests that may be held, and whose clients have gone."""
    wait_ends: list[int] = field(default_factory=list)
    """Requests that may be held, and that are to wait no longer."""
    disk_is_full: bool = False
    """No request that is held may be proposed for now."""
    is_stopping: bool = False
    """No request is held any more."""


@dataclass(slots=True)
class Effects:
    """What one turn wants done. `messages` may leave at once; those that had to wait for the disk have waited
    already."""

    persist: list[PersistJob] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    answers: list[tuple[int, Answer | RaftdbError]] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    flush: FrozenChanges | None = None
    """Make this durable in the state; then hand it back as `Inputs.flushed`."""
    trim: EntryId | None = None
    """The log on disk may begin after this entry."""
    snapshots_wanted: list[NodeId] = field(default_factory=list)
    """Followers for which a snapshot is to be made; then hand back `SnapshotMade` in `Inputs.snapshots`."""
    snapshot_offered: InstallSnapshot | None = None
    """The snapshot that this node is to fetch; then hand back `SnapshotFetched` in `Inputs.snapshots`."""
    peers: dict[NodeId, Endpoint] | None = None
    """Not None: these are the nodes to talk to from now on, and where each is reached."""
    more: bool = False
    """Work is left that needs no further input: call `turn` again soon."""


class Disk(Protocol):
    """The threads that write, as the driver uses them. Their failures go to `Driver.storage_failed`."""

    @property
    def last_sync_ms(self) -> float:
        """How long the last write of the log took, fsync included."""
        ...

    def submit(self, sequence: int, batch: LogBatch) -> None:
        """Write to the log soon, in order; the driver is told by `Driver.persisted`."""

    def write_here(self, batch: LogBatch) -> bool:
        """Write to the log now, and wait for the disk, if it is quick and has nothing else to do and `batch` is short.
        Returns whether it is durable; if not, it is to be submitted."""
        ...

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
