"""Checkpoints of one replica: when one is begun, which requests wait for one, and what it covers.

A request for a checkpoint is answered once the durable state holds all that was applied when it came. A checkpoint that
was under way at that time was set aside earlier, and answers only the requests that want no more than it has.
"""

from typing import NamedTuple

from raftdb.core.model import Index
from raftdb.core.state import RaftState
from raftdb.node.compaction import CompactionPolicy, slowest_live_match
from raftdb.node.turn import State
from storage import FrozenChanges

SPARE_FRACTION = 0.25
"""The share of the memory for changes that is kept for writes already proposed when a leader stops taking more: the
entries that may wait for a majority hold 24 MiB, and as many small ones as fit into that take some 64 MiB once they are
applied."""


class Covered(NamedTuple):
    """Requests that a checkpoint satisfies, and whether one of them wants the log compacted as far as it can be."""

    requests: list[int]
    compacts: bool


NOTHING_COVERED = Covered([], False)


class _Wish(NamedTuple):
    durable_index: Index
    """The index up to which the state has to be durable."""
    keeps_tail: bool


class Checkpoints:
    """Begins checkpoints, one at a time, and keeps the requests that wait for one."""

    def __init__(self, core: RaftState, policy: CompactionPolicy) -> None:
        self._core = core
        self._policy = policy
        self._is_writing = False
        self._waiting: dict[int, _Wish] = {}
        """Request -> the index that the state must be durable up to, and whether the log keeps its tail then."""

    def ask(self, request_id: int, applied_index: Index, *, keeps_tail: bool) -> None:
        """Take a request for a state that is durable up to `applied_index`."""
        self._waiting[request_id] = _Wish(applied_index, keeps_tail)

    def begin(self, state: State) -> FrozenChanges | None:
        """Set the changes of `state` aside for the disk if enough has gathered, or a request waits for it.

        It does so only once the log is durable up to there: the state on disk must never be ahead of the log on disk.
        """
        applied_index, checkpoint_index = state.applied[0], state.checkpoint[0]
        is_due = bool(self._waiting) or self._policy.is_due(
            applied_index=applied_index, checkpoint_index=checkpoint_index, change_bytes=state.change_bytes
        )
        if not is_due or self._is_writing or applied_index > self._core.log.persisted_index:
            return None
        frozen = state.freeze()
        self._is_writing = frozen is not None
        return frozen

    def has_room(self, state: State, *, for_new: bool = False) -> bool:
        """False while changes that wait for the disk take all the memory that they may; `for_new`: less what is kept
        for those that are proposed already.

        It is False only while a checkpoint is being written, which makes room: otherwise one is due by now, and begins.
        """
        bytes_max = self._policy.changes_bytes_max * (1 - SPARE_FRACTION * for_new)
        return not self._is_writing or state.memory_bytes < bytes_max

    def written(self) -> None:
        """The changes that were set aside are durable."""
        self._is_writing = False

    def covered(self, checkpoint_index: Index) -> Covered:
        """Take the requests that a state durable up to `checkpoint_index` satisfies."""
        if not self._waiting:
            return NOTHING_COVERED
        requests = [
            number for number, wish in self._waiting.items() if wish.durable_index <= checkpoint_index
        ]
        wishes = [self._waiting.pop(number) for number in requests]
        return Covered(requests, any(not wish.keeps_tail for wish in wishes))

    def base_after(self, checkpoint_index: Index, *, compacts: bool, retained_index: Index | None) -> Index:
        """Where the log begins after this checkpoint: with `compacts` no tail of the log is kept.

        `retained_index`: see `CompactionPolicy.base_after`.
        """
        if compacts:
            return min(checkpoint_index, slowest_live_match(self._core))
        return self._policy.base_after(
            self._core.log, checkpoint_index=checkpoint_index, retained_index=retained_index
        )
