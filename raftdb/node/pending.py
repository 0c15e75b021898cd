"""Requests that wait for an answer, the rule of what each may be told, and the words for a request that is not
executed.

A write waits for its entry: (index, term). It is answered when the entry at that index is applied: with the result
if the term is its own; if another term's entry took the place, it was surely not executed. Until then its outcome is
unknown: when its time is up the answer is *outcome unknown*, never *failed* (hazard B54).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from typing import NamedTuple

from raftdb.budgets import READ_BYTES_MAX
from raftdb.core.events import ReadRequested
from raftdb.core.model import EntryId, Index, NodeId, Role, Term
from raftdb.core.quorum import is_majority
from raftdb.core.state import RaftState
from raftdb.endpoint import Endpoint
from raftdb.errors import LeaderHint, OutcomeUnknown, RaftdbError, Unavailable
from raftdb.machine.operations import UserOperation
from raftdb.machine.service import Command
from raftdb.machine.service import Query as RecordQuery


class LogPage(NamedTuple):
    """A read of the log itself: up to `limit` entries from `first` on (None: the last ones)."""

    first: Index | None
    limit: int


class MakeCheckpoint(NamedTuple):
    """A request for a checkpoint: it is answered once the state that was applied when it came is durable.

    With `keeps_tail` the log keeps the same tail as after any checkpoint; otherwise it is compacted as far as it can
    be.
    """

    keeps_tail: bool = False


Query = Command | RecordQuery | UserOperation | LogPage | MakeCheckpoint


class WriteRequest(NamedTuple):
    """A client's write: `payload` is the encoded operation, to which only the time of its entry is added."""

    request_id: int
    payload: bytes


def ids_of(writes: Sequence[WriteRequest]) -> list[int]:
    """The numbers of these requests."""
    return [request.request_id for request in writes]


def batches_of(writes: Sequence[WriteRequest], *, bytes_max: int) -> Iterator[list[WriteRequest]]:
    """The writes in order, in lists each of which ends with the write that fills `bytes_max`."""
    batch: list[WriteRequest] = []
    batch_bytes = 0
    for request in writes:
        batch.append(request)
        batch_bytes += len(request.payload)
        if batch_bytes >= bytes_max:
            yield batch
            batch, batch_bytes = [], 0
    if batch:
        yield batch


class ReadRequest(NamedTuple):
    """A client's read: linearizable, or at once from the state as it is applied here."""

    request_id: int
    query: Query
    stale: bool = False


def questions(core: RaftState, requests: Sequence[ReadRequest]) -> Iterator[ReadRequested]:
    """Ask the core for the index of the reads that must not be stale. A node that does not lead may serve only reads of
    the state, which is the same on all nodes; the log and the checkpoint are its own."""
    fresh = [request for request in requests if not request.stale]
    anywhere: list[ReadRequest] = []
    if core.settings.reads_anywhere and core.leadership is None:
        anywhere = [one for one in fresh if not isinstance(one.query, LogPage | MakeCheckpoint)]
        fresh = [one for one in fresh if isinstance(one.query, LogPage | MakeCheckpoint)]
    for asked in (fresh, anywhere):
        if asked:
            yield ReadRequested(tuple(one.request_id for one in asked), anywhere=asked is anywhere)


class _Batch:
    """Writes that became neighbouring entries, from `first_index` on, and were not answered yet."""

    __slots__ = ("deadline", "first_index", "proposed_ms", "request_ids", "term")

    def __init__(self, first: EntryId, request_ids: list[int], deadline: int, proposed_ms: float) -> None:
        self.first_index, self.term = first
        self.request_ids = request_ids
        self.deadline = deadline
        self.proposed_ms = proposed_ms

    def take(self, last: Index) -> "Writes":
        """Take those for entries up to `last`."""
        count = last + 1 - self.first_index
        taken = Writes(self.first_index, self.term, self.request_ids[:count], self.proposed_ms)
        self.first_index, self.request_ids = self.first_index + count, self.request_ids[count:]
        return taken


class Writes(NamedTuple):
    """Writes that were proposed in `term` as neighbouring entries, the first of which is at `first_index`, at a time of
    the node's own clock."""

    first_index: Index
    term: Term
    request_ids: list[int]
    proposed_ms: float


