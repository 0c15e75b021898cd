"""One replica, whole and without I/O: the core, the machine and the waiting requests, glued together.

`turn(inputs) -> Effects` is all there is. The driver calls it with what arrived in one turn of its event loop; the
simulator calls it with what a seed dreams up. Both carry out the same effects, so what is tested is what ships.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from raftdb.commands.model import Command
from raftdb.core.events import EntriesLoaded, Persisted, Proposed, ReadRequested, Received, Ticked
from raftdb.core.log import entry_bytes
from raftdb.core.messages import Message, RequestPreVote, RequestVote
from raftdb.core.model import Entry, EntryKind, Index, NodeId, Role
from raftdb.core.quorum import is_majority
from raftdb.core.raft import Raft
from raftdb.core.update import EntriesWanted, Trace, Update
from raftdb.errors import LeaderHint, RaftdbError, Unavailable
from raftdb.machine.machine import Machine
from raftdb.machine.reply import Result
from raftdb.machine.transaction import KeyValueView, Transaction
from raftdb.node.pending import LogPage, Pending, Query, ReadRequest, WriteRequest
from raftdb.node.persist import BOOTSTRAP_TERM, batch_of, entry_of
from storage.contract import LogBatch

APPLY_ENTRIES_MAX = 1024
"""Entries applied in one turn, so that catching up does not keep heartbeats waiting."""
APPLY_BYTES_MAX = 4 << 20
"""Bytes read and written by the entries applied in one turn: a short command may touch a long value."""
READ_BYTES_MAX = 4 << 20
"""Bytes of the replies to reads in one turn; what does not fit waits for the next."""
PROPOSE_BYTES_MAX = 4 << 20
"""Bytes of writes proposed in one step, so that the bound on what waits for a majority is looked at in between."""
LOG_PAGE_BYTES_MAX = 4 << 20
"""Entry data in one page of `request_log`; a page may hold fewer entries than asked for, never none."""


class LogReader(Protocol):
    """What the replica reads of the log store: bodies that are no longer in memory."""

    def read(self, first: int, last: int, *, bytes_max: int) -> list[tuple[int, int, int, bytes]]:
        """Records `first..last`, as many as fit into `bytes_max`, at least one."""


class State(KeyValueView, Protocol):
    """What the replica writes: the materialised state, changed entry by entry."""

    @property
    def applied(self) -> tuple[int, int]:
        """(index, term) of the last entry applied."""

    def write(self, changes: Mapping[bytes, bytes | None], *, index: int, term: int) -> None:
        """Make an entry's changes visible, together with its index."""


class Answer(NamedTuple):
    """A request's result, the position in the log it belongs to, and for one key its revision (0: no such key)."""

    value: Any
    index: Index  # type: ignore[assignment]  # hides tuple.index
    term: int
    revision: int | None = None


@dataclass(slots=True)
class Inputs:
    """What arrived since the last turn; handled in this order of fields."""

    persisted_sequence: int = 0
    messages: list[Message] = field(default_factory=list)
    ticks: int = 0
    writes: list[WriteRequest] = field(default_factory=list)
    reads: list[ReadRequest] = field(default_factory=list)


@dataclass(slots=True)
class Effects:
    """What one turn wants done. `messages` may leave at once; what had to wait for the disk has waited already."""

    persist: list[tuple[int, LogBatch]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    answers: list[tuple[int, Answer | RaftdbError]] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    more: bool = False
    """Work is left that needs no further input: call `turn` again soon."""


def value_bytes(value: Any) -> int:
    """About how many bytes a reply's value has: byte strings and entries count, the rest is small."""
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Entry):
        return entry_bytes(value)
    return sum(map(value_bytes, value)) if isinstance(value, list) else 0


