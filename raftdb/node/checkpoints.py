"""Checkpoints of one replica: when one is begun, who waits for one, and what it covers.

Who asks gets a state that holds all that was applied when it asked, whatever was being written then: a checkpoint that
is under way was set aside earlier, and ends the wait only of those who asked for no more than it has.
"""

from collections.abc import Sequence

from raftdb.core.model import Index
from raftdb.core.state import RaftState
from raftdb.node.compaction import CompactionPolicy, slowest_live_match
from raftdb.node.turn import State
from storage.contract import FrozenChanges


class Checkpoints:
    """See the module. One is written at a time."""

    def __init__(self, core: RaftState, policy: CompactionPolicy) -> None:
        self._core = core
        self._policy = policy
        self._is_writing = False
        self._waiting: dict[int, Index] = {}
        """Request -> the index that the state must be durable up to."""

    def ask(self, request_id: int, applied_index: Index) -> None:
        """Somebody wants the state durable up to `applied_index`."""
        self._waiting[request_id] = applied_index

    def begin(self, state: State) -> FrozenChanges | None:
        """Set the changes of `state` aside for the disk if enough has gathered, or somebody waits for it.

        Not before the log is durable up to there: a state must never be ahead of its log's disk.
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

    def has_room(self, state: State, *, spare_fraction: float = 0.0) -> bool:
        """False while changes that wait for the disk take all the memory that they may, less `spare_fraction` of it.

        Only while a checkpoint is being written, which makes room: otherwise one is due by now, and begins.
        """
        bytes_max = self._policy.changes_bytes_max * (1 - spare_fraction)
        return not self._is_writing or state.memory_bytes < bytes_max

    def written(self) -> None:
        """What was set aside is durable."""
        self._is_writing = False

    def covered(self, checkpoint_index: Index) -> list[int]:
        """Take the requests that a state durable up to `checkpoint_index` satisfies."""
        covered = [request_id for request_id, index in self._waiting.items() if index <= checkpoint_index]
        for request_id in covered:
            del self._waiting[request_id]
        return covered

    def base_after(
        self, checkpoint_index: Index, covered: Sequence[int], retained_index: Index | None
    ) -> Index:
        """Where the log begins after this checkpoint: who asked for it (`covered`) wants no tail behind it.

        `retained_index`: see `CompactionPolicy.base_after`.
        """
        if covered:
            return min(checkpoint_index, slowest_live_match(self._core))
        return self._policy.base_after(
            self._core.log, checkpoint_index=checkpoint_index, retained_index=retained_index
        )
