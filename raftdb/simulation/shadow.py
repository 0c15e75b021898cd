"""What one node's disk is known to hold, and to have held: what its words are measured by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from raftdb.core.block import Block
from raftdb.core.model import EntryId, HardState, Index, NodeId, Term
from raftdb.core.state import RaftState
from raftdb.errors import InvariantBroken
from raftdb.node.stored import decode_hard_state
from storage.contract import LogBatch


@dataclass(slots=True)
class Shadow:
    """What one node's log is, in memory and synced: the term of each entry by index, 0 first."""

    spoken: list[Term]
    synced: list[Term]
    hard_state: HardState
    leader_logs: Mapping[Term, list[Term]]
    votes: dict[Term, NodeId] = field(default_factory=dict)
    held: set[tuple[Index, Term]] = field(default_factory=set)
    """Names of all entries that were ever synced here, in the log or in an installed state."""
    base: Index = 0
    """The log on the disk begins after it. What is before it is in the lists still: it is committed."""
    swapped: EntryId | None = None
    """End of the snapshot that is the state already, while the log does not follow it yet."""
    installing: EntryId | None = None
    """End of the snapshot that the core has taken, until it is on the disk."""
    applied: Index = 0

    def copy(self) -> "Shadow":
        """What is known of a copy of the disk as it is now."""
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
        """See `SyncedDisk`. A write may be synced together with a later one that truncates it: held once is enough."""
        if index == 0:
            return True
        log = self.leader_logs.get(term, ())
        return index < len(log) and (index, log[index]) in self.held

    def vouches_for(self, index: Index, term: Term, leader_term: Term) -> bool:
        """True if the entry is on this disk, or was when the node left `leader_term`: its next leader knew of it."""
        if index < len(self.synced) and self.synced[index] == term:
            return True
        return self.hard_state.term > leader_term and (index, term) in self.held

    def sync(self, batch: LogBatch) -> None:
        """One write has reached the disk."""
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

    def reset(self, prefix: Sequence[Term], hard_state: bytes | None) -> None:
        """An installed state has taken the place of the log: all that it was made of is kept (hazards B25, B34)."""
        self.synced = list(prefix)
        self.base = len(prefix) - 1
        self.held.update(enumerate(prefix))
        self.swapped = self.installing = None
        if hard_state is not None:
            self.sync(LogBatch(hard_state))


def reads_known(state: RaftState) -> int:
    """How many reads a core knows that it has to answer."""
    leadership = state.leadership
    if leadership is None:
        return 0
    return len(leadership.reads_held) + sum(len(read.request_ids) for read in leadership.reads_pending)