class Replica:
    """See the module. `links` is kept current by the owner: the peers that messages can reach now."""

    def __init__(
        self, raft: Raft, *, log_reader: LogReader, state: State, machine: Machine, patience_ticks: int
    ) -> None:
        self.raft = raft
        self.links: set[NodeId] = set()
        self._log_reader = log_reader
        self._state = state
        self._machine = machine
        self._pending = Pending(patience_ticks=patience_ticks)
        self._after_persist: deque[tuple[int, tuple[Message, ...]]] = deque()
        self._now_ticks = 0
        self._effects = Effects()

    @property
    def applied_index(self) -> Index:
        """Index of the last entry in the state."""
        return self._state.applied[0]

    @property
    def pending_count(self) -> int:
        """Requests that wait for their answer."""
        return self._pending.count

    @property
    def is_unproven(self) -> bool:
        """True while this node has an empty first log, and too few peers have confirmed that it may be so.

        A wiped folder looks exactly like a new one. The peers remember whom they met and refuse a node that lost
        its memory; until enough of them have spoken to make a majority with it, such a node neither votes nor
        stands for election (hazard B36).
        """
        core = self.raft.state
        if core.term > BOOTSTRAP_TERM or core.log.last_index > 1:
            return False
        return not is_majority(core.configurations.voters, {*self.links, core.id})

    def turn(self, inputs: Inputs) -> Effects:
        """Take in everything that arrived; return everything that is to be done."""
        effects = self._effects = Effects()
        if inputs.persisted_sequence:
            self._carry_out(self.raft.step(Persisted(inputs.persisted_sequence)))
        self._release_messages()
        unproven = self.is_unproven
        for message in inputs.messages:
            if unproven and isinstance(message, RequestVote | RequestPreVote):
                continue
            self._carry_out(self.raft.step(Received(message)))
        for _ in range(inputs.ticks):
            self._tick(unproven)
        if inputs.writes:
            self._propose_all(inputs.writes)
        if inputs.reads:
            self._request_reads(inputs.reads)
        self._apply()
        more_reads = self._serve_reads()
        self._release_messages()
        effects.more = more_reads or self.applied_index < self.raft.state.commit_index
        return effects

    def refusal(self) -> Unavailable:
        """Why this node does not execute: another leads, nobody leads, or no majority can be reached."""
        core = self.raft.state
        if core.role is not Role.LEADER and core.leader_id is not None:
            member = core.configurations.latest.find(core.leader_id)
            if member is not None:
                hint = LeaderHint(member.id, member.http, member.redis)
                return Unavailable("not_leader", f"{member.id} leads, not {core.id}", leader=hint)
        reachable = {*self.links, core.id}
        if not is_majority(core.configurations.voters, reachable):
            return Unavailable(
                "no_quorum",
                f"{core.id} reaches {len(reachable)} of {len(core.configurations.voters)} voters, no majority",
                hint="start or reconnect the other nodes",
            )
        return Unavailable("no_leader", "no leader is elected at the moment", hint="try again in a second")

    def _tick(self, unproven: bool) -> None:
        """Time for the core, and for the patience of waiting requests."""
        self._now_ticks += 1
        if not unproven:
            self._carry_out(self.raft.step(Ticked()))
        for request_id, is_write in self._pending.expired(self._now_ticks):
            self._effects.answers.append((request_id, self._out_of_time(is_write)))

    def _out_of_time(self, is_write: bool) -> Unavailable:
        if is_write:
            return Unavailable(
                "outcome_unknown",
                "no majority confirmed the write in time: it may or may not take effect",
                hint="read before you try again",
            )
        behind = self.raft.state.commit_index - self.applied_index
        if behind > 0:
            return Unavailable(
                "busy", f"the state is being rebuilt: {behind} committed entries wait to be applied"
            )
        return Unavailable("no_quorum", "no majority confirmed in time that this node still leads")

    def _propose_all(self, writes: list[WriteRequest]) -> None:
        """Hand the writes of the turn to the core, in as few batches as their size allows."""
        batch: list[WriteRequest] = []
        batch_bytes = 0
        for request in writes:
            batch.append(request)
            batch_bytes += len(request.payload)
            if batch_bytes >= PROPOSE_BYTES_MAX:
                self._propose(batch)
                batch, batch_bytes = [], 0
        if batch:
            self._propose(batch)

    def _propose(self, writes: list[WriteRequest]) -> None:
        """Hand writes to the core as one batch of consecutive entries."""
        update = self.raft.step(Proposed(tuple(request.payload for request in writes)))
        if update.accepted is None:
            refusal = self.refusal()
            if self.raft.state.role is Role.LEADER:
                refusal = Unavailable("busy", "too much is waiting for a majority", hint="send more slowly")
            self._effects.answers.extend((request.request_id, refusal) for request in writes)
        else:
            self._pending.add_writes(update.accepted, writes, self._now_ticks)
        self._carry_out(update)

    def _request_reads(self, requests: list[ReadRequest]) -> None:
        """Stale reads are answered from what is here; the others wait for the core's word."""
        linearizable = []
        for request in requests:
            if request.stale:
                self._answer_query(request.request_id, request.query)
            else:
                linearizable.append(request)
        if linearizable:
            self._pending.add_reads(linearizable, self._now_ticks)
            self._carry_out(
                self.raft.step(ReadRequested(tuple(request.request_id for request in linearizable)))
            )

    def _carry_out(self, update: Update) -> None:
        """Turn one update of the core into effects, in the order that it demands."""
        effects = self._effects
        if update.traces:
            effects.traces.extend(update.traces)
        if update.persist is not None:
            effects.persist.append((update.persist.sequence, batch_of(update.persist)))
        if update.messages:
            effects.messages.extend(update.messages)
        if update.messages_after_persist:
            self._after_persist.append((self.raft.state.sequence, update.messages_after_persist))
        for request_id, read_index in update.reads:
            self._pending.release(request_id, read_index)
        if update.reads_dropped:
            refusal = self.refusal()
            effects.answers.extend(
                (request_id, refusal)
                for request_id in update.reads_dropped
                if self._pending.drop_read(request_id)
            )
        for wanted in update.entries_wanted:
            self._load(wanted)

    def _load(self, wanted: EntriesWanted) -> None:
        """Read bodies for a follower that is behind the cache; the core decides whether they are still wanted."""
        records = self._log_reader.read(wanted.first, wanted.last, bytes_max=wanted.bytes_max)
        self._carry_out(self.raft.step(EntriesLoaded(wanted.target, tuple(map(entry_of, records)))))

    def _release_messages(self) -> None:
        """Let the messages go whose promises the disk now keeps."""
        persisted = self.raft.state.persisted_sequence
        while self._after_persist and self._after_persist[0][0] <= persisted:
            self._effects.messages.extend(self._after_persist.popleft()[1])

    def _apply(self) -> None:
        """Apply what is committed, in order and without a gap, a bounded slice at a time."""
        first = self.applied_index + 1
        last = min(self.raft.state.commit_index, first + APPLY_ENTRIES_MAX - 1)
        if first > last:
            return
        touched_bytes = 0
        for entry in self._bodies(first, last, APPLY_BYTES_MAX):
            touched_bytes += self._apply_entry(entry)
            if touched_bytes >= APPLY_BYTES_MAX:
                break
        self._effects.traces.append(
            Trace("applied", (("first_index", first), ("applied_index", self.applied_index)))
        )

    def _apply_entry(self, entry: Entry) -> int:
        """Change the state by one entry, and answer who waits for it; returns how many bytes that touched."""
        reply: Result | RaftdbError = Result(None, entry.index)
        changes: Mapping[bytes, bytes | None] = {}
        if entry.kind is EntryKind.COMMAND:
            transaction = Transaction(self._state)
            reply = self._machine.apply(entry.index, entry.data, transaction)
            changes = transaction.changes
        self._state.write(changes, index=entry.index, term=entry.term)
        for term, request_id in self._pending.writes_at(entry.index):
            answer: Answer | RaftdbError
            if term != entry.term:
                answer = self.refusal()
            elif isinstance(reply, Result):
                answer = Answer(reply.value, entry.index, entry.term, reply.revision)
            else:
                answer = reply
            self._effects.answers.append((request_id, answer))
        return len(entry.data) + sum(len(value) for value in changes.values() if value is not None)

    def _serve_reads(self) -> bool:
        """Answer the reads whose index is applied, up to a bound of bytes; True if some are left for the next turn."""
        replied_bytes = 0
        while replied_bytes < READ_BYTES_MAX:
            released = self._pending.next_read(self.applied_index)
            if released is None:
                return False
            request_id, query = released
            answer = self._serve(query)
            self._effects.answers.append((request_id, answer))
            replied_bytes += value_bytes(answer.value) if isinstance(answer, Answer) else 0
        return True

    def _answer_query(self, request_id: int, query: Query) -> None:
        """Serve one read from the state as it is."""
        self._effects.answers.append((request_id, self._serve(query)))

    def _serve(self, query: Query) -> Answer | RaftdbError:
        if isinstance(query, LogPage):
            return self._read_log(query)
        return self._read_state(query)

    def _read_state(self, command: Command) -> Answer | RaftdbError:
        """A read of the key space."""
        reply = self._machine.read(command, self._state)
        if not isinstance(reply, Result):
            return reply
        index, term = self._state.applied
        return Answer(reply.value, index, term, reply.revision)

    def _read_log(self, page: LogPage) -> Answer | RaftdbError:
        """A read of the log: entries in order, the newest included, committed or not."""
        log = self.raft.state.log
        first = (
            page.first if page.first is not None else max(log.base.index + 1, log.last_index - page.limit + 1)
        )
        if first <= log.base.index:
            return RaftdbError(
                "compacted",
                f"entries up to {log.base.index} are compacted away",
                hint=f"the first one available is {log.base.index + 1}",
            )
        last = min(log.last_index, first + page.limit - 1)
        entries: list[Entry] = []
        while first + len(entries) <= last and sum(map(entry_bytes, entries)) < LOG_PAGE_BYTES_MAX:
            entries.extend(self._bodies(first + len(entries), last, LOG_PAGE_BYTES_MAX))
        return Answer(entries, self.raft.state.commit_index, self.raft.state.term)

    def _bodies(self, first: Index, last: Index, bytes_max: int) -> Sequence[Entry]:
        """Entries from memory if they are there, else from disk."""
        log = self.raft.state.log
        cached = log.cached(first, last, bytes_max=bytes_max)
        if cached is not None:
            return cached
        last = min(last, log.cache_first - 1)
        return [entry_of(record) for record in self._log_reader.read(first, last, bytes_max=bytes_max)]