class Pending:
    """The waiting writes and reads of one node, and when their patience ends (in ticks): in the order they came."""

    def __init__(self, *, patience_ticks: Callable[[], int]) -> None:
        """`patience_ticks`: how long a request that comes now may wait."""
        self._patience_ticks = patience_ticks
        self._batches: deque[_Batch] = deque()
        self._reads: dict[int, Query] = {}
        self._read_deadlines: deque[tuple[int, int]] = deque()
        self._released: deque[tuple[Index, int]] = deque()
        self._stale: deque[int] = deque()
        self._last_deadline = 0
        self._deadline_ticks = -1
        """When the last deadline was found out: requests of one tick have one."""

    def _deadline(self, now_ticks: int) -> int:
        """When the patience of a request that comes now ends: no sooner than that of any before it."""
        if now_ticks != self._deadline_ticks:
            self._deadline_ticks = now_ticks
            self._last_deadline = max(self._last_deadline, now_ticks + self._patience_ticks())
        return self._last_deadline

    def add_writes(self, first: EntryId, requests: list[WriteRequest], now_ticks: int, now_ms: float) -> None:
        """The writes became the entries from `first` on."""
        self._batches.append(_Batch(first, ids_of(requests), self._deadline(now_ticks), now_ms))

    def add_reads(self, requests: list[ReadRequest], now_ticks: int) -> None:
        """Let the reads wait for their index; those that may be stale only wait for their turn."""
        deadline = self._deadline(now_ticks)
        for request in requests:
            self._reads[request.request_id] = request.query
            if request.stale:
                self._stale.append(request.request_id)
            self._read_deadlines.append((deadline, request.request_id))

    def take_writes(self, last: Index) -> list[Writes]:
        """Take the writes that wait for entries up to `last`, in the order in which they came. After a change of leader
        several may wait for one entry, each proposed in another term."""
        taken = [batch.take(last) for batch in self._batches if batch.first_index <= last]
        if taken:
            self._batches = deque(batch for batch in self._batches if batch.request_ids)
        return taken

    def release(self, request_id: int, read_index: Index) -> None:
        """The read may be served once `read_index` is applied. Indexes come in ascending order."""
        if request_id in self._reads:
            self._released.append((read_index, request_id))

    def next_read(self, applied_index: Index) -> tuple[int, Query] | None:
        """Take the next released read that a state at `applied_index` may serve, if there is one; then the stale."""
        while True:
            if self._released and self._released[0][0] <= applied_index:
                request_id = self._released.popleft()[1]
            elif self._stale:
                request_id = self._stale.popleft()
            else:
                return None
            query = self._reads.pop(request_id, None)
            if query is not None:
                return request_id, query

    def serve_reads(self, applied_index: Index, answer: Callable[[int, Query], int]) -> bool:
        """Have `answer` serve the reads whose index is applied, and say what work each was, up to a bound. Returns
        whether some are left for the next turn."""
        work_bytes = 0
        while work_bytes < READ_BYTES_MAX:
            released = self.next_read(applied_index)
            if released is None:
                return False
            work_bytes += answer(*released)
        return True

    def drop_read(self, request_id: int) -> bool:
        """Forget a read; True if it was still waiting."""
        return self._reads.pop(request_id, None) is not None

    def expired(self, now_ticks: int) -> Iterator[tuple[int, bool]]:
        """Take the requests whose patience has ended: (request id, whether it is a write)."""
        while self._batches and self._batches[0].deadline <= now_ticks:
            for request_id in self._batches.popleft().request_ids:
                yield request_id, True
        while self._read_deadlines and self._read_deadlines[0][0] <= now_ticks:
            request_id = self._read_deadlines.popleft()[1]
            if self._reads.pop(request_id, None) is not None:
                yield request_id, False

    @property
    def has_writes(self) -> bool:
        """True if a write waits for its entry."""
        return bool(self._batches)

    @property
    def write_count(self) -> int:
        """Writes that wait."""
        return sum(len(batch.request_ids) for batch in self._batches)

    @property
    def count(self) -> int:
        """Requests that wait."""
        return self.write_count + len(self._reads)


def leader_hint(core: RaftState, endpoint_of: Callable[[NodeId], Endpoint | None]) -> LeaderHint | None:
    """Where the leader is, if this node knows of one. `endpoint_of`: where a peer is found by now; it may have moved
    while the configuration that says so is not here yet."""
    member = core.configurations.find(core.leader_id) if core.leader_id is not None else None
    if member is None:
        return None
    return LeaderHint(member.id, endpoint_of(member.id) or member.http, member.redis)


def not_executed(
    core: RaftState, links: Set[NodeId], leader: LeaderHint | None, *, is_removed: bool
) -> Unavailable:
    """Another node leads, no node leads, no majority can be reached, or this node is no member any more."""
    if core.role is not Role.LEADER and leader is not None:
        return Unavailable("not_leader", f"{leader.id} leads, not {core.id}", leader=leader)
    if is_removed:
        others = ", ".join(str(member.http) for member in core.configurations.latest.members)
        return Unavailable(
            "no_leader", f"{core.id} was removed from the cluster", hint=f"ask another node: {others}"
        )
    reachable = {*links, core.id}.intersection(core.configurations.voters)
    if not is_majority(core.configurations.voters, reachable):
        return Unavailable(
            "no_quorum",
            f"{core.id} reaches {len(reachable)} of {len(core.configurations.voters)} voters, no majority",
            hint="start or reconnect the other nodes; if all have moved, --members tells one where they are now",
        )
    return Unavailable("no_leader", "no leader is elected at the moment", hint="try again in a second")


def stopping() -> Unavailable:
    """This node ends, and takes nothing more."""
    return Unavailable("no_leader", "this node is stopping", hint="ask another node")


def too_much_waits() -> Unavailable:
    """The leader takes no more writes for now."""
    return Unavailable("busy", "too much is waiting for a majority", hint="send more slowly")


def no_space(core: RaftState, reason: str, *, is_own: bool, is_full: bool = False) -> Unavailable:
    """A disk is short of space. `is_own`: it is this node's disk, so another leader might have space; `is_full`: not
    even a deletion can be written."""
    hint = "remove what else is on the disk" if is_full else "delete keys"
    hint += ", or give the disk more space"
    if is_own and len(core.configurations.voters) > 1:
        hint += "; if others have space, let one of them lead: 'raftdb cluster transfer'"
    return Unavailable("no_space", reason, hint=hint)


def out_of_time(core: RaftState, applied_index: Index, *, is_write: bool) -> RaftdbError:
    """No majority confirmed the request in time: a write may still take effect, a read was only not answered."""
    if is_write:
        return OutcomeUnknown(
            "no majority confirmed the write in time: it may or may not take effect",
            hint="read before you try again",
        )
    behind = core.commit_index - applied_index
    if behind > 0:
        return Unavailable(
            "busy", f"the state is being rebuilt: {behind} committed entries wait to be applied"
        )
    return Unavailable("no_quorum", "no majority confirmed in time that this node still leads")
