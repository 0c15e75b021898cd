"""Checkpoints of one replica: when one is begun, who waits for one, and what it covers.

Who asks gets a state that holds all that was applied when it asked, whatever was being written then: a checkpoint that
is under way was set aside earlier, and ends the wait only of those who asked for no more than it has.
"""

from typing import NamedTuple

from raftdb.core.model import Index
from raftdb.core.state import RaftState
from raftdb.node.compaction import CompactionPolicy, slowest_live_match
from raftdb.node.turn import State
from storage.contract import FrozenChanges


class Covered(NamedTuple):
    """Requests that a checkpoint satisfies, and whether one of them wants the log compacted as far as it can be."""

    requests: list[int]
    compacts: bool


class _Wish(NamedTuple):
    durable_index: Index
    """What has to be durable."""
    keeps_tail: bool


class Checkpoints:
    """See the module. One is written at a time."""

    def __init__(self, core: RaftState, policy: CompactionPolicy) -> None:
        self._core = core
        self._policy = policy
        self._is_writing = False
        self._waiting: dict[int, _Wish] = {}
        """Request -> the index that the state must be durable up to, and whether the log keeps its tail then."""

    def ask(self, request_id: int, applied_index: Index, *, keeps_tail: bool) -> None:
        """Somebody wants the state durable up to `applied_index`."""
        self._waiting[request_id] = _Wish(applied_index, keeps_tail)

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

    def covered(self, checkpoint_index: Index) -> Covered:
        """Take the requests that a state durable up to `checkpoint_index` satisfies."""
        requests = [
            number for number, wish in self._waiting.items() if wish.durable_index <= checkpoint_index
        ]
        wishes = [self._waiting.pop(number) for number in requests]
        return Covered(requests, any(not wish.keeps_tail for wish in wishes))

    def base_after(self, checkpoint_index: Index, *, compacts: bool, retained_index: Index | None) -> Index:
        """Where the log begins after this checkpoint: with `compacts` there is no tail behind it.

        `retained_index`: see `CompactionPolicy.base_after`.
        """
        if compacts:
            return min(checkpoint_index, slowest_live_match(self._core))
        return self._policy.base_after(
            self._core.log, checkpoint_index=checkpoint_index, retained_index=retained_index
        )
