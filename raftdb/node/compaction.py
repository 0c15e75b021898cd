"""When a checkpoint is due, and where the log begins after it.

A checkpoint makes the state durable up to an index; only followers that lag then need the entries before it. So
compaction keeps a tail of the log, counted in bytes: a follower that was away for a moment catches up from entries and
needs no snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from raftdb.core import timing
from raftdb.core.log import Log
from raftdb.core.model import Index, NodeId
from raftdb.core.state import RaftState
from raftdb.memory import MEMORY_BYTES_MAX


@dataclass(frozen=True, slots=True)
class CompactionPolicy:
    """When to make a checkpoint, and how much of the log to keep before it."""

    checkpoint_entries: int = 100_000
    """Entries applied since the last checkpoint that make one due: they are what a restart replays."""
    checkpoint_bytes: int = 64 << 20
    """Memory of what was written since the last checkpoint that makes one due, as if nothing was overwritten."""
    tail_bytes: int = 16 << 20
    """Bytes of log kept before a checkpoint for followers that lag a little."""
    retained_bytes_max: int = 256 << 20
    """Bytes of log kept for a follower that is receiving a snapshot, so that it can go on from there."""
    entry_bytes: int = 256
    """Mean size of the entries on disk, for as long as none is in memory to measure: right after a restart."""
    changes_bytes_max: int = MEMORY_BYTES_MAX // 2
    """Memory for changes that are not yet durable; with more, nothing is applied while a checkpoint is written."""
    phase: float = 0.0
    """From 0 to below 1, different for each member, so that they do not all write checkpoints at the same moment and a
    majority that writes none can always commit quickly."""

    def is_due(self, *, applied_index: Index, checkpoint_index: Index, change_bytes: int) -> bool:
        """True if enough has changed since the last checkpoint."""
        entries = self.checkpoint_entries
        shift = int(self.phase * entries)
        if (applied_index + shift) // entries > (checkpoint_index + shift) // entries:
            return True
        # At a quarter of the memory that changes may take, there is room for as many again while these are written.
        bytes_max = min(self.checkpoint_bytes, self.changes_bytes_max // 4)
        # Entries have a common index by which members can take turns; bytes have none. Here each member takes another
        # number of bytes, so they do not keep in step.
        return change_bytes >= bytes_max * (1 - self.phase / 2)

    def base_after(self, log: Log, *, checkpoint_index: Index, retained_index: Index | None) -> Index:
        """The index after which the log begins once `checkpoint_index` is durable in the state.

        `retained_index`: the end of the snapshot that a follower is receiving, None if none is.
        """
        base = min(checkpoint_index, self._tail_start(log))
        if retained_index is not None and self._bytes_above(log, retained_index) <= self.retained_bytes_max:
            base = min(base, retained_index)
        return max(base, log.base.index)

    def _tail_start(self, log: Log) -> Index:
        """The index above which the log has about `tail_bytes` bytes."""
        start = log.index_with_bytes_above(self.tail_bytes)
        if start is not None:
            return start
        below = log.cache_first - 1
        missing_bytes = self.tail_bytes - log.cached_bytes_above(below)
        return max(log.base.index, below - missing_bytes // self._mean_entry_bytes(log))

    def _bytes_above(self, log: Log, index: Index) -> int:
        """About how many bytes the log has above `index`: entries that are not in memory are taken to be as long as
        those that are."""
        below = max(0, log.cache_first - 1 - index)
        return log.cached_bytes_above(index) + below * self._mean_entry_bytes(log)

    def _mean_entry_bytes(self, log: Log) -> int:
        cached_count = log.last_index + 1 - log.cache_first
        cached_bytes = log.cached_bytes_above(log.cache_first - 1)
        return max(1, cached_bytes // cached_count if cached_count else self.entry_bytes)


def phase_among(node: NodeId, members: Sequence[NodeId]) -> float:
    """The `phase` of a node: its place among the members, as a share of them all."""
    return sorted(members).index(node) / len(members) if node in members else 0.0


def slowest_live_match(core: RaftState) -> Index:
    """The index up to which every answering follower holds the log; the end of the log where this node does not lead.

    A requested compaction keeps no tail, but it keeps the entries that a healthy follower still lacks, so that no
    follower needs a snapshot because of it.
    """
    leadership = core.leadership
    if leadership is None:
        return core.log.last_index
    patience_ticks = timing.patience_ticks(core, leadership)
    live = [
        progress.match_index
        for progress in leadership.progress.values()
        if progress.silent_ticks < patience_ticks
    ]
    return min(live, default=core.log.last_index)
