"""One replica, whole and without I/O: the core, the machine and the waiting requests, glued together.

The driver calls `turn(inputs) -> Effects` with what arrived in one turn of its event loop, the simulator with inputs
drawn from a seed. Both carry out the same effects, so the simulator tests the code that ships.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from raftdb.budgets import APPLY_BYTES_MAX, APPLY_ENTRIES_MAX, KEY_BYTES, PROPOSE_BYTES_MAX
from raftdb.core.events import (
    Compacted,
    EntriesLoaded,
    Persisted,
    Proposed,
    SnapshotFetched,
    Ticked,
)
from raftdb.core.messages import Heartbeat, InstallSnapshot, Message, RequestPreVote, RequestVote
from raftdb.core.model import EntryId, Index, NodeId, Role, Term
from raftdb.core.raft import Raft
from raftdb.core.timing import request_ticks
from raftdb.core.update import EntriesWanted, Trace, Update
from raftdb.endpoint import Endpoint
from raftdb.errors import LeaderHint, RaftdbError, Unavailable
from raftdb.machine.entries import stamp
from raftdb.machine.machine import Machine
from raftdb.node import pending
from raftdb.node.bodies import Bodies
from raftdb.node.checkpoints import Checkpoints, Covered
from raftdb.node.clock import LeaderClock
from raftdb.node.compaction import CompactionPolicy
from raftdb.node.counts import NodeCounts
from raftdb.node.execution import answers_to, apply_slice, serve
from raftdb.node.history import History
from raftdb.node.membership import MembershipRequests
from raftdb.node.pending import MakeCheckpoint, Pending, Query, ReadRequest, WriteRequest, batches_of
from raftdb.node.standing import is_new, is_unproven
from raftdb.node.stored import FIRST_ENTRY, batch_of
from raftdb.node.turn import Answer, Effects, Inputs, LogReader, PersistJob, State
from raftdb.node.waiting import Waiters
from raftdb.node.world import is_up_to_date, world_of
from storage import FrozenChanges


class Replica:
    """See the module. The owner keeps `links` current: the peers that messages can reach now."""

    def __init__(
        self,
        raft: Raft,
        *,
        log_reader: LogReader,
        state: State,
        machine: Machine,
        patience_ticks: int,
        policy: CompactionPolicy,
        first_entry: EntryId = FIRST_ENTRY,
        history: History | None = None,
    ) -> None:
        self.raft = raft
        self.links: set[NodeId] = set()
        self.endpoint_of: Callable[[NodeId], Endpoint | None] = lambda peer: None
        """Where a peer is reached, if something newer than the configuration is known."""
        self.received_snapshot: EntryId | None = None
        """End of the snapshot that is here, whole and verified: only that one may be installed."""
        self.retained_index: Index | None = None
        """End of the snapshot that a follower is fetching: the log is kept from there on."""
        self._checkpoints = Checkpoints(raft.state, policy)
        self._first_entry = first_entry
        self._installing = False
        self._bodies = Bodies(raft.state, log_reader)
        self._state = state
        self._machine = machine
        self.history = history or History()
        self.history.restart(state.applied[0], state)
        self.clock = LeaderClock(machine)
        patience = partial(request_ticks, raft.state, patience_ticks)
        self._pending = Pending(patience_ticks=patience)
        self._membership = MembershipRequests(raft, patience, self.refusal, self.leader_hint)
        self._after_persist: deque[tuple[int, tuple[Message, ...]]] = deque()
        self.waiters, self.counts = Waiters(), NodeCounts()
        self._now_ticks = 0
        self._effects = Effects()

    @property
    def applied_index(self) -> Index:
        """Index of the last entry in the state."""
        return self._state.applied[0]

    @property
    def checkpoint_index(self) -> Index:
        """Index of the last entry in the durable state."""
        return self._state.checkpoint[0]

    @property
    def pending_count(self) -> int:
        """Requests that wait for their answer."""
        return self._pending.count + self._membership.count

    @property
    def proposals_count(self) -> int:
        """Writes that wait until they are committed and applied."""
        return self._pending.write_count

    @property
    def readable_state(self) -> State | None:
        """The state as it is applied here; None while a snapshot is put in place."""
        return None if self._installing else self._state

    @property
    def is_removed(self) -> bool:
        """True if this node is no member any more, by its own log or by a peer's word: it does not stand then."""
        return self.raft.state.is_removed

    @property
    def is_unproven(self) -> bool:
        """True if this node's folder may be a new one in the place of a lost one: see `standing.is_unproven`."""
        return is_unproven(self.raft.state, self.links, self._first_entry)

    @property
    def changes_memory_bytes(self) -> int:
        """Memory that changes take which are not yet durable in the state."""
        return self._state.memory_bytes

    @property
    def takes_writes(self) -> bool:
        """False while changes that wait for the disk leave room only for writes already proposed."""
        return self._installing or self._checkpoints.has_room(self._state, for_new=True)

    @property
    def is_new(self) -> bool:
        """True while this node has never taken part in the cluster, or has lost all memory of it."""
        return is_new(self.raft.state, self._first_entry)

    @property
    def awaits_disk(self) -> bool:
        """False if nothing follows yet from the log being on disk up to its end."""
        return bool(self._after_persist) or self.raft.state.awaits_disk

    def snapshot_received(self, index: Index, term: Term) -> None:
        """The snapshot that ends there is here, whole and verified; it may be installed."""
        self.received_snapshot = EntryId(index, term)

    def give_up_received(self) -> bool:
        """The snapshot that is here may no longer be installed. False if it is being installed."""
        if self._installing:
            return False
        self.received_snapshot = None
        return True

    def turn(self, inputs: Inputs) -> Effects:
        """Take in all that arrived; return all that is to be done."""
        effects = self._effects = Effects()
        self.clock.turn(inputs.now_ms)
        if inputs.persisted_sequence:
            self._carry_out(self.raft.step(Persisted(inputs.persisted_sequence)))
        if inputs.flushed is not None:
            self._flushed(inputs.flushed)
        if inputs.installed_state is not None:
            self._installed(inputs.installed_state)
        for event in (*inputs.handshakes, *inputs.snapshots):
            if not isinstance(event, SnapshotFetched) or self._has_received(event.offer):
                self._carry_out(self.raft.step(event))
        self._release_messages()
        unproven = self.is_unproven
        for received in inputs.messages:
            if unproven and isinstance(received.message, RequestVote | RequestPreVote):
                continue
            self._carry_out(self.raft.step(received))
            if isinstance(received.message, Heartbeat):
                self.clock.hears(self.raft.state, received.message)
        for _ in range(inputs.ticks):
            self._tick(unproven)
        for update in self._membership.ask_all(inputs.changes, inputs.transfers, self._now_ticks):
            self._carry_out(update)
        if inputs.writes or self._membership.holds_writes:
            writes, refused = self._membership.pass_on(inputs.writes)
            effects.answers += self.counts.refused(pending.ids_of(refused), pending.too_much_waits())
            self._propose_all(writes)
        if inputs.reads:
            self._request_reads(inputs.reads)
        self._apply()
        self._end_what_is_due()
        for request_id, value, entry in self._membership.finished(self._now_ticks):
            answer = value if isinstance(value, RaftdbError) else Answer(value, *entry)
            effects.answers.append((request_id, answer))
        more = self._serve_waiters(inputs)
        more |= self._pending.serve_reads(self.applied_index, self._answer_query)
        self._begin_checkpoint()
        self._release_messages()
        effects.messages = self.clock.says(self.raft.state, effects.messages)
        behind = self.applied_index < self.raft.state.commit_index and self._may_apply
        effects.more = more or behind
        return effects

    def leader_hint(self) -> LeaderHint | None:
        """Where the leader is, if this node knows."""
        return pending.leader_hint(self.raft.state, self.endpoint_of)

    def refusal(self) -> Unavailable:
        """Why this node does not execute."""
        return pending.not_executed(
            self.raft.state, self.links, self.leader_hint(), is_removed=self.is_removed
        )

    def _tick(self, unproven: bool) -> None:
        """Let a tick pass for the core, and for the patience of waiting requests."""
        self._now_ticks += 1
        if not unproven:
            self._carry_out(self.raft.step(Ticked()))
        for request_id, is_write in self._pending.expired(self._now_ticks):
            refusal = self._out_of_time(is_write)
            self.counts.proposals_failed[refusal.code] += is_write
            self._effects.answers.append((request_id, refusal))

    def _out_of_time(self, is_write: bool) -> RaftdbError:
        return pending.out_of_time(self.raft.state, self.applied_index, is_write=is_write)

    def _propose_all(self, writes: list[WriteRequest]) -> None:
        """Hand the writes of the turn to the core, in as few batches as their size allows."""
        for batch in batches_of(writes, bytes_max=PROPOSE_BYTES_MAX):
            self._propose(batch)

    def _propose(self, writes: list[WriteRequest]) -> None:
        """Hand writes to the core as one batch of consecutive entries."""
        time_ms = self.clock.time_ms(self.raft.state)
        update = self.raft.step(Proposed(tuple(stamp(request.payload, time_ms) for request in writes)))
        if update.accepted is None:
            refusal = pending.too_much_waits() if self.raft.state.role is Role.LEADER else self.refusal()
            self._effects.answers += self.counts.refused(pending.ids_of(writes), refusal)
        else:
            self.clock.stamped(time_ms)
            self._pending.add_writes(update.accepted, writes, self._now_ticks, self.clock.local_ms)
        self._carry_out(update)

    def _end_what_is_due(self) -> None:
        """As a leader, count the time on, and propose the end of what is due."""
        if self._installing or self.raft.state.leadership is None:
            return
        update = self.clock.end_what_is_due(self.raft, self.applied_index, self._state)
        if update is not None:
            self._carry_out(update)

    def _request_reads(self, requests: list[ReadRequest]) -> None:
        """Stale reads are answered from what is here, in their turn; the others wait until the core releases them."""
        self._pending.add_reads(requests, self._now_ticks)
        for event in pending.questions(self.raft.state, requests):
            self._carry_out(self.raft.step(event))

    def _carry_out(self, update: Update) -> None:
        """Turn one update of the core into effects, in the order that it demands."""
        effects = self._effects
        if update.traces:
            effects.traces.extend(update.traces)
        if (persist := update.persist) is not None:
            effects.persist.append(PersistJob(persist.sequence, batch_of(persist), persist.install))
            self._installing |= persist.install is not None
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
        if update.transfers:
            self._membership.transfers_ended(update.transfers)
        if update.peers_changed:
            effects.peers = {node: member.http for node, member in self.raft.peers().items()}
        effects.snapshots_wanted.extend(update.snapshots_wanted)
        for wanted in update.entries_wanted:
            self._load(wanted)
        offer = update.snapshot_offered
        if offer is not None and self._has_received(offer):
            self._carry_out(self.raft.step(SnapshotFetched(offer)))
        elif offer is not None and not self._installing:
            effects.snapshot_offered = offer

    def _load(self, wanted: EntriesWanted) -> None:
        """Read bodies that a follower needs and that have left the cache. They are here at once; but the core does not
        rely on that, and decides whether they are still wanted."""
        blocks = self._bodies.stored(wanted.first, wanted.last, wanted.bytes_max)
        self._carry_out(self.raft.step(EntriesLoaded(wanted.target, blocks)))

    def _release_messages(self) -> None:
        """Send the messages whose promises are now on the disk."""
        persisted = self.raft.state.persisted_sequence
        while self._after_persist and self._after_persist[0][0] <= persisted:
            self._effects.messages.extend(self._after_persist.popleft()[1])

    def _has_received(self, offer: InstallSnapshot) -> bool:
        """True if the offered snapshot is here, and no other is being put in place."""
        return not self._installing and self.received_snapshot == (offer.last_index, offer.last_term)

    def _installed(self, state: State) -> None:
        """Go on with the state of the snapshot. A request that waits for an entry in it will not learn its result."""
        details = (("from_index", self.applied_index), ("applied_index", state.applied[0]))
        self._state = state
        self._installing = False
        self.history.restart(self.applied_index, state)
        self.received_snapshot = None
        refusal = self._out_of_time(is_write=True)
        for writes in self._pending.take_writes(self.applied_index):
            self._effects.answers += self.counts.refused(writes.request_ids, refusal)
        self._effects.traces.append(Trace("snapshot installed", details))

    def _begin_checkpoint(self) -> None:
        """Begin a checkpoint if one is due; answer the requests that an existing one satisfies."""
        if self._installing:
            return
        self._effects.flush = self._checkpoints.begin(self._state)
        covered = self._checkpoints.covered(self.checkpoint_index)
        if covered.requests:
            self._compact(covered)

    def _flushed(self, frozen: FrozenChanges) -> None:
        """The checkpoint is durable: the log may begin at a later entry."""
        self._state.thaw(frozen)
        self._checkpoints.written()
        self._compact(self._checkpoints.covered(frozen.index))

    def _compact(self, covered: Covered) -> None:
        """Compact the log, now that the state is durable; answer the requests that waited for it."""
        checkpoint_index, checkpoint_term = self._state.checkpoint
        answer = Answer(checkpoint_index, checkpoint_index, checkpoint_term)
        self._effects.answers.extend((request_id, answer) for request_id in covered.requests)
        log = self.raft.state.log
        base_index = self._checkpoints.base_after(
            checkpoint_index, compacts=covered.compacts, retained_index=self.retained_index
        )
        if base_index > log.base.index:
            self.counts.compacted_entries += base_index - log.base.index
            self._carry_out(self.raft.step(Compacted(base_index)))
            self._effects.trim = log.base

    def _apply(self) -> None:
        """Apply what is committed, in order and without a gap, a bounded slice at a time."""
        first = self.applied_index + 1
        last = min(self.raft.state.commit_index, first + APPLY_ENTRIES_MAX - 1)
        if first > last or not self._may_apply:
            return
        blocks, last = self._bodies.whole_blocks(first, last, APPLY_BYTES_MAX)
        where = (first, last, self._state, self._machine)
        applied = apply_slice(blocks, *where, bytes_max=APPLY_BYTES_MAX, history=self.history)
        self.counts.applied(len(applied.replies), applied.seconds, applied.happened)
        self.clock.applied(self.applied_index, applied.deadline_ms)
        if self._pending.has_writes:
            writes = self._pending.take_writes(self.applied_index)
            self.counts.committed(writes, self.clock.local_ms)
            self._effects.answers += answers_to(writes, first, applied.replies, self.refusal, self.counts)
        self.waiters.changed(applied.events)
        self._effects.traces.append(
            Trace("applied", (("first_index", first), ("applied_index", self.applied_index)))
        )

    @property
    def _may_apply(self) -> bool:
        """False while a snapshot is put in place, or changes take too much memory; then an input comes."""
        return not self._installing and self._checkpoints.has_room(self._state)

    def _serve_waiters(self, inputs: Inputs) -> bool:
        """Look at the requests that are held; returns whether work is left for the next turn."""
        waiters, effects = self.waiters, self._effects
        core, is_installing = self.raft.state, self._installing
        is_ready = not is_installing and is_up_to_date(core, self._state)
        if not waiters.has_work(inputs, is_ready=is_ready):
            return False
        may_write = self.takes_writes
        world = world_of(
            core, self._state, inputs, self.refusal, is_installing=is_installing, takes_writes=may_write
        )
        effects.answers = waiters.settle(effects.answers)
        more = waiters.turn(world)
        effects.answers += waiters.answers
        self._propose_all(waiters.writes)
        effects.answers = waiters.settle(effects.answers)
        return more

    def _answer_query(self, request_id: int, query: Query) -> int:
        """Serve one read from the state as it is; returns the work that it was. A checkpoint is answered later."""
        answer: Answer | RaftdbError
        work_bytes = KEY_BYTES
        if self._installing:
            answer = Unavailable("busy", "a snapshot is being installed", hint="ask another node")
        elif isinstance(query, MakeCheckpoint):
            self._checkpoints.ask(request_id, self.applied_index, keeps_tail=query.keeps_tail)
            return work_bytes
        else:
            answer, work_bytes = serve(
                query, self.raft.state, self._state, self._machine, self._bodies.between, self.waiters
            )
        self._effects.answers.append((request_id, answer))
        return work_bytes
