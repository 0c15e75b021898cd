"""What a node counts of itself: plain numbers, which its parts add to, and which status, metrics and charts read.

One thing is counted in one place. What a node knows anyway (terms, indexes, how many wait) is not counted here but read
where it is (`raftdb.node.view`). Nothing here is part of the state or of any decision, so the simulator runs the same
code, and its traces stay the same.

A counter begins with the process. Queues and locks count what this node applies: every node the same, but a node that
starts applies the end of its log again, and counts that again.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from raftdb.core.update import Trace
from raftdb.errors import RaftdbError, Unavailable
from raftdb.machine.happenings import Happened, Happening
from raftdb.node.pending import Writes
from raftdb.node.turn import Answer
from raftdb.tally import WAIT_SECONDS, Tally


class NodeCounts:
    """The counters of one node."""

    def __init__(self) -> None:
        self.elections = 0
        """How often this node stood for election."""
        self.leader_changes = 0
        """How often it came to know another leader, itself included."""
        self.proposals_failed: Counter[str] = Counter()
        """Writes that were refused here, or whose outcome stayed unknown, by the code of the error."""
        self.commit_seconds = Tally()
        """From the turn in which a leader proposes a write to the turn in which it is committed and applied."""
        self.apply_seconds = Tally()
        """How long the slices of committed entries took that were applied together."""
        self.applied_entries = 0
        self.checkpoint_seconds = Tally()
        self.compacted_entries = 0
        self.snapshots_installed = 0
        self.happened: Counter[Happening] = Counter()
        self.queue_wait_seconds = Tally(WAIT_SECONDS)
        """From when a message could be handed out to when it was, by the cluster clock."""
        self.lock_wait_seconds = Tally(WAIT_SECONDS)
        """From a request for a lock to its grant, by the cluster clock."""

    def applied(self, entries: int, seconds: float, happened: Sequence[Happened]) -> None:
        """A slice of entries was applied."""
        self.apply_seconds.add(seconds)
        self.applied_entries += entries
        for what, waited_ms in happened:
            self.happened[what] += 1
            if what is Happening.DELIVERED:
                self.queue_wait_seconds.add(waited_ms / 1000)
            elif what is Happening.GRANTED:
                self.lock_wait_seconds.add(waited_ms / 1000)

    def committed(self, taken: Iterable[Writes], now_ms: float) -> None:
        """Writes are committed and applied in the turn that began at `now_ms` of the node's own clock."""
        for writes in taken:
            self.commit_seconds.add_many((now_ms - writes.proposed_ms) / 1000, len(writes.request_ids))

    def refused(
        self, request_ids: Iterable[int], refusal: RaftdbError
    ) -> list[tuple[int, Answer | RaftdbError]]:
        """The answers to writes that are not executed, or whose outcome stays unknown."""
        answers: list[tuple[int, Answer | RaftdbError]] = [(one, refusal) for one in request_ids]
        if answers:
            self.proposals_failed[refusal.code] += len(answers)
        return answers

    def noted(self, refusal: Unavailable) -> Unavailable:
        """The refusal of a write that is not even proposed."""
        self.proposals_failed[refusal.code] += 1
        return refusal

    def told(self, traces: Iterable[Trace]) -> None:
        """Count what the core has told of elections."""
        for trace in traces:
            if trace.event in _OF_ELECTIONS:
                self.elections += trace.event == "became candidate"
                details = dict(trace.details)
                self.leader_changes += trace.event == "became leader" or details.get("leader") is not None


_OF_ELECTIONS = frozenset({"became candidate", "became leader", "became follower", "follows"})
"""The events of `raftdb.core` that are counted."""
