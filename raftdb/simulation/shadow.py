"""The present and past content of one node's disk, with which its messages are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from raftdb.core.block import Block
from raftdb.core.model import EntryId, HardState, Index, NodeId, Term
from raftdb.core.state import PeersRead, RaftState
from raftdb.errors import InvariantBroken
from raftdb.node.stored import decode_hard_state
from storage import LogBatch


@dataclass(slots=True)
class Shadow:
    """One node's log, in memory (`spoken`) and on the disk (`synced`): the term of each entry by index, from 0."""

    spoken: list[Term]
    synced: list[Term]
    hard_state: HardState
    leader_logs: Mapping[Term, list[Term]]
    votes: dict[Term, NodeId] = field(default_factory=dict)
    held: set[tuple[Index, Term]] = field(default_factory=set)
    """The index and term of all entries that were ever synced here, in the log or in an installed state."""
    base: Index = 0
    """The log on the disk begins after this index. Earlier entries are committed, and stay in the lists."""
    swapped: EntryId | None = None
    """The end of the snapshot that is the state already, while the log does not follow it yet."""
    installing: EntryId | None = None
    """The end of the snapshot that the core is installing, until it is on the disk."""
    applied: Index = 0

    def copy(self) -> "Shadow":
        """The shadow of a copy of the disk that is made now."""
        return replace(
            self,
            spoken=list(self.synced),
            synced=list(self.synced),
            votes=dict(self.votes),
            held=set(self.held),
            installing=None,
        )

    @property
    def synced_term(self) -> Term:
        """See `SyncedDisk`."""
        return self.hard_state.term

    def synced_vote(self, term: Term) -> NodeId | None:
        """See `SyncedDisk`."""
        return self.votes.get(term)

    def has_synced(self, index: Index, term: Term) -> bool:
        """See `SyncedDisk`. An entry that was once on the disk counts, because a later write in the same sync may
        truncate it."""
        if index == 0:
            return True
        log = self.leader_logs.get(term, ())
        return index < len(log) and (index, log[index]) in self.held

    def vouches_for(self, index: Index, term: Term, leader_term: Term) -> bool:
        """True if the entry is on this disk, or was before the node left `leader_term`, so that its next leader knew of
        it."""
        if index < len(self.synced) and self.synced[index] == term:
            return True
        return self.hard_state.term > leader_term and (index, term) in self.held

    def sync(self, batch: LogBatch) -> None:
        """Note a write that has become durable."""
        if batch.hard_state is not None:
            self.hard_state = decode_hard_state(batch.hard_state)
            term, vote = self.hard_state.term, self.hard_state.voted_for
            if vote is not None and self.votes.setdefault(term, vote) != vote:
                raise InvariantBroken(f"two votes in term {term} on one disk: {self.votes[term]} and {vote}")
        if batch.truncate_from is not None:
            del self.synced[batch.truncate_from :]
        for block in map(Block.read, batch.blocks):
            if block.first_index != len(self.synced):
                raise InvariantBroken(
                    f"entry {block.first_index} was written behind entry {len(self.synced) - 1}"
                )
            self.synced.extend([block.term] * block.entry_count)
            self.held.update((index, block.term) for index in range(block.first_index, block.last_index + 1))

    def reset(self, prefix: Sequence[Term]) -> None:
        """Note that an installed state has replaced the log; its entries count as held (hazards B25, B34)."""
        self.synced = list(prefix)
        self.base = len(prefix) - 1
        self.held.update(enumerate(prefix))
        self.swapped = self.installing = None


def reads_known(state: RaftState) -> int:
    """The number of reads that a core knows that it has to answer."""
    own = len(state.inquiry.asked) + len(state.inquiry.held)
    leadership = state.leadership
    if leadership is None:
        return own
    reads = [
        *leadership.reads_held,
        *(read for pending in leadership.reads_pending for read in pending.reads),
    ]
    return own + sum(not isinstance(read, PeersRead) for read in reads)
