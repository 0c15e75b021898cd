"""What a node must do after a step: the output of `Raft.step`.

The ordering law: `messages` may leave at once; `messages_after_persist` only when the `Persist` of this update,
and of every update before it, is on disk. Every promise (a vote, an acknowledged entry, any message in a new term) is
in the second list, so that a crash cannot take back what was said (hazard B02).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from raftdb.core.block import Block
from raftdb.core.messages import InstallSnapshot, Message
from raftdb.core.model import EntryId, HardState, Index, NodeId
from raftdb.errors import InvariantBroken


@dataclass(frozen=True, slots=True)
class Persist:
    """Write this to disk, all of it in one atomic step, in the order of `sequence`; then step `Persisted`.

    First the hard state (None: unchanged), then drop entries from `truncate_from` on (None: keep all), then add
    `blocks`; or, with `install`, only that.
    """

    sequence: int
    hard_state: HardState | None
    truncate_from: Index | None
    blocks: tuple[Block, ...]
    install: EntryId | None = None
    """Not None: make the received snapshot that ends at this entry the state, and begin the log anew after it.
    Nothing may be applied until this is done."""


class ReadReleased(NamedTuple):
    """The read may be served from any state that has applied `read_index` or more."""

    request_id: int
    read_index: Index


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not carried out, and surely will not be: a `code` of `raftdb.errors`, and words."""

    code: str
    reason: str
    hint: str | None = None


class TransferEnded(NamedTuple):
    """The outcome of a request that another node leads. `refusal` None: it leads now; otherwise nothing changed, or,
    with the code `outcome_unknown`, this node does not know who leads."""

    request_id: int
    refusal: Refusal | None


class EntriesWanted(NamedTuple):
    """Bodies that left the cache are needed for a follower: read them from `first` on, step `EntriesLoaded`."""

    target: NodeId
    first: Index
    last: Index
    bytes_max: int


class Trace(NamedTuple):
    """One thing the node did or refused, for people: a phrase, and named details."""

    event: str
    details: tuple[tuple[str, object], ...] = ()
    level: str = "info"


class Update(NamedTuple):
    """All effects of one step, for the caller to carry out. An empty one asks for nothing."""

    persist: Persist | None = None
    messages: tuple[Message, ...] = ()
    messages_after_persist: tuple[Message, ...] = ()
    commit_index: Index | None = None
    """Not None: entries up to here are committed, apply them."""
    accepted: EntryId | None = None
    """Answer to `Proposed`: the name of the first entry; the others follow it. To `ConfigurationChangeAsked`: the
    entry with the new configuration. None: refused, nothing appended."""
    refusal: Refusal | None = None
    """Why a `ConfigurationChangeAsked` is refused."""
    transfers: tuple[TransferEnded, ...] = ()
    peers_changed: bool = False
    """`Raft.peers` returns other peers, or other addresses, than before."""
    reads: tuple[ReadReleased, ...] = ()
    reads_dropped: tuple[int, ...] = ()
    """Reads that this node can no longer answer, because it does not lead: the leader has to be asked."""
    entries_wanted: tuple[EntriesWanted, ...] = ()
    snapshots_wanted: tuple[NodeId, ...] = ()
    """Followers that need a snapshot, because the entries they lack are compacted: have one made, then step
    `SnapshotMade`."""
    snapshot_offered: InstallSnapshot | None = None
    """Not None: this node needs that snapshot. Fetch it from its sender, then step `SnapshotFetched`."""
    traces: tuple[Trace, ...] = ()


@dataclass(slots=True)
class Output:
    """The update under construction: rules write here during a step, `freeze` finishes it."""

    truncate_from: Index | None = None
    blocks: list[Block] = field(default_factory=list)
    hard_state: HardState | None = None
    install: EntryId | None = None
    messages: list[Message] = field(default_factory=list)
    messages_after_persist: list[Message] = field(default_factory=list)
    commit_index: Index | None = None
    accepted: EntryId | None = None
    refusal: Refusal | None = None
    transfers: list[TransferEnded] = field(default_factory=list)
    peers_changed: bool = False
    reads: list[ReadReleased] = field(default_factory=list)
    reads_dropped: list[int] = field(default_factory=list)
    entries_wanted: list[EntriesWanted] = field(default_factory=list)
    snapshots_wanted: list[NodeId] = field(default_factory=list)
    snapshot_offered: InstallSnapshot | None = None
    traces: list[Trace] = field(default_factory=list)

    @property
    def has_something_to_persist(self) -> bool:
        """True if this step changed what must survive a crash."""
        return (
            self.hard_state is not None
            or self.truncate_from is not None
            or self.install is not None
            or bool(self.blocks)
        )

    def freeze(self, sequence: int) -> Update:
        """The finished update; `sequence` numbers its `Persist`, if it has one."""
        if self.install is not None and (self.hard_state or self.truncate_from or self.blocks):
            raise InvariantBroken("a step that installs a snapshot writes something else")
        persist = None
        if self.has_something_to_persist:
            persist = Persist(sequence, self.hard_state, self.truncate_from, tuple(self.blocks), self.install)
        # In the order of the fields: there is one update for every message.
        return Update(
            persist,
            tuple(self.messages),
            tuple(self.messages_after_persist),
            self.commit_index,
            self.accepted,
            self.refusal,
            tuple(self.transfers),
            self.peers_changed,
            tuple(self.reads),
            tuple(self.reads_dropped),
            tuple(self.entries_wanted),
            tuple(self.snapshots_wanted),
            self.snapshot_offered,
            tuple(self.traces),
        )
